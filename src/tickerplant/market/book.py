"""The order book of one symbol, from absolute level quantities, and its RPI orders.

Most updates are followed by another update, not by a read. So an update only goes into a
dictionary of pending levels (two merges at C speed), and levels are sorted when they are read.
Updates of a recording stay text until then, too.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import TypeAlias

from tickerplant.events import BookSnapshot, DepthUpdate, Level, RpiUpdate
from tickerplant.instrument import Instrument
from tickerplant.market.level_texts import LevelTexts
from tickerplant.raw_events import RawDepth

MAX_PENDING_LEVELS = 1024
"""Most pending levels per side before they are merged without a read."""

MAX_RAW_LEVELS = 16_384
"""Most raw levels per side before they are parsed without a read. One batch of updates may exceed
it.
"""


class _Side:
    """One side: quantities by price, and the prices in ascending order."""

    __slots__ = ("pending", "prices", "quantities", "raw", "texts")

    def __init__(self) -> None:
        self.texts: LevelTexts | None = None
        self.quantities: dict[int, int] = {}
        self.prices: list[int] = []
        self.pending: dict[int, int] = {}
        self.raw: dict[str, str] = {}

    def load(self, levels: list[Level]) -> None:
        self.quantities = {price: quantity for price, quantity in levels if quantity}
        self.prices = sorted(self.quantities)
        self.pending.clear()
        self.raw.clear()
        self.texts = None

    def read(self, instrument: Instrument) -> int:
        """Parse the raw levels; return how many could not be read."""
        prices, quantities = instrument.price.units, instrument.quantity.units
        unreadable = 0
        for price, quantity in self.raw.items():
            try:
                self.pending[prices[price]] = quantities[quantity]
            except ValueError:
                unreadable += 1
        self.raw.clear()
        return unreadable

    def merge_pending(self) -> None:
        """Merge the pending quantities into the sorted levels."""
        quantities, prices = self.quantities, self.prices
        if self.texts is not None and not self.texts.forget(self.pending):
            self.texts = None
        rebuild = len(self.pending) * 4 > len(prices)
        for price, quantity in self.pending.items():
            if quantity:
                if price not in quantities and not rebuild:
                    insort(prices, price)
                quantities[price] = quantity
            elif quantities.pop(price, 0) and not rebuild:
                del prices[bisect_left(prices, price)]
        if rebuild:
            self.prices = sorted(quantities)
        self.pending.clear()

    def texts_for(self, instrument: Instrument) -> LevelTexts:
        """Return the texts of the levels, which are kept from now on."""
        if self.texts is None or not self.texts.suits(instrument):
            self.texts = LevelTexts(self.quantities, instrument)
        self.texts.forgotten = 0
        return self.texts


class OrderBook:
    """The levels of one symbol."""

    def __init__(self) -> None:
        self._bids = _Side()
        self._asks = _Side()
        self._raw_for: Instrument | None = None
        self._lowest_known_bid: int | None = None
        self._highest_known_ask: int | None = None
        self.last_update_id = 0
        self.transaction_time_ms = 0
        self.unreadable = 0
        """Raw levels dropped because they are not in the instrument's units."""

    def load(self, snapshot: BookSnapshot) -> None:
        """Replace the book by `snapshot`."""
        self._bids.load(snapshot.bids)
        self._asks.load(snapshot.asks)
        self._raw_for = None
        self._lowest_known_bid = snapshot.lowest_known_bid
        self._highest_known_ask = snapshot.highest_known_ask
        self.last_update_id = snapshot.last_update_id
        self.transaction_time_ms = snapshot.transaction_time_ms

    def apply(self, update: DepthUpdate) -> None:
        """Set the absolute quantities of `update`; a quantity of 0 removes its level."""
        if self._raw_for is not None:
            self._parse_raw()
        bids, asks = self._bids.pending, self._asks.pending
        bids.update(update.bids)
        asks.update(update.asks)
        self.last_update_id = update.final_update_id
        self.transaction_time_ms = update.transaction_time_ms
        if len(bids) > MAX_PENDING_LEVELS or len(asks) > MAX_PENDING_LEVELS:
            self._merge_pending()

    def apply_raw(self, updates: Sequence[RawDepth], instrument: Instrument) -> None:
        """Apply raw `updates`; their text is parsed when levels are read."""
        bids, asks = self._bids.raw, self._asks.raw
        for update in updates:
            bids.update(update.bids)
            asks.update(update.asks)
        self._raw_for = instrument
        self.last_update_id = updates[-1].final_update_id
        self.transaction_time_ms = updates[-1].transaction_time_ms
        if len(bids) > MAX_RAW_LEVELS or len(asks) > MAX_RAW_LEVELS:
            self._merge_pending()

    def _parse_raw(self) -> None:
        if self._raw_for is not None:
            self.unreadable += self._bids.read(self._raw_for)
            self.unreadable += self._asks.read(self._raw_for)
            self._raw_for = None

    def _merge_pending(self) -> None:
        self._parse_raw()
        if self._bids.pending:
            self._bids.merge_pending()
        if self._asks.pending:
            self._asks.merge_pending()

    def _merged_bids(self) -> _Side:
        self._merge_pending()
        return self._bids

    def _merged_asks(self) -> _Side:
        self._merge_pending()
        return self._asks

    @property
    def best_bid(self) -> Level | None:
        """Highest bid price and its quantity; None without bids."""
        side = self._merged_bids()
        if not side.prices:
            return None
        price = side.prices[-1]
        return price, side.quantities[price]

    @property
    def best_ask(self) -> Level | None:
        """Lowest ask price and its quantity; None without asks."""
        side = self._merged_asks()
        if not side.prices:
            return None
        price = side.prices[0]
        return price, side.quantities[price]

    @property
    def best_prices(self) -> tuple[int | None, int | None]:
        """Highest bid and lowest ask price, None for a side without levels."""
        self._merge_pending()
        bids, asks = self._bids.prices, self._asks.prices
        return bids[-1] if bids else None, asks[0] if asks else None

    def knows(self, levels: int) -> bool:
        """Whether the best `levels` of each side are known.

        Beyond the levels of a snapshot that did not show all of them, only those are known that
        changed since.
        """
        lowest, highest = self._lowest_known_bid, self._highest_known_ask
        if lowest is None and highest is None:
            return True
        bids, asks = self.top_prices(levels)
        knows_bids = lowest is None or (len(bids) == levels and bids[-1] >= lowest)
        return knows_bids and (highest is None or (len(asks) == levels and asks[-1] <= highest))

    def bid_quantity(self, price: int) -> int:
        """Return the bid quantity at `price`, 0 if there is no such level."""
        return self._merged_bids().quantities.get(price, 0)

    def ask_quantity(self, price: int) -> int:
        """Return the ask quantity at `price`, 0 if there is no such level."""
        return self._merged_asks().quantities.get(price, 0)

    def top(self, count: int) -> tuple[list[Level], list[Level]]:
        """Return up to `count` levels of each side, best first."""
        bid_prices, ask_prices = self.top_prices(count)
        bids, asks = self._bids.quantities, self._asks.quantities
        return (
            [(price, bids[price]) for price in bid_prices],
            [(price, asks[price]) for price in ask_prices],
        )

    def top_prices(self, count: int) -> tuple[list[int], list[int]]:
        """Return the prices of up to `count` levels of each side, best first."""
        bids, asks = self._merged_bids(), self._merged_asks()
        return bids.prices[: -count - 1 : -1] if count else [], asks.prices[:count]

    def texts(self, instrument: Instrument) -> tuple[LevelTexts, LevelTexts]:
        """Return the levels of each side as text, by price, valid until the next update."""
        return (
            self._merged_bids().texts_for(instrument),
            self._merged_asks().texts_for(instrument),
        )

    @property
    def depth(self) -> int:
        """Number of levels on both sides together."""
        return len(self._merged_bids().prices) + len(self._merged_asks().prices)


Quantities: TypeAlias = dict[int, int]
"""Quantity by price."""


class RpiBook:
    """Quantities of the retail price improvement (RPI) orders of one symbol, by price.

    RPI orders trade with retail orders only. The book never counts them, and they may cross it.
    """

    def __init__(self) -> None:
        self.bids: Quantities = {}
        self.asks: Quantities = {}
        self.last_update_id = 0
        """Id of the last change; 0 before the first."""
        self.transaction_time_ms = 0

    def apply(self, update: RpiUpdate) -> None:
        """Set the quantities of `update`; 0 removes a price."""
        for side, levels in ((self.bids, update.bids), (self.asks, update.asks)):
            for price, quantity in levels:
                if quantity:
                    side[price] = quantity
                else:
                    side.pop(price, None)
        self.last_update_id = update.update_id
        self.transaction_time_ms = update.transaction_time_ms

    def visible_levels(self, book: OrderBook) -> tuple[Quantities, Quantities]:
        """Return new dictionaries of the bids and asks that do not cross `book` now."""
        bid, ask = book.best_prices
        return (
            {price: size for price, size in self.bids.items() if ask is None or price < ask},
            {price: size for price, size in self.asks.items() if bid is None or price > bid},
        )
