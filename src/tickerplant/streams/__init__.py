"""The catalogue of streams, one file a family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tickerplant.streams import (
    asset_index,
    book_ticker,
    contract_info,
    depth,
    force_order,
    kline,
    mark_price,
    ticker,
    trade,
    trading_session,
)
from tickerplant.streams.lookup import ListedMatch, Lookup, Match
from tickerplant.streams.stream import Stream
from tickerplant.venue import VENUES, Venue

if TYPE_CHECKING:
    from tickerplant.market.markets import Markets

CATALOGUE: tuple[Stream, ...] = (
    *trade.STREAMS,
    *book_ticker.STREAMS,
    *depth.STREAMS,
    *kline.STREAMS,
    *ticker.STREAMS,
    *mark_price.STREAMS,
    *force_order.STREAMS,
    *contract_info.STREAMS,
    *asset_index.STREAMS,
    *trading_session.STREAMS,
)
"""Every stream, in the order of the reference page."""

LOOKUPS: Mapping[str, Lookup] = {
    venue.name: Lookup(row for row in CATALOGUE if venue in row.venues) for venue in VENUES
}
"""Finds streams by name, for each venue."""


def matches(venue: Venue, name: str) -> Sequence[Match]:
    """Return the rows of `venue` that match `name`; several may, as a symbol can look like a pair."""
    return LOOKUPS[venue.name].matches(name)


def resolve(venue: Venue, name: str) -> Match | None:
    """Return the first row of `venue` that matches `name`; None if it is not a stream there.

    See `find` for the row that `name` refers to in a market.
    """
    return next(iter(matches(venue, name)), None)


def find(markets: Markets, name: str) -> Match | None:
    """Return the row that `name` refers to now; None if it is not a stream here.

    If several rows match, that is the one with a listed subject, or else the first.
    """
    found = matches(markets.venue, name)
    listed = first_listed(markets, found)
    return next(iter(found), None) if listed is None else listed[:2]


def first_listed(markets: Markets, among: Iterable[Match]) -> ListedMatch | None:
    """Return the first match with a listed subject; None if there is none."""
    for stream, args in among:
        subjects = stream.subjects(markets, args)
        if subjects:
            return stream, args, subjects
    return None
