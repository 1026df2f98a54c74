"""Recorded lines to typed messages: one route per stream, found by the envelope.

Lines in the usual envelope are decoded by the route of their stream.  All others, bare payloads,
REST responses and messages in another spelling, are inspected first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tickerplant.archive.selection import Selection
from tickerplant.archive.snapshots import only_book, read_snapshot
from tickerplant.decode.decoder import MAX_STREAMS, Decoder
from tickerplant.decode.requests import DEPTH, requested_book, requested_symbol
from tickerplant.envelope import NECK, head_of
from tickerplant.errors import DecodeError
from tickerplant.messages.book import BookTicker, DepthUpdate
from tickerplant.messages.kline import Kline, MarkPriceKline
from tickerplant.messages.message import Message
from tickerplant.messages.readers import UNREADABLE, reader
from tickerplant.messages.ticker import MiniTicker, Ticker
from tickerplant.messages.trade import AggregateTrade, Liquidation, Trade
from tickerplant.recording.line import Line
from tickerplant.stream_name import parse_stream_name

OF_ONE_SYMBOL = frozenset(
    {
        *(Trade, AggregateTrade, BookTicker, DepthUpdate, Kline),
        *(MarkPriceKline, MiniTicker, Ticker, Liquidation),
    }
)
"""Messages whose symbol is that of their stream name, if it contains one."""
SHOWN_BYTES = 80
"""Bytes of an unreadable message that are shown."""


class _Route:
    """How the messages of a stream are read, and whether they are wanted."""

    __slots__ = ("decode", "is_mixed", "is_single", "is_wanted", "stream")

    def __init__(self, stream: str, selection: Selection, wanted: Callable[[str], bool]) -> None:
        self.stream = stream
        found = reader(stream)
        self.decode: Callable[[bytes], Any] = found.decode
        streams, symbols = selection.streams, selection.symbols
        self.is_wanted = (not streams or stream in streams) and wanted(stream)
        self.is_mixed = bool(symbols)
        """Whether it may contain other symbols than the wanted ones."""
        if symbols and found.message in OF_ONE_SYMBOL and not stream.startswith("!"):
            self.is_mixed = False
            self.is_wanted &= parse_stream_name(stream).topic.upper() in symbols
        self.is_single = not (found.array or self.is_mixed)
        """Whether each payload is one wanted message."""


def _all(_stream: str) -> bool:
    return True


def _never(_stream: str) -> bool:
    return False


class MessageReader:
    """Reads the lines of one recording.

    Args:
        selection: Streams and symbols to read; its times are not applied here.
        snapshots: Whether to read responses of `depth` too, as `DepthSnapshot`.
        payloads: Whether messages keep the bytes they were read from.
        wanted: Called once per stream; returns whether to read it.
        path: Where it is: a snapshot that does not say of which symbol is of the only book there.
            Empty: it is refused.
    """

    def __init__(
        self,
        selection: Selection,
        *,
        snapshots: bool = False,
        payloads: bool = True,
        wanted: Callable[[str], bool] = _all,
        path: str = "",
    ) -> None:
        self.unreadable = 0
        """Messages that were skipped because they are invalid."""
        self.reason = ""
        """What is wrong with the first of them."""
        self.streams: set[str] = set()
        self._selection = selection
        self._snapshots = snapshots
        self._payloads = payloads
        self._wanted = wanted
        self._routes: dict[bytes, _Route] = {}
        """By the usual envelope up to the stream name."""
        self._decoder = Decoder({}, _never)
        self._path = path
        self._only_book: str | None = None
        """The symbol of snapshots that do not name theirs, once there was one; empty if unknown."""

    def read(self, lines: Iterable[Line]) -> Iterator[Message]:
        """Yield the wanted messages in `lines`; the elements of arrays one by one."""
        routes, keeps = self._routes, self._payloads
        for received_ns, raw in lines:
            head, _, rest = raw.partition(NECK)
            route = routes.get(head)
            if route is None:
                yield from self._read_any(received_ns, raw)
                continue
            if not route.is_wanted:
                continue
            payload = rest[:-1]
            try:
                message = route.decode(payload)
            except UNREADABLE:
                yield from self._read_any(received_ns, raw)
                continue
            if not route.is_single:
                yield from self._several(route, message, payload, received_ns)
                continue
            message.stream = route.stream
            message.received_ns = received_ns
            if keeps:
                message.payload = payload
            yield message

    def select_lines(self, lines: Iterable[Line]) -> list[Line]:
        """Return the lines that contain a wanted message.

        Of REST responses, these are snapshots of wanted books, and all others that are not about an
        unwanted symbol.  Lines of a wanted stream that cannot be decoded are kept.
        """
        routes = self._routes
        selected = []
        for line in lines:
            head, _, rest = line[1].partition(NECK)
            route = routes.get(head)
            if route is None:
                is_wanted = self._is_line_wanted(line[1])
            else:
                is_wanted = route.is_wanted and (
                    not route.is_mixed or self._holds_wanted(route, rest[:-1])
                )
            if is_wanted:
                selected.append(line)
        return selected

    def _is_line_wanted(self, raw: bytes) -> bool:
        try:
            stream, payload, _, _ = self._decoder.decode(raw)
        except (DecodeError, ValueError, *UNREADABLE):
            return False
        if stream:
            route = self._route(stream)
            return route.is_wanted and (not route.is_mixed or self._holds_wanted(route, payload))
        address = raw.partition(b" ")[0] if raw.startswith(b"http") else b""
        symbol = requested_symbol(address)
        if requested_book(address) == DEPTH:
            return self._is_wanted(symbol or self._symbol_of_only_book())
        symbols = self._selection.symbols
        return bool(address) and (not symbols or not symbol or symbol in symbols)

    def _holds_wanted(self, route: _Route, payload: bytes) -> bool:
        """Whether a payload of a wanted stream contains a wanted symbol, or cannot be decoded."""
        try:
            return bool(self._several(route, route.decode(payload), b"", 0))
        except UNREADABLE:
            return True

    def _several(
        self, route: _Route, decoded: Any, payload: bytes, received_ns: int
    ) -> Sequence[Message]:
        """Return the wanted messages of a payload that may contain several."""
        messages: list[Message] = decoded if isinstance(decoded, list) else [decoded]
        if route.is_mixed:
            symbols = self._selection.symbols
            messages = [message for message in messages if message.symbol in symbols]
        for message in messages:
            message.stream = route.stream
            message.received_ns = received_ns
            if self._payloads:
                message.payload = payload
        return messages

    def _read_any(self, received_ns: int, raw: bytes) -> Sequence[Message]:
        try:
            stream, payload, _, _ = self._decoder.decode(raw)
            if not stream:
                return self._snapshot(received_ns, raw)
            route = self._route(stream)
            if not route.is_wanted:
                return ()
            return self._several(route, route.decode(payload), payload, received_ns)
        except (DecodeError, ValueError, *UNREADABLE) as error:
            self.refuse(received_ns, raw, error)
            return ()

    def refuse(self, received_ns: int, raw: bytes, error: Exception) -> None:
        """Count a message that is skipped."""
        if not self.unreadable:
            self.reason = f"received at {received_ns}: {raw[:SHOWN_BYTES]!r}: {error}"
        self.unreadable += 1

    def _route(self, stream: str) -> _Route:
        head = head_of(stream)
        route = self._routes.get(head)
        if route is None:
            if len(self._routes) >= MAX_STREAMS:
                self._routes.clear()
                self.streams.clear()
            route = self._routes[head] = _Route(stream, self._selection, self._wanted)
            self.streams.add(stream)
        return route

    def _snapshot(self, received_ns: int, raw: bytes) -> Sequence[Message]:
        if not self._snapshots:
            return ()
        snapshot = read_snapshot(raw, self._symbol_of_only_book)
        if snapshot is None or not self._is_wanted(snapshot.symbol):
            return ()
        snapshot.received_ns = received_ns
        if not self._payloads:
            snapshot.payload = b""
        return (snapshot,)

    def _symbol_of_only_book(self) -> str:
        if self._only_book is None:
            self._only_book = only_book(self._path) if self._path else ""
        return self._only_book

    def _is_wanted(self, symbol: str) -> bool:
        """Whether snapshots of a symbol are wanted: if its depth streams are."""
        streams, symbols = self._selection.streams, self._selection.symbols
        depth = f"{symbol.lower()}@depth"
        return (not symbols or symbol in symbols) and (
            not streams or any(stream.startswith(depth) for stream in streams)
        )
