from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import START_MS

from tickerplant.market.sessions import MARKETS, NO_TRADING, session, week
from tickerplant.units import DAY_MS

TIMES = st.datetimes(datetime(2008, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - the zone is given
    lambda moment: int(moment.timestamp() * 1000)
)
IN_NEW_YORK = {
    "PRE_MARKET": ((4, 0), (9, 30)),
    "REGULAR": ((9, 30), (16, 0)),
    "AFTER_MARKET": ((16, 0), (20, 0)),
    "OVERNIGHT": ((20, 0), (4, 0)),
}


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        pytest.skip("there is no database of time zones here")


def at(text: str) -> int:
    """Milliseconds of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def day_of(text: str, market: str = "EQUITY") -> str:
    """The kind of session at noon in New York."""
    return session(market, at(f"{text}T17:00")).kind


@pytest.mark.parametrize("market", MARKETS)
@given(now_ms=TIMES)
def test_sessions_partition_time(market: str, now_ms: int) -> None:
    now = session(market, now_ms)
    assert now.start_ms <= now_ms < now.end_ms
    assert session(market, now.start_ms) == session(market, now.end_ms - 1) == now
    assert session(market, now.end_ms).start_ms == now.end_ms
    assert session(market, now.start_ms - 1).end_ms == now.start_ms


@pytest.mark.parametrize("market", MARKETS)
@given(now_ms=TIMES)
def test_a_week_has_no_gap_and_begins_the_day_before(market: str, now_ms: int) -> None:
    sessions = week(market, now_ms)
    assert all(one.end_ms == two.start_ms for one, two in pairwise(sessions))
    assert sessions[0] == session(market, now_ms - DAY_MS)
    assert sessions[-1] == session(market, now_ms + 6 * DAY_MS - 1)
    assert session(market, now_ms) in sessions
    assert {each.market for each in sessions} == {market}


@given(now_ms=TIMES)
def test_the_share_sessions_keep_new_york_time(now_ms: int) -> None:
    new_york = zone("America/New_York")
    now = session("EQUITY", now_ms)
    starts, ends = (
        datetime.fromtimestamp(ms / 1000, new_york) for ms in (now.start_ms, now.end_ms)
    )
    if now.kind == NO_TRADING:
        assert (starts.hour, ends.hour) == (20, 20), "closed from evening to evening"
    else:
        assert ((starts.hour, starts.minute), (ends.hour, ends.minute)) == IN_NEW_YORK[now.kind]
        assert ends.weekday() < 5


@pytest.mark.parametrize(
    ("market", "name", "opening", "closing"),
    [
        ("COMMODITY", "America/New_York", {(18, 0)}, {(17, 0)}),
        ("KR_EQUITY", "Asia/Seoul", {(9, 0)}, {(15, 30)}),
        ("HK_EQUITY", "Asia/Hong_Kong", {(9, 30), (13, 0)}, {(12, 0), (16, 0)}),
        ("CN_EQUITY", "Asia/Shanghai", {(9, 30), (13, 0)}, {(11, 30), (15, 0)}),
    ],
)
@given(now_ms=TIMES)
def test_other_markets_keep_their_own_hours(
    market: str,
    name: str,
    opening: set[tuple[int, int]],
    closing: set[tuple[int, int]],
    now_ms: int,
) -> None:
    clock = zone(name)
    regular = [each for each in week(market, now_ms) if each.kind == "REGULAR"]
    starts = [datetime.fromtimestamp(each.start_ms / 1000, clock) for each in regular]
    ends = [datetime.fromtimestamp(each.end_ms / 1000, clock) for each in regular]
    assert {(each.hour, each.minute) for each in starts} <= opening
    assert {(each.hour, each.minute) for each in ends} <= closing
    assert {each.weekday() for each in ends} == {0, 1, 2, 3, 4}
    assert {each.kind for each in week(market, now_ms)} == {"REGULAR", NO_TRADING}


@pytest.mark.parametrize(
    "holiday",
    [
        *("2026-01-01", "2026-01-19", "2026-02-16", "2026-04-03", "2026-05-25", "2026-06-19"),
        *("2026-07-03", "2026-09-07", "2026-11-26", "2026-12-25", "2027-06-18", "2027-07-05"),
        *("2027-12-24", "2023-01-02", "2023-04-07", "2024-03-29", "2025-04-18"),
    ],
)
def test_the_stock_exchange_is_closed_on_its_holidays(holiday: str) -> None:
    day = date.fromisoformat(holiday)
    assert day_of(holiday) == NO_TRADING
    open_days = [
        each
        for each in (day - timedelta(days=days) for days in range(1, 6))
        if day_of(each.isoformat()) == "REGULAR"
    ]
    assert open_days, "and open in the days before"
    assert day_of(holiday, "COMMODITY") == "REGULAR"


def test_a_new_year_on_a_saturday_is_not_made_up() -> None:
    assert day_of("2021-12-31") == "REGULAR"


def test_the_sessions_of_a_winter_morning() -> None:
    now = session("EQUITY", START_MS)
    assert (now.start_ms, now.end_ms, now.kind) == (
        at("2026-02-25T01:00"),
        at("2026-02-25T09:00"),
        "OVERNIGHT",
    )
    assert session("COMMODITY", START_MS).end_ms == at("2026-02-25T22:00")


def test_an_unknown_market_is_named() -> None:
    with pytest.raises(KeyError, match="MOON"):
        session("MOON", START_MS)
