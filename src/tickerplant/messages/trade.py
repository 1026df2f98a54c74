"""Single trades and aggregate trades."""

from __future__ import annotations

from msgspec import field

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
    """`MARKET` for trades of the order book; `INSURANCE_FUND`, `ADL` and `NA` for others."""
    buyer_is_maker: bool = field(name="m")
    """Whether the seller was the taker."""
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 where it is not told."""


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
    """The quantity without trades of RPI orders; only USDⓈ-M tells it, since 2025-12-31."""
    first_trade_id: int = field(name="f")
    last_trade_id: int = field(name="l")
    trade_time_ms: int = field(name="T")
    buyer_is_maker: bool = field(name="m")
    """Whether the seller was the taker."""
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 where it is not told."""
