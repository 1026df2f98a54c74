"""The public REST endpoints by name, and a query for each that has an answer.

From the REST market-data pages of both venues.
"""

from __future__ import annotations

from typing import Any

from compat.trial import USDM, Contracts

PARAMETERS: dict[str, str] = {
    "ping": "",
    "time": "",
    "exchangeInfo": "",
    "depth": "symbol",
    "rpiDepth": "symbol",
    "trades": "symbol",
    "historicalTrades": "symbol",
    "aggTrades": "symbol",
    "klines": "symbol interval",
    "continuousKlines": "pair contractType interval",
    "indexPriceKlines": "pair interval",
    "markPriceKlines": "symbol interval",
    "premiumIndexKlines": "symbol interval",
    "premiumIndex": "",
    "fundingRate": "symbol",
    "fundingInfo": "",
    "ticker/24hr": "",
    "ticker/price": "",
    "ticker/bookTicker": "",
    "openInterest": "symbol",
    "constituents": "symbol",
    "indexInfo": "",
    "assetIndex": "",
    "insuranceBalance": "",
    "symbolAdlRisk": "",
    "tradingSchedule": "",
    "delivery-price": "pair",
    "openInterestHist": "symbol period",
    "topLongShortAccountRatio": "symbol period",
    "topLongShortPositionRatio": "symbol period",
    "globalLongShortAccountRatio": "symbol period",
    "takerlongshortRatio": "symbol period",
    "takerBuySellVol": "pair contractType period",
    "basis": "pair contractType period",
}
"""The parameters of each endpoint, as USDⓈ-M has them."""

OF_PAIRS = {
    "openInterestHist": "pair contractType period",
    "topLongShortAccountRatio": "pair period",
    "topLongShortPositionRatio": "pair period",
    "globalLongShortAccountRatio": "pair period",
}
"""The parameters where COIN-M asks for pairs instead."""

WITHDRAWN = {
    "lvtKlines": "leveraged tokens are gone from the exchange",
}
"""Endpoints that libraries still offer and the exchange does not."""

OTHER = {"apiTradingStatus", "convert/exchangeInfo"}
"""Endpoints that are about accounts or conversion, not about a market."""

EMPTY = {"ping", "fundingInfo"}
"""Endpoints whose response may be empty: `fundingInfo` lists only what differs from the usual."""


def query(venue: str, endpoint: str, contracts: Contracts) -> dict[str, Any]:
    """Return the parameters of a query that has an answer.

    Raises:
        KeyError: there is no public endpoint of this name.
    """
    names = PARAMETERS[endpoint]
    if venue != USDM:
        names = OF_PAIRS.get(endpoint, names)
    values = {
        "symbol": contracts.perpetual,
        "pair": contracts.pair,
        "interval": "1m",
        "period": "5m",
        "contractType": "PERPETUAL",
    }
    if endpoint == "constituents":
        values["symbol"] = contracts.pair
    return {name: values[name] for name in names.split()}


def fault(endpoint: str, answer: Any) -> str:
    """Return what is wrong with an answer that came; empty if nothing is."""
    if isinstance(answer, dict | list) and (answer or endpoint in EMPTY):
        return ""
    return f"an answer without content: {answer!r}"[:200]
