"""Notices and totals as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import structs

from tickerplant.feed.feed import FeedCounters
from tickerplant.formatting import count_text, duration_text, number_text, printable
from tickerplant.notices import (
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

MAX_NAMES = 2
"""More names than these are shown as the first and a count."""


def notice_text(notice: Notice, *, is_news: bool = True) -> str:
    """Return a notice with the names of its streams, on one line.

    Args:
        notice: The notice.
        is_news: Whether it has just arrived; if not, the time of the next attempt is left out.
    """
    if isinstance(notice, Disconnected) and not is_news:
        notice = structs.replace(notice, retry_ms=0)
    describe = _TEXTS.get(type(notice))
    try:
        text = type(notice).__name__ if describe is None else describe(notice)
    except Exception:  # noqa: BLE001  # values from a server must not end the program
        text = type(notice).__name__
    return printable(f"{names_text(notice.streams)}: {text}")


def names_text(names: Sequence[str]) -> str:
    """Return the names, or the first and how many more there are."""
    if len(names) <= MAX_NAMES:
        return " and ".join(names) or "nothing"
    return f"{names[0]} and {len(names) - 1} more"


def totals_text(counters: FeedCounters, streams: int, seconds: float) -> str:
    """Return the last line of a run: what was received, and what went wrong."""
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
    received = f"{messages} of {count_text(streams, 'stream')} in {seconds:.1f} s"
    return f"{received}: {', '.join(parts)}."


def _disconnected(notice: Disconnected) -> str:
    attempt = f"; next attempt in {duration_text(notice.retry_ms)}" if notice.retry_ms else ""
    return f"disconnected, {notice.reason}{attempt}"


def _unknown_stream(notice: UnknownStream) -> str:
    return f"unknown stream: {notice.reason}"


def _recovered(notice: Recovered) -> str:
    return f"recovered after {duration_text(notice.outage_ms)}"


def _stale(notice: Stale) -> str:
    interval = notice.expected_ms
    expected = f", expected every {duration_text(interval)}" if interval else ""
    reason = f", {notice.reason}" if notice.reason else ""
    return f"silent for {duration_text(notice.silent_ms)}{expected}{reason}"


def _gap(notice: Gap) -> str:
    missing = "messages" if notice.missing is None else count_text(notice.missing, "message")
    verb = "is" if notice.missing == 1 else "are"
    is_named = any(name.startswith(notice.symbol.lower()) for name in notice.streams)
    symbol = "" if is_named else f" of {notice.symbol}"
    backfilled = f", {notice.backfilled:,} of them backfilled" if notice.backfilled else ""
    reason = f" ({notice.reason})" if notice.reason else ""
    ids = f"between {notice.after_id} and {notice.before_id}"
    return f"{missing}{symbol} {verb} missing {ids}{backfilled}{reason}"


def _book_resyncing(notice: BookResyncing) -> str:
    return f"the book of {notice.symbol} is being rebuilt: {notice.reason}"


def _dropped(notice: Dropped) -> str:
    return f"{count_text(notice.count, 'message')} dropped, read too slowly"


def _rejected(notice: SubscriptionRejected) -> str:
    return f"subscription rejected by the server: {notice.code} {notice.reason}"


def _decode_failed(notice: DecodeFailed) -> str:
    return f"unreadable message, {notice.reason}: {notice.payload.decode(errors='replace')}"


_TEXTS: Mapping[type[Notice], Callable[[Any], str]] = {
    BookResyncing: _book_resyncing,
    DecodeFailed: _decode_failed,
    Disconnected: _disconnected,
    Dropped: _dropped,
    Gap: _gap,
    Recovered: _recovered,
    Stale: _stale,
    SubscriptionRejected: _rejected,
    UnknownStream: _unknown_stream,
}
