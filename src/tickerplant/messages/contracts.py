"""Contracts that are listed, settled or otherwise changed, and the sessions of their markets."""

from __future__ import annotations

from msgspec import Struct, field

from tickerplant.messages.message import Message, StreamName


class Bracket(Struct, kw_only=True, gc=False):
    """One bracket of position sizes; its numbers are JSON numbers."""

    number: int = field(name="bs")
    """1 for the smallest positions."""
    notional_floor: int | float = field(name="bnf")
    """In quote asset on USDⓈ-M, in base asset on COIN-M, as is the cap."""
    notional_cap: int | float = field(name="bnc")
    maintenance_margin_rate: int | float = field(name="mmr")
    cumulative: int | float = field(name="cf")
    """The amount to subtract when the maintenance margin is calculated."""
    min_leverage: int = field(name="mi")
    max_leverage: int = field(name="ma")


class ContractInfo(Message, kw_only=True, gc=False):
    """`!contractInfo`: the new state of a contract."""

    event_time_ms: int = field(name="E")
    symbol: str = field(name="s")
    pair: str = field(name="ps")
    contract_type: str = field(name="ct")
    """`PERPETUAL`, `CURRENT_QUARTER`, `NEXT_QUARTER`, `TRADIFI_PERPETUAL`, …"""
    delivery_time_ms: int = field(name="dt")
    """4133404800000, in the year 2100, for perpetual contracts that are not to be delisted."""
    onboard_time_ms: int = field(name="ot")
    status: str = field(name="cs")
    """`PENDING_TRADING`, `TRADING`, `PRE_DELIVERING`, `DELIVERING`, `DELIVERED`, …"""
    brackets: list[Bracket] = field(name="bks", default_factory=list)
    """Empty if they did not change."""
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 if the message does not contain it."""

    @classmethod
    def of(cls) -> StreamName[ContractInfo]:
        """Return the name of the stream of changes of all contracts, `!contractInfo`."""
        return StreamName("!contractInfo")


class TradingSession(Message, kw_only=True, gc=False):
    """`tradingSession`: the current session of one market; it has no symbol."""

    event_type: str = field(name="e")
    """The market: `EquityUpdate`, `CommodityUpdate`, `KR_EquityUpdate`, `HK_EquityUpdate`, …"""
    event_time_ms: int = field(name="E")
    start_time_ms: int = field(name="t")
    """When the session begins or began."""
    end_time_ms: int = field(name="T")
    kind: str = field(name="S")
    """`PRE_MARKET`, `REGULAR`, `AFTER_MARKET`, `OVERNIGHT` or `NO_TRADING`."""

    @classmethod
    def of(cls) -> StreamName[TradingSession]:
        """Return the name of the stream of the sessions of all markets, `tradingSession`.

        Only USDⓈ-M has it.
        """
        return StreamName("tradingSession")
