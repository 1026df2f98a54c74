"""What every message that is received has in common."""

from __future__ import annotations

from msgspec import Struct, field


class Message(Struct, kw_only=True, gc=False):
    """One event of a stream, as a reader sees it.

    Subclasses declare the fields of the wire under readable names; those below are not on the wire
    and are filled in by whoever received the message.  Prices and quantities are the text that the
    exchange printed; times are milliseconds since the epoch.  Fields that only some years have
    carry a default, and fields that are not known are passed over.
    """

    stream: str = field(name=":stream", default="")
    """The stream it came from, as it was subscribed to."""
    payload: bytes = field(name=":payload", default=b"")
    """The bytes it was read from, without envelope; of an array stream those of the whole array."""
    received_ns: int = field(name=":received", default=0)
    """When it was received, nanoseconds since the epoch."""
    backfilled: bool = field(name=":backfilled", default=False)
    """Whether it was asked for over REST after a gap, and not heard."""

    @property
    def symbol(self) -> str:
        """The symbol it is about, of a stream of pairs the pair; empty if it is about neither."""
        return ""

    @property
    def event_time_ms(self) -> int:
        """When the exchange sent it; 0 if it does not tell."""
        return 0


class UnknownMessage(Message, kw_only=True, gc=False):
    """A message of a stream of an unknown kind; the rest of it is in `payload`."""

    event_type: str = field(name="e", default="")
    event_time_ms: int = field(name="E", default=0)
