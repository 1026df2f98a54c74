"""Candles of prices that are told and not traded: index price, mark price, premium index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tickerplant.instrument import RATE_DECIMALS, decimal_text
from tickerplant.market.interval import close_time
from tickerplant.queries.klines import (
    CANDLE_PARAMS,
    PAIR,
    SYMBOL,
    WEIGHT,
    WINDOW_DOC,
    Kline,
    candle_rows,
)
from tickerplant.queries.query import Query
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.candles import PriceBars
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets

NOTHING = "0"
"""What a price that is not traded has for volumes and turnovers."""


def _of_symbol(price: Callable[[Market], PriceBars]) -> Callable[..., list[Kline]]:
    """Return what answers with the candles of a price of one market."""

    def respond(
        _markets: Markets,
        market: Market,
        interval: str,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
    ) -> list[Kline]:
        candles = price(market).candles
        rows = candle_rows(market.instrument, candles, interval, start_ms, end_ms, limit)
        return [_kline(interval, row) for row in rows]

    return respond


def index_price_klines(
    markets: Markets,
    contracts: Sequence[Market],
    interval: str,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
) -> list[Kline]:
    """Return the candles of the index of a pair; they are those of its contract that lives longest.

    Raises:
        RequestError: as of `candle_rows`.
    """
    return _index_klines(markets, contracts[-1], interval, start_ms, end_ms, limit)


def _kline(interval: str, row: list[int]) -> Kline:
    opened_ms, opened, high, low, close, _, _, told, *_ = row
    return (
        opened_ms,
        decimal_text(opened, RATE_DECIMALS),
        decimal_text(high, RATE_DECIMALS),
        decimal_text(low, RATE_DECIMALS),
        decimal_text(close, RATE_DECIMALS),
        NOTHING,
        close_time(interval, opened_ms),
        NOTHING,
        told,
        NOTHING,
        NOTHING,
        NOTHING,
    )


_index_klines = _of_symbol(lambda market: market.indices)

# Index Price, Mark Price and Premium Index Kline pages.
QUERIES = (
    Query(
        path="/v1/indexPriceKlines",
        venues=(USDM, COINM),
        weight=WEIGHT,
        params=(PAIR, *CANDLE_PARAMS),
        respond=index_price_klines,
        doc=f"Candles of the index price of a pair. {WINDOW_DOC}",
    ),
    Query(
        path="/v1/markPriceKlines",
        venues=(USDM, COINM),
        weight=WEIGHT,
        params=(SYMBOL, *CANDLE_PARAMS),
        respond=_of_symbol(lambda market: market.marks),
        doc=f"Candles of the mark price of a symbol. {WINDOW_DOC}",
    ),
    Query(
        path="/v1/premiumIndexKlines",
        venues=(USDM, COINM),
        weight=WEIGHT,
        params=(SYMBOL, *CANDLE_PARAMS),
        respond=_of_symbol(lambda market: market.premiums),
        doc=f"Candles of the premium index of a symbol. {WINDOW_DOC}",
    ),
)
