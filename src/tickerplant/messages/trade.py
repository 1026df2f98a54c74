"""Trades, aggregate trades and liquidations."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from tickerplant.messages.message import Message, StreamName
from tickerplant.stream_name import symbol_part


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

    @property
    def side(self) -> Literal["buy", "sell"]:
        """What the taker did."""
        return "sell" if self.buyer_is_maker else "buy"

    @classmethod
    def of(cls, symbol: str) -> StreamName[Trade]:
        """Return the name of the stream of all trades of `symbol`, `<symbol>@trade`.

        The exchange does not document it; it sends every trade at once.

        Raises:
            ConfigError: The text cannot be a symbol.
        """
        return StreamName(f"{symbol_part('symbol', symbol)}@trade")


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

    @property
    def side(self) -> Literal["buy", "sell"]:
        """What the taker did."""
        return "sell" if self.buyer_is_maker else "buy"

    @classmethod
    def of(cls, symbol: str) -> StreamName[AggregateTrade]:
        """Return the name of the stream of aggregate trades of `symbol`, `<symbol>@aggTrade`.

        The exchange sends it every 100 ms (Aggregate Trade Streams page).

        Raises:
            ConfigError: The text cannot be a symbol.
        """
        return StreamName(f"{symbol_part('symbol', symbol)}@aggTrade")


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

    @classmethod
    def of(cls, symbol: str | None = None) -> StreamName[Liquidation]:
        """Return the name of the stream of liquidations of `symbol`, or of all symbols.

        It is `<symbol>@forceOrder` or `!forceOrder@arr`.  Both have at most one liquidation per
        symbol and second (Liquidation Order Streams page).

        Args:
            symbol: The symbol; None for all.

        Raises:
            ConfigError: The text cannot be a symbol.
        """
        if symbol is None:
            return StreamName("!forceOrder@arr")
        return StreamName(f"{symbol_part('symbol', symbol)}@forceOrder")
