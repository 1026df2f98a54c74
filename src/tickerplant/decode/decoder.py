"""Recorded messages, in every shape that collectors write, to payloads and events.

A message is an envelope `{"stream":…,"data":…}`, a bare payload, whose stream name follows from its
content, a REST response, a response to a control message, or none of these.  The payload is always
the exact slice of the bytes that came in, so that it can be sent again unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import Raw, Struct, field
from msgspec.json import Decoder as JsonDecoder

from tickerplant.decode.readers import (
    DecodedEvent,
    Instruments,
    Read,
    TimeMismatchError,
    reader,
    snapshot,
    time_reader,
)
from tickerplant.decode.requests import DEPTH, requested_book, requested_symbol
from tickerplant.envelope import NAME_AT, NECK_BYTES, prefix_of
from tickerplant.errors import DecodeError, ImpossibleTimeError
from tickerplant.messages.book import DepthSnapshot
from tickerplant.raw_events import Whole

MAX_STREAMS = 1 << 16
"""Streams whose readers are kept; when there are more, all are made again."""

ANSWERS = "answers"
"""Reason for messages without an event that are responses to the collector; nothing is missing."""

_STREAM_KINDS = {
    "trade": "trade",
    "aggTrade": "aggTrade",
    "bookTicker": "bookTicker",
    "depthUpdate": "depth",
    "markPriceUpdate": "markPrice",
    "24hrTicker": "ticker",
    "24hrMiniTicker": "miniTicker",
    "compositeIndex": "compositeIndex",
    "forceOrder": "forceOrder",
    "assetIndexUpdate": "assetIndex",
}
"""The kind of stream of a bare payload, by its event type."""

_ARRAY_STREAMS = {
    "markPriceUpdate": "!markPrice@arr",
    "24hrTicker": "!ticker@arr",
    "24hrMiniTicker": "!miniTicker@arr",
    "assetIndexUpdate": "!assetIndex@arr",
}
"""The stream of a bare array, by the event type of its elements."""

Message: TypeAlias = tuple[str, bytes, int, tuple[DecodedEvent, ...]]
"""One recorded message: stream, payload, event time in ms, and events.

