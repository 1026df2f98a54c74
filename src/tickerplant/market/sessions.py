"""The trading sessions of the markets whose shares and commodities are underlyings.

Hours are local, one row per market. New York observes daylight saving time by the rule of 2007
(second Sunday of March to first Sunday of November) and the holidays of its stock exchange by their
rules. Half days of the stock exchange count as full ones. The lunar holidays of the Asian markets,
which follow no rule, count as trading days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from msgspec import Struct

from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

NO_TRADING = "NO_TRADING"
_REGULAR = "REGULAR"
_SEARCHED_DAYS = 7
"""No market is closed for longer."""
_REMEMBERED_DAYS = 256


class Session(Struct, frozen=True, gc=False):
    """One market from `start_ms` up to, but not including, `end_ms`."""

    market: str
    """`EQUITY` (New York), `COMMODITY`, `KR_EQUITY`, `HK_EQUITY` or `CN_EQUITY`."""
    start_ms: int
    end_ms: int
    kind: str
    """`PRE_MARKET`, `REGULAR`, `AFTER_MARKET`, `OVERNIGHT` or `NO_TRADING`."""


class _Hours(Struct, frozen=True):
    """Minutes after midnight of a trading day; negative before it."""

    kind: str
    opens: int
    closes: int


class _Market(Struct, frozen=True):
    hours: tuple[_Hours, ...]
    """In order of time, not overlapping those of the next day."""
    ahead_hours: Callable[[date], int]
    """How far the clocks are ahead of UTC."""
    holiday: Callable[[date], bool]
    """Whether a day from Monday to Friday has no sessions."""


def _at(hour: int, minute: int = 0) -> int:
    return 60 * hour + minute


def _nth(year: int, month: int, weekday: int, number: int) -> date:
    """Return the `number`-th `weekday` (0 is Monday) of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))


def _good_friday(year: int) -> date:
    """Return the Friday before Easter Sunday, by the anonymous Gregorian reckoning."""
    moon, century = year % 19, year // 100
    leap = century - century // 4 - (century - (century + 8) // 25 + 1) // 3
    epact = (19 * moon + leap + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (year % 100 // 4) - epact - year % 4) % 7
    shift = (moon + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * shift + 114, 31)
    return date(year, month, day + 1) - timedelta(days=2)


def _observed(day: date) -> date:
    """Return the day off for a holiday: the Friday before a Saturday, the Monday after a Sunday."""
    return day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))


@lru_cache(maxsize=16)
def _new_york_holidays(year: int) -> frozenset[date]:
    """Return the holidays of the New York Stock Exchange; a New Year on Saturday has none."""
    new_year = date(year, 1, 1)
    return frozenset(
        {
            new_year if new_year.weekday() == 5 else _observed(new_year),
            _nth(year, 1, 0, 3),  # Martin Luther King
            _nth(year, 2, 0, 3),  # Washington
            _good_friday(year),
            _nth(year, 6, 0, 1) - timedelta(days=7),  # Memorial Day: the last Monday of May
            _observed(date(year, 6, 19)),
            _observed(date(year, 7, 4)),
            _nth(year, 9, 0, 1),  # Labor Day
            _nth(year, 11, 3, 4),  # Thanksgiving
            _observed(date(year, 12, 25)),
        }
    )


def _new_york_hours_ahead(day: date) -> int:
    """Return -4 in daylight saving time, else -5; days of change count as changed."""
    return -4 if _nth(day.year, 3, 6, 2) <= day < _nth(day.year, 11, 6, 1) else -5


def _fixed(ahead_hours: int) -> Callable[[date], int]:
    def ahead(day: date) -> int:
        del day
        return ahead_hours

    return ahead


def _never(day: date) -> bool:
    del day
    return False


_MARKETS = {
    "EQUITY": _Market(
        hours=(
            _Hours("OVERNIGHT", -_at(4), _at(4)),
            _Hours("PRE_MARKET", _at(4), _at(9, 30)),
            _Hours(_REGULAR, _at(9, 30), _at(16)),
            _Hours("AFTER_MARKET", _at(16), _at(20)),
        ),
        ahead_hours=_new_york_hours_ahead,
        holiday=lambda day: day in _new_york_holidays(day.year),
    ),
    "COMMODITY": _Market(
        hours=(_Hours(_REGULAR, -_at(6), _at(17)),),
        ahead_hours=_new_york_hours_ahead,
        holiday=_never,
    ),
    "KR_EQUITY": _Market(
        hours=(_Hours(_REGULAR, _at(9), _at(15, 30)),), ahead_hours=_fixed(9), holiday=_never
    ),
    "HK_EQUITY": _Market(
        hours=(_Hours(_REGULAR, _at(9, 30), _at(12)), _Hours(_REGULAR, _at(13), _at(16))),
        ahead_hours=_fixed(8),
        holiday=_never,
    ),
    "CN_EQUITY": _Market(
        hours=(_Hours(_REGULAR, _at(9, 30), _at(11, 30)), _Hours(_REGULAR, _at(13), _at(15))),
        ahead_hours=_fixed(8),
        holiday=_never,
    ),
}

MARKETS = tuple(_MARKETS)
"""The markets whose sessions are known."""


@lru_cache(maxsize=_REMEMBERED_DAYS)
def _of_day(name: str, day: date) -> tuple[Session, ...]:
    """Return the sessions of a trading day, which may begin on the previous evening."""
    market = _MARKETS[name]
    if day.weekday() >= 5 or market.holiday(day):
        return ()
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    midnight_ms = int(midnight.timestamp()) * 1000 - market.ahead_hours(day) * HOUR_MS
    return tuple(
        Session(
            name,
            midnight_ms + hours.opens * MINUTE_MS,
            midnight_ms + hours.closes * MINUTE_MS,
            hours.kind,
        )
        for hours in market.hours
    )


def _sessions(name: str, around_ms: int) -> Iterator[Session]:
    """Yield the sessions of the days around a time, and the periods between them."""
    today = datetime.fromtimestamp(around_ms // 1000, UTC).date()
    last: Session | None = None
    for days in range(-_SEARCHED_DAYS, 2 * _SEARCHED_DAYS + 1):
        for each in _of_day(name, today + timedelta(days=days)):
            if last is not None and last.end_ms < each.start_ms:
                yield Session(name, last.end_ms, each.start_ms, NO_TRADING)
            yield each
            last = each


def session(market: str, now_ms: int) -> Session:
    """Return the session that contains `now_ms`, possibly of kind `NO_TRADING`."""
    return next(each for each in _sessions(market, now_ms) if now_ms < each.end_ms)


def week(market: str, now_ms: int) -> list[Session]:
    """Return one week of sessions without a gap, starting the day before `now_ms`.

    Trading Schedule page: "for a one-week period starting from the day prior to the query time".
    """
    first_ms, last_ms = now_ms - DAY_MS, now_ms + 6 * DAY_MS
    return [
        each
        for each in _sessions(market, now_ms)
        if each.end_ms > first_ms and each.start_ms < last_ms
    ]
