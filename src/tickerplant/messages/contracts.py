"""Contracts that are listed, settled or otherwise changed, and the sessions of their markets."""

from __future__ import annotations

from msgspec import Struct, field

from tickerplant.messages.message import Message


class Bracket(Struct, kw_only=True, gc=False):
    """One bracket of position sizes; its numbers are numbers on the wire too."""

    number: int = field(name="bs")
    """1 for the smallest positions."""
    notional_floor: int | float = field(name="bnf")
    """In quote asset on USDⓈ-M, in base asset on COIN-M, as is the cap."""
    notional_cap: int | float = field(name="bnc")
    maintenance_margin_rate: int | float = field(name="mmr")
    cumulative: int | float = field(name="cf")
    """What is taken off in the quick calculation of the maintenance margin."""
    min_leverage: int = field(name="mi")
    max_leverage: int = field(name="ma")


class ContractInfo(Message, kw_only=True, gc=False):
    """`!contractInfo`: a contract as it is from now on."""

    event_time_ms: int = field(name="E")
    symbol: str = field(name="s")
    pair: str = field(name="ps")
    contract_type: str = field(name="ct")
    """`PERPETUAL`, `CURRENT_QUARTER`, `NEXT_QUARTER`, `TRADIFI_PERPETUAL`, …"""
    delivery_time_ms: int = field(name="dt")
    """4133404800000, in the year 2100, of perpetual contracts that are not to be delisted."""
    onboard_time_ms: int = field(name="ot")
    status: str = field(name="cs")
    """`PENDING_TRADING`, `TRADING`, `PRE_DELIVERING`, `DELIVERING`, `DELIVERED`, …"""
    brackets: list[Bracket] = field(name="bks", default_factory=list)
    """Empty if they did not change."""
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 where it is not told."""


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
