"""The last events of one kind, packed; the oldest are forgotten."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Generic, TypeVar

import msgspec
from isal import isal_zlib
from msgspec import Struct

KEPT_TRADES = 100_000
"""Trades that a market keeps at least; older ones are forgotten."""
KEPT_AGGREGATES = 100_000
CHUNK_EVENTS = 256
"""Events that are packed together, and forgotten together."""

FASTEST = 0
"""The level of compression: a quarter of the bytes, and packing takes no longer than encoding."""

Kept = TypeVar("Kept", bound=Struct)

_encode = msgspec.msgpack.Encoder().encode


class Ring(Generic[Kept]):
    """Events in the order in which they were appended; memory is taken as it fills.

    Events wait in `fresh` until `CHUNK_EVENTS` of them are packed at once: to append costs little,
    and a packed event takes about a twentieth of the memory.

    Args:
        kind: The events, a Struct that is encoded as an array.
        kept: Events that are kept at least, once there are so many.
    """

    def __init__(self, kind: type[Kept], kept: int) -> None:
        self.fresh: list[Kept] = []
        """The last events, not packed yet; who appends the last that fits calls `turn`."""
        self.forgot = False
        """Whether events have been forgotten."""
        self._most = -(-kept // CHUNK_EVENTS)
        self._full: list[bytes] = []
        self._decode: Callable[[bytes], list[Kept]] = msgspec.msgpack.Decoder(list[kind]).decode  # type: ignore[valid-type]

    def __len__(self) -> int:
        return len(self._full) * CHUNK_EVENTS + len(self.fresh)

    def turn(self) -> None:
        """Pack `fresh`, which is full, and forget the oldest chunk if there are too many."""
        self._full.append(isal_zlib.compress(_encode(self.fresh), FASTEST))
        self.fresh.clear()
        if len(self._full) > self._most:
            del self._full[0]
            self.forgot = True

    def slice(self, first: int, stop: int) -> list[Kept]:
        """Return the events from `first` up to `stop`, counted from the oldest kept."""
        first, stop = max(first, 0), min(stop, len(self))
        if first >= stop:
            return []
        low, high = first // CHUNK_EVENTS, -(-stop // CHUNK_EVENTS)
        events = [event for number in range(low, high) for event in self._chunk(number)]
        return events[first - low * CHUNK_EVENTS : stop - low * CHUNK_EVENTS]

    def search(self, field: str, value: int, *, after: bool = False) -> int:
        """Return how many events have a lower `field` (`after`: not a higher one) than `value`.

        The field never falls from one event to the next.
        """
        side: Callable[..., int] = bisect_right if after else bisect_left
        key = attrgetter(field)
        chunks = range(-(-len(self) // CHUNK_EVENTS))
        number = max(side(chunks, value, key=partial(self._first, key)) - 1, 0)
        return number * CHUNK_EVENTS + side(self._chunk(number), value, key=key)

    def _chunk(self, number: int) -> list[Kept]:
        if number == len(self._full):
            return self.fresh
        return self._decode(isal_zlib.decompress(self._full[number]))

    def _first(self, key: Callable[[Kept], int], number: int) -> int:
        return key(self._chunk(number)[0])
