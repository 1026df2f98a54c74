"""What a consumer is told about its streams, between their messages.

A notice stands in the stream of messages at the place where what it tells happened: everything
before it was received before it.
"""

from __future__ import annotations

from msgspec import Struct


class Notice(Struct, frozen=True, kw_only=True):
    """Something that is true of streams since now."""

    streams: tuple[str, ...]
    """The streams it is about, of those the consumer subscribed to."""
    time_ms: int
    """When it was noticed, milliseconds since the epoch by the clock of this machine."""


class UnknownStream(Notice, frozen=True, kw_only=True):
    """Nothing is expected of this stream.

    When it is subscribed to: no stream of the venue that is known here has this name.  After five
    seconds of silence: the server does not list its symbol, or serves the other venue.  It is asked
    for all the same.
    """

    reason: str
    """What is wrong with the name, and perhaps which one was meant."""


class Disconnected(Notice, frozen=True, kw_only=True):
    """Nothing arrives of these streams: their connection was lost and no other carries them.

    Told again, every ten seconds at most, when further attempts fail for another reason.
    """

    reason: str
    """What ended it, for people: `refused: …`, `closed 1008 Too many requests`, `silent: …`, or
    `the connection was lost` without a close frame, by a reset or otherwise."""
    close_code: int | None = None
    """The status code of the close frame, None if there was none."""
    retry_ms: int = 0
    """After how long a new connection is tried."""


class Recovered(Notice, frozen=True, kw_only=True):
    """These streams are heard again, after `Disconnected` or `Stale`."""

    outage_ms: int
    """How long ago something was last heard before the first of these notices, or they were
    subscribed to; of streams that seldom tell, that is longer than anything could be missed."""


class Stale(Notice, frozen=True, kw_only=True):
    """The connection is open, and the stream is silent for longer than it ever should be."""

    silent_ms: int
    """For how long nothing came; since the subscription was acknowledged if never anything did."""
    expected_ms: int
    """How often a message was expected; 0 if that is not known, as of a stream never heard."""
    reason: str = ""
    """Why it is not heard, if that is known."""


class Gap(Notice, frozen=True, kw_only=True):
    """Messages of one stream are missing here."""

    symbol: str
    after_id: int
    """Id of the last message before the gap."""
    before_id: int
    """Id of the first message after it; for candles both are open times, in ms."""
    missing: int | None
    """How many messages are missing; None where ids do not tell."""
    backfilled: int = 0
    """How many of them follow this notice, asked for over REST."""
    reason: str = ""
    """Why they could not all be had; empty if they could or nobody asked for them."""


class BookResyncing(Notice, frozen=True, kw_only=True):
    """A local order book begins anew from a snapshot."""

    symbol: str
    reason: str


class BookSynced(Notice, frozen=True, kw_only=True):
    """A local order book has joined a snapshot to its updates, and is whole again."""

    symbol: str
    update_id: int
    """The last update that is in it."""


class Dropped(Notice, frozen=True, kw_only=True):
    """The consumer was too slow: so many messages are missing here, which its queue gave up."""

    count: int


class SubscriptionRejected(Notice, frozen=True, kw_only=True):
    """The server answered a subscription with an error."""

    code: int
    reason: str


class DecodeFailed(Notice, frozen=True, kw_only=True):
    """A message came that could not be understood; it is counted and left out."""

    payload: bytes
    """The first bytes of it."""
    reason: str
