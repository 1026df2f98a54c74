"""Volumes bought and sold by takers in each period."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

from tickerplant.instrument import RATE_DECIMALS, decimal_text, round_div
from tickerplant.market.bars import (
    OPEN_TIME,
    TAKER_BUY_TURNOVER,
    TAKER_BUY_VOLUME,
    TURNOVER,
    VOLUME,
)
from tickerplant.queries.param import ONE_SYMBOL
from tickerplant.queries.query import Rows
from tickerplant.queries.statistics import CONTRACT_CHOICE, ONE_PAIR, Periods, statistic, types_of
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets

DECIMALS = 4
"""Decimals of every number but whole contracts."""


class TakerVolume(Struct, frozen=True, rename="camel"):
    """Volumes in base units, and their ratio (USDⓈ-M)."""

    buy_sell_ratio: str
    buy_vol: str
    sell_vol: str
    timestamp: int


class CoinTakerVolume(Struct, frozen=True, rename="camel"):
    """Volumes in contracts, and their value in base coin (COIN-M)."""

    pair: str
    contract_type: str
    taker_buy_vol: str
    taker_sell_vol: str
    taker_buy_vol_value: str
    taker_sell_vol_value: str
    timestamp: int


def taker_volume(_markets: Markets, requested: Periods, market: Market) -> Rows[TakerVolume]:
    """Return the taker volumes of a market in closed periods, oldest first."""
    bars = requested.closed(market.candles)
    decimals = market.instrument.quantity.decimals
    return (
        TakerVolume(
            # If nothing was sold, divide by the smallest quantity instead.
            buy_sell_ratio=_rounded(bought * 10**DECIMALS, max(volume - bought, 1)),
            buy_vol=_rounded(bought * 10**DECIMALS, 10**decimals),
            sell_vol=_rounded((volume - bought) * 10**DECIMALS, 10**decimals),
            timestamp=opened_ms,
        )
        for opened_ms, volume, bought in bars[:, (OPEN_TIME, VOLUME, TAKER_BUY_VOLUME)].tolist()
    )


def coin_taker_volume(
    markets: Markets, requested: Periods, pair: str, contract_type: str
) -> Rows[CoinTakerVolume]:
    """Return the taker volumes of contracts of a pair in closed periods, oldest first."""
    sums: defaultdict[int, tuple[int, ...]] = defaultdict(lambda: (0, 0, 0, 0))
    columns = (OPEN_TIME, VOLUME, TURNOVER, TAKER_BUY_VOLUME, TAKER_BUY_TURNOVER)
    found = (markets.candles(pair, each) for each in types_of(contract_type))
    for _, candles in filter(None, found):
        for opened_ms, *numbers in requested.closed(candles)[:, columns].tolist():
            added = zip(sums[opened_ms], numbers, strict=True)
            sums[opened_ms] = tuple(before + more for before, more in added)
    return (
        _coin_row(pair, contract_type, opened_ms, *sums[opened_ms])
        for opened_ms in requested.chosen(sorted(sums))
    )


def _coin_row(
    pair: str,
    contract_type: str,
    opened_ms: int,
    volume: int,
    turnover: int,
    bought: int,
    bought_value: int,
) -> CoinTakerVolume:
    unit = 10 ** (RATE_DECIMALS - DECIMALS)
    return CoinTakerVolume(
        pair=pair,
        contract_type=contract_type,
        taker_buy_vol=str(bought),
        taker_sell_vol=str(volume - bought),
        taker_buy_vol_value=_rounded(bought_value, unit),
        taker_sell_vol_value=_rounded(turnover - bought_value, unit),
        timestamp=opened_ms,
    )


def _rounded(numerator: int, denominator: int) -> str:
    """Return a quotient in units of the last decimal as text."""
    return decimal_text(round_div(numerator, denominator), DECIMALS)


_DOC = "Volumes bought and sold by takers in each closed period."

QUERIES = (
    statistic("takerlongshortRatio", USDM, taker_volume, _DOC, ONE_SYMBOL),
    statistic("takerBuySellVol", COINM, coin_taker_volume, _DOC, ONE_PAIR, CONTRACT_CHOICE),
)
