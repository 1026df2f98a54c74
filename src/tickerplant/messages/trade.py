"""Trades, aggregate trades and liquidations."""

from __future__ import annotations

from msgspec import Struct, field

from tickerplant.messages.message import Message


class Trade(Message, kw_only=True, gc=False):
    """`<symbol>@trade`: one trade."""

    event_time_ms: int = field(name="E")
    trade_time_ms: int = field(name="T")
    symbol: str = field(name="s")
    trade_id: int = field(name="t")
    price: str = field(name="p")
    quantity: str = field(name="q")
    """In base asset on USDⓈ-M, in contracts on COIN-M."""
    origin: str = field(name="X", default="MARKET")
    """`MARKET` for trades on the order book; `INSURANCE_FUND`, `ADL` and `NA` for others."""
    buyer_is_maker: bool = field(name="m")
    """Whether the seller was the taker."""
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 if the message does not contain it."""


class AggregateTrade(Message, kw_only=True, gc=False):
    """`<symbol>@aggTrade`: the fills of one taker side at one price within 100 ms."""

    event_time_ms: int = field(name="E")
    aggregate_id: int = field(name="a")
    """Consecutive for a symbol."""
    symbol: str = field(name="s")
    price: str = field(name="p")
    quantity: str = field(name="q")
    """In base asset on USDⓈ-M, in contracts on COIN-M."""
    normal_quantity: str | None = field(name="nq", default=None)
    """The quantity excluding RPI trades; only on USDⓈ-M, since 2025-12-31."""
    first_trade_id: int = field(name="f")
    last_trade_id: int = field(name="l")
    trade_time_ms: int = field(name="T")
    buyer_is_maker: bool = field(name="m")
    """Whether the seller was the taker."""
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 if the message does not contain it."""


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
    """The total of its fills."""
    trade_time_ms: int = field(name="T")
    pair: str = field(name="ps", default="")
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 if the message does not contain it."""


class Liquidation(Message, kw_only=True, gc=False):
    """`<symbol>@forceOrder`, `!forceOrder@arr`: one liquidation order per message in both streams."""

    event_time_ms: int = field(name="E")
    order: LiquidationOrder = field(name="o")

    @property
    def symbol(self) -> str:
        """The symbol of the order."""
        return self.order.symbol
