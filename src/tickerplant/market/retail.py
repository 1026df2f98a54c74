"""The orders of retail price improvement (RPI), which stand beside the book.

They trade with retail orders only, so the book never counts them, and they may stand at prices
that cross it.  What is shown of them leaves the crossing ones out (RPI order book pages).
"""

from __future__ import annotations

from typing import TypeAlias

from tickerplant.events import RetailUpdate
from tickerplant.market.book import OrderBook

Quantities: TypeAlias = dict[int, int]
"""Quantity by price."""


class RetailBook:
    """RPI quantities of one symbol by price."""

    def __init__(self) -> None:
        self.bids: Quantities = {}
        self.asks: Quantities = {}
        self.last_update_id = 0
        """Id of the last change; 0 before the first."""
        self.transaction_time_ms = 0

    def apply(self, update: RetailUpdate) -> None:
        """Take the quantities of `update` over; 0 removes a price."""
        for side, levels in ((self.bids, update.bids), (self.asks, update.asks)):
            for price, quantity in levels:
                if quantity:
                    side[price] = quantity
                else:
                    side.pop(price, None)
        self.last_update_id = update.update_id
        self.transaction_time_ms = update.transaction_time_ms

    def shown(self, book: OrderBook) -> tuple[Quantities, Quantities]:
        """Return the bids and asks that do not cross `book` now, as maps of the caller's own."""
        bid, ask = book.best_prices
        return (
            {price: size for price, size in self.bids.items() if ask is None or price < ask},
            {price: size for price, size in self.asks.items() if bid is None or price > bid},
        )
