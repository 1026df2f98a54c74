"""Candles of trades, and of the index price, mark price and premium index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from tickerplant.instrument import RATE_DECIMALS, Instrument, decimal_text
from tickerplant.market import figures
from tickerplant.market.interval import close_time
from tickerplant.queries import request_errors
from tickerplant.queries.param import (
    CONTRACT_TYPE,
    END_TIME,
    START_TIME,
    Param,
    check_window,
    contracts_anywhere,
    count,
    interval,
    market_anywhere,
)
from tickerplant.queries.query import LimitWeight, Query
from tickerplant.units import DAY_MS
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.candles import Candles, PriceBars
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets


MAX_LIMIT = 1500
DEFAULT_LIMIT = 500
Kline: TypeAlias = tuple[int, str, str, str, str, str, int, str, int, str, str, str]
"""Open time, open, high, low, close, volume, close time, turnover, trades, taker-bought volume and
turnover, and an unused field.
"""


class Window(Struct, frozen=True):
    """The candles of a request."""

    interval: str
    start_ms: int | None
    end_ms: int | None
    limit: int

    def rows(self, instrument: Instrument, candles: Candles) -> list[list[int]]:
        """Return up to `limit` of the candles that open in it, by the rule of the venue.

        USDⓈ-M: with a start the first ones, otherwise the latest ones. COIN-M: the latest ones of
        at most 200 days; a missing end of the window is that far from the other (Kline Candlestick
        Data page).

        Raises:
            RequestError: -4088, it is over 200 days wide (COIN-M).
        """
        start_ms, end_ms = self.start_ms, self.end_ms
        days = instrument.venue.kline_window_days
        if days is None:
            rows: list[list[int]] = candles.rows(
                self.interval, start_ms, end_ms, self.limit
            ).tolist()
            return rows
        width_ms = days * DAY_MS
        if start_ms is None:
            start_ms = None if end_ms is None else end_ms - width_ms
        elif end_ms is None:
            end_ms = start_ms + width_ms
        elif end_ms - start_ms > width_ms:
            raise request_errors.interval_too_long(days)
        rows = candles.rows(self.interval, None, end_ms, self.limit).tolist()
        return [row for row in rows if start_ms is None or row[0] >= start_ms]


def klines(window: Window, market: Market) -> list[Kline]:
    """Return the candles of a market, oldest first, including the open one."""
    instrument = market.instrument
    rows = window.rows(instrument, market.candles)
    return [_kline(instrument, window.interval, row) for row in rows]


def continuous_klines(
    window: Window, contracts: Sequence[Market], contract_type: str
) -> list[Kline]:
    """Return the candles of the contract that has that type on a pair now; empty if there is none."""
    for market in contracts:
        if market.instrument.contract_type == contract_type:
            return klines(window, market)
    return []


def mark_price_klines(window: Window, market: Market) -> list[Kline]:
    """Return the candles of the mark price of a market."""
    return _price_klines(window, market, market.marks)


def premium_index_klines(window: Window, market: Market) -> list[Kline]:
    """Return the candles of the premium index of a market."""
    return _price_klines(window, market, market.premiums)


def index_price_klines(window: Window, contracts: Sequence[Market]) -> list[Kline]:
    """Return the index candles of a pair, from its longest-lived contract."""
    return _price_klines(window, contracts[-1], contracts[-1].indices)


def _price_klines(window: Window, market: Market, prices: PriceBars) -> list[Kline]:
    rows = window.rows(market.instrument, prices.candles)
    return [_price_kline(window.interval, row) for row in rows]


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


SYMBOL = Param(
    "symbol",
    "market",
    market_anywhere,
    "The symbol; in the merged universe of either venue.",
    required=True,
)
PAIR = Param(
    "pair",
    "contracts",
    contracts_anywhere,
    "The pair; in the merged universe of either venue.",
    required=True,
)
CANDLE_PARAMS = (
    Param("interval", "interval", interval, "Length of a candle, `1m` to `1M`.", required=True),
    START_TIME,
    END_TIME,
    Param(
        "limit", "limit", count(MAX_LIMIT), f"How many, at most {MAX_LIMIT}.", default=DEFAULT_LIMIT
    ),
)
# Kline pages: weights 1, 2, 5, 10. Production was measured to include 100 and 500 in the lower
# band, and to charge 5 without a limit.
WEIGHT = LimitWeight(((100, 1), (500, 2), (1000, 5), (MAX_LIMIT, 10)), unlimited=5)
WINDOW_DOC = (
    "USDⓈ-M: with `startTime` the first from there on, otherwise the latest; "
    f"COIN-M: the latest of a window of at most {COINM.kline_window_days} days."
)


NOTHING = "0"
"""The volumes and turnovers of a price that is not traded."""


def _price_kline(interval: str, row: list[int]) -> Kline:
    opened_ms, opened, high, low, close, _, _, points, *_ = row
    return (
        opened_ms,
        decimal_text(opened, RATE_DECIMALS),
        decimal_text(high, RATE_DECIMALS),
        decimal_text(low, RATE_DECIMALS),
        decimal_text(close, RATE_DECIMALS),
        NOTHING,
        close_time(interval, opened_ms),
        NOTHING,
        points,
        NOTHING,
        NOTHING,
        NOTHING,
    )


def _query(name: str, handler: Callable[..., list[Kline]], doc: str, *params: Param) -> Query:
    """Return the query of a kind of candles: `params`, then the window."""

    def respond(
        _markets: Markets,
        *,
        interval: str,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        **others: object,
    ) -> list[Kline]:
        check_window(start_ms, end_ms)
        return handler(Window(interval, start_ms, end_ms, limit), **others)

    return Query(
        path=f"/v1/{name}",
        venues=(USDM, COINM),
        weight=WEIGHT,
        params=(*params, *CANDLE_PARAMS),
        handler=respond,
        doc=f"Candles of {doc}. {WINDOW_DOC}",
    )


QUERIES = (
    _query("klines", klines, "a symbol", SYMBOL),
    _query(
        "continuousKlines",
        continuous_klines,
        "the contract of a pair that has the type now",
        PAIR,
        CONTRACT_TYPE,
    ),
    _query("indexPriceKlines", index_price_klines, "the index price of a pair", PAIR),
    _query("markPriceKlines", mark_price_klines, "the mark price of a symbol", SYMBOL),
    _query("premiumIndexKlines", premium_index_klines, "the premium index of a symbol", SYMBOL),
)
