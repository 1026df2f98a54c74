"""Periods and contract choices of the statistics under `/futures/data`.

A row of statistics is about one period and carries the time at which the period begins (Basis
page). Only the last 30 days are available; an older time is rejected, as in production.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct, structs

from tickerplant.events import Positioning
from tickerplant.market.bars import OPEN_TIME, Bars
from tickerplant.market.interval import LENGTHS_MS, open_time
from tickerplant.queries import request_errors
from tickerplant.queries.param import (
    END_TIME,
    START_TIME,
    Param,
    check_window,
    number,
    one_of,
    pair,
    text,
)
from tickerplant.queries.query import STATISTICS_ALLOWANCE, FlatWeight, Query, Rows
from tickerplant.units import DAY_MS
from tickerplant.venue import Venue

if TYPE_CHECKING:
    from tickerplant.market.candles import Candles
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets
    from tickerplant.market.series import Positions

Row = TypeVar("Row")

PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
MAX_LIMIT = 500
DEFAULT_LIMIT = 30
SEARCHABLE_DAYS = 30
"""Whole days before today that are available."""


class Periods(Struct, frozen=True):
    """Periods of one length; times in milliseconds."""

    length: str
    start_ms: int | None
    end_ms: int | None
    limit: int
    earliest_ms: int
    latest_ms: int
    """The start of the current period."""

    @property
    def length_ms(self) -> int:
        """The length of a period."""
        return LENGTHS_MS[self.length]

    def chosen(self, times_ms: list[int]) -> list[int]:
        """Return up to `limit` of ascending times: with a start the first, otherwise the last."""
        return times_ms[-self.limit :] if self.start_ms is None else times_ms[: self.limit]

    def closed(self, candles: Candles) -> Bars:
        """Return the candles of closed periods, oldest first, up to `limit`."""
        last_ms = self.latest_ms - 1
        end_ms = last_ms if self.end_ms is None else min(self.end_ms, last_ms)
        bars = candles.rows(self.length, self.start_ms, end_ms, self.limit)
        return bars[bars[:, OPEN_TIME] >= self.earliest_ms]

    def positions(self, positions: Positions, field: str) -> list[tuple[int, int]]:
        """Return the beginnings of the periods, and a field of the positioning then.

        Oldest first, up to `limit`.
        """
        rows = positions.column(field, self.length_ms, self.start_ms, self.end_ms, self.limit)
        return [row for row in rows if row[0] >= self.earliest_ms]

    def until(self, end_ms: int) -> Periods:
        """Return the periods before `end_ms`."""
        wanted_ms = end_ms if self.end_ms is None else self.end_ms + 1
        return structs.replace(self, end_ms=min(wanted_ms, end_ms) - 1)


def periods(
    markets: Markets, length: str, start_ms: int | None, end_ms: int | None, limit: int
) -> Periods:
    """Return the requested periods."""
    check_window(start_ms, end_ms)
    earliest_ms = (markets.now_ms // DAY_MS - SEARCHABLE_DAYS) * DAY_MS
    for name, time_ms in ((START_TIME.name, start_ms), (END_TIME.name, end_ms)):
        if time_ms is not None and time_ms < earliest_ms:
            raise request_errors.invalid_statistic(name)
    latest_ms = open_time(length, markets.now_ms)
    return Periods(length, start_ms, end_ms, limit, earliest_ms, latest_ms)


def statistic(
    name: str, venue: Venue, handler: Callable[..., Rows[Row]], doc: str, *params: Param
) -> Query:
    """Return the query of a statistic: `params`, then the periods, which `handler` takes as one."""

    def respond(
        markets: Markets,
        *,
        length: str,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        **others: object,
    ) -> Rows[Row]:
        return handler(markets, periods(markets, length, start_ms, end_ms, limit), **others)

    return Query(
        path=f"/futures/data/{name}",
        absolute=True,
        venues=(venue,),
        weight=FlatWeight(1 if venue.inverse else 0),
        allowance=None if venue.inverse else STATISTICS_ALLOWANCE,
        params=(*params, *PERIOD_PARAMS),
        handler=respond,
        doc=doc,
    )


def _read_period(_markets: Markets, name: str, value: object) -> str:
    length = text(name, value)
    if length not in PERIODS:
        raise request_errors.invalid_statistic(name)
    return length


def _read_limit(markets: Markets, name: str, value: object) -> int:
    limit = number(markets, name, value)
    if not 1 <= limit <= MAX_LIMIT:
        raise request_errors.invalid_statistic(name)
    return limit


PERIOD_PARAMS = (
    Param("period", "length", _read_period, f"One of {', '.join(PERIODS)}.", required=True),
    START_TIME,
    END_TIME,
    Param("limit", "limit", _read_limit, f"How many, at most {MAX_LIMIT}.", default=DEFAULT_LIMIT),
)


ALL = "ALL"
CHOICES = (ALL, "CURRENT_QUARTER", "NEXT_QUARTER", "PERPETUAL")


def types_of(contract_type: str) -> tuple[str, ...]:
    """Return the types that a choice means."""
    return CHOICES[1:] if contract_type == ALL else (contract_type,)


ONE_PAIR = Param("pair", "pair", pair, "The pair.", required=True)
CONTRACT_CHOICE = Param(
    "contractType",
    "contract_type",
    one_of(CHOICES),
    f"Which contracts of the pair: one of {', '.join(CHOICES)}.",
    required=True,
)
OPTIONAL_CONTRACT_CHOICE = structs.replace(CONTRACT_CHOICE, required=False, default=ALL)
"""For past open interest, which the official SDK requests without it."""


def current_positioning(market: Market) -> Positioning:
    """Return the current positioning of a market."""
    present = market.positions.latest
    if present is None:
        raise request_errors.unknown_yet(
            f"The open interest of {market.symbol}", "the source has not sent it"
        )
    return present
