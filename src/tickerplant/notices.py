"""Notices about streams, which a consumer gets between their messages.

A notice comes at the point in the sequence of messages at which it happened: every message before it
was received before it.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "BookResyncing",
    "BookSynced",
    "DecodeFailed",
    "Disconnected",
    "Dropped",
    "Gap",
    "Notice",
    "Recovered",
    "Stale",
    "SubscriptionRejected",
    "UnknownStream",
]


class Notice(Struct, frozen=True, kw_only=True):
    """A change in the state of one or more streams."""

    streams: tuple[str, ...]
    """The streams concerned, of those that the consumer subscribed to."""
    time_ms: int
    """When it was noticed, ms since the epoch by the clock of this machine."""


class UnknownStream(Notice, frozen=True, kw_only=True):
    """No message of this stream is expected.

    On subscription: no known stream of this venue has this name.  After five seconds of silence: the
    server does not list its symbol, or serves the other venue.  It is subscribed to anyway.
    """

    reason: str
    """What is wrong with the name, with a suggestion if there is one."""


class Disconnected(Notice, frozen=True, kw_only=True):
    """These streams are not being received: their connection was lost and no other carries them.

    Repeated, at most every ten seconds, if reconnecting fails for a different reason.
    """

    reason: str
    """Why the connection ended: `refused: …`, `closed 1008 Too many requests`, `silent: …`, or
    `the connection was lost` if it ended without a close frame."""
    close_code: int | None = None
    """The status code of the close frame; None without one."""
    retry_ms: int = 0
    """The delay before the next attempt to connect."""


class Recovered(Notice, frozen=True, kw_only=True):
    """These streams are received again after `Disconnected` or `Stale`."""

    outage_ms: int
    """Time since the last message before the outage, or since subscribing.  For low-traffic streams
    this exceeds the actual outage."""


class Stale(Notice, frozen=True, kw_only=True):
    """The connection is open but the stream has been silent for too long."""

    silent_ms: int
    """Length of the silence; measured from the acknowledgement if nothing was ever received."""
    expected_ms: int
    """Expected interval between messages; 0 if unknown, for example before the first message."""
    reason: str = ""
    """Why it is silent, if that is known."""


class Gap(Notice, frozen=True, kw_only=True):
    """Messages of one stream are missing at this point."""

    symbol: str
    after_id: int
    """Id of the last message before the gap; -1 if none was received, as at the start of a history."""
    before_id: int
    """Id of the first message after it, -1 if it is not known; for candles both are open times, in
    ms."""
    missing: int | None
    """The number of missing messages; None if the ids do not show it."""
    backfilled: int = 0
    """The number of them that were fetched over REST and follow this notice."""
    reason: str = ""
    """Why backfilling was incomplete; empty if it was complete or not requested."""


class BookResyncing(Notice, frozen=True, kw_only=True):
    """A local order book is being rebuilt, or deepened, with a new snapshot."""

    symbol: str
    reason: str
    """`gap` or `missed`: updates are missing.  `ids_restarted`.  `crossed` or `unreadable`: its
    content was invalid.  `too_shallow`: it stays live and gets a deeper snapshot."""


class BookSynced(Notice, frozen=True, kw_only=True):
    """A local order book has been rebuilt and is in sync."""

    symbol: str
    update_id: int
    """The last update that was applied."""


class Dropped(Notice, frozen=True, kw_only=True):
    """The consumer was too slow: its queue dropped `count` messages here."""

    count: int


class SubscriptionRejected(Notice, frozen=True, kw_only=True):
    """The server responded to a subscription with an error."""

    code: int
    reason: str


class DecodeFailed(Notice, frozen=True, kw_only=True):
    """A message could not be decoded; it is counted and skipped."""

    payload: bytes
    """Its first bytes."""
    reason: str
