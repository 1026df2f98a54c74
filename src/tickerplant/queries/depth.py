"""The order book, without and with retail price improvement (RPI) orders."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from msgspec import UNSET, Raw, Struct, UnsetType, field

from tickerplant.messages.book import SNAPSHOT_LEVELS
from tickerplant.queries import request_errors
from tickerplant.queries.param import ONE_SYMBOL, Param, Reader, number
from tickerplant.queries.query import FlatWeight, LimitWeight, Query
from tickerplant.venue import USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets

LIMITS = (5, 10, 20, 50, 100, 500, SNAPSHOT_LEVELS)
DEFAULT_LIMIT = 500
RPI_LIMIT = SNAPSHOT_LEVELS
"""The only number of levels for the book with RPI orders."""


class Depth(Struct, frozen=True):
    """The best levels of both sides, best first."""

    symbol: str | UnsetType
    pair: str | UnsetType
    last_update_id: int = field(name="lastUpdateId")
    now_ms: int = field(name="E")
    transaction_time_ms: int = field(name="T")
    bids: Raw
    asks: Raw


def levels(offered: Collection[int]) -> Reader:
    """Return a reader of a number of levels; -4021 if the exchange does not offer it."""

    def read(markets: Markets, name: str, value: object) -> int:
        limit = number(markets, name, value)
        if limit not in offered:
            raise request_errors.invalid_depth_limit(limit)
        return limit

    return read


def depth(markets: Markets, market: Market, limit: int) -> Depth:
    """Return the book of `market`, up to `limit` levels per side."""
    _check_book(market)
    book = market.book
    prices, texts = book.top_prices(limit), book.texts(market.instrument)
    bids, asks = (side.array(best) for side, best in zip(texts, prices, strict=True))
    return _depth(markets, market, market.snapshot_id, book.transaction_time_ms, bids, asks)


def rpi_depth(markets: Markets, market: Market, limit: int) -> Depth:
    """Return the book of `market` with the RPI orders that do not cross it (RPI Order Book page)."""
    _check_book(market)
    book, rpi_book = market.book, market.rpi_book
    (bids, asks), (bid_texts, ask_texts) = book.top_prices(limit), book.texts(market.instrument)
    rpi_bids, rpi_asks = rpi_book.visible_levels(book)
    # Changes of RPI orders take ids of the book's series, each followed by an unused one.
    step = market.snapshot_id - book.last_update_id
    return _depth(
        markets,
        market,
        max(market.snapshot_id, rpi_book.last_update_id + step),
        max(book.transaction_time_ms, rpi_book.transaction_time_ms),
        bid_texts.array_with(rpi_bids, sorted({*bids, *rpi_bids}, reverse=True)[:limit]),
        ask_texts.array_with(rpi_asks, sorted({*asks, *rpi_asks})[:limit]),
    )


def _check_book(market: Market) -> None:
    if not market.book_live:
        raise request_errors.unknown_yet(f"The book of {market.symbol}", market.book_reason)


def _depth(
    markets: Markets,
    market: Market,
    update_id: int,
    time_ms: int,
    bids: bytes,
    asks: bytes,
) -> Depth:
    instrument = market.instrument
    labelled = markets.venue.always_pair
    return Depth(
        symbol=market.symbol if labelled else UNSET,
        pair=instrument.pair if labelled else UNSET,
        last_update_id=update_id,
        now_ms=markets.now_ms,
        transaction_time_ms=time_ms,
        bids=Raw(bids),
        asks=Raw(asks),
    )


_WEIGHTS = ((50, 2), (100, 5), (500, 10), (1000, 20))

QUERIES = (
    Query(
        method="depth",
        path="/v1/depth",
        # Order Book pages: weight 2 for 5, 10, 20, 50; 5 for 100; 10 for 500; 20 for 1000; so 10
        # for the default of 500.
        weight=LimitWeight(_WEIGHTS, unlimited=10),
        measured_weight=LimitWeight(_WEIGHTS, unlimited=1),
        params=(
            ONE_SYMBOL,
            Param(
                "limit",
                "limit",
                levels(LIMITS),
                f"Levels of each side: one of {', '.join(map(str, LIMITS))}.",
                default=DEFAULT_LIMIT,
            ),
        ),
        handler=depth,
        doc="The order book, without RPI orders.",
    ),
    Query(
        path="/v1/rpiDepth",
        venues=(USDM,),
        weight=FlatWeight(20),
        params=(
            ONE_SYMBOL,
            Param(
                "limit",
                "limit",
                levels({RPI_LIMIT}),
                f"Levels of each side: {RPI_LIMIT} only.",
                default=RPI_LIMIT,
            ),
        ),
        handler=rpi_depth,
        doc="The order book with RPI orders; those that cross it are not shown.",
    ),
)
