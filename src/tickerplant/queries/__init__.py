"""The requests of the WebSocket API and REST: one row serves both from the same state."""

from __future__ import annotations

from tickerplant.queries import (
    asset_index,
    basis,
    book_ticker,
    day,
    delivery_price,
    depth,
    exchange_info,
    funding,
    index_info,
    klines,
    long_short,
    mark_price,
    open_interest,
    price,
    risk,
    taker_volume,
    trades,
    trading_schedule,
)
from tickerplant.queries.query import Query
from tickerplant.venue import Venue

__all__ = ["QUERIES", "Query", "find_method", "find_path"]

QUERIES: tuple[Query, ...] = (
    *exchange_info.QUERIES,
    *depth.QUERIES,
    *trades.QUERIES,
    *klines.QUERIES,
    *mark_price.QUERIES,
    *funding.QUERIES,
    *price.QUERIES,
    *book_ticker.QUERIES,
    *day.QUERIES,
    *open_interest.QUERIES,
    *long_short.QUERIES,
    *taker_volume.QUERIES,
    *basis.QUERIES,
    *delivery_price.QUERIES,
    *index_info.QUERIES,
    *asset_index.QUERIES,
    *risk.QUERIES,
    *trading_schedule.QUERIES,
)

_BY_METHOD: dict[tuple[str, str | None], Query] = {
    (venue.name, query.method): query
    for query in QUERIES
    for venue in query.venues
    if query.has_method(venue)
}
_BY_PATH: dict[tuple[str, str | None], Query] = {
    (venue.name, query.path_on(venue)): query
    for query in QUERIES
    if query.path is not None
    for venue in query.venues
}


def find_method(venue: Venue, method: str) -> Query | None:
    """Return the query of a WebSocket API `method` of `venue`, or None."""
    return _BY_METHOD.get((venue.name, method))


def find_path(venue: Venue, path: str) -> Query | None:
    """Return the query of a REST `path` (`/fapi/v1/depth`) of `venue`, or None."""
    return _BY_PATH.get((venue.name, path))