The stream is empty for a REST response.  The payload is without envelope.  The event time is `E`,
0 if there is none.
"""


class _Kline(Struct, gc=False):
    """The candle inside a `kline` message."""

    symbol: str = field(name="s", default="")
    interval: str = field(name="i", default="")


class _Outline(Struct, gc=False):
    """The fields of any message that determine what it is."""

    stream: str = ""
    data: Raw = Raw()
    event_type: str = field(name="e", default="")
    symbol: str = field(name="s", default="")
    kline: _Kline | None = field(name="k", default=None)
    order: Raw = field(name="o", default=Raw())
    """The order of a `forceOrder` message; a price in others."""
    last_update_id: Whole | None = field(name="lastUpdateId", default=None)
    request_id: int | str | None = field(name="id", default=None)
    result: Raw = Raw()
    error: Raw = Raw()


def _always(_: str) -> bool:
    return True


class Decoder:
    """Decodes the messages of one recording.

    Args:
        instruments: By symbol; messages of other symbols have no events.
        applied: Whether the events of a stream are built; called once per stream.
        only_symbol: The symbol of REST responses without one; empty if it is unknown.
    """

    def __init__(
        self,
        instruments: Instruments,
        applied: Callable[[str], bool] = _always,
        only_symbol: str = "",
    ) -> None:
        self.unapplied: Counter[str] = Counter()
        """Messages without an event, by reason."""
        self._instruments = instruments
        self._applied = applied
        self._only_symbol = only_symbol
        self._streams: dict[bytes, tuple[str, Read]] = {}
        """Stream and reader, by the usual envelope up to the payload."""
        self._read_time = time_reader()
        self._outline = JsonDecoder(_Outline).decode
        self._outlines = JsonDecoder(list[_Outline]).decode
        self._depth_response = JsonDecoder(DepthSnapshot).decode

    def decode(self, raw: bytes) -> Message:
        """Return the message in `raw`.

        Raises:
            DecodeError: It is not JSON, or not a market message.
            ImpossibleTimeError: A time in it is far from its event time.
        """
        start = raw.find(b'"', NAME_AT) + NECK_BYTES
        payload = raw[start:-1]
        try:
            stream, read = self._streams[raw[:start]]
            time_ms, events = read(payload)
        except (KeyError, ValueError, RecursionError):
            return self._decode_slow(raw)  # a new stream, or another form or symbol
        return stream, payload, time_ms, events

    def _reader(self, stream: str) -> Read:
        envelope = prefix_of(stream)
        known = self._streams.get(envelope)
        if known is not None:
            return known[1]
        if len(self._streams) >= MAX_STREAMS:
            self._streams.clear()
        read = reader(stream, self._instruments) if self._applied(stream) else self._read_time
        self._streams[envelope] = stream, read
        return read

    def _decode_slow(self, raw: bytes) -> Message:
        address, body = b"", raw
        if raw.startswith(b"http"):
            address, _, body = raw.partition(b" ")
        try:
            if body.lstrip()[:1] == b"[":
                elements = self._outlines(body)
                event_type = elements[0].event_type if elements else ""
                return self._read(
                    _check_stream(_ARRAY_STREAMS.get(event_type, ""), event_type), body
                )
            outline = self._outline(body)
            if outline.stream and (payload := bytes(outline.data)):
                return self._read(outline.stream, payload)
            if outline.last_update_id is not None:
                return self._snapshot(address, body)
            if outline.event_type:
                return self._read(_stream_of(outline), body)
        except ValueError as error:  # not JSON, or not UTF-8
            raise DecodeError(f"{raw[:60]!r}: {error}") from None
        except RecursionError:
            raise DecodeError(f"{raw[:60]!r}: its values are nested too deeply") from None
        is_response = (
            outline.request_id is not None or bytes(outline.result) or bytes(outline.error)
        )
        if address or is_response:
            self.unapplied[ANSWERS] += 1
            return "", body, 0, ()
        raise DecodeError(f"{raw[:60]!r}: not a stream message, an event or a response")

    def _read(self, stream: str, payload: bytes) -> Message:
        """Return the message of `stream`, with its events if they can be built."""
        read = self._reader(stream)
        try:
            return stream, payload, *read(payload)
        except KeyError:
            self.unapplied["unknown symbol"] += 1
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.unapplied["unknown form"] += 1
        except TimeMismatchError as error:
            raise ImpossibleTimeError(f"{payload[:60]!r}: {error}") from None
        except ValueError:
            self.unapplied["more decimals than the instrument"] += 1
        return stream, payload, *self._read_time(payload)

    def _snapshot(self, address: bytes, body: bytes) -> Message:
        """Return the REST response `depth`, with a snapshot if the symbol is known."""
        if address and requested_book(address) != DEPTH:  # such as `rpiDepth`
            self.unapplied[ANSWERS] += 1
            return "", body, 0, ()
        response = self._depth_response(body)
        symbol = response.symbol or requested_symbol(address) or self._only_symbol
        instrument = self._instruments.get(symbol)
        if instrument is None:
            self.unapplied["snapshot of an unknown symbol"] += 1
            return "", body, response.event_time_ms, ()
        try:
            return "", body, response.event_time_ms, (snapshot(response, instrument),)
        except ValueError:
            self.unapplied["more decimals than the instrument"] += 1
        return "", body, response.event_time_ms, ()


def _stream_of(outline: _Outline) -> str:
    """Return the stream of a bare payload.

    Raises:
        DecodeError: The payload does not determine it.
    """
    kind, symbol = _STREAM_KINDS.get(outline.event_type, ""), outline.symbol
    if outline.event_type == "kline" and outline.kline:
        kind, symbol = f"kline_{outline.kline.interval}", outline.kline.symbol or symbol
    if outline.event_type == "forceOrder":
        symbol = msgspec.json.decode(outline.order or b"{}", type=_Outline).symbol
    return _check_stream(f"{symbol.lower()}@{kind}" if kind and symbol else "", outline.event_type)


def _check_stream(stream: str, event_type: str) -> str:
    if not stream:
        raise DecodeError(f"the stream of a bare {event_type or 'message'} is unknown")
    return stream
