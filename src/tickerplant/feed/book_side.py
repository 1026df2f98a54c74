"""The levels of a local order book: each side in order, as the exchange printed them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from tickerplant.instrument import RATE_DECIMALS, decimal_units
from tickerplant.messages.book import DepthSnapshot
from tickerplant.raw_events import RawLevel

UNSETTLED = 4096
"""Levels that may come and go on a side before they are put in order without being asked."""

_EVERYTHING = -(1 << 100)
"""The reach of a side that is known to its end."""


class PriceKeys(dict[str, int]):
    """Printed prices to integers of 10^-8, greater for the better; remembers so many."""

    def __init__(self, sign: int, remembered: int) -> None:
        super().__init__()
        self.sign = sign
        self.remembered = remembered

    def __missing__(self, text: str) -> int:
        """Raises `ValueError` for what is no plain decimal, or has more than eight decimals."""
        if len(self) >= self.remembered:
            self.clear()
        decimals = len(text) - text.find(".") - 1
        if 0 < decimals < RATE_DECIMALS and "." in text:  # so that the quick way is taken
            units = decimal_units(text + "0" * (RATE_DECIMALS - decimals), RATE_DECIMALS)
        else:
            units = decimal_units(text, RATE_DECIMALS)
        key = self[text] = self.sign * units
        return key


class BookSide:
    """One side: printed levels by key, put in order when somebody asks for more than the best."""

    __slots__ = ("_changed", "_order", "bound", "keys", "levels", "reach")

    def __init__(self, keys: PriceKeys) -> None:
        self.keys = keys
        self.levels: dict[int, RawLevel] = {}
        self.reach = _EVERYTHING
        """The key of the worst level that is known; nothing is known beyond it."""
        self.bound = _EVERYTHING
        """No level is better than this; it is the best one if it is a level at all."""
        self._order: list[int] = []
        self._changed: list[int] = []
        """Keys that came or went since the order was right."""

    def load(self, levels: list[RawLevel], limit: int) -> None:
        """Replace everything by the levels of a snapshot of up to `limit` levels.

        Raises:
            ValueError: a number cannot be read.
        """
        self.levels, self._order, self._changed = {}, [], []
        self.reach = self.bound = _EVERYTHING
        self.apply(levels)
        if len(levels) >= limit and self.levels:
            self.reach = min(self.levels)

    def apply(self, levels: Iterable[RawLevel]) -> None:
        """Take over absolute quantities; 0 removes, and what lies beyond the reach is left out.

        Raises:
            ValueError: a number cannot be read; the levels before it were taken over.
        """
        keys, mine, changed, reach = self.keys, self.levels, self._changed, self.reach
        bound = self.bound
        for level in levels:
            key = keys[level[0]]
            if key < reach:
                continue
            if level[1] < "1" and _is_zero(level[1]):
                if key in mine:
                    del mine[key]
                    changed.append(key)
                continue
            if key not in mine:
                changed.append(key)
                if key > bound:  # noqa: PLR1730 - `max` takes three times as long
                    bound = key
            mine[key] = level
        self.bound = bound
        if len(changed) > UNSETTLED:
            self._settle()

    def _settle(self) -> None:
        """Bring what changed into the order."""
        mine, order, changed = self.levels, self._order, self._changed
        if len(changed) * 4 > len(order):
            self._order = sorted(mine)
        else:
            for key in changed:
                at = bisect_left(order, key)
                ordered = at < len(order) and order[at] == key
                if key in mine:
                    if not ordered:
                        order.insert(at, key)
                elif ordered:
                    del order[at]
        changed.clear()
        self.bound = self._order[-1] if self._order else _EVERYTHING

    @property
    def order(self) -> list[int]:
        """The keys, the best last; not to be changed."""
        if self._changed:
            self._settle()
        return self._order

    @property
    def best(self) -> RawLevel | None:
        """The best level, None if there is none."""
        level = self.levels.get(self.bound)
        if level is None and self.levels:
            self._settle()
            level = self.levels[self.bound]
        return level

    def before(self, levels: Iterable[RawLevel]) -> dict[int, RawLevel | None]:
        """Return what stands where `levels` will be applied.

        Raises:
            ValueError: a price cannot be read.
        """
        keys, mine = self.keys, self.levels
        return {key: mine.get(key) for key in (keys[price] for price, _ in levels)}

    def prune(self, kept: int) -> int:
        """Forget all but the best `kept` levels, and return how many that were."""
        worst = self.order[:-kept]
        for key in worst:
            del self.levels[key]
        del self._order[: len(worst)]
        self.reach = self._order[0]
        return len(worst)

    def top(self, count: int) -> list[RawLevel]:
        """Return up to `count` levels, best first."""
        levels = self.levels
        return [levels[key] for key in self.order[: -count - 1 : -1]] if count > 0 else []

    @property
    def reach_text(self) -> str | None:
        """The price beyond which nothing is known, None if everything is known."""
        if self.reach == _EVERYTHING:
            return None
        level = self.levels.get(self.reach)
        return level[0] if level else _plain(abs(self.reach))

    def fewer_than(self, count: int) -> bool:
        """Whether fewer than `count` levels are known, and there may be more."""
        return len(self.levels) < count and self.reach != _EVERYTHING


def _is_zero(quantity: str) -> bool:
    """Whether a text that sorts before 1 is 0; raises `ValueError` if it is no quantity at all."""
    digits = quantity.strip("0.")
    if not quantity or (digits and not digits.replace(".", "", 1).isdecimal()):
        raise ValueError(f"{quantity!r} is not a quantity")
    return not digits


def _plain(units: int) -> str:
    whole, part = divmod(units, 10**RATE_DECIMALS)
    digits = f"{part:0{RATE_DECIMALS}}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


class Sides(NamedTuple):
    """Both sides of one book."""

    bids: BookSide
    asks: BookSide

    @property
    def crossed(self) -> bool:
        """Whether the best bid is not below the best ask."""
        bids, asks = self
        if bids.bound + asks.bound < 0:
            return False
        return bool(bids.levels and asks.levels) and bids.order[-1] + asks.order[-1] >= 0

    def beside(self, snapshot: DepthSnapshot, limit: int) -> Sides:
        """Return the book of `snapshot`, which was asked for with `limit`.

        Raises:
            ValueError: a number cannot be read, or it is crossed.
        """
        sides = Sides(BookSide(self.bids.keys), BookSide(self.asks.keys))
        sides.bids.load(snapshot.bids, limit)
        sides.asks.load(snapshot.asks, limit)
        if sides.crossed:
            raise ValueError(sides.crossing)
        return sides

    @property
    def crossing(self) -> str:
        """How it is crossed, for people."""
        bid, ask = self.bids.best, self.asks.best
        return f"crossed: bid {bid and bid[0]} and ask {ask and ask[0]}"
