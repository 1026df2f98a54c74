"""Notices, times and totals in plain words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from msgspec import structs

from tickerplant.feed.feed import FeedCounters
from tickerplant.formatting import printable
from tickerplant.messages.notice import (
    BookResyncing,
    DecodeFailed,
    Disconnected,
    Dropped,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
    UnknownStream,
)
from tickerplant.units import NS_PER_S

SHOWN_NAMES = 2
"""Of more streams than this only one is named."""
LARGEST = 10**18
"""Largest number that is shown; Python prints none of more than 4300 digits."""


def notice_text(notice: Notice, *, is_news: bool = True) -> str:
    """Return what a notice says, with the streams it is about, on one line.

    Args:
        notice: What was told.
        is_news: Whether it was just now: what it says of the near future is left out otherwise.
    """
    if isinstance(notice, Disconnected) and not is_news:
        notice = structs.replace(notice, retry_ms=0)
    tell = _WORDS.get(type(notice))
    try:
        said = type(notice).__name__ if tell is None else tell(notice)
    except Exception:  # noqa: BLE001  # nothing that a server says may end the watching
        said = type(notice).__name__
    return printable(f"{names_text(notice.streams)}: {said}")


def names_text(names: Sequence[str]) -> str:
    """Return the names, or the first of many."""
    if len(names) <= SHOWN_NAMES:
        return " and ".join(names) or "nothing"
    return f"{names[0]} and {len(names) - 1} more"


def duration_text(milliseconds: float) -> str:
    """Return a time in at most two units: `0.4 s`, `42 s`, `3 m 05 s`, `2 h 10 m`."""
    seconds = max(milliseconds, 0) / 1_000
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02d} m"


def time_text(time_ns: int) -> str:
    """Return a moment as ISO has it, in UTC, to the microsecond."""
    seconds, rest = divmod(time_ns, NS_PER_S)
    return f"{_second_text(seconds)}.{rest // 1_000:06d}Z"


def clock_text(time_ms: int) -> str:
    """Return the time of the day of a moment, in UTC."""
    return f"{_second_text(time_ms // 1_000)[11:]}Z"


@lru_cache(maxsize=64)
def _second_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def count_text(number: int, one: str, several: str = "") -> str:
    """Return a number with what is counted."""
    return f"{number_text(number)} {one if number == 1 else several or one + 's'}"


def number_text(number: int) -> str:
    """Return a number; of one that no honest server makes only that it is large."""
    return f"{number:,}" if number <= LARGEST else f"over {LARGEST:.0e}"


def totals_text(counters: FeedCounters, streams: int, seconds: float) -> str:
    """Return the last line: what was heard in how long."""
    parts = [
        count_text(counters.gaps, "gap"),
        f"{number_text(counters.missing)} missing",
        count_text(counters.duplicates, "duplicate"),
        count_text(counters.lost, "connection lost", "connections lost"),
    ]
    if counters.refused:
        parts.append(count_text(counters.refused, "attempt failed", "attempts failed"))
    if counters.unreadable:
        parts.append(f"{counters.unreadable:,} unreadable")
    messages = count_text(counters.messages, "message")
    heard = f"{messages} of {count_text(streams, 'stream')} in {seconds:.1f} s"
    return f"{heard}: {', '.join(parts)}."


def _disconnected(it: Disconnected) -> str:
    attempt = f"; next attempt in {duration_text(it.retry_ms)}" if it.retry_ms else ""
    return f"nothing is heard, {it.reason}{attempt}"


def _doubtful(it: UnknownStream) -> str:
    return f"doubtful, {it.reason}"


def _recovered(it: Recovered) -> str:
    return f"heard again, after {duration_text(it.outage_ms)}"


def _stale(it: Stale) -> str:
    expected = f", expected every {duration_text(it.expected_ms)}" if it.expected_ms else ""
    why = f", {it.reason}" if it.reason else ""
    return f"silent for {duration_text(it.silent_ms)}{expected}{why}"


def _gap(it: Gap) -> str:
    what = (
        "messages are"
        if it.missing is None
        else count_text(it.missing, "message") + (" is" if it.missing == 1 else " are")
    )
    is_named = any(name.startswith(it.symbol.lower()) for name in it.streams)
    symbol = "" if is_named else f" of {it.symbol}"
    had = f", {it.backfilled:,} of them had since" if it.backfilled else ""
    why = f" ({it.reason})" if it.reason else ""
    return f"{what} missing{symbol} between {it.after_id} and {it.before_id}{had}{why}"


def _resync(it: BookResyncing) -> str:
    return f"the book of {it.symbol} begins anew, {it.reason}"


def _dropped(it: Dropped) -> str:
    return f"{count_text(it.count, 'message')} given up: they were read too slowly"


def _refused(it: SubscriptionRejected) -> str:
    return f"the server refuses: {it.code} {it.reason}"


def _unreadable(it: DecodeFailed) -> str:
    return f"a message cannot be read, {it.reason}: {it.payload.decode(errors='replace')}"


_WORDS: Mapping[type[Notice], Callable[[Any], str]] = {
    Disconnected: _disconnected,
    UnknownStream: _doubtful,
    Dropped: _dropped,
    Gap: _gap,
    Recovered: _recovered,
    SubscriptionRejected: _refused,
    BookResyncing: _resync,
    Stale: _stale,
    DecodeFailed: _unreadable,
}
