"""What recordings hold beside the messages of streams, and messages seen from afar.

Fields a message had only in some years have a default, so that one declaration reads them all;
unknown fields are passed over.
"""

from __future__ import annotations

from msgspec import Raw, Struct, field

from tickerplant.raw_events import Whole


class Kline(Struct, gc=False):
    """The candle inside a `kline` message."""

    symbol: str = field(name="s", default="")
    interval: str = field(name="i", default="")
    close: str = field(name="c", default="")
    volume: str = field(name="v", default="")


class Timed(Struct, gc=False):
    """Any event: all that is read of it is its time."""

    event_time_ms: int = field(name="E", default=0)


class Outline(Struct, gc=False):
    """Any message at all: enough of it to see what it is."""

    stream: str = ""
    data: Raw = Raw()
    event_type: str = field(name="e", default="")
    symbol: str = field(name="s", default="")
    kline: Kline | None = field(name="k", default=None)
    order: Raw = field(name="o", default=Raw())
    """The order of a `forceOrder` message; a price in others."""
    last_update_id: Whole | None = field(name="lastUpdateId", default=None)
    request_id: int | str | None = field(name="id", default=None)
    result: Raw = Raw()
    error: Raw = Raw()
