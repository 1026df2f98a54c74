"""Aggregation of trades.

Fills with the same price and taker side within 100 ms form one aggregate. Another price, another
side or the end of the 100 ms closes it (Aggregate Trade Streams page), and so does a sum larger
than any quantity. Insurance-fund and ADL trades take trade ids but never enter an aggregate.
"""

from __future__ import annotations

from tickerplant.events import AggregateTrade, Trade
from tickerplant.instrument import LARGEST

WINDOW_MS = 100


class TradeAggregator:
    """The open aggregate. It closes by itself at `due_ms`."""

    def __init__(self, symbol: str, next_id: int = 1) -> None:
        self._symbol = symbol
        self._next_id = next_id
        self._first: Trade | None = None
        self._last_trade_id = 0
        self._quantity = 0
        self._rpi_quantity = 0
        self.due_ms = 0
        """End of the open aggregate's window; 0 if none is open."""

    def add(self, trade: Trade) -> AggregateTrade | None:
        """Add `trade`; return the aggregate that it closed, if any."""
        first = self._first
        if (
            first is not None
            and trade.price == first.price
            and trade.buyer_is_maker == first.buyer_is_maker
            and trade.trade_time_ms < self.due_ms
            and self._quantity < LARGEST
        ):
            self._quantity += trade.quantity
            if trade.rpi:
                self._rpi_quantity += trade.quantity
            self._last_trade_id = trade.trade_id
            return None
        closed = self.close()
        self._first = trade
        self._quantity = trade.quantity
        self._rpi_quantity = trade.quantity if trade.rpi else 0
        self._last_trade_id = trade.trade_id
        self.due_ms = trade.trade_time_ms + WINDOW_MS
        return closed

    def close(self) -> AggregateTrade | None:
        """Close the open aggregate and return it; None if none is open."""
        first = self._first
        if first is None:
            return None
        closed = AggregateTrade(
            self._symbol,
            self._next_id,
            first.price,
            self._quantity,
            self._quantity - self._rpi_quantity,
            first.trade_id,
            self._last_trade_id,
            first.trade_time_ms,
            first.buyer_is_maker,
        )
        self._next_id += 1
        self._first = None
        self.due_ms = 0
        return closed
