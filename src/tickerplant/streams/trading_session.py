"""The trading sessions of the markets behind TradFi contracts."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from tickerplant.market.sessions import session
from tickerplant.streams.conflation import Conflation
from tickerplant.streams.pace import Periodic
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.stream import Stream, every_ms
from tickerplant.streams.subjects import session_markets
from tickerplant.venue import USDM

_EVENTS = {
    "EQUITY": "EquityUpdate",
    "COMMODITY": "CommodityUpdate",
    "KR_EQUITY": "KR_EquityUpdate",
    "HK_EQUITY": "HK_EquityUpdate",
    "CN_EQUITY": "CN_EquityUpdate",
}
"""The `e` of each market's messages."""


class TradingSessionMessage(Struct, frozen=True, kw_only=True):
    """The present session of one market; the event names the market."""

    event: str = field(name="e")
    event_time: int = field(name="E")
    start_time: int = field(name="t")
    end_time: int = field(name="T")
    kind: str = field(name="S")


def trading_session(market: str, _event: Any, now_ms: int, _args: Args) -> TradingSessionMessage:
    """Return the present session of a market."""
    now = session(market, now_ms)
    return TradingSessionMessage(
        event=_EVENTS[market],
        event_time=now_ms,
        start_time=now.start_ms,
        end_time=now.end_ms,
        kind=now.kind,
    )


STREAMS = (
    Stream(
        pattern=Pattern("tradingSession"),
        subjects=session_markets,
        events=tuple(_EVENTS.values()),
        pace=Periodic,
        period=every_ms(1000),
        build=trading_session,
        conflation=Conflation.NEWEST_OF_SYMBOL,
        venues=(USDM,),
        doc="The trading sessions of shares and commodities, one message per market.",
    ),
)
