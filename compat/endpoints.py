"""The public REST endpoints by name, and a query for each that has an answer.

From the REST market-data pages of both venues.
"""

from __future__ import annotations

from typing import Any

from compat.trial import COINM, REST, USDM, Call, Contracts, Outcome, Trial

_ASKED = {
    "": (
        "ping time exchangeInfo premiumIndex fundingInfo ticker/24hr ticker/price"
        " ticker/bookTicker indexInfo assetIndex insuranceBalance symbolAdlRisk"
        " tradingSchedule"
    ),
    "symbol": (
        "depth rpiDepth trades historicalTrades aggTrades fundingRate openInterest constituents"
    ),
    "symbol interval": "klines markPriceKlines premiumIndexKlines",
    "pair contractType interval": "continuousKlines",
    "pair interval": "indexPriceKlines",
    "pair": "delivery-price",
    "symbol period": (
        "openInterestHist topLongShortAccountRatio topLongShortPositionRatio"
        " globalLongShortAccountRatio takerlongshortRatio"
    ),
    "pair contractType period": "takerBuySellVol basis",
}
"""The endpoints by the parameters that they have on USDⓈ-M."""

PARAMETERS = {name: asked for asked, names in _ASKED.items() for name in names.split()}
"""The parameters of each endpoint, as USDⓈ-M has them."""

OF_PAIRS = {
    "openInterestHist": "pair contractType period",
    "topLongShortAccountRatio": "pair period",
    "topLongShortPositionRatio": "pair period",
    "globalLongShortAccountRatio": "pair period",
}
"""The parameters where COIN-M asks for pairs instead."""

NOT_THERE = {
    (USDM, "lvtKlines"): "leveraged tokens are gone from the exchange",
    (COINM, "delivery-price"): "the exchange documents no such endpoint",
}
"""Endpoints that libraries offer and the exchange does not."""

OTHER = {"apiTradingStatus", "convert/exchangeInfo"}
"""Endpoints that are about accounts or conversion, not about a market."""

EMPTY = {"ping", "fundingInfo"}
"""Endpoints whose response may be empty: `fundingInfo` lists only what differs from the usual."""


def known(endpoint: str, contracts: Contracts) -> dict[str, Any]:
    """Return what the parameters of an endpoint should be, whether it has them or not."""
    return {
        "symbol": contracts.pair if endpoint == "constituents" else contracts.perpetual,
        "pair": contracts.pair,
        "interval": "1m",
        "period": "5m",
        "contractType": "PERPETUAL",
    }


def query(venue: str, endpoint: str, contracts: Contracts) -> dict[str, Any]:
    """Return the parameters of a query that has an answer; none if the endpoint is unknown here."""
    names = PARAMETERS.get(endpoint, "")
    if venue != USDM:
        names = OF_PAIRS.get(endpoint, names)
    return {name: known(endpoint, contracts)[name] for name in names.split()}


async def ask(trial: Trial, venue: str, name: str, endpoint: str, call: Call) -> None:
    """Report what a library's method for an endpoint brings."""
    if reason := NOT_THERE.get((venue, endpoint)):
        trial.add(venue, REST, name, reason, Outcome.DIFFERS)
    else:
        await trial.ask(venue, REST, name, call, may_be_empty=endpoint in EMPTY)
