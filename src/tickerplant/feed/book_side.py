"""The levels of a local order book: each side in order, as the exchange sent them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from msgspec.json import Decoder

from tickerplant.instrument import RATE_DECIMALS, decimal_units
from tickerplant.messages.book import DepthSnapshot
from tickerplant.raw_events import RawLevel

MAX_UNSORTED = 4096
"""Levels that may come and go on a side before it is sorted even if nobody reads its order."""

_ABOVE_ZEROS = "0.000000001"
"""A text that sorts behind every 0, and before every quantity of up to eight decimals."""

_ZEROS = frozenset(["0", *(f"{0:.{decimals}f}" for decimals in range(1, RATE_DECIMALS + 1))])
"""The usual texts of 0, which need no closer look."""

_UNBOUNDED = -(1 << 100)
"""The `worst_known` of a side of which all levels are known."""

_decode = Decoder(DepthSnapshot).decode


def read_snapshot(snapshot: DepthSnapshot | bytes | str, symbol: str) -> DepthSnapshot:
    """Return a snapshot of the book of `symbol`, decoded if it is not yet."""
    read = snapshot if isinstance(snapshot, DepthSnapshot) else _decode(snapshot)
    if read.symbol not in ("", symbol):
        raise ValueError(f"a snapshot of {read.symbol}, expected {symbol}")
    return read


class PriceKeys(dict[str, int]):
    """Prices as text to integers of 10^-8, greater for the better; a cache of `max_size` prices."""

    def __init__(self, sign: int, max_size: int) -> None:
        super().__init__()
        self.sign = sign
        self.max_size = max_size

    def __missing__(self, text: str) -> int:
        """Raise `ValueError` if `text` is not a plain decimal of up to eight decimals."""
        if len(self) >= self.max_size:
            self.clear()
        decimals = len(text) - text.find(".") - 1
        if 0 < decimals < RATE_DECIMALS and "." in text:  # with eight decimals it is faster
            units = decimal_units(text + "0" * (RATE_DECIMALS - decimals), RATE_DECIMALS)
        else:
            units = decimal_units(text, RATE_DECIMALS)
        key = self[text] = self.sign * units
        return key


class BookSide:
    """One side: its levels by key, sorted only when more than the best is read."""

    __slots__ = ("_changed", "_order", "bound", "keys", "levels", "worst_known")

    def __init__(self, keys: PriceKeys) -> None:
        self.keys = keys
        self.levels: dict[int, RawLevel] = {}
        self.worst_known = _UNBOUNDED
        """The key of the worst level that is known; levels beyond it may exist."""
        self.bound = _UNBOUNDED
        """An upper bound of all keys; the key of the best level, unless that was removed."""
        self._order: list[int] = []
        self._changed: list[int] = []
        """Keys that came or went since the order was last sorted."""

    def load(self, levels: list[RawLevel], limit: int) -> None:
        """Replace all levels by those of a snapshot of up to `limit` levels."""
        self.levels, self._order, self._changed = {}, [], []
        self.worst_known = self.bound = _UNBOUNDED
        self.apply(levels)
        if len(levels) >= limit and self.levels:
            self.worst_known = min(self.levels)

    def apply(self, levels: Iterable[RawLevel]) -> None:
        """Set absolute quantities; 0 removes a level.  Levels beyond the worst known are ignored."""
        keys, mine, changed, worst = self.keys, self.levels, self._changed, self.worst_known
        bound = self.bound
        for level in levels:
            price, quantity = level
            key = keys[price]
            if quantity < _ABOVE_ZEROS and (quantity in _ZEROS or _is_zero(quantity)):
                if key in mine:
                    del mine[key]
                    changed.append(key)
            elif key in mine:
                mine[key] = level
            elif key >= worst:
                mine[key] = level
                changed.append(key)
                if key > bound:  # noqa: PLR1730 - `max` takes three times as long
                    bound = key
        self.bound = bound
        if len(changed) > MAX_UNSORTED:
            self._sort()

    def _sort(self) -> None:
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
        self.bound = self._order[-1] if self._order else _UNBOUNDED

    @property
    def order(self) -> list[int]:
        """The keys, best last; must not be changed."""
        if self._changed:
            self._sort()
        return self._order

    @property
    def best(self) -> RawLevel | None:
        """The best level; None if there is none."""
        level = self.levels.get(self.bound)
        if level is None and self.levels:
            self._sort()
            level = self.levels[self.bound]
        return level

    def copy(self) -> BookSide:
        """Return a side with the same levels."""
        copied = BookSide(self.keys)
        copied.levels, copied._changed = self.levels.copy(), list(self.levels)
        copied.worst_known, copied.bound = self.worst_known, self.bound
        return copied

    def prune(self, kept: int) -> None:
        """Drop all but the best `kept` levels."""
        worst = self.order[:-kept]
        for key in worst:
            del self.levels[key]
        del self._order[: len(worst)]
        self.worst_known = self._order[0]

    def top(self, count: int) -> list[RawLevel]:
        """Return up to `count` levels, best first."""
        levels = self.levels
        return [levels[key] for key in self.order[: -count - 1 : -1]] if count > 0 else []

    @property
    def worst_known_price(self) -> str | None:
        """The price up to which levels are known; None if all of them are."""
        if self.worst_known == _UNBOUNDED:
            return None
        level = self.levels.get(self.worst_known)
        return level[0] if level else _price_text(abs(self.worst_known))

    def has_fewer_than(self, count: int) -> bool:
        """Whether fewer than `count` levels are known although there may be more."""
        return len(self.levels) < count and self.worst_known != _UNBOUNDED


def _is_zero(quantity: str) -> bool:
    """Whether a text that sorts before `_ABOVE_ZEROS` is 0; raises `ValueError` if it is no quantity."""
    digits = quantity.strip("0.")
    if not quantity or (digits and not digits.replace(".", "", 1).isdecimal()):
        raise ValueError(f"{quantity!r} is not a quantity")
    return not digits


def _price_text(units: int) -> str:
    whole, part = divmod(units, 10**RATE_DECIMALS)
    digits = f"{part:0{RATE_DECIMALS}}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


class Sides(NamedTuple):
    """Both sides of one book."""

    bids: BookSide
    asks: BookSide

    @property
    def are_crossed(self) -> bool:
        """Whether the best bid is not below the best ask."""
        bids, asks = self
        if bids.bound + asks.bound < 0:
            return False
        return bool(bids.levels and asks.levels) and bids.order[-1] + asks.order[-1] >= 0

    def rebuilt_from(self, snapshot: DepthSnapshot, limit: int) -> Sides:
        """Return new sides with the levels of a snapshot that was requested with `limit`."""
        sides = Sides(BookSide(self.bids.keys), BookSide(self.asks.keys))
        sides.bids.load(snapshot.bids, limit)
        sides.asks.load(snapshot.asks, limit)
        if sides.are_crossed:
            raise ValueError(sides.crossed_text)
        return sides

    @property
    def crossed_text(self) -> str:
        """The best bid and ask of a crossed book, for people."""
        bid, ask = self.bids.best, self.asks.best
        return f"crossed: bid {bid and bid[0]} and ask {ask and ask[0]}"
