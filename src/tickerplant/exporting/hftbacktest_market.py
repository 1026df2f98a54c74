"""Recorded messages to the events of hftbacktest.

Used are the diffs of the book, trades and REST answers `depth`; book tickers and mark prices if
they are asked for.  Where a recording holds the same thing twice, as `@depth` at two speeds or as
`@trade` and `@aggTrade`, the finer one counts, and the other where the finer one is not heard.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable
from math import nan
from typing import Protocol, TypeAlias

import msgspec

from tickerplant.archive.snapshots import only_book
from tickerplant.archive.validation import is_number
from tickerplant.decode.decoder import MAX_STREAMS, Decoder
from tickerplant.decode.requests import DEPTH, requested_book, requested_symbol
from tickerplant.envelope import HEAD, NAME_AT, NECK_BYTES
from tickerplant.errors import DecodeError
from tickerplant.exporting.hftbacktest_messages import (
    read_answer,
    read_depth,
    read_mark,
    read_marks,
    read_ticker,
    read_trade,
)
from tickerplant.exporting.hftbacktest_rows import (
    AGAIN,
    BEST_ASK_EVENT,
    BEST_BID_EVENT,
    BUY_EVENT,
    DEPTH_CLEAR_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    FUNDING_RATE_EVENT,
    INDEX_PRICE_EVENT,
    MARK_PRICE_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    Levels,
)
from tickerplant.units import NS_PER_MS

QUIET_NS = 60_000_000_000
"""A finer stream that has been silent for so long makes way for a coarser one."""

HELD_NS = 5_000_000_000
"""Diffs of the book are held for so long, because an answer `depth` may be older than they are."""

HELD_DIFFS = 512
"""At most so many diffs of a symbol are held."""

_STREAM = re.compile(r"([^@]+)@(depth|trade|aggTrade|bookTicker|markPrice)(?:@(\d+)(m?)s)?")
_SYMBOL = re.compile(r"\w{1,64}")
"""Symbols become names of files."""

_SIDES = (BUY_EVENT, SELL_EVENT)


class Sink(Protocol):
    """Where the events of a symbol go."""

    def add(self, event: int, exch_ns: int, local_ns: int, levels: Levels) -> None:
        """Take one event per price and quantity."""
        ...


SinkOf: TypeAlias = Callable[[str], Sink | None]
"""Returns where the events of a symbol go now; None if they are not wanted."""

_Take: TypeAlias = Callable[[int, bytes], None]
"""Takes a payload and when it was received."""


class _Finest:
    """Tells which of several streams of the same counts."""

    def __init__(self) -> None:
        self._best: dict[tuple[str, str], tuple[int, int]] = {}

    def counts(self, kind: tuple[str, str], coarseness: int, now_ns: int) -> bool:
        """Whether a message counts that is received now of a stream of this coarseness."""
        best, heard_ns = self._best.get(kind, (coarseness, now_ns))
        if coarseness > best and now_ns - heard_ns < QUIET_NS:
            return False
        self._best[kind] = coarseness, now_ns
        return True


class Market:
    """Turns the messages of a recording into events.

    Args:
        sink_of: Where they go.
        extras: `book_tickers`, `mark_prices`, or both, if they are wanted.
        path: The recording, which is looked at again for whose an answer without a symbol is.
        unread: Counts the messages that are left out, by what is wrong with them.
    """

    def __init__(
        self, sink_of: SinkOf, extras: frozenset[str], path: str, unread: Counter[str]
    ) -> None:
        self._sink_of = sink_of
        self._extras = extras
        self._path = path
        self._only_book: str | None = None
        self._unread = unread
        self._takes: dict[bytes, _Take] = {}
        self._finest = _Finest()
        self._held: dict[str, deque[tuple[int, bytes]]] = {}
        """The latest diffs of each symbol, with their receive times."""
        self._decode = Decoder({}, lambda _: False).decode

    def take(self, received_ns: int, raw: bytes) -> None:
        """Send the events in a message to where they go.

        Raises:
            OSError: they cannot be written.
        """
        start = raw.find(b'"', NAME_AT) + NECK_BYTES
        try:
            take = self._takes.get(raw[:start])
            if take is not None:
                take(received_ns, raw[start:-1])
            else:
                self._take_any(received_ns, raw)
        except (ValueError, DecodeError, RecursionError):
            self._unread["a message that cannot be read"] += 1

    def _take_any(self, received_ns: int, raw: bytes) -> None:
        """Take a message of a new stream, or in another form."""
        address, body = b"", raw
        if raw.startswith(b"http"):
            address, _, body = raw.partition(b" ")
            if requested_book(address) != DEPTH:
                return
        stream, payload, _, _ = self._decode(raw)
        if not stream:
            self._take_answer(received_ns, address, body)
            return
        take = self._take_of(stream)
        start = raw.find(b'"', NAME_AT) + NECK_BYTES
        if raw.startswith(HEAD) and raw[start:-1] == payload:
            if len(self._takes) >= MAX_STREAMS:
                self._takes.clear()
            self._takes[raw[:start]] = take
        take(received_ns, payload)

    def _take_of(self, stream: str) -> _Take:
        """Return what takes the payloads of `stream`."""
        if stream.startswith("!"):
            topic = stream.partition("@")[0]
            return {"!bookTicker": self._ticker, "!markPrice": self._mark}.get(topic, _nothing)
        found = _STREAM.fullmatch(stream)
        if found is None:
            return _nothing
        name, kind, speed, milli = found.groups("")
        symbol = name.upper()
        if kind == "depth":
            return self._depth_of(symbol, int(speed or 250) * (1 if milli or not speed else 1000))
        if kind in {"trade", "aggTrade"}:
            return self._trade_of(symbol, int(kind == "aggTrade"))
        return self._ticker if kind == "bookTicker" else self._mark

    def _depth_of(self, symbol: str, speed_ms: int) -> _Take:
        held = self._held.setdefault(symbol, deque(maxlen=HELD_DIFFS))

        def take(received_ns: int, payload: bytes) -> None:
            if not self._finest.counts((symbol, "depth"), speed_ms, received_ns):
                return
            while held and held[0][0] < received_ns - HELD_NS:
                held.popleft()
            held.append((received_ns, payload))
            sink = self._sink_of(symbol)
            if sink is not None:
                update = read_depth(payload)
                time_ns = update.time_ms * NS_PER_MS
                sink.add(DEPTH_EVENT | BUY_EVENT, time_ns, received_ns, update.bids)
                sink.add(DEPTH_EVENT | SELL_EVENT, time_ns, received_ns, update.asks)

        return take

    def _trade_of(self, symbol: str, coarseness: int) -> _Take:
        def take(received_ns: int, payload: bytes) -> None:
            if not self._finest.counts((symbol, "trade"), coarseness, received_ns):
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

    def _take_answer(self, received_ns: int, address: bytes, body: bytes) -> None:
        """Take an answer: a book to begin with, if it is one and its symbol is known."""
        try:
            answer = read_answer(body)
        except msgspec.ValidationError:
            if address:
                self._unread["an answer `depth` that is no book"] += 1
            return  # an answer to something else
        symbol = answer.symbol or requested_symbol(address)
        if not symbol and not address:
            symbol = self._symbol_of_only_book()
        if not symbol:
            self._unread["a snapshot without a symbol"] += 1
            return
        sink = self._sink_of(symbol)
        if sink is None:
            return
        time_ns = answer.time_ms * NS_PER_MS or received_ns
        for side, levels in zip(_SIDES, (answer.bids, answer.asks), strict=True):
            if levels:
                worst = ((levels[-1][0], 0.0),)
                sink.add(DEPTH_CLEAR_EVENT | side, time_ns, received_ns, worst)
                sink.add(DEPTH_SNAPSHOT_EVENT | side, time_ns, received_ns, levels)
        self._repeat(symbol, answer.last_id, received_ns, sink)

    def _symbol_of_only_book(self) -> str:
        """Return the symbol of the only book in the recording; empty if there are several."""
        if self._only_book is None:
            self._only_book = only_book(self._path)
        return self._only_book

    def _repeat(self, symbol: str, last_id: int, received_ns: int, sink: Sink) -> None:
        """Tell the local side once more what it heard before a snapshot that is older than that."""
        for heard_ns, payload in self._held.get(symbol, ()):
            update = read_depth(payload)
            if update.final_id > last_id and heard_ns >= received_ns - HELD_NS:
                time_ns = update.time_ms * NS_PER_MS
                for side, levels in zip(_SIDES, (update.bids, update.asks), strict=True):
                    sink.add(DEPTH_EVENT | side | AGAIN, time_ns, received_ns, levels)


def _nothing(_: int, __: bytes) -> None:
    """Take a payload that is not exported."""


def is_symbol(symbol: str) -> bool:
    """Whether it can be the name of a file."""
    return _SYMBOL.fullmatch(symbol) is not None
