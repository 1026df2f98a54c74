"""What can be subscribed to: the catalogue of streams, one file a family."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from tickerplant.streams import (
    asset_index,
    book_ticker,
    composite_index,
    continuous_kline,
    contract_info,
    depth,
    force_order,
    index_price,
    kline,
    mark_price,
    price_kline,
    rpi_depth,
    ticker,
    trade,
    trading_session,
)
from tickerplant.streams.pattern import Args
from tickerplant.streams.stream import Stream
from tickerplant.venue import Venue

if TYPE_CHECKING:
    from tickerplant.market.markets import Markets

CATALOGUE: tuple[Stream, ...] = (
    *trade.STREAMS,
    *book_ticker.STREAMS,
    *depth.STREAMS,
    *rpi_depth.STREAMS,
    *kline.STREAMS,
    *continuous_kline.STREAMS,
    *price_kline.STREAMS,
    *ticker.STREAMS,
    *mark_price.STREAMS,
    *index_price.STREAMS,
    *composite_index.STREAMS,
    *force_order.STREAMS,
    *contract_info.STREAMS,
    *asset_index.STREAMS,
    *trading_session.STREAMS,
)
"""Every stream, in the order of the reference page."""


Reading: TypeAlias = tuple[Stream, Args]
"""A row, and the variable parts of a name of its pattern."""


def readings(venue: Venue, name: str) -> tuple[Reading, ...]:
    """Return the rows of `venue` whose pattern `name` is of: a symbol and a pair look alike."""
    found = ((stream, stream.pattern.match(name)) for stream in CATALOGUE if venue in stream.venues)
    return tuple((stream, args) for stream, args in found if args is not None)


def resolve(venue: Venue, name: str) -> Reading | None:
    """Return the first reading of `name` on `venue`, None if it is no stream there.

    See `find` for what the name means in a market.
    """
    return next(iter(readings(venue, name)), None)


def find(markets: Markets, name: str) -> Reading | None:
    """Return what `name` means as things stand, None if it is no stream here.

    Of several readings that is the one that is about something in `markets`, else the first.
    """
    found = readings(markets.venue, name)
    return meant(markets, found) or next(iter(found), None)


def meant(markets: Markets, among: Iterable[Reading]) -> Reading | None:
    """Return the reading that is about something in `markets`, None if none is."""
    return next((each for each in among if each[0].about(markets, each[1])), None)
