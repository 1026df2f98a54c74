"""Recorded messages to the events of hftbacktest.

Depth updates, trades and depth snapshots are used, and on request book tickers and mark prices.  If
a recording has the same data twice, as `@depth` at two speeds or as `@trade` and `@aggTrade`, the
finer stream is used, and the other one while the finer one is silent.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable
from math import nan
from typing import Annotated, Protocol, TypeAlias

import msgspec
from msgspec import Meta, Struct, field
from msgspec.json import Decoder as JsonDecoder

from tickerplant.archive.snapshots import only_book
from tickerplant.archive.validation import is_number
from tickerplant.decode.decoder import MAX_STREAMS, Decoder
from tickerplant.decode.requests import DEPTH, requested_book, requested_symbol
from tickerplant.envelope import HEAD, NAME_AT, NECK_BYTES
from tickerplant.errors import DecodeError
from tickerplant.exporting.hftbacktest_rows import (
    BEST_ASK_EVENT,
    BEST_BID_EVENT,
    BUY_EVENT,
    DEPTH_CLEAR_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    FUNDING_RATE_EVENT,
    INDEX_PRICE_EVENT,
    MARK_PRICE_EVENT,
    REPEATED,
    SELL_EVENT,
    TRADE_EVENT,
    Levels,
)
from tickerplant.units import NS_PER_MS

MAX_TIME_NS = 4_102_444_800 * 10**9
"""The year 2100: later times are invalid, and may not fit into 64 bits."""


Time: TypeAlias = Annotated[int, Meta(ge=0, lt=MAX_TIME_NS // NS_PER_MS)]
"""Milliseconds since the epoch."""

Pairs: TypeAlias = list[tuple[float, float]]
"""Prices and quantities."""

SILENT_NS = 60_000_000_000
"""A coarser stream is used after a finer one has been silent for this long."""

KEPT_NS = 5_000_000_000
"""Depth updates are kept for this long, because a snapshot may be older than they are."""

MAX_KEPT_UPDATES = 512
"""Depth updates kept per symbol."""

_STREAM = re.compile(r"([^@]+)@(depth|trade|aggTrade|bookTicker|markPrice)(?:@(\d+)(m?)s)?")
_SYMBOL = re.compile(r"\w{1,64}")
"""Symbols become file names."""

_SIDES = (BUY_EVENT, SELL_EVENT)


# Messages, read with numbers as floats: hftbacktest has no others


class Depth(Struct, gc=False):
    """A depth update."""

    time_ms: Time = field(name="T")
    final_id: int = field(name="u")
    bids: Pairs = field(name="b")
    asks: Pairs = field(name="a")


class Trade(Struct, gc=False):
    """A trade or an aggregate trade."""

    time_ms: Time = field(name="T")
    price: float = field(name="p")
    quantity: float = field(name="q")
    buyer_is_maker: bool = field(name="m")
    origin: str = field(name="X", default="MARKET")


class Ticker(Struct, gc=False):
    """Best bid and ask."""

    symbol: str = field(name="s")
    bid: float = field(name="b")
    bid_quantity: float = field(name="B")
    ask: float = field(name="a")
    ask_quantity: float = field(name="A")
    time_ms: Time = field(name="T", default=0)


class Mark(Struct, gc=False):
    """A mark price, with index price and funding rate."""

    event_time_ms: Time = field(name="E")
    symbol: str = field(name="s")
    price: float = field(name="p")
    index: float | None = field(name="i", default=None)
    funding_rate: str = field(name="r", default="")
    """Empty for contracts without funding."""


class Snapshot(Struct, gc=False):
    """A depth snapshot."""

    last_id: int = field(name="lastUpdateId")
    bids: Pairs
    asks: Pairs
    symbol: str = ""
    time_ms: Time = field(name="T", default=0)


read_depth = JsonDecoder(Depth, strict=False).decode
read_trade = JsonDecoder(Trade, strict=False).decode
read_ticker = JsonDecoder(Ticker, strict=False).decode
read_mark = JsonDecoder(Mark, strict=False).decode
read_marks = JsonDecoder(list[Mark], strict=False).decode
read_snapshot = JsonDecoder(Snapshot, strict=False).decode


# Events


class Sink(Protocol):
    """Takes the events of a symbol."""

    def add(self, event: int, exch_ns: int, local_ns: int, levels: Levels) -> None:
        """Add one event per price and quantity."""
        ...


SinkOf: TypeAlias = Callable[[str], Sink | None]
"""Returns the sink of a symbol on this day; None if its events are not wanted."""

_Take: TypeAlias = Callable[[int, bytes], None]
"""Takes the receive time and the payload of a message."""


class _FinestStream:
    """Decides which of several streams with the same data is used."""

    def __init__(self) -> None:
        self._best: dict[tuple[str, str], tuple[int, int]] = {}

    def is_used(self, kind: tuple[str, str], coarseness: int, now_ns: int) -> bool:
        """Whether to use a message of a stream of this coarseness."""
        best, last_ns = self._best.get(kind, (coarseness, now_ns))
        if coarseness > best and now_ns - last_ns < SILENT_NS:
            return False
        self._best[kind] = coarseness, now_ns
        return True


class Market:
    """Turns the messages of a recording into events.

    Args:
        sink_of: Returns the sink of the events of a symbol.
        extras: Any of `book_tickers` and `mark_prices`.
        path: The recording, which is read again if a snapshot without a symbol is found.
        skipped: Counts messages that are skipped, by reason.
    """

    def __init__(
        self, sink_of: SinkOf, extras: frozenset[str], path: str, skipped: Counter[str]
    ) -> None:
        self._sink_of = sink_of
        self._extras = extras
        self._path = path
        self._only_book: str | None = None
        self._skipped = skipped
        self._takes: dict[bytes, _Take] = {}
        self._finest = _FinestStream()
        self._recent: dict[str, deque[tuple[int, bytes]]] = {}
        """The latest depth updates of each symbol, with their receive times."""
        self._decode = Decoder({}, lambda _: False).decode

    def take(self, received_ns: int, raw: bytes) -> None:
        """Add the events of a message to the sinks of their symbols.

        Raises:
            OSError: They cannot be written.
        """
        start = raw.find(b'"', NAME_AT) + NECK_BYTES
        try:
            take = self._takes.get(raw[:start])
            if take is not None:
                take(received_ns, raw[start:-1])
            else:
                self._take_any(received_ns, raw)
        except (ValueError, DecodeError, RecursionError):
            self._skipped["a message that cannot be read"] += 1

    def _take_any(self, received_ns: int, raw: bytes) -> None:
        """Take a message of a new stream or in an unusual form."""
        address, body = b"", raw
        if raw.startswith(b"http"):
            address, _, body = raw.partition(b" ")
            if requested_book(address) != DEPTH:
                return
        stream, payload, _, _ = self._decode(raw)
        if not stream:
            self._take_snapshot(received_ns, address, body)
            return
        take = self._take_of(stream)
        start = raw.find(b'"', NAME_AT) + NECK_BYTES
        if raw.startswith(HEAD) and raw[start:-1] == payload:
            if len(self._takes) >= MAX_STREAMS:
                self._takes.clear()
            self._takes[raw[:start]] = take
        take(received_ns, payload)

    def _take_of(self, stream: str) -> _Take:
        """Return the function that takes payloads of `stream`."""
        if stream.startswith("!"):
            topic = stream.partition("@")[0]
            return {"!bookTicker": self._ticker, "!markPrice": self._mark}.get(topic, _ignore)
        found = _STREAM.fullmatch(stream)
        if found is None:
            return _ignore
        name, kind, speed, milli = found.groups("")
        symbol = name.upper()
        if kind == "depth":
            return self._depth_of(symbol, int(speed or 250) * (1 if milli or not speed else 1000))
        if kind in {"trade", "aggTrade"}:
            return self._trade_of(symbol, int(kind == "aggTrade"))
        return self._ticker if kind == "bookTicker" else self._mark

    def _depth_of(self, symbol: str, speed_ms: int) -> _Take:
        recent = self._recent.setdefault(symbol, deque(maxlen=MAX_KEPT_UPDATES))

        def take(received_ns: int, payload: bytes) -> None:
            if not self._finest.is_used((symbol, "depth"), speed_ms, received_ns):
                return
            while recent and recent[0][0] < received_ns - KEPT_NS:
                recent.popleft()
            recent.append((received_ns, payload))
            sink = self._sink_of(symbol)
            if sink is not None:
                update = read_depth(payload)
                time_ns = update.time_ms * NS_PER_MS
                sink.add(DEPTH_EVENT | BUY_EVENT, time_ns, received_ns, update.bids)
                sink.add(DEPTH_EVENT | SELL_EVENT, time_ns, received_ns, update.asks)

        return take

    def _trade_of(self, symbol: str, coarseness: int) -> _Take:
        def take(received_ns: int, payload: bytes) -> None:
            if not self._finest.is_used((symbol, "trade"), coarseness, received_ns):
                return
            sink = self._sink_of(symbol)
            if sink is None:
                return
            trade = read_trade(payload)
            if trade.origin == "MARKET":
                side = SELL_EVENT if trade.buyer_is_maker else BUY_EVENT
                level = ((trade.price, trade.quantity),)
                sink.add(TRADE_EVENT | side, trade.time_ms * NS_PER_MS, received_ns, level)

        return take

    def _ticker(self, received_ns: int, payload: bytes) -> None:
        if "book_tickers" not in self._extras:
            return
        ticker = read_ticker(payload)
        sink = self._sink_of(ticker.symbol)
        if sink is not None and ticker.time_ms:
            time_ns = ticker.time_ms * NS_PER_MS
            sink.add(BEST_BID_EVENT, time_ns, received_ns, ((ticker.bid, ticker.bid_quantity),))
            sink.add(BEST_ASK_EVENT, time_ns, received_ns, ((ticker.ask, ticker.ask_quantity),))

    def _mark(self, received_ns: int, payload: bytes) -> None:
        if "mark_prices" not in self._extras:
            return
        several = read_marks(payload) if payload[:1] == b"[" else [read_mark(payload)]
        for mark in several:
            sink = self._sink_of(mark.symbol)
            if sink is None:
                continue
            time_ns = mark.event_time_ms * NS_PER_MS
            if mark.index is not None:
                sink.add(INDEX_PRICE_EVENT, time_ns, received_ns, ((mark.index, 0.0),))
            sink.add(MARK_PRICE_EVENT, time_ns, received_ns, ((mark.price, 0.0),))
            if mark.funding_rate:
                rate = float(mark.funding_rate) if is_number(mark.funding_rate) else nan
                sink.add(FUNDING_RATE_EVENT, time_ns, received_ns, ((rate, 0.0),))

    def _take_snapshot(self, received_ns: int, address: bytes, body: bytes) -> None:
        """Add a depth snapshot, if the response is one and its symbol is known."""
        try:
            snapshot = read_snapshot(body)
        except msgspec.ValidationError:
            if address:
                self._skipped["an invalid depth snapshot"] += 1
            return  # a response to another request
        symbol = snapshot.symbol or requested_symbol(address)
        if not symbol and not address:
            symbol = self._symbol_of_only_book()
        if not symbol:
            self._skipped["a snapshot without a symbol"] += 1
            return
        sink = self._sink_of(symbol)
        if sink is None:
            return
        time_ns = snapshot.time_ms * NS_PER_MS or received_ns
        for side, levels in zip(_SIDES, (snapshot.bids, snapshot.asks), strict=True):
            if levels:
                worst = ((levels[-1][0], 0.0),)
                sink.add(DEPTH_CLEAR_EVENT | side, time_ns, received_ns, worst)
                sink.add(DEPTH_SNAPSHOT_EVENT | side, time_ns, received_ns, levels)
        self._repeat(symbol, snapshot.last_id, received_ns, sink)

    def _symbol_of_only_book(self) -> str:
        """Return the symbol of the only book in the recording; empty if there are several."""
        if self._only_book is None:
            self._only_book = only_book(self._path)
        return self._only_book

    def _repeat(self, symbol: str, last_id: int, received_ns: int, sink: Sink) -> None:
        """Repeat to the local side the recent updates that are newer than a snapshot."""
        for update_ns, payload in self._recent.get(symbol, ()):
            update = read_depth(payload)
            if update.final_id > last_id and update_ns >= received_ns - KEPT_NS:
                time_ns = update.time_ms * NS_PER_MS
                for side, levels in zip(_SIDES, (update.bids, update.asks), strict=True):
                    sink.add(DEPTH_EVENT | side | REPEATED, time_ns, received_ns, levels)


def _ignore(_: int, __: bytes) -> None:
    """Ignore a payload."""


def is_exported(stream: str, extras: frozenset[str]) -> bool:
    """Whether messages of a stream become events."""
    found = _STREAM.fullmatch(stream)
    kind = stream.partition("@")[0].removeprefix("!") if stream.startswith("!") else ""
    kind = found[2] if found else kind
    wanted = {"depth", "trade", "aggTrade"}
    if "book_tickers" in extras:
        wanted.add("bookTicker")
    if "mark_prices" in extras:
        wanted.add("markPrice")
    return kind in wanted


def is_symbol(symbol: str) -> bool:
    """Whether a symbol can be a file name."""
    return _SYMBOL.fullmatch(symbol) is not None
