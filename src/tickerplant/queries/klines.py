"""Candles of trades, and of the index price, mark price and premium index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

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


def klines(
    _markets: Markets,
    market: Market,
    interval: str,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
) -> list[Kline]:
    """Return up to `limit` candles of a market, oldest first, including the open one.

    Raises:
        RequestError: as in `candle_rows`.
    """
    instrument = market.instrument
    rows = candle_rows(instrument, market.candles, interval, start_ms, end_ms, limit)
    return [_kline(instrument, interval, row) for row in rows]


def continuous_klines(
    markets: Markets,
    contracts: Sequence[Market],
    contract_type: str,
    interval: str,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
) -> list[Kline]:
    """Return the candles of the contract that has that type on a pair now; empty if there is none.

    Raises:
        RequestError: as in `candle_rows`.
    """
    check_window(start_ms, end_ms)
    for market in contracts:
        if market.instrument.contract_type == contract_type:
            return klines(markets, market, interval, start_ms, end_ms, limit)
    return []


def candle_rows(
    instrument: Instrument,
    candles: Candles,
    interval: str,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
) -> list[list[int]]:
    """Return up to `limit` of the candles that open in a window, by the rule of the market's venue.

    USDⓈ-M: with a start the first ones, otherwise the latest ones. COIN-M: the latest ones of at
    most 200 days; a missing end of the window is that far from the other (Kline Candlestick Data
    page).

    Raises:
        RequestError: -1023, the window ends before it begins; -4088, it is over 200 days wide
            (COIN-M).
    """
    check_window(start_ms, end_ms)
    days = instrument.venue.kline_window_days
    if days is None:
        rows: list[list[int]] = candles.rows(interval, start_ms, end_ms, limit).tolist()
        return rows
    width_ms = days * DAY_MS
    if start_ms is None:
        start_ms = None if end_ms is None else end_ms - width_ms
    elif end_ms is None:
        end_ms = start_ms + width_ms
    elif end_ms - start_ms > width_ms:
        raise request_errors.interval_too_long(days)
    rows = candles.rows(interval, None, end_ms, limit).tolist()
    return [row for row in rows if start_ms is None or row[0] >= start_ms]


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


def _of_symbol(price: Callable[[Market], PriceBars]) -> Callable[..., list[Kline]]:
    """Return a handler for the candles of one price of a market."""

    def handler(
        _markets: Markets,
        market: Market,
        interval: str,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
    ) -> list[Kline]:
        candles = price(market).candles
        rows = candle_rows(market.instrument, candles, interval, start_ms, end_ms, limit)
        return [_price_kline(interval, row) for row in rows]

    return handler


def index_price_klines(
    markets: Markets,
    contracts: Sequence[Market],
    interval: str,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
) -> list[Kline]:
    """Return the index candles of a pair, from its longest-lived contract.

    Raises:
        RequestError: as in `candle_rows`.
    """
    return _index_klines(markets, contracts[-1], interval, start_ms, end_ms, limit)


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


_index_klines = _of_symbol(lambda market: market.indices)

# Index Price, Mark Price and Premium Index Kline pages.

QUERIES = (
    Query(
        path="/v1/klines",
        venues=(USDM, COINM),
        weight=WEIGHT,
        params=(SYMBOL, *CANDLE_PARAMS),
        handler=klines,
        doc=f"Candles of a symbol. {WINDOW_DOC}",
    ),
    Query(
        path="/v1/continuousKlines",
        venues=(USDM, COINM),
        weight=WEIGHT,
        params=(PAIR, CONTRACT_TYPE, *CANDLE_PARAMS),
        handler=continuous_klines,
        doc=f"Candles of the contract of a pair that has the type now. {WINDOW_DOC}",
    ),
    Query(
        path="/v1/indexPriceKlines",
        venues=(USDM, COINM),
        weight=WEIGHT,
        params=(PAIR, *CANDLE_PARAMS),
        handler=index_price_klines,
        doc=f"Candles of the index price of a pair. {WINDOW_DOC}",
    ),
    Query(
        path="/v1/markPriceKlines",
        venues=(USDM, COINM),
        weight=WEIGHT,
        params=(SYMBOL, *CANDLE_PARAMS),
        handler=_of_symbol(lambda market: market.marks),
        doc=f"Candles of the mark price of a symbol. {WINDOW_DOC}",
    ),
    Query(
        path="/v1/premiumIndexKlines",
        venues=(USDM, COINM),
        weight=WEIGHT,
        params=(SYMBOL, *CANDLE_PARAMS),
        handler=_of_symbol(lambda market: market.premiums),
        doc=f"Candles of the premium index of a symbol. {WINDOW_DOC}",
    ),
)
