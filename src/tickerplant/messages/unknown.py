"""Messages of streams that are not known here."""

from __future__ import annotations

from msgspec import field

from tickerplant.messages.message import Message


class UnknownMessage(Message, kw_only=True, gc=False):
    """A message of a stream of an unknown kind; the rest of it is in `payload`."""

    event_type: str = field(name="e", default="")
    event_time_ms: int = field(name="E", default=0)
