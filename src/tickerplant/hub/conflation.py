"""How messages that wait are replaced and merged: one class for each way to read a message.

A reading is immutable and shared by all subscribers for which the message waits; `joined` returns what
waits after a later message of the same stream.  What is merged belongs to one subscriber.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec
from msgspec import Raw, Struct, field

from tickerplant.streams.conflation import Conflation

LEVEL_BYTES = 64
"""What a level of a merged message takes, approximately."""


class Reading(Protocol):
    """A message that waits, or several that became one."""

    key: str
    """Messages of a stream replace only those with the same key."""

    @property
    def size_bytes(self) -> int:
        """The memory it takes, approximately."""

    @property
    def payload(self) -> bytes:
        """The message to send."""

    def joined(self, later: Reading) -> Reading | None:
        """Return what waits after `later`; None if both must be sent."""


class Newest:
    """A message that the next one replaces."""

    __slots__ = ("key", "payload")

    def __init__(self, payload: bytes, key: str = "") -> None:
        self.payload = payload
        self.key = key

    @property
    def size_bytes(self) -> int:
        """The size of the message."""
        return len(self.payload)

    def joined(self, later: Reading) -> Reading:
        """Return `later`."""
        return later


class Candle(Newest):
    """A candle; one that is closed is not replaced."""

    __slots__ = ("is_closed",)

    def __init__(self, payload: bytes, *, is_closed: bool) -> None:
        super().__init__(payload)
        self.is_closed = is_closed

    def joined(self, later: Reading) -> Reading | None:  # type: ignore[override]
        """Return `later`, unless this candle is closed."""
        return None if self.is_closed else later


class Levels:
    """Changes of a book; later ones are merged if they continue the chain of ids."""

    __slots__ = ("asks", "bids", "final_id", "first_id", "payload", "previous_id")
    key = ""

    def __init__(self, payload: bytes) -> None:
        update = _read_update(payload)
        self.payload = payload
        self.first_id = update.first_id
        self.final_id = update.final_id
        self.previous_id = update.previous_id
        self.bids, self.asks = update.bids, update.asks

    @property
    def size_bytes(self) -> int:
        """The size of the message, with its levels."""
        return len(self.payload) + LEVEL_BYTES * (len(self.bids) + len(self.asks))

    def joined(self, later: Reading) -> Reading | None:
        """Return both merged; None if the chain is broken between them."""
        return MergedLevels(self).joined(later)


class MergedLevels:
    """Changes of a book that became one."""

    __slots__ = ("_asks", "_bids", "_first", "_last")
    key = ""

    def __init__(self, first: Levels) -> None:
        self._first = self._last = first
        self._bids, self._asks = dict(first.bids), dict(first.asks)

    @property
    def size_bytes(self) -> int:
        """The size of the last message, with all levels."""
        return len(self._last.payload) + LEVEL_BYTES * (len(self._bids) + len(self._asks))

    @property
    def payload(self) -> bytes:
        """The last message with the latest quantity of each price, and the ids of all."""
        levels = {"b": _levels_text(self._bids), "a": _levels_text(self._asks)}
        return _with(self._last.payload, {**_ids(self._first), **levels})

    def joined(self, later: Reading) -> MergedLevels | None:
        """Merge `later` into this; return None if the chain of ids is broken between them."""
        if not isinstance(later, Levels) or later.previous_id != self._last.final_id:
            return None
        self._last = later
        _update(self._bids, later.bids)
        _update(self._asks, later.asks)
        return self


class TopLevels:
    """The best levels of a book; later ones replace them and continue the chain of ids."""

    __slots__ = ("final_id", "first_id", "payload", "previous_id")
    key = ""

    def __init__(self, payload: bytes) -> None:
        ids = _read_ids(payload)
        self.payload = payload
        self.first_id = ids.first_id
        self.final_id = ids.final_id
        self.previous_id = ids.previous_id

    @property
    def size_bytes(self) -> int:
        """The size of the message."""
        return len(self.payload)

    def joined(self, later: Reading) -> Reading:
        """Return the levels of `later` with the first ids of this; `later` if the chain is broken."""
        if not isinstance(later, TopLevels) or later.previous_id != self.final_id:
            return later
        return _JoinedTop(self, later)


class _JoinedTop(TopLevels):
    """The best levels of a book, with the first ids of earlier ones."""

    __slots__ = ()

    def __init__(self, first: TopLevels, last: TopLevels) -> None:
        self.payload = _with(last.payload, _ids(first))
        self.first_id, self.previous_id = first.first_id, first.previous_id
        self.final_id = last.final_id


class Array:
    """A message of several symbols; a later one replaces the elements of its symbols."""

    __slots__ = ("elements", "payload")
    key = ""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.elements = {_read_named(each).symbol: bytes(each) for each in _read_array(payload)}

    @property
    def size_bytes(self) -> int:
        """The size of the message, with its elements."""
        return 2 * len(self.payload)

    def joined(self, later: Reading) -> Reading | None:
        """Return both merged."""
        return MergedArray(self).joined(later)


class MergedArray:
    """Messages of several symbols that became one."""

    __slots__ = ("_elements", "size_bytes")
    key = ""

    def __init__(self, first: Array) -> None:
        self._elements = dict(first.elements)
        self.size_bytes = len(first.payload)

    @property
    def payload(self) -> bytes:
        """The newest element of each symbol, the latest last."""
        return b"[%b]" % b",".join(self._elements.values())

    def joined(self, later: Reading) -> MergedArray | None:
        """Merge `later` into this; return None if it is not an array."""
        if not isinstance(later, Array):
            return None
        elements = self._elements
        for symbol, element in later.elements.items():
            earlier = elements.pop(symbol, b"")
            elements[symbol] = element
            self.size_bytes += len(element) - len(earlier)
        return self


def read(rule: Conflation, payload: bytes) -> Reading | None:
    """Return a message as `rule` sees it; None if it is to be kept as it is.

    That holds for streams whose messages are all kept, and for messages that cannot be read: a source
    may pass on anything.
    """
    reader = _READERS.get(rule)
    if reader is None:
        return None
    try:
        return reader(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class _Ids(Struct, gc=False):
    """The ids of a message of a book."""

    first_id: int = field(name="U")
    final_id: int = field(name="u")
    previous_id: int = field(name="pu")


class _Update(_Ids, gc=False):
    """Changes of a book; prices and quantities stay texts."""

    bid_levels: tuple[tuple[str, str], ...] = field(name="b")
    ask_levels: tuple[tuple[str, str], ...] = field(name="a")

    @property
    def bids(self) -> dict[str, str]:
        return dict(self.bid_levels)

    @property
    def asks(self) -> dict[str, str]:
        return dict(self.ask_levels)


class _Named(Struct, gc=False):
    """What identifies a message or an element among others of its stream."""

    symbol: str = field(name="s")


class _Kind(Struct, gc=False):
    event: str = field(name="e", default="")
    symbol: str = field(name="s", default="")


class _Bar(Struct, gc=False):
    is_closed: bool = field(name="x")


class _Kline(Struct, gc=False):
    candle: _Bar = field(name="k")


_read_update = msgspec.json.Decoder(_Update).decode
_read_ids = msgspec.json.Decoder(_Ids).decode
_read_array = msgspec.json.Decoder(list[Raw]).decode
_read_named = msgspec.json.Decoder(_Named).decode
_read_kind = msgspec.json.Decoder(_Kind).decode
_read_kline = msgspec.json.Decoder(_Kline).decode
_read_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


def _newest(payload: bytes) -> Reading:
    """Return a message, or an array: pairs and symbols share names such as `btcusd@markPrice`."""
    return Array(payload) if payload.startswith(b"[") else Newest(payload)


def _newest_of_symbol(payload: bytes) -> Newest:
    kind = _read_kind(payload)
    return Newest(payload, f"{kind.event} {kind.symbol}")


def _candle(payload: bytes) -> Candle:
    return Candle(payload, is_closed=_read_kline(payload).candle.is_closed)


_READERS: Mapping[Conflation, Callable[[bytes], Reading]] = {
    Conflation.NEWEST: _newest,
    Conflation.MERGED_ARRAY: _newest,
    Conflation.NEWEST_OF_SYMBOL: _newest_of_symbol,
    Conflation.NEWEST_CANDLE: _candle,
    Conflation.NEWEST_LEVELS: TopLevels,
    Conflation.MERGED_LEVELS: Levels,
}


def _with(payload: bytes, changed: Mapping[str, bytes]) -> bytes:
    """Return an object with the values of some of its fields changed, in the same order."""
    fields = _read_fields(payload)
    return _encode(fields | {name: Raw(value) for name, value in changed.items()})


def _ids(first: Levels | TopLevels) -> dict[str, bytes]:
    return {"U": b"%d" % first.first_id, "pu": b"%d" % first.previous_id}


def _update(levels: dict[str, str], later: Mapping[str, str]) -> None:
    """Put `later` behind the others: one price may be written in two ways, and the last counts."""
    for price, quantity in later.items():
        levels.pop(price, None)
        levels[price] = quantity


def _levels_text(levels: Mapping[str, str]) -> bytes:
    """Return levels by ascending price; equal prices, however written, stay in their order."""
    by_price: Iterable[tuple[str, str]] = sorted(levels.items(), key=_price)
    return _encode(list(by_price))


def _price(level: tuple[str, str]) -> float:
    try:
        return float(level[0])
    except ValueError:
        return 0.0
