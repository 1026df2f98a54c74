"""Notices about streams, which a consumer gets between their messages.

A notice comes at the point in the sequence of messages at which it happened: every message before it
was received before it.
"""

from __future__ import annotations

from msgspec import Struct

from tickerplant.formatting import (
    LARGEST,
    count_text,
    duration_text,
    names_text,
    number_text,
    printable,
)

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

_NAMED = 2
"""Streams that the text of a notice names."""


def _id_text(identity: int) -> str:
    """Return an id; of one that only a hostile server has, that it is large."""
    return str(identity) if abs(identity) < LARGEST else number_text(abs(identity))


class Notice(Struct, frozen=True, kw_only=True):
    """A change in the state of one or more streams."""

    streams: tuple[str, ...]
    """The streams concerned, of those that the consumer subscribed to."""
    time_ms: int
    """When it was noticed, ms since the epoch by the clock of this machine."""

    @property
    def text(self) -> str:
        """The notice on one printable line, which begins with the names of its streams."""
        return printable(f"{names_text(self.streams, _NAMED) or 'nothing'}: {self._said}")

    @property
    def _said(self) -> str:
        return type(self).__name__


class UnknownStream(Notice, frozen=True, kw_only=True):
    """No message of this stream is expected.

    On subscription: no known stream of this venue has this name.  After five seconds of silence: the
    server does not list its symbol, or serves the other venue.  It is subscribed to anyway.
    """

    reason: str
    """What is wrong with the name, with a suggestion if there is one."""

    @property
    def _said(self) -> str:
        return f"unknown stream: {self.reason}"


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

    @property
    def _said(self) -> str:
        again = f"; next attempt in {duration_text(self.retry_ms)}" if self.retry_ms else ""
        return f"disconnected, {self.reason}{again}"


class Recovered(Notice, frozen=True, kw_only=True):
    """These streams are received again after `Disconnected` or `Stale`."""

    outage_ms: int
    """Time since the last message before the outage, or since subscribing.  For low-traffic streams
    this exceeds the actual outage."""

    @property
    def _said(self) -> str:
        return f"recovered after {duration_text(self.outage_ms)}"


class Stale(Notice, frozen=True, kw_only=True):
    """The connection is open but the stream has been silent for too long."""

    silent_ms: int
    """Length of the silence; measured from the acknowledgement if nothing was ever received."""
    expected_ms: int
    """Expected interval between messages; 0 if unknown, for example before the first message."""
    reason: str = ""
    """Why it is silent, if that is known."""

    @property
    def _said(self) -> str:
        every = f", expected every {duration_text(self.expected_ms)}" if self.expected_ms else ""
        reason = f", {self.reason}" if self.reason else ""
        return f"silent for {duration_text(self.silent_ms)}{every}{reason}"


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

    @property
    def _said(self) -> str:
        missing = "messages" if self.missing is None else count_text(self.missing, "message")
        verb = "is" if self.missing == 1 else "are"
        is_named = any(name.startswith(self.symbol.lower()) for name in self.streams)
        symbol = "" if is_named else f" of {self.symbol}"
        after, before = _id_text(self.after_id), _id_text(self.before_id)
        where = f"between {after} and {before}" if self.before_id >= 0 else f"after {after}"
        backfilled = f", {self.backfilled:,} of them backfilled" if self.backfilled else ""
        reason = f" ({self.reason})" if self.reason else ""
        return f"{missing}{symbol} {verb} missing {where}{backfilled}{reason}"


class BookResyncing(Notice, frozen=True, kw_only=True):
    """A local order book is being rebuilt, or deepened, with a new snapshot."""

    symbol: str
    reason: str
    """`gap` or `missed`: updates are missing.  `ids_restarted`.  `crossed` or `unreadable`: its
    content was invalid.  `too_shallow`: it stays live and gets a deeper snapshot."""

    @property
    def _said(self) -> str:
        return f"the book of {self.symbol} is being rebuilt: {self.reason}"


class BookSynced(Notice, frozen=True, kw_only=True):
    """A local order book has been rebuilt and is in sync."""

    symbol: str
    update_id: int
    """The last update that was applied."""

    @property
    def _said(self) -> str:
        return f"the book of {self.symbol} is in sync"


class Dropped(Notice, frozen=True, kw_only=True):
    """The consumer was too slow: its queue dropped `count` messages here."""

    count: int

    @property
    def _said(self) -> str:
        return f"{count_text(self.count, 'message')} dropped, read too slowly"


class SubscriptionRejected(Notice, frozen=True, kw_only=True):
    """The server responded to a subscription with an error."""

    code: int
    reason: str

    @property
    def _said(self) -> str:
        return f"subscription rejected by the server: {self.code} {self.reason}"


class DecodeFailed(Notice, frozen=True, kw_only=True):
    """A message could not be decoded; it is counted and skipped."""

    payload: bytes
    """Its first bytes."""
    reason: str

    @property
    def _said(self) -> str:
        return f"unreadable message, {self.reason}: {self.payload.decode(errors='replace')}"
