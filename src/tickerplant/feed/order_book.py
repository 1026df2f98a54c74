"""The order book as its readers see it: levels, the numbers that follow from them, and its state.

An `OrderBook` is read-only.  It is the same for a book that follows a live or simulated market, one
that is read from another thread, one of a recording, and a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from math import inf
from sys import maxsize
from typing import Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, overload

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.raw_events import RawLevel
from tickerplant.suggestions import one_of, suggestion

Best: TypeAlias = tuple[RawLevel | None, RawLevel | None]
"""The best bid and the best ask, both of one state of a book."""
N_co = TypeVar("N_co", str, float, Decimal, covariant=True)

NUMBERS = ("text", "float", "decimal")
FIRST_VWAP_LEVELS = 16
"""Levels that `vwap` reads at first; each time that they do not suffice, it reads four times as many."""
MAX_NAMED = 3
"""Symbols that the error of a missing book names; of further ones it gives the number."""


class Level(NamedTuple, Generic[N_co]):
    """One level of a book: a price, and the quantity that is offered at it."""

    price: N_co
    quantity: N_co


class NoBookError(KeyError):
    """There is no book of a symbol; the message, made when it is shown, names those that there are."""

    def __init__(self, symbol: object, books: Collection[str]) -> None:
        super().__init__(symbol)
        self._symbol = symbol
        self._books = books

    def __str__(self) -> str:
        asked = self._symbol.upper() if isinstance(self._symbol, str) else repr(self._symbol)
        books = self._books
        if not books:
            return f"no book of {asked}; there are no books"
        more = len(books) - MAX_NAMED
        shown = ", ".join(islice(books, MAX_NAMED)) + (f" and {more} more" if more > 0 else "")
        return f"no book of {asked}; there are books of {shown}{suggestion(asked, books)}"


class BookState(StrEnum):
    """How far a book can be trusted."""

    SYNCING = "syncing"
    """Waiting for a snapshot.  Its levels, if any, are as of `update_id`."""
    LIVE = "live"
    """In sync: every update has been applied."""
    STALE = "stale"
    """Was live, but no updates are arriving.  Its levels are as of `update_id`."""


class BookValues(Protocol):
    """The values that an `OrderBook` shows, see there."""

    @property
    def symbol(self) -> str: ...  # noqa: D102
    @property
    def state(self) -> BookState: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def last_update_id(self) -> int: ...  # noqa: D102
    @property
    def updated_ms(self) -> int | None: ...  # noqa: D102
    @property
    def event_time_ms(self) -> int: ...  # noqa: D102
    @property
    def transaction_time_ms(self) -> int: ...  # noqa: D102
    @property
    def lowest_known_bid(self) -> str | None: ...  # noqa: D102
    @property
    def highest_known_ask(self) -> str | None: ...  # noqa: D102
    @property
    def best(self) -> Best: ...  # noqa: D102
    def bids(self, count: int) -> Sequence[RawLevel]: ...  # noqa: D102
    def asks(self, count: int) -> Sequence[RawLevel]: ...  # noqa: D102


class OrderBook:
    """The order book of one symbol, read-only.

    It changes as updates arrive; `copy()` does not.  Numbers are those of the known levels whatever
    the state is; while it is not live, they are as of `update_id`.
    """

    __slots__ = ("__weakref__", "_now_ms", "_values")

    def __init__(self, values: BookValues, now_ms: Callable[[], int]) -> None:
        self._values = values
        self._now_ms = now_ms

    @property
    def symbol(self) -> str:
        """The symbol, in capitals."""
        return self._values.symbol

    @property
    def state(self) -> BookState:
        """How far the book can be trusted: `live`, `syncing` or `stale`."""
        return self._values.state

    @property
    def reason(self) -> str:
        """Why the book is not live, for people; empty while it is."""
        return self._values.reason

    @property
    def update_id(self) -> int:
        """The id of the last update in it; 0 before the first snapshot."""
        return self._values.last_update_id

    @property
    def event_time_ms(self) -> int:
        """When the exchange sent the last update in it; 0 before the first snapshot."""
        return self._values.event_time_ms

    @property
    def transaction_time_ms(self) -> int:
        """When the book last changed at the exchange; 0 before the first snapshot."""
        return self._values.transaction_time_ms

    @property
    def age_ms(self) -> int | None:
        """How long ago its last update was received; None before the first snapshot."""
        updated_ms = self._values.updated_ms
        return None if updated_ms is None else max(self._now_ms() - updated_ms, 0)

    @property
    def lowest_known_bid(self) -> str | None:
        """The lowest price down to which bids are known; None if all of them are."""
        return self._values.lowest_known_bid

    @property
    def highest_known_ask(self) -> str | None:
        """The highest price up to which asks are known; None if all of them are."""
        return self._values.highest_known_ask

    def copy(self) -> BookSnapshot:
        """Return the book with all its known levels as it is now."""
        values = self._values
        return BookSnapshot(
            values.symbol,
            values.bids(maxsize),
            values.asks(maxsize),
            state=values.state,
            reason=values.reason,
            update_id=values.last_update_id,
            event_time_ms=values.event_time_ms,
            transaction_time_ms=values.transaction_time_ms,
            age_ms=self.age_ms,
            lowest_known_bid=values.lowest_known_bid,
            highest_known_ask=values.highest_known_ask,
        )

    @property
    def is_live(self) -> bool:
        """Whether the book is in sync: every update has been applied."""
        return self.state is BookState.LIVE

    @property
    def best_bid(self) -> Level[str] | None:
        """The highest bid, as received; None if there is none."""
        bid = self._values.best[0]
        return None if bid is None else Level(*bid)

    @property
    def best_ask(self) -> Level[str] | None:
        """The lowest ask, as received; None if there is none."""
        ask = self._values.best[1]
        return None if ask is None else Level(*ask)

    @overload
    def bids(self, count: int = 10) -> list[Level[str]]: ...
    @overload
    def bids(self, count: int = 10, *, numbers: Literal["text"]) -> list[Level[str]]: ...
    @overload
    def bids(self, count: int = 10, *, numbers: Literal["float"]) -> list[Level[float]]: ...
    @overload
    def bids(self, count: int = 10, *, numbers: Literal["decimal"]) -> list[Level[Decimal]]: ...

    def bids(
        self, count: int = 10, *, numbers: Literal["text", "float", "decimal"] = "text"
    ) -> list[Level[str]] | list[Level[float]] | list[Level[Decimal]]:
        """Return up to `count` bids, highest first.

            for price, quantity in book.bids(5, numbers="float"):
                print(price * quantity)

        Args:
            count: Maximum number of levels.
            numbers: `text` as received, `float`, or exact as `decimal`.

        Raises:
            ConfigError: `count` is negative, or `numbers` is none of the three.
        """
        _check_count(count)
        return _levels(self._values.bids(count), numbers)

    @overload
    def asks(self, count: int = 10) -> list[Level[str]]: ...
    @overload
    def asks(self, count: int = 10, *, numbers: Literal["text"]) -> list[Level[str]]: ...
    @overload
    def asks(self, count: int = 10, *, numbers: Literal["float"]) -> list[Level[float]]: ...
    @overload
    def asks(self, count: int = 10, *, numbers: Literal["decimal"]) -> list[Level[Decimal]]: ...

    def asks(
        self, count: int = 10, *, numbers: Literal["text", "float", "decimal"] = "text"
    ) -> list[Level[str]] | list[Level[float]] | list[Level[Decimal]]:
        """Return up to `count` asks, lowest first.

        Args:
            count: Maximum number of levels.
            numbers: `text` as received, `float`, or exact as `decimal`.

        Raises:
            ConfigError: `count` is negative, or `numbers` is none of the three.
        """
        _check_count(count)
        return _levels(self._values.asks(count), numbers)

    @property
    def mid(self) -> float | None:
        """The price halfway between the best bid and the best ask; None if a side is empty."""
        bid, ask = self._values.best
        if bid is None or ask is None:
            return None
        return float((Decimal(bid[0]) + Decimal(ask[0])) / 2)

    @property
    def spread(self) -> float | None:
        """The best ask minus the best bid; None if a side is empty."""
        bid, ask = self._values.best
        if bid is None or ask is None:
            return None
        return float(Decimal(ask[0]) - Decimal(bid[0]))

    @property
    def imbalance(self) -> float | None:
        """How the quantities at the best prices compare, from -1 (asks only) to 1 (bids only).

        It is `(bid - ask) / (bid + ask)`; None if a side is empty.
        """
        bid, ask = self._values.best
        if bid is None or ask is None:
            return None
        bid_quantity, ask_quantity = float(bid[1]), float(ask[1])
        return (bid_quantity - ask_quantity) / (bid_quantity + ask_quantity)

    def vwap(self, side: Literal["buy", "sell"], quantity: float) -> float | None:
        """Return the average price at which `quantity` could be bought or sold now.

        None if the known levels do not contain that much.

            cost = book.vwap("buy", 2.5)

        Args:
            side: `buy` takes asks, `sell` takes bids.
            quantity: In the unit of the levels, more than 0.

        Raises:
            ConfigError: `side` is neither, or `quantity` is not a positive number.
        """
        if side not in ("buy", "sell"):
            raise ConfigError("side", side, one_of(str(side), ("buy", "sell")))
        if not isinstance(quantity, int | float) or not 0 < quantity < inf:
            raise ConfigError("quantity", quantity, "a number of more than 0")
        read = self._values.asks if side == "buy" else self._values.bids
        count = FIRST_VWAP_LEVELS
        while True:
            levels = read(count)
            price = _average_price(levels, quantity)
            if price is not None or len(levels) < count:
                return price
            count *= 4

    def __repr__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        bid, ask = self._values.best
        return (
            f"<{type(self).__name__} {self.symbol} {self.state}{reason} "
            f"{bid and bid[0]}/{ask and ask[0]} u={self.update_id}>"
        )


class _Values(Struct, frozen=True):
    """The `BookValues` of a copy, which was made at the time 0."""

    symbol: str
    all_bids: tuple[RawLevel, ...]
    all_asks: tuple[RawLevel, ...]
    state: BookState
    reason: str
    last_update_id: int
    event_time_ms: int
    transaction_time_ms: int
    updated_ms: int | None
    lowest_known_bid: str | None
    highest_known_ask: str | None

    @property
    def best(self) -> Best:
        bids, asks = self.all_bids, self.all_asks
        return bids[0] if bids else None, asks[0] if asks else None

    def bids(self, count: int) -> Sequence[RawLevel]:
        return self.all_bids[:count]

    def asks(self, count: int) -> Sequence[RawLevel]:
        return self.all_asks[:count]


def _time_of_copies() -> int:
    return 0


class BookSnapshot(OrderBook):
    """An order book at one time: it does not change, and equals another with the same values.

    `book.copy()` returns one; a test of a strategy can make one:

        book = BookSnapshot("BTCUSDT", bids=[("100.1", "2")], asks=[("100.2", "1")])

    Args:
        symbol: The symbol.
        bids: Prices and quantities as text, highest price first.
        asks: Prices and quantities as text, lowest price first.
        state: How far it can be trusted.
        reason: Why it is not live.
        update_id: The id of the last update in it.
        event_time_ms: When the exchange sent that update.
        transaction_time_ms: When the book last changed.
        age_ms: How long ago that update was received.
        lowest_known_bid: The lowest price down to which bids are known; None: all of them are.
        highest_known_ask: The highest price up to which asks are known; None: all of them are.
    """

    __slots__ = ()

    def __init__(  # the values of a book
        self,
        symbol: str,
        bids: Iterable[RawLevel] = (),
        asks: Iterable[RawLevel] = (),
        *,
        state: BookState = BookState.LIVE,
        reason: str = "",
        update_id: int = 0,
        event_time_ms: int = 0,
        transaction_time_ms: int = 0,
        age_ms: int | None = None,
        lowest_known_bid: str | None = None,
        highest_known_ask: str | None = None,
    ) -> None:
        values = _Values(
            symbol,
            tuple(bids),
            tuple(asks),
            state,
            reason,
            update_id,
            event_time_ms,
            transaction_time_ms,
            None if age_ms is None else -age_ms,
            lowest_known_bid,
            highest_known_ask,
        )
        super().__init__(values, _time_of_copies)

    def copy(self) -> BookSnapshot:
        """Return itself, as it does not change."""
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BookSnapshot):
            return NotImplemented
        return self._values == other._values

    def __hash__(self) -> int:
        return hash(self._values)


def _check_count(count: object) -> None:
    if not isinstance(count, int) or count < 0:
        raise ConfigError("count", count, "a number of levels, 0 or more")


def _levels(
    levels: Sequence[RawLevel], numbers: str
) -> list[Level[str]] | list[Level[float]] | list[Level[Decimal]]:
    if numbers == "text":
        return [Level(*level) for level in levels]
    if numbers == "float":
        return [Level(float(price), float(quantity)) for price, quantity in levels]
    if numbers == "decimal":
        return [Level(Decimal(price), Decimal(quantity)) for price, quantity in levels]
    raise ConfigError("numbers", numbers, one_of(str(numbers), NUMBERS))


def _average_price(levels: Sequence[RawLevel], quantity: float) -> float | None:
    """Return the average price of `quantity`; None if the levels do not contain that much."""
    missing, cost = quantity, 0.0
    for price, offered in levels:
        filled = min(float(offered), missing)
        cost += float(price) * filled
        missing -= filled
        if missing <= 0:
            return cost / quantity
    return None
