"""The order book as it is now."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType, field

from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.printed import PrintedLevel, level_texts
from tickerplant.queries import refusal
from tickerplant.queries.param import ONE_SYMBOL, Param, number
from tickerplant.queries.query import Query
from tickerplant.queries.weight import ByLimit
from tickerplant.venue import COINM, USDM

LIMITS = (5, 10, 20, 50, 100, 500, 1000)
DEFAULT_LIMIT = 500


class Depth(Struct, frozen=True):
    """The best levels of both sides, best first."""

    last_update_id: int = field(name="lastUpdateId")
    symbol: str | UnsetType
    pair: str | UnsetType
    now_ms: int = field(name="E")
    transaction_time_ms: int = field(name="T")
    bids: list[PrintedLevel]
    asks: list[PrintedLevel]


def read_limit(markets: Markets, name: str, value: object) -> int:
    """Return a number of levels that the exchange offers.

    Raises:
        RequestError: -4021, it does not offer that number.
    """
    limit = number(markets, name, value)
    if limit not in LIMITS:
        raise refusal.invalid_depth_limit(limit)
    return limit


def depth(markets: Markets, market: Market, limit: int) -> Depth:
    """Return the book of `market`, up to `limit` levels a side.

    Raises:
        RequestError: the book is not whole yet.
    """
    if not market.book_live:
        raise refusal.unknown_yet(f"The book of {market.symbol}", market.book_sync.reason)
    instrument = market.instrument
    labelled = markets.venue.always_pair
    bids, asks = market.book.top(limit)
    return Depth(
        last_update_id=market.snapshot_id,
        symbol=market.symbol if labelled else UNSET,
        pair=instrument.pair if labelled else UNSET,
        now_ms=markets.now_ms,
        transaction_time_ms=market.book.transaction_time_ms,
        bids=level_texts(instrument, bids),
        asks=level_texts(instrument, asks),
    )


QUERIES = (
    Query(
        method="depth",
        path="/v1/depth",
        venues=(USDM, COINM),
        # Order Book pages: weight 2 for 5, 10, 20, 50; 5 for 100; 10 for 500; 20 for 1000.
        weight=ByLimit(((50, 2), (100, 5), (500, 10), (1000, 20)), unlimited=10),
        params=(
            ONE_SYMBOL,
            Param(
                "limit",
                "limit",
                read_limit,
                f"Levels of each side: one of {', '.join(map(str, LIMITS))}.",
                default=DEFAULT_LIMIT,
            ),
        ),
        respond=depth,
        doc="The order book, without RPI orders.",
    ),
)
