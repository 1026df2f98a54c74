"""Candles of every interval."""

from __future__ import annotations

from typing import TypeAlias

from tickerplant.instrument import Instrument
from tickerplant.market import figures
from tickerplant.market.bars import DAY_MS
from tickerplant.market.candles import close_time
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.queries import refusal
from tickerplant.queries.param import (
    END_TIME,
    ONE_SYMBOL,
    START_TIME,
    Param,
    count,
    interval,
)
from tickerplant.queries.query import Query
from tickerplant.queries.weight import ByLimit
from tickerplant.venue import COINM, USDM

MOST = 1500
DEFAULT_LIMIT = 500
COIN_WINDOW_DAYS = 200
"""Widest window of a COIN-M question, and the width of one with a single end."""

Kline: TypeAlias = tuple[int, str, str, str, str, str, int, str, int, str, str, str]
"""Open time, open, high, low, close, volume, close time, turnover, trades, taker-bought volume and
turnover, and a field without meaning."""


def klines(
    _markets: Markets,
    market: Market,
    interval: str,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
) -> list[Kline]:
    """Return up to `limit` candles, oldest first, the open one included.

    USDⓈ-M: with a start the first ones from the start on, otherwise the latest ones.

    Raises:
        RequestError: -1023, the window ends before it begins.
    """
    _check(start_ms, end_ms)
    rows = market.candles.rows(interval, start_ms, end_ms, limit)
    return _klines(market.instrument, interval, rows.tolist())


def coin_klines(
    _markets: Markets,
    market: Market,
    interval: str,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
) -> list[Kline]:
    """Return the latest `limit` candles of the window, oldest first, the open one included.

    Raises:
        RequestError: -1023, the window ends before it begins; -4088, it is over 200 days wide.
    """
    _check(start_ms, end_ms)
    width_ms = COIN_WINDOW_DAYS * DAY_MS
    if start_ms is None:
        start_ms = None if end_ms is None else end_ms - width_ms
    elif end_ms is None:
        end_ms = start_ms + width_ms
    elif end_ms - start_ms > width_ms:
        raise refusal.interval_too_long(COIN_WINDOW_DAYS)
    rows = market.candles.rows(interval, None, end_ms, limit).tolist()
    if start_ms is not None:
        rows = [row for row in rows if row[0] >= start_ms]
    return _klines(market.instrument, interval, rows)


def _check(start_ms: int | None, end_ms: int | None) -> None:
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise refusal.start_after_end()


def _klines(instrument: Instrument, interval: str, rows: list[list[int]]) -> list[Kline]:
    return [_kline(instrument, interval, row) for row in rows]


def _kline(instrument: Instrument, interval: str, row: list[int]) -> Kline:
    opened_ms, opened, high, low, close, volume, turnover, trades, bought, bought_value, *_ = row
    prices, quantities = instrument.price.text, instrument.quantity.text
    return (
        opened_ms,
        prices[opened],
        prices[high],
        prices[low],
        prices[close],
        quantities[volume],
        close_time(interval, opened_ms),
        figures.bar_turnover(instrument, turnover),
        trades,
        quantities[bought],
        figures.bar_turnover(instrument, bought_value),
        "0",
    )


_PARAMS = (
    ONE_SYMBOL,
    Param("interval", "interval", interval, "Length of a candle, `1m` to `1M`.", required=True),
    START_TIME,
    END_TIME,
    Param("limit", "limit", count(MOST), f"How many, at most {MOST}.", default=DEFAULT_LIMIT),
)
# Kline pages: weights 1, 2, 5, 10; that a full hundred or half thousand is still in the lower
# band, and that no limit weighs 5, is measured on production.
_WEIGHT = ByLimit(((100, 1), (500, 2), (1000, 5), (MOST, 10)), unlimited=5)

QUERIES = (
    Query(
        path="/v1/klines",
        venues=(USDM,),
        weight=_WEIGHT,
        params=_PARAMS,
        respond=klines,
        doc="Candles; with `startTime` the first from there on, otherwise the latest.",
    ),
    Query(
        path="/v1/klines",
        venues=(COINM,),
        weight=_WEIGHT,
        params=_PARAMS,
        respond=coin_klines,
        doc="The latest candles of a window of at most 200 days.",
    ),
)
