"""What can be subscribed to: the catalogue of streams, one file a family."""

from __future__ import annotations

from tickerplant.streams import book_ticker, depth, kline, mark_price, ticker, trade
from tickerplant.streams.pattern import Args
from tickerplant.streams.stream import Stream
from tickerplant.venue import Venue

CATALOGUE: tuple[Stream, ...] = (
    *trade.STREAMS,
    *book_ticker.STREAMS,
    *depth.STREAMS,
    *kline.STREAMS,
    *ticker.STREAMS,
    *mark_price.STREAMS,
)
"""Every stream, in the order of the reference page."""


def resolve(venue: Venue, name: str) -> tuple[Stream, Args] | None:
    """Return the row that `name` belongs to on `venue` and its variable parts, None if unknown."""
    for stream in CATALOGUE:
        if venue in stream.venues:
            args = stream.pattern.match(name)
            if args is not None:
                return stream, args
    return None
