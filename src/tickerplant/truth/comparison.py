"""Compares somebody's order book with the exchange's, and says in words where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.feed.order_book import OrderBook
from tickerplant.formatting import count_text
from tickerplant.truth.truth_book import TruthBook

SideName: TypeAlias = Literal["bid", "ask"]
WHOLE_LEVELS = 20
"""A book with at most so many levels on a side is taken for the top of one, without holes."""
SHOWN = 5
"""Differing levels that are shown in the text, unless told otherwise."""
ID_NAMES = ("update_id", "last_update_id", "lastUpdateId", "u", "last_id", "nonce")
"""What the update id of a book is called, in attributes and keys."""
SIDE_NAMES: Mapping[SideName, tuple[str, str]] = {"bid": ("bids", "b"), "ask": ("asks", "a")}
"""What a side of a book is called, in attributes and keys."""
WHOLE_SIDE = 1 << 40
"""More levels than a side of a book has."""
EXPECTED_BOOK = (
    "an object or a mapping with bids and asks, or a pair of them, each a mapping of price to "
    "quantity or rows of price and quantity"
)


class LevelDifference(Struct, frozen=True):
    """A price at which two books differ."""

    side: SideName
    price: Decimal
    theirs: Decimal | None
    """Their quantity; None if they have no such level."""
    truth: Decimal | None
    """The exchange's quantity; None if it has no such level."""

    def __str__(self) -> str:
        """Return it in words."""
        where = f"{self.side} {self.price:f}"
        if self.theirs is None:
            return f"{where}: missing, the exchange has {self.truth:f}"
        if self.truth is None:
            return f"{where}: {self.theirs:f}, the exchange has no such level"
        return f"{where}: {self.theirs:f}, the exchange has {self.truth:f}"


class BookDifferences(Struct, frozen=True, kw_only=True):
    """Where somebody's book differs from the exchange's.  False if it does not."""

    symbol: str
    their_id: int | None
    """Their update id; None if they do not say."""
    asked_id: int
    """The update id at which the exchange's book was taken."""
    truth_id: int
    """The id of the last change in the exchange's book."""
    levels: list[LevelDifference]
    """The levels that differ: bids, then asks, each side best first."""
    bid_count: int
    """How many bids differ."""
    ask_count: int
    """How many asks differ."""
    crossed: tuple[Decimal, Decimal] | None
    """Their best bid and ask if the bid is not below the ask."""
    compared: int
    """How many levels were compared."""

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.levels or self.crossed or self.has_other_id)

    @property
    def has_other_id(self) -> bool:
        """Whether their update id is of another state than the exchange's book."""
        return self.their_id is not None and not self.truth_id <= self.their_id <= self.asked_id

    def text(self, shown: int = SHOWN) -> str:
        """Return them in words, the first `shown` levels of each side; empty if there are none."""
        if not self:
            return ""
        lines = []
        if self.has_other_id and self.their_id is not None:
            behind = self.truth_id - self.their_id
            way = "ahead of" if behind < 0 else "behind"
            lines.append(
                f"its update id {self.their_id} is {abs(behind)} {way} the exchange's, "
                f"{self.truth_id}"
            )
        if self.crossed is not None:
            bid, ask = self.crossed
            lines.append(f"it is crossed: its best bid {bid:f} is not below its best ask {ask:f}")
        for side, count in (("bid", self.bid_count), ("ask", self.ask_count)):
            of_side = (each for each in self.levels if each.side == side)
            lines += [str(each) for each in islice(of_side, shown)]
            if count > shown:
                lines.append(f"… and {count - shown} more {side}s")
        number = count_text(self.bid_count + self.ask_count, "level")
        at = f"at update id {self.truth_id}"
        head = f"the book of {self.symbol} differs from the exchange's {at} in {number}"
        return f"{head} of {self.compared}:" + "".join(f"\n  {line}" for line in lines)


class _Side(Struct, frozen=True):
    """One side of a book."""

    name: SideName
    levels: dict[Decimal, Decimal]
    last_known: Decimal | None = None
    """The price beyond which its levels are unknown; None if all are known."""

    def reaches(self, price: Decimal) -> bool:
        """Return whether it has a level at a price if there is one."""
        last = self.last_known
        return last is None or (price >= last if self.name == "bid" else price <= last)

    def nearer_half(self) -> _Side:
        """Return it as known only so far as a book is that began with a snapshot of its best levels.

        Changes of levels behind that snapshot have come since, so that its last levels have holes
        between them.
        """
        prices = self.prices
        if not prices:
            return self
        certain = len(prices) if len(prices) <= WHOLE_LEVELS else len(prices) // 2
        return _Side(self.name, self.levels, prices[certain - 1])

    @property
    def prices(self) -> list[Decimal]:
        """Its prices, best first."""
        return sorted(self.levels, reverse=self.name == "bid")


