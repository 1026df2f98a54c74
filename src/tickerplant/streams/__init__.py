"""What can be subscribed to: the catalogue of streams, one file a family."""

from __future__ import annotations

from collections.abc import Iterator

from tickerplant.market.markets import Markets
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


def _fitting(venue: Venue, name: str) -> Iterator[tuple[Stream, Args]]:
    """Yield the rows whose pattern `name` is of, with its variable parts."""
    for stream in CATALOGUE:
        if venue in stream.venues:
            args = stream.pattern.match(name)
            if args is not None:
                yield stream, args


def resolve(venue: Venue, name: str) -> tuple[Stream, Args] | None:
    """Return the row that `name` belongs to on `venue` and its variable parts, None if unknown.

    A symbol and a pair look alike, so a few names fit two rows, of which this is the first; see
    `find` for what the name means in a market.
    """
    return next(_fitting(venue, name), None)


def find(markets: Markets, name: str) -> tuple[Stream, Args] | None:
    """Return the row that `name` belongs to as things stand, None if it is no stream here.

    Of several rows that it fits, that is the one that is about something in `markets`.
    """
    first = None
    for stream, args in _fitting(markets.venue, name):
        if stream.about(markets, args):
            return stream, args
        first = first or (stream, args)
    return first
