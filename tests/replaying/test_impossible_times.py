"""Messages with a time that cannot be true: they are left out, and carry no market with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from played import NS, START_MS, Replay, recorded, replayed, trade
from stage import payloads

from tickerplant.recording.event_clock import MISTIMED, WITNESSES
from tickerplant.recording.timestamps import TimeSpec
from tickerplant.replaying.plan import Plan
from tickerplant.replaying.scan import scan
from tickerplant.units import DAY_MS

TIMES = {
    "the year 2126": 4_923_161_256_000,
    "the year 9999": 253_402_300_799_000,
    "the largest number": (1 << 63) - 1,
    "sixty days ahead": START_MS + 60 * DAY_MS,
    "two hours ahead": START_MS + 7_200_000,
    "the year 1970": 5,
    "before the epoch": -START_MS,
    "a year behind": START_MS - 365 * DAY_MS,
}
HONEST = 200


def mistimed(n: int, time_ms: int) -> bytes:
    return trade(n).replace(b"%d" % (START_MS + n), b"%d" % time_ms)


def lines(wrong: bytes, *, at: int = 70, skew_ms: int = 0) -> list[tuple[int, str, bytes]]:
    """Trades a millisecond apart, one of them as it is given."""
    payloads = {n: trade(n) for n in range(1, HONEST + 1)} | {at: wrong}
    return [(n + skew_ms, "btcusdt@trade", payload) for n, payload in payloads.items()]


def damages(replay: Replay) -> list[str]:
    return [each for each in replay.readiness.warnings if ": skipped " in each]


def ids(replay: Replay) -> list[int]:
    messages: Sequence[dict[str, Any]] = [
        json.loads(payload) for payload in payloads(bytes(replay.listeners["usdm"].data))
    ]
    return [each["t"] for each in messages if each["e"] == "trade"]


CASES = [
    *((name, "receive", 70) for name in TIMES),
    *((name, "event", 70) for name in ("the year 2126", "a year behind")),
    *(("sixty days ahead", pace, at) for pace in ("receive", "event") for at in (1, HONEST)),
]


@pytest.mark.parametrize(("name", "pace", "at"), CASES)
def test_a_message_with_an_impossible_time_is_skipped_and_reported_with_its_place(
    tmp_path: Path, name: str, pace: Any, at: int
) -> None:
    time_ms = TIMES[name]
    path = recorded(tmp_path / "r", lines(mistimed(at, time_ms), at=at))
    names = ["btcusdt@trade", "btcusdt@miniTicker"]
    replay = Replay([path], {"usdm": names}, plan=Plan(speed=0, pace=pace))
    replay.run()
    assert ids(replay) == [n for n in range(1, HONEST + 1) if n != at]
    assert replay.plant.now_ms == START_MS + HONEST - (at == HONEST)
    assert replay.readiness.skipped()[MISTIMED] == 1
    offset_bytes = sum(map(len, path.read_bytes().splitlines(keepends=True)[: at - 1]))
    [warning] = damages(replay)
    assert warning.startswith(f"{path}, line {at}, byte {offset_bytes}: skipped ")
    assert f"its event time {time_ms}" in warning
    assert "is far from its receive time, 2024-08-08T23:54:16" in warning


@pytest.mark.parametrize("speed", [0.0, 1.0])
def test_a_collector_clock_that_is_wrong_by_years_costs_only_the_damaged_message(
    tmp_path: Path, speed: float
) -> None:
    wrong = mistimed(70, START_MS + 60 * DAY_MS)
    for years in (-8, 30):
        found = lines(wrong, skew_ms=years * 365 * DAY_MS)
        replay = replayed(tmp_path, found, "btcusdt@trade", speed=speed)
        assert ids(replay) == [n for n in range(1, HONEST + 1) if n != 70]
        assert replay.plant.now_ms == START_MS + HONEST


def test_a_collector_clock_that_is_set_while_it_records_costs_nothing(tmp_path: Path) -> None:
    years_ms = 3 * 365 * DAY_MS
    found = [
        (at_ms + years_ms * (at_ms > 100), stream, payload)
        for at_ms, stream, payload in lines(trade(70))
    ]
    replay = replayed(tmp_path, found, "btcusdt@trade")
    assert ids(replay) == list(range(1, HONEST + 1))
    assert damages(replay) == []


def test_a_clock_set_during_a_pause_costs_the_messages_that_confirm_it(
    tmp_path: Path,
) -> None:
    later_ms = 60 * DAY_MS
    found = [
        (n + (n > 100), "btcusdt@trade", trade(n, at_ms=n + later_ms * (n > 100)))
        for n in range(1, HONEST + 1)
    ]
    replay = replayed(tmp_path, found, "btcusdt@trade")
    assert replay.readiness.skipped() == {MISTIMED: WITNESSES - 1}
    assert replay.plant.now_ms == START_MS + HONEST + later_ms


def test_one_broken_stream_among_others_is_never_believed(tmp_path: Path) -> None:
    found = lines(trade(70))
    broken = [
        (at_ms, "ethusdt@trade", mistimed(n, START_MS + 90 * DAY_MS + n))
        for n, (at_ms, _, _) in enumerate(found, 1)
    ]
    both = sorted([*found, *broken])
    replay = replayed(tmp_path, both, "btcusdt@trade")
    assert ids(replay) == list(range(1, HONEST + 1))
    assert replay.readiness.skipped() == {MISTIMED: HONEST}
    assert replay.plant.now_ms == START_MS + HONEST


@pytest.mark.parametrize("at", [1, 70])
def test_rebased_times_are_current_although_one_is_wrong(tmp_path: Path, at: int) -> None:
    path = recorded(tmp_path / "r", lines(mistimed(at, TIMES["the year 2126"]), at=at))
    now_ms = START_MS + 1_000 * DAY_MS
    plan = Plan(speed=0, rebased=True)
    replay = Replay([path], {"usdm": ["btcusdt@trade"]}, plan=plan, now_ms=lambda: now_ms)
    replay.run()
    assert replay.plant.now_ms == now_ms + HONEST - 1
    [warning] = damages(replay)
    assert f"{path}, line {at}, " in warning


@pytest.mark.heavy
@pytest.mark.parametrize("rebased", [False, True])
def test_a_loop_reports_an_impossible_time_once(tmp_path: Path, *, rebased: bool) -> None:
    path = recorded(tmp_path / "r", lines(mistimed(70, TIMES["the year 2126"])))
    plan = Plan(speed=0, loops=True, rebased=rebased)
    replay = Replay(
        [path], {"usdm": ["btcusdt@trade"]}, plan=plan, now_ms=lambda: START_MS + DAY_MS
    )

    async def three_rounds() -> None:
        while replay.source.messages < 3 * HONEST:  # noqa: ASYNC110  # it counts turns of the loop
            await asyncio.sleep(0)

    replay.run_with(three_rounds)
    assert replay.readiness.skipped()[MISTIMED] >= 3
    assert len(damages(replay)) == 1
    assert ids(replay)[: 3 * (HONEST - 1)] == 3 * [n for n in range(1, HONEST + 1) if n != 70]


def test_a_replay_from_the_middle_runs_up_past_it_and_begins_at_the_right_time(
    tmp_path: Path,
) -> None:
    for at in (70, 150):
        path = recorded(tmp_path / "r", lines(mistimed(at, TIMES["the year 2126"]), at=at))
        begin = TimeSpec((START_MS + 150) * NS)
        replay = Replay(
            [path], {"usdm": ["btcusdt@trade"]}, plan=Plan(speed=0, begin=begin, warm_up_ns=0)
        )
        replay.run()
        assert ids(replay) == [n for n in range(150, HONEST + 1) if n != at]
        assert replay.plant.now_ms == START_MS + HONEST


def test_a_verbatim_replay_sends_it_as_it_is_and_keeps_its_time(tmp_path: Path) -> None:
    path = recorded(tmp_path / "r", lines(mistimed(70, TIMES["the year 2126"])))
    replay = Replay([path], {"usdm": ["btcusdt@trade"]}, plan=Plan(speed=0, verbatim=True))
    replay.run()
    assert ids(replay) == list(range(1, HONEST + 1))
    assert replay.plant.now_ms == START_MS + HONEST


OTHERS = {
    "a trade at another time": (
        "btcusdt@trade",
        trade(70).replace(b'"T":%d' % (START_MS + 70), b'"T":4923161256000'),
        "trade time",
    ),
    "a funding in ten years": (
        "btcusdt@markPrice",
        b'{"e":"markPriceUpdate","E":%d,"s":"BTCUSDT","p":"1.0","i":"1.0","P":"1.0","r":"0.1",'
        b'"T":%d}' % (START_MS + 70, START_MS + 3_650 * DAY_MS),
        "next funding time",
    ),
    "an aggregate at another time": (
        "btcusdt@aggTrade",
        b'{"e":"aggTrade","E":%d,"s":"BTCUSDT","a":1,"p":"1.00","q":"1.000","f":1,"l":1,"T":1,'
        b'"m":true}' % (START_MS + 70),
        "trade time",
    ),
    "a liquidation at another time": (
        "btcusdt@forceOrder",
        b'{"e":"forceOrder","E":%d,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC",'
        b'"q":"1.000","p":"1.00","ap":"1.00","X":"FILLED","l":"1.000","z":"1.000","T":1}}'
        % (START_MS + 70),
        "trade time",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_the_other_times_of_a_message_are_near_its_event_time(tmp_path: Path, case: str) -> None:
    stream, payload, name = OTHERS[case]
    found = lines(trade(70))
    found[69] = (70, stream, payload)
    path = recorded(tmp_path / "r", found)
    replay = Replay([path], {"usdm": ["btcusdt@trade"]})
    replay.run()
    assert ids(replay) == [n for n in range(1, HONEST + 1) if n != 70]
    assert replay.readiness.skipped() == {MISTIMED: 1}
    [warning] = damages(replay)
    assert f"{path}, line 70, byte " in warning
    assert f"its {name} is " in warning


def test_a_snapshot_with_an_impossible_time_opens_no_book(tmp_path: Path) -> None:
    response = b'{"lastUpdateId":15,"E":4923161256000,"T":1,"bids":[["98.00","1.000"]],"asks":[]}'
    found = [*lines(trade(70)), (0, "", response)]
    path = recorded(tmp_path / "r", sorted(found, key=lambda line: line[0]))
    assert scan([str(path)]).files[0].snapshots == ()
    replay = Replay([path], {"usdm": ["btcusdt@trade"]})
    replay.run()
    assert replay.plant.now_ms == START_MS + HONEST
    assert replay.readiness.skipped() == {MISTIMED: 1}
