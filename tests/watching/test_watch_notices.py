from __future__ import annotations

import pytest

from tickerplant.feed.feed import FeedCounters
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
from tickerplant.watching.run import totals_text

ONE = ("a@trade",)


def numbered(missing: int | None, backfilled: int = 0, reason: str = "", symbol: str = "A") -> Gap:
    return Gap(
        streams=ONE,
        time_ms=0,
        symbol=symbol,
        after_id=4,
        before_id=9,
        missing=missing,
        backfilled=backfilled,
        reason=reason,
    )


@pytest.mark.parametrize(
    ("notice", "expected"),
    [
        (
            Disconnected(streams=ONE, time_ms=0, reason="refused: HTTP 503", retry_ms=400),
            "a@trade: disconnected, refused: HTTP 503; next attempt in 0.4 s",
        ),
        (
            Disconnected(streams=("a@trade", "b", "c"), time_ms=0, reason="reset"),
            "a@trade, b and 1 more: disconnected, reset",
        ),
        (
            UnknownStream(streams=("a@Trade",), time_ms=0, reason="its name"),
            "a@Trade: unknown stream: its name",
        ),
        (
            Recovered(streams=("a", "b"), time_ms=0, outage_ms=2_000),
            "a, b: recovered after 2.0 s",
        ),
        (
            Stale(streams=ONE, time_ms=0, silent_ms=6_000, expected_ms=2_000),
            "a@trade: silent for 6.0 s, expected every 2.0 s",
        ),
        (
            Stale(streams=ONE, time_ms=0, silent_ms=2_000, expected_ms=0, reason="not read"),
            f"{ONE[0]}: silent for 2.0 s, not read",
        ),
        (
            Stale(streams=ONE, time_ms=0, silent_ms=60_000, expected_ms=0),
            "a@trade: silent for 1 m 00 s",
        ),
        (numbered(1), "a@trade: 1 message is missing between 4 and 9"),
        (
            numbered(4, 3, "late"),
            "a@trade: 4 messages are missing between 4 and 9, 3 of them backfilled (late)",
        ),
        (numbered(None, symbol="B"), "a@trade: messages of B are missing between 4 and 9"),
        (
            BookResyncing(streams=ONE, time_ms=0, symbol="A", reason="a gap"),
            "a@trade: the book of A is being rebuilt: a gap",
        ),
        (
            Dropped(streams=ONE, time_ms=0, count=2),
            "a@trade: 2 messages dropped, read too slowly",
        ),
        (
            SubscriptionRejected(streams=ONE, time_ms=0, code=2, reason="no\x1b"),
            "a@trade: subscription rejected by the server: 2 no·",
        ),
        (
            DecodeFailed(streams=ONE, time_ms=0, payload=b"\xff{", reason="no JSON"),
            "a@trade: unreadable message, no JSON: \ufffd{",
        ),
        (Notice(streams=(), time_ms=0), "nothing: Notice"),
    ],
)
def test_a_notice_is_described_on_one_line(notice: Notice, expected: str) -> None:
    assert notice.text == expected


def test_the_totals_are_one_line() -> None:
    counters = FeedCounters(messages=1_234, gaps=1, missing=7, lost=2, refused=3, unreadable=1)
    assert totals_text(counters, 2, 12.04) == (
        "1,234 messages of 2 streams in 12.0 s: 1 gap, 7 missing, 0 duplicates, "
        "2 connections lost, 3 attempts failed, 1 unreadable."
    )
