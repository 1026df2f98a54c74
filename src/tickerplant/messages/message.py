"""What all messages have in common, and stream names that know the class of their messages."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct, field


class Message(Struct, kw_only=True, gc=False):
    """One message of a stream.

    Subclasses declare the fields of the protocol under readable names.  The fields below are not in
    the protocol; the receiver sets them.  Prices and quantities are the text that the exchange
    sent; times are milliseconds since the epoch.  Fields that were added over the years have a
    default, and unknown fields are ignored.
    """

    stream: str = field(name=":stream", default="")
    """The stream, as it was subscribed to."""
    payload: bytes = field(name=":payload", default=b"")
    """The raw payload without the envelope; for an array stream, the whole array."""
    received_ns: int = field(name=":received", default=0)
    """When it was received, ns since the epoch."""
    backfilled: bool = field(name=":backfilled", default=False)
    """True if the message was fetched over REST: for a history, or after a gap."""

    @property
    def symbol(self) -> str:
        """The symbol, or the pair for pair streams; empty if neither applies."""
        return ""

    @property
    def event_time_ms(self) -> int:
        """When the exchange sent it; 0 if it does not contain the time."""
        return 0


class UnknownMessage(Message, kw_only=True, gc=False):
    """A message of an unknown kind of stream; its content is in `payload`."""

    event_type: str = field(name="e", default="")
    event_time_ms: int = field(name="E", default=0)


M_co = TypeVar("M_co", bound=Message, covariant=True)


class StreamName(str, Generic[M_co]):
    """The name of a stream; for a type checker, also the class of its messages.

        name = Trade.of("BTCUSDT")  # StreamName[Trade], equal to "btcusdt@trade"

    It is a `str`, and can be used wherever one can.  The `of` methods of the message classes make
    it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"StreamName({str(self)!r})"
