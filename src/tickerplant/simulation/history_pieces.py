"""Pieces of the past: what a seed draws at any place, and a bounded store of what was drawn.

Bars of the past have five levels: a day has 12 bars of two hours, these have 8 quarters of an hour
each, a quarter has three bars of five minutes, and these have five minutes. The bars of a level are
drawn from those of the level above and from random numbers of their own positions in time; nothing
has a state. So any piece can be drawn alone, in any order, and again after it was dropped: it is
the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from hashlib import blake2b
from random import Random
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

LEVELS_MS = (DAY_MS, 2 * HOUR_MS, 15 * MINUTE_MS, 5 * MINUTE_MS, MINUTE_MS)
"""Length of the bars of each level, longest first."""
DAYS, MINUTES = 0, len(LEVELS_MS) - 1
"""The levels of days and of minutes."""
PIECE = 8
"""Neighbouring parents whose children are drawn and kept together."""
MAX_PIECES_BYTES = 14_000_000
"""Size of the pieces that are kept, of all contracts and underlyings."""


# Random numbers


def draws(key: str, first: int, rows: int, columns: int = 8) -> Floats:
    """Return uniform numbers in (0, 1): rows from `first` on of an endless table.

    Args:
        key: The name of the table.
        first: The number of the first row.
        rows: The number of rows.
        columns: A multiple of four, the same for all calls with this key.
    """
    number = int.from_bytes(blake2b(key.encode(), digest_size=16).digest(), "little")
    generator = np.random.Philox(key=number, counter=first * columns // 4 % (1 << 256))
    words = np.asarray(generator.random_raw(rows * columns), np.uint64)
    numbers: Floats = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return numbers.reshape(rows, columns)


def generator_named(name: str) -> np.random.Generator:
    """Return a generator with a state, for numbers that are drawn all at once."""
    return np.random.default_rng(Random(name).getrandbits(64))


def normals(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Return two standard normal numbers for each two uniform ones."""
    radius, angle = np.sqrt(-2 * np.log(one)), 2 * np.pi * other
    return radius * np.cos(angle), radius * np.sin(angle)


# Splits of numbers


def spread_out(totals: Ints, weights: Floats) -> Ints:
    """Return whole parts of `totals` by `weights`, one row each: every row has exactly its total."""
    cumulated = np.cumsum(weights, axis=1)
    whole = np.maximum(cumulated[:, -1:], 1e-300)  # without any weight, the last part is all
    ends = np.floor(cumulated / whole * totals[:, None] + 0.5).astype(np.int64)
    ends[:, -1] = totals
    return np.diff(ends, axis=1, prepend=0)


def tilted(weights: Floats, values: Floats, averages: Floats) -> Floats:
    """Return `weights` tilted until the average of `values` in each row is near `averages`."""
    total = weights.sum(axis=1, keepdims=True) + 1e-300
    mean = (weights * values).sum(axis=1, keepdims=True) / total
    distance = values - mean
    deviation = np.sqrt((weights * distance * distance).sum(axis=1, keepdims=True) / total) + 1e-9
    distance, goal = distance / deviation, (averages[:, None] - mean) / deviation
    tilt = np.clip(goal, -2.0, 2.0)
    for _ in range(4):
        tried = weights * np.exp(np.clip(tilt * distance, -4, 4))
        total = tried.sum(axis=1, keepdims=True) + 1e-300
        first = (tried * distance).sum(axis=1, keepdims=True) / total
        second = (tried * distance * distance).sum(axis=1, keepdims=True) / total - first * first
        tilt = np.clip(tilt + np.clip((goal - first) / (second + 0.02), -1, 1), -5, 5)
    found: Floats = weights * np.exp(np.clip(tilt * distance, -4, 4))
    return found


# The store


