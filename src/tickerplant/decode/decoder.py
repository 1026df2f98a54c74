"""Recorded messages, in every shape collectors keep them, to payloads and events.

A message is an envelope `{"stream":…,"data":…}`, a bare payload (its stream name then follows from
the payload), a REST answer, an answer to a control message, or none of these.  The payload is
always the exact slice of the bytes that came in, so that it can be sent again as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec.json import Decoder as JsonDecoder

from tickerplant.decode.messages import Outline
from tickerplant.decode.readers import (
    DecodedEvent,
    ImpossibleTime,
    Instruments,
    Read,
    reader,
    snapshot,
    time_reader,
)
from tickerplant.decode.requests import DEPTH, requested_book, requested_symbol
from tickerplant.envelope import NAME_AT, NECK_BYTES, prefix_of
from tickerplant.errors import DecodeError, ImpossibleTimeError
from tickerplant.messages.book import DepthSnapshot

MAX_STREAMS = 1 << 16
"""Stream names whose readers are remembered; beyond, all are forgotten and made anew."""

ANSWERS = "answers"
"""Kind of the messages that answer the collector itself; nothing is missing without them."""

_NAMES = {
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
"""Stream of a bare payload, by its event type, after the symbol and `@`."""

_ARRAYS = {
    "markPriceUpdate": "!markPrice@arr",
    "24hrTicker": "!ticker@arr",
    "24hrMiniTicker": "!miniTicker@arr",
    "assetIndexUpdate": "!assetIndex@arr",
}
"""Stream of a bare array, by the event type of its elements."""


Message: TypeAlias = tuple[str, bytes, int, tuple[DecodedEvent, ...]]
"""One recorded message: stream, payload, event time and events.

The stream is empty for an answer, which nobody is subscribed to.  The payload is the event as it
was recorded, without envelope.  The event time is `E`, 0 if there is none.
"""


def _always(_: str) -> bool:
    return True


class Decoder:
    """Decodes the messages of one recording.

    Args:
        instruments: Those whose events are built, by symbol; other messages are only passed on.
        applied: Whether events are wanted of a stream, asked once per name.
        answered_symbol: Whose book a REST answer without a symbol is; empty if that is unknown.
    """

    def __init__(
        self,
        instruments: Instruments,
        applied: Callable[[str], bool] = _always,
        answered_symbol: str = "",
    ) -> None:
        self.unapplied: Counter[str] = Counter()
        """Messages passed on without an event, by what was wrong with them."""
        self._instruments = instruments
        self._applied = applied
        self._answered_symbol = answered_symbol
        self._streams: dict[bytes, tuple[str, Read]] = {}
        """Stream and reader by the usual envelope up to the payload."""
        self._read_time = time_reader()
        self._outline = JsonDecoder(Outline).decode
        self._outlines = JsonDecoder(list[Outline]).decode
        self._answer = JsonDecoder(DepthSnapshot).decode

    def decode(self, raw: bytes) -> Message:
        """Return the message in `raw`.

        Raises:
            DecodeError: it is not JSON, nothing that a market says, or a time in it is far from its
                event time.
        """
        start = raw.find(b'"', NAME_AT) + NECK_BYTES
        payload = raw[start:-1]
        try:
            stream, read = self._streams[raw[:start]]
            time_ms, events = read(payload)
        except (KeyError, ValueError, RecursionError):
            pass  # a new stream, another form or another symbol: look closely
        else:
            return stream, payload, time_ms, events
        return self._decode_any(raw)

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

    def _decode_any(self, raw: bytes) -> Message:
        """Decode a message in any shape."""
        address, body = b"", raw
        if raw.startswith(b"http"):
            address, _, body = raw.partition(b" ")
        try:
            if body.lstrip()[:1] == b"[":
                elements = self._outlines(body)
                event_type = elements[0].event_type if elements else ""
                return self._pass(_named(_ARRAYS.get(event_type, ""), event_type), body)
            outline = self._outline(body)
            if outline.stream and (payload := bytes(outline.data)):
                return self._pass(outline.stream, payload)
            if outline.last_update_id is not None:
                return self._snapshot(address, body)
            if outline.event_type:
                return self._pass(_stream_of(outline), body)
        except ValueError as error:  # no JSON, or no UTF-8
            raise DecodeError(f"{raw[:60]!r}: {error}") from None
        except RecursionError:
            raise DecodeError(f"{raw[:60]!r}: its values are nested too deeply") from None
        is_answer = outline.request_id is not None or bytes(outline.result) or bytes(outline.error)
        if address or is_answer:
            self.unapplied[ANSWERS] += 1
            return "", body, 0, ()
        raise DecodeError(f"{raw[:60]!r}: neither a stream, an event nor an answer")

    def _pass(self, stream: str, payload: bytes) -> Message:
        """Return a message of `stream`, with its events if they can be built."""
        read = self._reader(stream)
        try:
            return stream, payload, *read(payload)
        except KeyError:
            self.unapplied["unknown symbol"] += 1
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.unapplied["unknown form"] += 1
        except ImpossibleTime as error:
            raise ImpossibleTimeError(f"{payload[:60]!r}: {error}") from None
        except ValueError:
            self.unapplied["more decimals than the instrument"] += 1
        return stream, payload, *self._read_time(payload)

    def _snapshot(self, address: bytes, body: bytes) -> Message:
        """Return a REST answer `depth`, as a snapshot if it is known whose book it is."""
        if address and requested_book(address) != DEPTH:  # such as the book with RPI orders
            self.unapplied[ANSWERS] += 1
            return "", body, 0, ()
        answer = self._answer(body)
        symbol = answer.symbol or requested_symbol(address) or self._answered_symbol
        instrument = self._instruments.get(symbol)
        if instrument is None:
            self.unapplied["snapshot of an unknown symbol"] += 1
            return "", body, answer.event_time_ms, ()
        try:
            return "", body, answer.event_time_ms, (snapshot(answer, instrument),)
        except ValueError:
            self.unapplied["more decimals than the instrument"] += 1
        return "", body, answer.event_time_ms, ()


def _stream_of(outline: Outline) -> str:
    """Return the stream a bare payload belongs to.

    Raises:
        DecodeError: that cannot be told from the payload.
    """
    kind, symbol = _NAMES.get(outline.event_type, ""), outline.symbol
    if outline.event_type == "kline" and outline.kline:
        kind, symbol = f"kline_{outline.kline.interval}", outline.kline.symbol or symbol
    if outline.event_type == "forceOrder":
        symbol = msgspec.json.decode(outline.order or b"{}", type=Outline).symbol
    return _named(f"{symbol.lower()}@{kind}" if kind and symbol else "", outline.event_type)


def _named(stream: str, event_type: str) -> str:
    if not stream:
        raise DecodeError(f"a bare {event_type or 'message'} does not tell its stream")
    return stream