def compare_book(theirs: Any, truth: TruthBook, *, depth: int | None = None) -> BookDifferences:
    """Return where `theirs` differs from the exchange's book.

    Args:
        theirs: A book: an `OrderBook`, an object or a mapping with `bids` and `asks` or `b` and `a`,
            or a pair of sides.  A side is a mapping of price to quantity or rows that begin with
            price and quantity, as texts or numbers of any kind.  Levels with quantity 0 count as
            missing.  An update id, called `update_id`, `lastUpdateId`, `u` or the like, is compared
            too.
        truth: The exchange's book.
        depth: Compare only so many of the best levels of each side of the exchange's book, and of
            theirs.  If missing, all of theirs are compared, and of the exchange's all that an
            `OrderBook` says to know; of another book those in its nearer half, because it began with
            a snapshot that did not reach to the end.

    Raises:
        ConfigError: `theirs` is not a book, or `depth` is not positive.
    """
    if depth is not None and depth < 1:
        raise ConfigError("depth", depth, "at least 1")
    bids, asks = _side("bid", theirs), _side("ask", theirs)
    if depth is None and not isinstance(theirs, OrderBook):
        bids, asks = bids.nearer_half(), asks.nearer_half()
    true_bids, true_asks = _side("bid", truth), _side("ask", truth)
    bid_levels = list(_differences(bids, true_bids, depth))
    ask_levels = list(_differences(asks, true_asks, depth))
    best_bid, best_ask = bids.prices[:1], asks.prices[:1]
    return BookDifferences(
        symbol=truth.symbol,
        their_id=id_of(theirs),
        asked_id=truth.asked_id,
        truth_id=truth.last_update_id,
        levels=bid_levels + ask_levels,
        bid_count=len(bid_levels),
        ask_count=len(ask_levels),
        crossed=(
            (best_bid[0], best_ask[0])
            if best_bid and best_ask and best_bid[0] >= best_ask[0]
            else None
        ),
        compared=_compared(bids, true_bids, depth) + _compared(asks, true_asks, depth),
    )


def _compared(theirs: _Side, truth: _Side, depth: int | None) -> int:
    """Return how many levels of the exchange's are compared."""
    prices = truth.prices[:depth]
    return sum(1 for each in prices if each in theirs.levels or theirs.reaches(each))


def _differences(theirs: _Side, truth: _Side, depth: int | None) -> Iterable[LevelDifference]:
    compared = {*theirs.prices[:depth], *truth.prices[:depth]}
    for price in sorted(compared, reverse=truth.name == "bid"):
        mine, right = theirs.levels.get(price), truth.levels.get(price)
        if mine != right and (mine is not None or theirs.reaches(price)):
            yield LevelDifference(truth.name, price, mine, right)


def _side(name: SideName, book: Any) -> _Side:
    """Return one side of a book."""
    if isinstance(book, OrderBook):
        is_bid, copy = name == "bid", book.copy()
        given: Any = copy.bids(WHOLE_SIDE) if is_bid else copy.asks(WHOLE_SIDE)
        last = copy.lowest_known_bid if is_bid else copy.highest_known_ask
    else:
        given, last = _part(book, name), None
        given = given() if callable(given) else given
    rows = given.items() if isinstance(given, Mapping) else given
    levels: dict[Decimal, Decimal] = {}
    try:
        for row in rows:
            price, quantity = row[:2]
            levels[_number(price)] = _number(quantity)
    except (TypeError, ValueError, InvalidOperation):
        raise ConfigError(f"{name}s", _shown(given), EXPECTED_BOOK) from None
    last_known = None if last is None else Decimal(last)
    return _Side(name, {price: size for price, size in levels.items() if size}, last_known)


def _part(book: Any, side: SideName) -> Any:
    if type(book) is tuple and len(book) == len(SIDE_NAMES):
        return book[side == "ask"]
    for name in SIDE_NAMES[side]:
        if isinstance(book, Mapping) and name in book:
            return book[name]
        if hasattr(book, name):
            return getattr(book, name)
    raise ConfigError("book", _shown(book), EXPECTED_BOOK)


def _number(given: object) -> Decimal:
    """Return a number exactly as it is written: 0.1 is a tenth, also as a `float`."""
    number = given if isinstance(given, Decimal) else Decimal(str(given))
    if not number.is_finite():
        raise ValueError(given)
    return number


def id_of(book: Any) -> int | None:
    """Return the update id of a book; None if it does not tell."""
    found = (
        book.get(name) if isinstance(book, Mapping) else getattr(book, name, None)
        for name in ID_NAMES
    )
    return next((each for each in found if isinstance(each, int) and each), None)


def _shown(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:59]}…"
