"""What can be subscribed to: the catalogue of streams, one file a family."""

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
"""The streams of each venue, by its name, to be found by theirs."""


def matches(venue: Venue, name: str) -> Sequence[Match]:
    """Return the rows of `venue` whose pattern `name` is of: a symbol and a pair look alike."""
    return LOOKUPS[venue.name].matches(name)


def resolve(venue: Venue, name: str) -> Match | None:
    """Return the first reading of `name` on `venue`, None if it is no stream there.

    See `find` for what the name means in a market.
    """
    return next(iter(matches(venue, name)), None)


def find(markets: Markets, name: str) -> Match | None:
    """Return what `name` means as things stand, None if it is no stream here.

    Of several readings that is the one that is about something in `markets`, else the first.
    """
    found = matches(markets.venue, name)
    match = first_listed(markets, found)
    return next(iter(found), None) if match is None else match[:2]


def first_listed(markets: Markets, among: Iterable[Match]) -> ListedMatch | None:
    """Return the reading that is about something in `markets`, None if none is."""
    for stream, args in among:
        subjects = stream.subjects(markets, args)
        if subjects:
            return stream, args, subjects
    return None