class Pieces:
    """Rows that can be drawn again; the least recently used pieces are dropped first."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        """Size of the rows that are kept now."""
        self._kept: OrderedDict[tuple[Hashable, int], NDArray[Any]] = OrderedDict()

    def whole(self, key: Hashable, draw: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return the one piece of `key`, drawn by `draw` unless it is kept."""
        rows = self._kept.get((key, -1))
        if rows is None:
            rows = draw()
        self._keep({(key, -1): rows})
        return rows

    def children(
        self,
        key: Hashable,
        first: int,
        stop: int,
        parents: range,
        count: int,
        draw: Callable[[int, int], NDArray[Any]],
    ) -> NDArray[Any]:
        """Return the rows `first` to `stop` of a level.

        Args:
            key: The name of the level.
            first: The number of the first row.
            stop: The number after the last row.
            parents: The numbers of all rows of the level above.
            count: The children of each of them.
            draw: Returns the children of the parents of two numbers, the latter excluded.
        """
        wanted = range(first // count // PIECE, -(-stop // (count * PIECE)))
        found = {(key, n): self._kept[key, n] for n in wanted if (key, n) in self._kept}
        missing = [n for n in wanted if (key, n) not in found]
        if missing:  # neighbours are drawn in one go
            low = max(missing[0] * PIECE, parents.start)
            high = min((missing[-1] + 1) * PIECE, parents.stop)
            rows = draw(low, high)
            for n in missing:
                begin, end = max(n * PIECE, low) - low, min((n + 1) * PIECE, high) - low
                found[key, n] = rows[begin * count : end * count].copy()  # not a view of all rows
        self._keep(found)
        origin = max(wanted.start * PIECE, parents.start) * count
        rows = np.concatenate([found[key, n] for n in wanted])
        return rows[first - origin : stop - origin]

    def clear(self) -> None:
        """Drop everything."""
        self._kept.clear()
        self.bytes = 0

    def _keep(self, pieces: dict[tuple[Hashable, int], NDArray[Any]]) -> None:
        for key, rows in pieces.items():
            before = self._kept.pop(key, None)
            self.bytes += rows.nbytes - (0 if before is None else before.nbytes)
            self._kept[key] = rows
        while self.bytes > self.max_bytes:
            self.bytes -= self._kept.popitem(last=False)[1].nbytes


PIECES = Pieces(MAX_PIECES_BYTES)
"""The pieces of all contracts and underlyings."""


# Levels


class Series(ABC):
    """Bars of one kind at every level, and the minutes of the last day.

    Whole days are split level by level. The parts of a day before the first whole one and after the
    last are each split into minutes at once, so no bar is cut.

    Args:
        key: What the bars follow from.
        begins_ms: When the first minute opens.
        known: The time of the last minutes, which are not split from others.
    """

    days_at_once = True
    """Whether `draw_days` draws all days or none."""

    def __init__(self, key: Hashable, begins_ms: int, known: range) -> None:
        self.key = (type(self), key)
        self.known = known
        self.ends_ms = known.stop
        self.begins_ms = min(begins_ms, self.ends_ms)
        drawn_ms = min(begins_ms, known.start)
        first_day = -(-drawn_ms // DAY_MS)
        self.days = range(first_day, max(known.start // DAY_MS, first_day))
        """The numbers of the whole days since the epoch."""
        self.whole_days = range(self.days.start * DAY_MS, self.days.stop * DAY_MS)
        head = range(drawn_ms, min(self.whole_days.start, known.start))
        rest = range(max(self.whole_days.stop, drawn_ms), known.start)
        self.spans = [each for each in (head, self.whole_days, rest, known) if each]

    @abstractmethod
    def draw_minutes(self) -> NDArray[Any]:
        """Return the known minutes."""

    @abstractmethod
    def draw_days(self, first: int, stop: int) -> NDArray[Any]:
        """Return some of the whole days."""

    @abstractmethod
    def draw_part(self, span: range) -> NDArray[Any]:
        """Return one row for a part of a day."""

    @abstractmethod
    def split(
        self, parents: NDArray[Any], from_ms: int, length_ms: int, count: int
    ) -> NDArray[Any]:
        """Return `count` children of `length_ms` for each of `parents`; the first opens at `from_ms`."""

    def rows(self, level: int, first: int, stop: int) -> NDArray[Any]:
        """Return the rows `first` to `stop` of the whole days at a level, counted since the epoch."""
        days, length_ms = self.days, LEVELS_MS[level]
        longer_ms = LEVELS_MS[max(level - 1, 0)]
        scale, count = DAY_MS // longer_ms, longer_ms // length_ms

        def draw(low: int, high: int) -> NDArray[Any]:
            if level == DAYS:
                return self.draw_days(low, high)
            return self.split(self.rows(level - 1, low, high), low * longer_ms, length_ms, count)

        if level == DAYS and self.days_at_once:
            rows = PIECES.whole((self.key, DAYS), lambda: draw(days.start, days.stop))
            return rows[first - days.start : stop - days.start]
        parents = range(days.start * scale, days.stop * scale)
        return PIECES.children((self.key, level), first, stop, parents, count, draw)

    def part(self, span: range) -> NDArray[Any]:
        """Return one row for a part of a day."""
        return PIECES.whole((self.key, span, DAYS), lambda: self.draw_part(span))

    def minutes_of(self, span: range) -> NDArray[Any]:
        """Return the minutes of a part of a day, or the known ones."""

        def draw() -> NDArray[Any]:
            if span == self.known:
                return self.draw_minutes()
            return self.split(self.part(span), span.start, MINUTE_MS, len(span) // MINUTE_MS)

        return PIECES.whole((self.key, span, MINUTES), draw)

    def after(self, span: range) -> Any:
        """Return the row that follows a span; None after the last one."""
        later = next((each for each in self.spans if each.start >= span.stop), None)
        if later is None:
            return None
        if later == self.whole_days:
            return self.rows(DAYS, self.days.start, self.days.start + 1)[0]
        return (self.minutes_of if later == self.known else self.part)(later)[0]

    def pieces(
        self, length_ms: int, from_ms: int, until_ms: int
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the rows that cover [`from_ms`, `until_ms`), and the length of each of them.

        They are the longest that bars of `length_ms` can be summed of, and shorter at the ends.
        """
        level = next(n for n, each_ms in enumerate(LEVELS_MS) if length_ms % each_ms == 0)
        for span in self.spans:
            low_ms, high_ms = max(from_ms, span.start), min(until_ms, span.stop)
            if low_ms >= high_ms:
                continue
            if span == self.whole_days:
                yield from self._cover(level, low_ms, high_ms)
            elif level == DAYS and span != self.known and range(low_ms, high_ms) == span:
                yield len(span), self.part(span)
            else:
                first, stop = (-(-(ms - span.start) // MINUTE_MS) for ms in (low_ms, high_ms))
                yield MINUTE_MS, self.minutes_of(span)[first:stop]

    def _cover(self, level: int, from_ms: int, until_ms: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Do what `pieces` does within the whole days."""
        length_ms = LEVELS_MS[level]
        first, stop = -(-from_ms // length_ms), until_ms // length_ms
        if first >= stop:
            yield from self._cover(level + 1, from_ms, until_ms)
            return
        if from_ms < first * length_ms:
            yield from self._cover(level + 1, from_ms, first * length_ms)
        yield length_ms, self.rows(level, first, stop)
        if stop * length_ms < until_ms:
            yield from self._cover(level + 1, stop * length_ms, until_ms)

    def between(self, length_ms: int, from_ms: int, until_ms: int) -> NDArray[Any]:
        """Return the rows of `pieces`, which must be some, in one array."""
        found = [rows for _, rows in self.pieces(length_ms, from_ms, until_ms)]
        return found[0] if len(found) == 1 else np.concatenate(found)
