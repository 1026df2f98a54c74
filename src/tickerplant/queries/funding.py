"""Past funding payments, and the bounds of funding rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType, structs

from tickerplant.events import FundingPaid
from tickerplant.instrument import RATE_DECIMALS, Instrument, decimal_text
from tickerplant.market.series import MARKED_SINCE_MS
from tickerplant.queries.param import END_TIME, START_TIME, Param, check_window, count, fundings
from tickerplant.queries.query import FUNDING_ALLOWANCE, FlatWeight, Query, Rows
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.markets import Markets
    from tickerplant.market.series import FundingSeries

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
REGULAR = "Regular"
USUAL_INTERVAL_HOURS = 8
USUAL_CAP = 2_000_000
"""2 %, in integers of 10^-8."""
USUAL_CAP_DECIMALS = 5
"""Decimals of a cap that was never adjusted, in captured responses."""

_time_ms = attrgetter("time_ms")


class FundingRate(Struct, frozen=True, rename="camel"):
    """One funding time of USDⓈ-M."""

    symbol: str
    funding_rate: str
    funding_time: int
    mark_price: str


class LateFundingRate(Struct, frozen=True, rename="camel"):
    """One funding time of COIN-M; in profile `current` of either venue, with price and type."""

    symbol: str
    funding_time: int
    funding_rate: str
    mark_price: str | UnsetType = UNSET
    rate_type: str | UnsetType = UNSET


class FundingInfo(Struct, frozen=True, rename="camel"):
    """The bounds of a contract's funding rate, and the funding interval."""

    symbol: str
    adjusted_funding_rate_cap: str
    adjusted_funding_rate_floor: str
    funding_interval_hours: int
    disclaimer: bool
    """In captured responses: whether the bounds are the usual ones."""
    update_time: int | UnsetType | None


def funding_rates(
    markets: Markets,
    series: FundingSeries | None,
    start_ms: int | None,
    end_ms: int | None,
    limit: int | None,
) -> Rows[FundingRate | LateFundingRate]:
    """Return up to `limit` funding payments of a contract, or of all that are listed, oldest first.

    With a start the first ones, otherwise the latest ones.
    """
    check_window(start_ms, end_ms)
    if limit is None:
        timed = start_ms is not None or end_ms is not None
        limit = DEFAULT_LIMIT if timed else markets.venue.default_funding_count
    selected = [each.fundings for each in markets if each.instrument.perpetual]
    return (
        None if row is None else _rate(markets, row)
        for row in _paid(selected if series is None else [series], start_ms, end_ms, limit)
    )


def _paid(
    selected: Sequence[FundingSeries], start_ms: int | None, end_ms: int | None, limit: int
) -> Rows[FundingPaid]:
    """Yield up to `limit` funding payments of several contracts, oldest first.

    Most contracts pay at the same times, so each contributes only a few. The limit of those whose
    missing payments could belong to the result is doubled.
    """
    each_limit = limit // max(len(selected), 1) + 1
    rows: dict[int, list[FundingPaid]] = {}
    asked: Iterable[int] = range(len(selected))
    while True:
        for number in asked:
            yield None  # payments of the past may have to be generated
            rows[number] = selected[number].within(start_ms, end_ms, min(each_limit, limit))
        paid = sorted((row for own in rows.values() for row in own), key=_time_ms)
        chosen = paid[-limit:] if start_ms is None else paid[:limit]
        asked = [number for number in asked if len(rows[number]) == each_limit < limit]
        if len(chosen) == limit and start_ms is None:
            asked = [number for number in asked if rows[number][0].time_ms > chosen[0].time_ms]
        elif len(chosen) == limit:
            asked = [number for number in asked if rows[number][-1].time_ms < chosen[-1].time_ms]
        if not asked:
            yield from chosen
            return
        each_limit *= 2


def _rate(markets: Markets, paid: FundingPaid) -> FundingRate | LateFundingRate:
    rate = decimal_text(paid.rate, RATE_DECIMALS)
    marked = paid.time_ms >= MARKED_SINCE_MS
    mark = decimal_text(paid.mark_price, RATE_DECIMALS) if marked else ""
    if markets.profile.funding_rate_type:
        return LateFundingRate(paid.symbol, paid.time_ms, rate, mark, REGULAR)
    if markets.venue.funding_carries_mark:
        return FundingRate(paid.symbol, rate, paid.time_ms, mark)
    return LateFundingRate(paid.symbol, paid.time_ms, rate)


def funding_info(markets: Markets) -> list[FundingInfo]:
    """Return the contracts with unusual funding; in profile `current`, all that pay funding."""
    complete = markets.profile.funding_info_complete
    return [
        _info(market.instrument, complete=complete)
        for market in (markets.universe if complete else markets)
        if market.instrument.perpetual and (complete or not _usual(market.instrument))
    ]


def _usual(instrument: Instrument) -> bool:
    interval, cap = instrument.funding_interval_hours, instrument.funding_cap
    return interval == USUAL_INTERVAL_HOURS and cap == USUAL_CAP


def _info(instrument: Instrument, *, complete: bool) -> FundingInfo:
    usual = _usual(instrument)
    cap, decimals = instrument.funding_cap, RATE_DECIMALS
    if usual:
        decimals = USUAL_CAP_DECIMALS
        cap //= int(10 ** (RATE_DECIMALS - USUAL_CAP_DECIMALS))
    updated_ms = None if usual else instrument.onboard_date_ms
    return FundingInfo(
        symbol=instrument.symbol,
        adjusted_funding_rate_cap=decimal_text(cap, decimals),
        adjusted_funding_rate_floor=decimal_text(-cap, decimals),
        funding_interval_hours=instrument.funding_interval_hours,
        disclaimer=usual,
        update_time=updated_ms if complete else UNSET,
    )


_WINDOW = (
    START_TIME,
    END_TIME,
    Param(
        "limit",
        "limit",
        count(MAX_LIMIT),
        f"How many, at most {MAX_LIMIT}; {DEFAULT_LIMIT} if left out, "
        f"of USDⓈ-M {USDM.default_funding_count} without times.",
    ),
)
_RATES = Query(
    path="/v1/fundingRate",
    venues=(USDM,),
    weight=FlatWeight(0),
    allowance=FUNDING_ALLOWANCE,
    params=(
        Param(
            "symbol",
            "series",
            fundings,
            "The symbol, also of a contract that was removed; every symbol if left out.",
        ),
        *_WINDOW,
    ),
    handler=funding_rates,
    doc="Past funding payments; with `startTime` the first from there on, otherwise the latest.",
)
_COIN_SYMBOL = "The symbol, also of a contract that was removed."
_INFO = structs.replace(
    _RATES,
    path="/v1/fundingInfo",
    params=(),
    handler=funding_info,
    doc="Bounds and interval of funding, for contracts where they are unusual; "
    "in profile `current` for all contracts that pay funding.",
)

QUERIES = (
    _RATES,
    structs.replace(
        _RATES,
        venues=(COINM,),
        weight=FlatWeight(1),
        allowance=None,
        params=(Param("symbol", "series", fundings, _COIN_SYMBOL, required=True), *_WINDOW),
    ),
    _INFO,
    structs.replace(_INFO, venues=(COINM,), weight=FlatWeight(1), allowance=None),
)
