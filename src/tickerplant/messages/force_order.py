"""Liquidations."""

from __future__ import annotations

from msgspec import Struct, field

from tickerplant.messages.message import Message


class LiquidationOrder(Struct, kw_only=True, gc=False):
    """The order by which a position is closed."""

    symbol: str = field(name="s")
    side: str = field(name="S")
    """`BUY` or `SELL`: a long position is closed by selling."""
    order_type: str = field(name="o", default="LIMIT")
    time_in_force: str = field(name="f", default="IOC")
    quantity: str = field(name="q")
    price: str = field(name="p")
    average_price: str = field(name="ap")
    """The average price of its fills."""
    status: str = field(name="X")
    """`FILLED`, rarely another."""
    last_filled_quantity: str = field(name="l")
    filled_quantity: str = field(name="z")
    """Of all its fills together."""
    trade_time_ms: int = field(name="T")
    pair: str = field(name="ps", default="")
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 where it is not told."""


class Liquidation(Message, kw_only=True, gc=False):
    """`<symbol>@forceOrder`, `!forceOrder@arr`: one forced order a message, in either stream."""

    event_time_ms: int = field(name="E")
    order: LiquidationOrder = field(name="o")

    @property
    def symbol(self) -> str:
        """The symbol of the order."""
        return self.order.symbol
