"""The trading sessions of the markets behind TradFi contracts."""

from __future__ import annotations

from msgspec import field

from tickerplant.messages.message import Message


class TradingSession(Message, kw_only=True, gc=False):
    """`tradingSession`: the session that one market is in.  It is about no symbol."""

    event_type: str = field(name="e")
    """Which market: `EquityUpdate`, `CommodityUpdate`, `KR_EquityUpdate`, `HK_EquityUpdate`, …"""
    event_time_ms: int = field(name="E")
    start_time_ms: int = field(name="t")
    """When the session begins or began."""
    end_time_ms: int = field(name="T")
    kind: str = field(name="S")
    """`PRE_MARKET`, `REGULAR`, `AFTER_MARKET`, `OVERNIGHT` or `NO_TRADING`."""
