"""Recorded lines to typed messages: a lane for each stream, found by the envelope.

Lines in the usual envelope take the lane of their stream and are looked at no further.  All others,
bare payloads, answers of REST, messages in another spelling, are looked at closely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tickerplant.archive.selection import Selection
from tickerplant.archive.snapshot import read_snapshot
from tickerplant.decode.decoder import MAX_STREAMS, Decoder
from tickerplant.envelope import NECK, head_of
from tickerplant.errors import DecodeError
from tickerplant.messages.book import BookTicker, DepthSnapshot, DepthUpdate
from tickerplant.messages.kline import Kline, MarkPriceKline
from tickerplant.messages.message import Message
from tickerplant.messages.readers import UNREADABLE, reader
from tickerplant.messages.ticker import MiniTicker, Ticker
from tickerplant.messages.trade import AggregateTrade, Liquidation, Trade
from tickerplant.recording.line import Line

OF_ONE_SYMBOL = frozenset(
    {
        *(Trade, AggregateTrade, BookTicker, DepthUpdate, Kline),
        *(MarkPriceKline, MiniTicker, Ticker, Liquidation),
    }
)
"""Messages that are about the symbol in the name of their stream, if there is one in it."""
SHOWN_BYTES = 80
"""As much of an unreadable message is shown."""


class Lane:
    """How the messages of a stream are read, and whether they are wanted."""

    __slots__ = ("decode", "is_kept", "is_mixed", "is_single", "stream")

    def __init__(self, stream: str, selection: Selection, wanted: Callable[[str], bool]) -> None:
        self.stream = stream
        found = reader(stream)
        self.decode: Callable[[bytes], Any] = found.decode
        streams, symbols = selection.streams, selection.symbols
        self.is_kept = (not streams or stream in streams) and wanted(stream)
        self.is_mixed = bool(symbols)
        """Whether there may be other symbols in it than those that are wanted."""
        if symbols and found.message in OF_ONE_SYMBOL and not stream.startswith("!"):
            self.is_mixed = False
            self.is_kept &= stream.partition("@")[0].upper() in symbols
        self.is_single = not (found.array or self.is_mixed)
        """Whether each payload is one message, and wanted if the stream is."""


def _all(_stream: str) -> bool:
    return True


def _never(_stream: str) -> bool:
    return False


class Lanes:
    """Reads the lines of one recording.

    Args:
        selection: Which messages are wanted; the times are looked at elsewhere.
        snapshots: Whether answers of `depth` are wanted among them, as `DepthSnapshot`.
        payloads: Whether the messages keep the bytes they were read from.
        wanted: Asked once for each stream whether it is wanted.
    """

    def __init__(
        self,
        selection: Selection,
        *,
        snapshots: bool = False,
        payloads: bool = True,
        wanted: Callable[[str], bool] = _all,
    ) -> None:
        self.unreadable = 0
        """Messages that were left out because they could not be read."""
        self.reason = ""
        """What was wrong with the first of them."""
        self.streams: set[str] = set()
        """What was met."""
        self._selection = selection
        self._snapshots = snapshots
        self._payloads = payloads
        self._wanted = wanted
        self._lanes: dict[bytes, Lane] = {}
        """By the usual envelope, up to its neck."""
        self._decoder = Decoder({}, _never)
        self._depth_symbols: set[str] = set()
        """Whose depth was heard: a snapshot that does not say its symbol is of the only one."""

    def read(self, lines: Iterable[Line]) -> Iterator[Message]:
        """Yield the messages in `lines` that are wanted; the elements of arrays one by one."""
        lanes, keeps = self._lanes, self._payloads
        for received_ns, raw in lines:
            head, _, rest = raw.partition(NECK)
            lane = lanes.get(head)
            if lane is None:
                yield from self._read_any(received_ns, raw)
                continue
            if not lane.is_kept:
                continue
            payload = rest[:-1]
            try:
                message = lane.decode(payload)
            except UNREADABLE:
                yield from self._read_any(received_ns, raw)
                continue
            if not lane.is_single:
                yield from self._several(lane, message, payload, received_ns)
                continue
            message.stream = lane.stream
            message.received_ns = received_ns
            if keeps:
                message.payload = payload
            yield message

    def _several(
        self, lane: Lane, decoded: Any, payload: bytes, received_ns: int
    ) -> Sequence[Message]:
        """Return the wanted messages of a payload that may hold several."""
        messages: list[Message] = decoded if isinstance(decoded, list) else [decoded]
        if lane.is_mixed:
            symbols = self._selection.symbols
            messages = [message for message in messages if message.symbol in symbols]
        for message in messages:
            message.stream = lane.stream
            message.received_ns = received_ns
            if self._payloads:
                message.payload = payload
        return messages

    def _read_any(self, received_ns: int, raw: bytes) -> Sequence[Message]:
        """Return what is in a line of any form."""
        try:
            stream, payload, _, _ = self._decoder.decode(raw)
            if not stream:
                return self._snapshot(received_ns, raw)
            lane = self._lane(stream)
            if not lane.is_kept:
                return ()
            return self._several(lane, lane.decode(payload), payload, received_ns)
        except (DecodeError, ValueError, *UNREADABLE) as error:
            self.refuse(received_ns, raw, error)
            return ()

    def refuse(self, received_ns: int, raw: bytes, error: Exception) -> None:
        """Count a message that is left out."""
        if not self.unreadable:
            self.reason = f"received at {received_ns}: {raw[:SHOWN_BYTES]!r}: {error}"
        self.unreadable += 1

    def _lane(self, stream: str) -> Lane:
        head = head_of(stream)
        lane = self._lanes.get(head)
        if lane is None:
            if len(self._lanes) >= MAX_STREAMS:
                self._lanes.clear()
                self.streams.clear()
            lane = self._lanes[head] = Lane(stream, self._selection, self._wanted)
            self.streams.add(stream)
            symbol, _, topic = stream.partition("@")
            if topic.startswith("depth") and len(self._depth_symbols) <= 1:
                self._depth_symbols.add(symbol.upper())
        return lane

    def _snapshot(self, received_ns: int, raw: bytes) -> Sequence[Message]:
        if not self._snapshots:
            return ()
        only = next(iter(self._depth_symbols)) if len(self._depth_symbols) == 1 else ""
        snapshot: DepthSnapshot | None = read_snapshot(raw, only)
        if snapshot is None or not self._is_wanted(snapshot.symbol):
            return ()
        snapshot.received_ns = received_ns
        if not self._payloads:
            snapshot.payload = b""
        return (snapshot,)

    def _is_wanted(self, symbol: str) -> bool:
        """Whether snapshots of a symbol are wanted: where its depth is."""
        streams, symbols = self._selection.streams, self._selection.symbols
        depth = f"{symbol.lower()}@depth"
        return (not symbols or symbol in symbols) and (
            not streams or any(stream.startswith(depth) for stream in streams)
        )
