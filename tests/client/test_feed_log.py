"""What a program that reads no notices finds in the log."""

from __future__ import annotations

import logging

import pytest
from consumers import TRADES, carried, client_of, cut, quick
from loopback import loopback, looped, until

from tickerplant.client.runner import MAX_LOGGED_NAMES, MAX_PER_MINUTE, FeedLog
from tickerplant.notices import (
    BookSynced,
    Disconnected,
    Gap,
    Recovered,
    Stale,
    SubscriptionRejected,
)

ALL = ("a@trade", "b@trade", "c@trade", "d@trade", "e@trade")


def test_each_kind_is_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    log = FeedLog()
    caplog.set_level(logging.INFO)
    for notice in (
        Disconnected(streams=ALL, time_ms=1, reason="lost", retry_ms=2_000),
        Recovered(streams=ALL[:1], time_ms=2, outage_ms=3_000),
        Stale(streams=ALL[:2], time_ms=3, silent_ms=5_000, expected_ms=1_000),
        Gap(streams=ALL[:1], time_ms=4, symbol="A", after_id=5, before_id=9, missing=3),
        Gap(
            streams=ALL[:1],
            time_ms=4,
            symbol="A",
            after_id=5,
            before_id=9,
            missing=None,
            backfilled=2,
            reason="late",
        ),
        SubscriptionRejected(streams=ALL[:1], time_ms=5, code=2, reason="no"),
        BookSynced(streams=ALL[:1], time_ms=6, symbol="A", update_id=1),
    ):
        log.noticed(notice)
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "a@trade, b@trade and 3 more: disconnected, lost; next attempt in 2.0 s"),
        ("INFO", "a@trade: recovered after 3.0 s"),
        ("WARNING", "a@trade, b@trade: silent for 5.0 s, expected every 1.0 s"),
        ("WARNING", "a@trade: 3 messages are missing between 5 and 9"),
        (
            "WARNING",
            "a@trade: messages are missing between 5 and 9, 2 of them backfilled (late)",
        ),
        ("WARNING", "a@trade: subscription rejected by the server: 2 no"),
    ]


def test_a_minute_has_a_limited_number_of_lines_and_then_says_how_many_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = FeedLog()
    for number in range(MAX_PER_MINUTE + 7):
        log.noticed(Disconnected(streams=ALL, time_ms=1_000_000 + number, reason="lost"))
    assert len(caplog.records) == MAX_PER_MINUTE
    log.noticed(Disconnected(streams=ALL, time_ms=1_061_000, reason="lost again"))
    told, last = (each.getMessage() for each in caplog.records[MAX_PER_MINUTE:])
    assert told == ("7 more outages, gaps and silences were not logged: at most 10 are in a minute")
    assert last.endswith("lost again")
    log.flush()
    assert caplog.records[-1].getMessage().endswith("lost again"), "nothing is left out"


def test_unknown_names_are_logged_once_each_up_to_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    log = FeedLog()
    for number in range(MAX_LOGGED_NAMES + 5):
        log.unknown(f"{number}@nothing", "why")
        log.unknown(f"{number}@nothing", "why")
    assert len(caplog.records) == MAX_LOGGED_NAMES + 1
    assert caplog.records[-1].getMessage().startswith("More than 1000 streams are unknown")


@looped
async def test_an_outage_is_logged_once_however_many_streams_and_consumers_it_has(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tickerplant.client.runner")
    names = (TRADES, "ethusdt@trade", "bnbusdt@trade")
    async with loopback() as house, client_of(house) as market:
        for _ in range(2):
            market.on(*names, callback=str, on_notice=str)
        await carried(market, *names)
        await cut(house, market)
        await until(lambda: market.counters.lost >= 1)
        await carried(market, *names)
        await until(lambda: len(caplog.records) >= 2)
    lost, found = (each for each in caplog.records if each.name == "tickerplant.client.runner")
    assert (lost.levelname, found.levelname) == ("WARNING", "INFO")
    assert lost.getMessage().startswith("btcusdt@trade, ethusdt@trade and 1 more: disconnected, ")
    assert ": recovered after " in found.getMessage()


@looped
async def test_streams_that_fall_silent_at_once_are_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = quick(first_message_timeout_ms=50)
    async with loopback(faults="silent=1") as house, client_of(house, settings=settings) as market:
        market.on(TRADES, "ethusdt@trade", callback=str)
        await until(lambda: market.counters.stale == 2)
    (record,) = (each for each in caplog.records if each.name == "tickerplant.client.runner")
    assert ": silent for " in record.getMessage()
    assert record.getMessage().startswith("btcusdt@trade, ethusdt@trade: ")
