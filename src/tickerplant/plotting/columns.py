"""A span of time in columns, and what is kept of quotes, trades and books in each.

What is kept is bounded by the number of columns, whatever the number of messages.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from math import inf, isfinite

from msgspec import Struct

MAX_LEVELS = 1_000
"""Levels of each side of a book that are kept in a column."""
RECENT_IDS = 10_000
"""Ids of trades among which a copy is recognised."""


class Columns(Struct, frozen=True):
    """A span of time in columns of equal width."""

    start_ns: int
    end_ns: int
    count: int

    @property
    def edges_ns(self) -> list[int]:
        """Where columns begin, and where the last one ends."""
        length_ns = self.end_ns - self.start_ns
        return [self.start_ns + length_ns * at // self.count for at in range(self.count + 1)]

    @property
    def width_ns(self) -> float:
        """How long a column is."""
        return (self.end_ns - self.start_ns) / self.count

    def at(self, time_ns: int) -> int:
        """Return the column of a time; the first or last one for a time outside."""
        at = (time_ns - self.start_ns) * self.count // (self.end_ns - self.start_ns)
        return min(max(at, 0), self.count - 1)

    def touched(self, spans: Iterable[tuple[int, int]]) -> list[bool]:
        """Return of each column whether one of some times, from and to, is in it in part."""
        found = [False] * self.count
        for from_ns, to_ns in spans:
            if to_ns >= self.start_ns and from_ns < self.end_ns:
                for at in range(self.at(from_ns), self.at(to_ns) + 1):
                    found[at] = True
        return found

    def covered(self, spans: Iterable[tuple[int, int]]) -> list[bool]:
        """Return of each column whether one of some times, from and to, is all of it."""
        found, edges = [False] * self.count, self.edges_ns
        for from_ns, to_ns in spans:
            if to_ns >= self.start_ns and from_ns < self.end_ns:
                for at in range(self.at(from_ns), self.at(to_ns) + 1):
                    if from_ns <= edges[at] and edges[at + 1] <= to_ns:
                        found[at] = True
        return found

    def spans_of(self, marks: Sequence[bool]) -> list[tuple[int, int]]:
        """Return the times, from and to, of the runs of marked columns."""
        edges, spans, at = self.edges_ns, [], 0
        for is_marked, run in groupby(marks):
            end = at + len(list(run))
            if is_marked:
                spans.append((edges[at], edges[end]))
            at = end
        return spans


class Range(Struct):
    """The lowest, highest and last value in each column; None where there was none."""

    low: list[float | None]
    high: list[float | None]
    last: list[float | None]

    @classmethod
    def empty(cls, count: int) -> Range:
        """Return one without values."""
        return cls([None] * count, [None] * count, [None] * count)

    def add(self, at: int, value: float) -> None:
        """Take a value of a column."""
        low, high = self.low[at], self.high[at]
        if low is None or value < low:
            self.low[at] = value
        if high is None or value > high:
            self.high[at] = value
        self.last[at] = value

    def carried(self, unknown: Sequence[bool], broken: Sequence[bool]) -> Range:
        """Return the values, also of columns in which nothing changed.

        Args:
            unknown: Of each column, whether a change in it might have been missed.
            broken: Of each column, whether the value was unknown at its end.
        """
        carried = Range(self.low[:], self.high[:], self.last[:])
        value: float | None = None
        for at, last in enumerate(self.last):
            if last is not None:
                value = last
            elif unknown[at] or broken[at]:
                value = None
            else:
                carried.low[at] = carried.high[at] = carried.last[at] = value
            if broken[at]:
                value = None
        return carried


class Quotes(Struct):
    """The best prices of one source in each column."""

    mid: Range
    spread: Range
    broken: list[bool]
    """Of each column, whether they were unknown at its end."""
    streams: set[str] = set()
    """The streams that they are from."""

    @classmethod
    def empty(cls, count: int) -> Quotes:
        """Return one without prices."""
        return cls(Range.empty(count), Range.empty(count), [False] * count)

    def add(self, at: int, bid: float, ask: float) -> None:
        """Take the best prices."""
        if isfinite(bid) and isfinite(ask) and bid > 0:
            self.mid.add(at, (bid + ask) / 2)
            self.spread.add(at, ask - bid)
            self.broken[at] = False

    def break_off(self, at: int) -> None:
        """Note that the best prices are unknown from now on, or that there are none."""
        self.broken[at] = True


class Trades(Struct):
    """The trades of one stream in each column; bought and sold are the taker's side."""

    price: Range
    bought: list[float]
    """Quantity."""
    sold: list[float]
    bought_value: list[float]
    """Quantity times price."""
    sold_value: list[float]
    count: int = 0
    copies: int = 0
    """Trades with the id of a recent one, which are not counted."""
    odd: int = 0
    """Trades without a price or quantity, which are not counted."""
    streams: set[str] = set()
    recent: dict[int, None] = {}

    @classmethod
    def empty(cls, count: int) -> Trades:
        """Return one without trades."""
        zeros = [0.0] * count
        return cls(Range.empty(count), zeros[:], zeros[:], zeros[:], zeros[:])

    def add(self, at: int, trade_id: int, price: float, quantity: float, *, is_buy: bool) -> None:
        """Take a trade."""
        if not (isfinite(price) and isfinite(quantity) and price > 0):
            self.odd += 1  # the exchange sends such for transfers of its insurance fund
            return
        recent = self.recent
        if trade_id in recent:
            self.copies += 1
            return
        recent[trade_id] = None
        if len(recent) > RECENT_IDS:
            del recent[next(iter(recent))]
        self.count += 1
        self.price.add(at, price)
        (self.bought if is_buy else self.sold)[at] += quantity
        (self.bought_value if is_buy else self.sold_value)[at] += quantity * price

    def average_prices(self, *, is_buy: bool) -> list[float | None]:
        """Return the average price of one side in each column, weighted by quantity."""
        quantities = self.bought if is_buy else self.sold
        values = self.bought_value if is_buy else self.sold_value
        return [
            value / quantity if quantity else None
            for value, quantity in zip(values, quantities, strict=True)
        ]


class BookSample(Struct, frozen=True):
    """A book at one time: at most `MAX_LEVELS` levels a side, best first."""

    bids: array[float]
    """Price and quantity in turns."""
    asks: array[float]
    lowest_bid: float
    """The price down to which bids are known; 0 if all are."""
    highest_ask: float
    """The price up to which asks are known; infinite if all are."""

    @classmethod
    def of(
        cls,
        bids: Iterable[tuple[float, float]],
        asks: Iterable[tuple[float, float]],
        lowest_bid: float = 0.0,
        highest_ask: float = inf,
    ) -> BookSample:
        """Return the sample of a book with such levels, price and quantity each."""
        flat_bids = array("d", chain.from_iterable(bids))
        return cls(flat_bids, array("d", chain.from_iterable(asks)), lowest_bid, highest_ask)
