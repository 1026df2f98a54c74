"""The order book of one symbol, from absolute level quantities.

Most updates are followed by another update, not by a question.  So an update is only remembered
(two dictionary merges at C speed), and levels are put in order when somebody asks.  Updates of a
recording are remembered as they were printed, and turned into units then.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from tickerplant.events import BookSnapshot, DepthUpdate, Level
from tickerplant.instrument import Instrument
from tickerplant.raw_events import RawDepth

SETTLE_AT = 4096
"""Unsettled levels a side may hold before they are put in order without being asked."""

READ_AT = 16_384
"""Printed levels a side may hold before they are read without being asked; updates that come
together are held together first."""


class _Side:
    """One side: quantities by price, and the prices in ascending order."""

    __slots__ = ("prices", "printed", "quantities", "unsettled")

    def __init__(self) -> None:
        self.quantities: dict[int, int] = {}
        self.prices: list[int] = []
        self.unsettled: dict[int, int] = {}
        self.printed: dict[str, str] = {}

    def load(self, levels: list[Level]) -> None:
        self.quantities = {price: quantity for price, quantity in levels if quantity}
        self.prices = sorted(self.quantities)
        self.unsettled.clear()
        self.printed.clear()

    def read(self, instrument: Instrument) -> int:
        """Turn what was printed into units; return how many levels could not be read."""
        prices, quantities = instrument.price.units, instrument.quantity.units
        unreadable = 0
        for price, quantity in self.printed.items():
            try:
                self.unsettled[prices[price]] = quantities[quantity]
            except ValueError:
                unreadable += 1
        self.printed.clear()
        return unreadable

    def settle(self) -> None:
        """Bring the unsettled quantities into the ordered levels."""
        quantities, prices = self.quantities, self.prices
        rebuild = len(self.unsettled) * 4 > len(prices)
        for price, quantity in self.unsettled.items():
            if quantity:
                if price not in quantities and not rebuild:
                    insort(prices, price)
                quantities[price] = quantity
            elif quantities.pop(price, 0) and not rebuild:
                del prices[bisect_left(prices, price)]
        if rebuild:
            self.prices = sorted(quantities)
        self.unsettled.clear()


class OrderBook:
    """Levels of one symbol: `apply` diffs, ask for the best, the top or everything."""

    def __init__(self) -> None:
        self._bids = _Side()
        self._asks = _Side()
        self._raw_for: Instrument | None = None
        self.last_update_id = 0
        self.transaction_time_ms = 0
        self.unreadable = 0
        """Printed levels left out because they are not in the instrument's units."""

    def load(self, snapshot: BookSnapshot) -> None:
        """Replace the whole book by `snapshot`."""
        self._bids.load(snapshot.bids)
        self._asks.load(snapshot.asks)
        self.last_update_id = snapshot.last_update_id
        self.transaction_time_ms = snapshot.transaction_time_ms

    def apply(self, update: DepthUpdate) -> None:
        """Take over the absolute quantities of `update`; a quantity of 0 removes its level."""
        if self._raw_for is not None:
            self._read_printed()
        bids, asks = self._bids.unsettled, self._asks.unsettled
        bids.update(update.bids)
        asks.update(update.asks)
        self.last_update_id = update.final_update_id
        self.transaction_time_ms = update.transaction_time_ms
        if len(bids) > SETTLE_AT or len(asks) > SETTLE_AT:
            self._settle()

    def apply_raw(self, updates: Sequence[RawDepth], instrument: Instrument) -> None:
        """Take over `updates` as `apply` does; their text is read when somebody asks for levels."""
        bids, asks = self._bids.printed, self._asks.printed
        for update in updates:
            bids.update(update.bids)
            asks.update(update.asks)
        self._raw_for = instrument
        self.last_update_id = updates[-1].final_update_id
        self.transaction_time_ms = updates[-1].transaction_time_ms
        if len(bids) > READ_AT or len(asks) > READ_AT:
            self._settle()

    def _read_printed(self) -> None:
        if self._raw_for is not None:
            self.unreadable += self._bids.read(self._raw_for)
            self.unreadable += self._asks.read(self._raw_for)
            self._raw_for = None

    def _settle(self) -> None:
        self._read_printed()
        if self._bids.unsettled:
            self._bids.settle()
        if self._asks.unsettled:
            self._asks.settle()

    def _settled_bids(self) -> _Side:
        self._settle()
        return self._bids

    def _settled_asks(self) -> _Side:
        self._settle()
        return self._asks

    @property
    def best_bid(self) -> Level | None:
        """Highest bid price and its quantity, None when there is no bid."""
        side = self._settled_bids()
        if not side.prices:
            return None
        price = side.prices[-1]
        return price, side.quantities[price]

    @property
    def best_ask(self) -> Level | None:
        """Lowest ask price and its quantity, None when there is no ask."""
        side = self._settled_asks()
        if not side.prices:
            return None
        price = side.prices[0]
        return price, side.quantities[price]

    @property
    def best_prices(self) -> tuple[int | None, int | None]:
        """Highest bid and lowest ask price, None for a side without levels."""
        self._settle()
        bids, asks = self._bids.prices, self._asks.prices
        return bids[-1] if bids else None, asks[0] if asks else None

    def bid_quantity(self, price: int) -> int:
        """Return what is bid at `price`, 0 if there is no such level."""
        return self._settled_bids().quantities.get(price, 0)

    def ask_quantity(self, price: int) -> int:
        """Return what is asked at `price`, 0 if there is no such level."""
        return self._settled_asks().quantities.get(price, 0)

    def top(self, count: int) -> tuple[list[Level], list[Level]]:
        """Return up to `count` levels of each side, best first."""
        bids, asks = self._settled_bids(), self._settled_asks()
        best_bids = bids.prices[: -count - 1 : -1] if count else []
        return (
            [(price, bids.quantities[price]) for price in best_bids],
            [(price, asks.quantities[price]) for price in asks.prices[:count]],
        )

    @property
    def depth(self) -> int:
        """Number of levels on both sides together."""
        return len(self._settled_bids().prices) + len(self._settled_asks().prices)
