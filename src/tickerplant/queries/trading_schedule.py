"""Trading sessions of the markets behind TradFi contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tickerplant.market.sessions import week
from tickerplant.queries.query import FlatWeight, Query
from tickerplant.venue import USDM

if TYPE_CHECKING:
    from tickerplant.market.markets import Markets


class SessionRow(Struct, frozen=True, rename="camel"):
    """One session."""

    start_time: int
    end_time: int
    type: str


class MarketSchedule(Struct, frozen=True):
    """The sessions of one market, without a gap."""

    sessions: list[SessionRow]


class TradingSchedule(Struct, frozen=True, rename="camel"):
    """The week of each market."""

    update_time: int
    market_schedules: dict[str, MarketSchedule]


def trading_schedule(markets: Markets) -> TradingSchedule:
    """Return a week of sessions from the day before now, for the markets of the profile."""
    now_ms = markets.now_ms
    return TradingSchedule(
        now_ms,
        {
            name: MarketSchedule(
                [SessionRow(each.start_ms, each.end_ms, each.kind) for each in week(name, now_ms)]
            )
            for name in markets.profile.session_markets
        },
    )


QUERIES = (
    Query(
        path="/v1/tradingSchedule",
        venues=(USDM,),
        weight=FlatWeight(5),
        handler=trading_schedule,
        doc="A week of trading sessions of the markets behind TradFi contracts.",
    ),
)
