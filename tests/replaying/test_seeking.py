"""A replay whose clock is set: after a seek, subscribers receive what was recorded from there."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import memory_loop
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played import NS, SNAPSHOT, START_MS, Listener, Replay, depth, recorded, trade

from tickerplant.errors import ConfigError, RecordingError, RequestError
from tickerplant.frames import text_frame
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.protocol.close_reasons import CloseReason
from tickerplant.queries import find_path
from tickerplant.recording.timestamps import TimeSpec
from tickerplant.replaying.plan import Plan
from tickerplant.replaying.scan import scan
from tickerplant.replaying.source import RecordingSource
from tickerplant.server.query_service import QueryService
from tickerplant.venue import USDM

TRADES = 200
EVERY_MS = 250
DERIVED = ["btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@kline_1m", "btcusdt@miniTicker"]
QUESTIONS: tuple[tuple[str, dict[str, object]], ...] = (
    ("/fapi/v1/depth", {"symbol": "BTCUSDT"}),
    ("/fapi/v1/trades", {"symbol": "BTCUSDT"}),
    ("/fapi/v1/aggTrades", {"symbol": "BTCUSDT"}),
    ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m"}),
    ("/fapi/v1/ticker/24hr", {"symbol": "BTCUSDT"}),
    ("/fapi/v1/ticker/bookTicker", {"symbol": "BTCUSDT"}),
    ("/fapi/v1/exchangeInfo", {}),
    ("/fapi/v1/time", {}),
)


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> Iterator[None]:
    """Exempt what was imported from garbage collection: each restart of a plant collects the rest."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def at(n: int) -> TimeSpec:
    """When the n-th trade was received."""
    return TimeSpec((START_MS + n * EVERY_MS) * NS)


def payload(n: int) -> bytes:
    return trade(n, f"{100 + n % 7}.00", at_ms=n * EVERY_MS)


def lines() -> list[tuple[int, str, bytes]]:
    """A book, its changes, and trades in equal distances, for fifty seconds."""
    found = [
        (1, "btcusdt@depth", depth(10, 5)),
        (2, "", SNAPSHOT),
        (3, "btcusdt@depth", depth(20, 10)),
    ]
    for n in range(1, TRADES + 1):
        time_ms = n * EVERY_MS
        change = depth(20 + n, 19 + n, bid="99.50", quantity=f"{n}.000")
        change = change.replace(b'"E":%d' % (START_MS + 20 + n), b'"E":%d' % (START_MS + time_ms))
        found += [(time_ms, "btcusdt@trade", payload(n)), (time_ms + 1, "btcusdt@depth", change)]
    return found


def received(first: int, last: int = TRADES) -> bytes:
    return b"".join(text_frame(payload(n)) for n in range(first, last + 1))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("recordings") / "r", lines())


def replay(path: Path, names: Sequence[str] = ("btcusdt@trade",), **options: Any) -> Replay:
    options.setdefault("speed", 0)
    plan = Plan(**{key: options.pop(key) for key in list(options) if key in PLANNED})
    return Replay([path], {"usdm": names}, plan=plan, **options)


PLANNED = set(Plan.__struct_fields__)


def during(
    *names: Sequence[str], **options: Any
) -> Callable[[Callable[[Replay], Coroutine[None, None, None]]], Callable[[Path], None]]:
    """Make a coroutine that visits a replay while it plays a test of the recording."""

    def test_of(visit: Callable[[Replay], Coroutine[None, None, None]]) -> Callable[[Path], None]:
        def test(path: Path) -> None:
            played = replay(path, *names, **options)
            played.run_with(lambda: visit(played))

        return test

    return test_of


def responses(plant: Plant) -> dict[str, bytes]:
    """The responses of the plant to all requests."""
    queries = QueryService(plant.venues["usdm"], Complaints())
    found = {}
    for where, params in QUESTIONS:
        query = find_path(USDM, where)
        assert query is not None, where
        try:
            found[where] = queries.answer(query, params)
        except RequestError as error:
            found[where] = str(error).encode()
    return found


class SlowReader:
    """A connection that has not taken what it was sent."""

    unsent_bytes = 1

    def close(self, _reason: CloseReason) -> None:
        raise AssertionError("it reads again in time")


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  # what is waited for is seen from outside
        await asyncio.sleep(0.01)


async def until_over(source: RecordingSource) -> None:
    await until(lambda: source.state().state == "over")


async def steer(source: RecordingSource, **given: object) -> Mapping[str, Any]:
    state = await source.steer(given)
    return {name: getattr(state, name) for name in state.__struct_fields__}


@pytest.mark.parametrize("speed", [0.0, 1.0, 1000.0])
@pytest.mark.parametrize("first", [1, 2, 77, 200])
def test_a_replay_begins_and_ends_where_the_plan_says(path: Path, first: int, speed: float) -> None:
    last = min(first + 50, TRADES)
    played = replay(path, begin=at(first), end=at(last + 1), speed=speed)
    played.run()
    assert played.listeners["usdm"].data == received(first, last)
    assert played.source.messages == 2 * (last - first + 1), "the warm-up does not count"


@pytest.mark.heavy
@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, TRADES), min_size=1, max_size=4), st.sampled_from([0.0, 900.0]))
def test_after_a_seek_subscribers_receive_what_was_recorded_from_there(
    path: Path, targets: list[int], speed: float
) -> None:
    played = replay(path, speed=speed, keeps_running=True)
    listener = played.listeners["usdm"]

    async def visit() -> None:
        await until_over(played.source)
        for target in targets:
            listener.data = b""
            await steer(played.source, paused=True)
            state = await steer(played.source, seek=at(target).ns)
            assert (state["received_ns"], state["state"]) == (at(target).ns, "paused")
            assert listener.data == b"", "a warm-up is silent"
            await steer(played.source, paused=False)
            await until_over(played.source)
            assert listener.data == received(target)

    played.run_with(visit)


@pytest.mark.heavy
@settings(max_examples=6, deadline=None)
@given(st.integers(2, TRADES), st.integers(2, TRADES))
def test_after_seeks_a_plant_has_the_state_of_a_new_one(
    path: Path, first: int, second: int
) -> None:
    new = replay(path, DERIVED, begin=at(second))
    new.run()
    used = replay(path, DERIVED, keeps_running=True)
    listener = used.listeners["usdm"]
    known: list[dict[str, bytes]] = []

    async def visit() -> None:
        await until_over(used.source)
        await steer(used.source, paused=True)
        for target in (first, 1, second):
            await steer(used.source, seek=at(target).ns)
            known.append(responses(used.plant))
        listener.data = b""
        await steer(used.source, paused=False)
        await until_over(used.source)

    used.run_with(visit)
    assert listener.data == new.listeners["usdm"].data, "derived streams are the same"
    assert responses(used.plant) == responses(new.plant)
    stopped = replay(path, DERIVED, end=at(second))
    stopped.run()
    assert known[-1] == responses(stopped.plant), "and so is the state there"


def test_seeking_while_a_replay_runs_leads_to_the_same_messages(
    path: Path,
) -> None:
    played = replay(path, DERIVED, speed=10.0, keeps_running=True)
    listener = played.listeners["usdm"]

    async def visit() -> None:
        await asyncio.sleep(1.0)
        await steer(played.source, seek="+10s")
        await asyncio.sleep(0.5)
        state = await steer(played.source, seek="-20s", speed=2)
        assert state["state"] == "playing"
        await asyncio.sleep(0.5)
        await steer(played.source, paused=True)
        await steer(played.source, seek=at(5).ns)
        listener.data = b""
        await steer(played.source, paused=False, speed=0)
        await until_over(played.source)

    played.run_with(visit)
    new = replay(path, DERIVED, begin=at(5))
    new.run()
    assert listener.data == new.listeners["usdm"].data


@during(keeps_running=True)
async def test_a_seek_during_a_warm_up_replaces_the_first(played: Replay) -> None:
    listener = played.listeners["usdm"]
    await until_over(played.source)
    await steer(played.source, paused=True)
    listener.data = b""
    first = asyncio.create_task(steer(played.source, seek=at(150).ns))
    await asyncio.sleep(0)
    second = asyncio.create_task(steer(played.source, seek=at(3).ns))
    await asyncio.gather(first, second)
    assert played.source.state().received_ns == at(3).ns
    await steer(played.source, step=2)
    assert listener.data == text_frame(payload(3)), "a trade and a change of the book"


@during(keeps_running=True, slice_messages=1)
async def test_a_pause_stops_a_seek_where_it_is(played: Replay) -> None:
    listener = played.listeners["usdm"]
    await until_over(played.source)
    await steer(played.source, paused=True)
    listener.data = b""
    seeking = asyncio.create_task(steer(played.source, seek=at(150).ns))
    while not at(3).ns < (played.source.state().next_ns or 0) < at(140).ns:  # noqa: ASYNC110
        await asyncio.sleep(0)
    state = await steer(played.source, paused=True)
    assert (state["pending"], state["target_ns"], state["paused"]) == (False, None, True)
    assert not (await seeking)["pending"]
    await asyncio.sleep(0.1)
    stopped = played.source.state()
    assert stopped.state == "paused"
    assert stopped.received_ns < at(150).ns
    await steer(played.source, step=2)
    assert listener.data, "nothing was sent after the seek"


@during(keeps_running=True, slice_messages=1, speed=1)
async def test_a_pause_stops_a_step_where_it_is(played: Replay) -> None:
    await steer(played.source, paused=True)
    before = played.source.messages
    stepping = asyncio.create_task(steer(played.source, step=100))
    while played.source.messages == before:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert not (await steer(played.source, paused=True))["pending"]
    assert not (await stepping)["pending"]
    await asyncio.sleep(0.1)
    stopped = played.source.messages
    assert before < stopped < before + 100
    await steer(played.source, step=2)
    assert played.source.messages == stopped + 2


@during(begin=at(10), keeps_running=True, speed=0.001)
async def test_steps_are_of_messages_or_of_time(played: Replay) -> None:
    listener = played.listeners["usdm"]
    await asyncio.sleep(0.1)
    await steer(played.source, paused=True)
    listener.data = b""
    state = await steer(played.source, step=1)
    assert state["received_ns"] == at(10).ns + NS
    for n in range(11, 14):
        state = await steer(played.source, step="2")
        assert state["received_ns"] == at(n).ns + NS, "where the last message was"
    state = await steer(played.source, step="1s")
    assert state["received_ns"] == at(17).ns + NS
    state = await steer(played.source, step=1_000_000)
    assert state["state"] == "over", "there are not so many"
    with pytest.raises(RequestError, match="the replay is over") as refused:
        await steer(played.source, step=1)
    assert refused.value.status == 409
    assert listener.data == received(11)


@during(begin=at(10), keeps_running=True, speed=0.001, slice_messages=2)
async def test_a_change_on_its_way_says_where_it_leads(played: Replay) -> None:
    await asyncio.sleep(0.1)
    await steer(played.source, paused=True)
    for field, value, target_ns in (
        ("seek", at(150).ns, at(150).ns),
        ("step", "1s", at(150).ns + 1_000 * NS),
        ("step", 3, None),
    ):
        going = asyncio.create_task(steer(played.source, **{field: value}))
        seen = set()
        while not going.done():
            await asyncio.sleep(0)
            state = played.source.state()
            if state.pending:
                seen.add(state.target_ns)
        assert seen - {None} == {target_ns} - {None}
        assert (await going)["target_ns"] is None


@during(keeps_running=True, speed=1.0, slice_messages=10)
async def test_a_long_step_waits_for_slow_readers(played: Replay) -> None:
    reader = SlowReader()
    await asyncio.sleep(1)
    await steer(played.source, paused=True)
    before = played.source.messages
    played.congestion.pause(reader)
    stepping = asyncio.create_task(steer(played.source, step=1_000_000))
    await asyncio.sleep(0.5)
    assert played.source.messages - before < TRADES, "it waits after a slice at most"
    played.congestion.resume(reader)
    assert (await stepping)["state"] == "over"


@during(keeps_running=True, speed=1.0)
async def test_a_step_to_the_end_is_pending_until_the_replay_is_over(played: Replay) -> None:
    await asyncio.sleep(1)
    await steer(played.source, paused=True)
    stepping = asyncio.create_task(steer(played.source, step=1_000_000))
    await asyncio.sleep(0)
    while (state := played.source.state()).pending:  # noqa: ASYNC110  # each turn is looked at
        await asyncio.sleep(0)
    assert state.state == "over"
    assert (await stepping)["state"] == "over"


@during(loops=True, begin=at(180), speed=1.0)
async def test_a_step_beyond_a_round_of_a_loop_is_done_at_the_beginning(played: Replay) -> None:
    await asyncio.sleep(1)
    await steer(played.source, paused=True)
    state = await steer(played.source, step=1_000_000)
    assert (state["state"], state["received_ns"]) == ("paused", at(180).ns)
    state = await steer(played.source, step=1)
    assert state["state"] == "paused", "the next step is possible at once"


@during(keeps_running=True, slice_messages=10)
async def test_a_step_while_another_step_or_seek_runs_is_refused_and_changes_nothing(
    played: Replay,
) -> None:
    await until_over(played.source)
    await steer(played.source, paused=True)
    seeking = asyncio.create_task(steer(played.source, seek=at(100).ns))
    await asyncio.sleep(0)
    with pytest.raises(RequestError, match="step: another seek is not done yet") as refused:
        await steer(played.source, step=1, speed=7)
    assert refused.value.status == 409
    assert (await seeking)["speed"] == 0
    before = played.source.messages
    stepping = asyncio.create_task(steer(played.source, step=30))
    await asyncio.sleep(0)
    with pytest.raises(RequestError, match="step: another step is not done yet"):
        await steer(played.source, step=1)
    await stepping
    assert played.source.messages == before + 30


@during(speed=1.0)
async def test_a_pause_stops_the_market_and_speed_is_changed_while_it_plays(played: Replay) -> None:
    listener = played.listeners["usdm"]
    loop = asyncio.get_running_loop()
    await asyncio.sleep(5.1)
    await steer(played.source, paused=True)
    sent = len(listener.data)
    await asyncio.sleep(500)
    assert len(listener.data) == sent
    assert played.readiness.is_ready
    assert played.readiness.reason == "paused"
    await steer(played.source, paused=False, speed=10)
    resumed_s = loop.time()
    await until_over(played.source)
    left_s = TRADES * EVERY_MS / 1_000 - 5.1
    assert loop.time() - resumed_s == pytest.approx(left_s / 10, abs=0.1)
    assert listener.data == received(1), "nothing is missing, nothing comes twice"


@pytest.mark.parametrize(
    ("given_fields", "field", "expected"),
    [
        ({"speed": "fast"}, "speed", "0.001"),
        ({"speed": -1}, "speed", "0.001"),
        ({"paused": 1}, "paused", "true or false"),
        ({"paused": []}, "paused", "true or false"),
        ({"paused": {"now": True}}, "paused", "true or false"),
        ({"seek": "later"}, "seek", "an ISO date"),
        ({"step": 0}, "step", "a number of messages"),
        ({"step": -5}, "step", "100ms"),
        ({"step": "0s"}, "step", "100ms"),
        ({"step": "0.0000001ms"}, "step", "100ms"),
        ({"step": "1e3"}, "step", "100ms"),
        ({"rewind": 1}, "field", "speed, paused, seek, step"),
        ({}, "a field", "at least one of"),
    ],
)
def test_an_invalid_request_changes_nothing(
    path: Path, given_fields: dict[str, object], field: str, expected: str
) -> None:
    played = replay(path, speed=1.0)

    async def visit() -> None:
        await asyncio.sleep(1)
        with pytest.raises(ConfigError) as refused:
            await played.source.steer({"paused": True, **given_fields} if given_fields else {})
        assert refused.value.setting == field
        assert expected in str(refused.value)
        assert not played.source.state().paused

    played.run_with(visit)


@during(speed=1.0)
async def test_an_impossible_request_is_refused_with_the_reason(played: Replay) -> None:
    await asyncio.sleep(1)
    with pytest.raises(RequestError, match="step: the replay is not paused"):
        await steer(played.source, step=1)
    with pytest.raises(RequestError, match=r"seek: 2001-09-09T01:46:40\.000Z is not in it"):
        await steer(played.source, seek=10**18)
    with pytest.raises(RequestError, match="it cannot be combined with a seek"):
        await steer(played.source, step=1, paused=True, seek="+1s")
    assert not played.source.state().paused, "nothing was changed"


@during(begin=at(100), speed=1.0, keeps_running=True)
async def test_an_offset_beyond_the_recording_stops_at_its_bounds(played: Replay) -> None:
    await asyncio.sleep(1)
    await steer(played.source, paused=True)
    state = await steer(played.source, seek="-1d")
    assert state["received_ns"] == (START_MS + 1) * NS
    state = await steer(played.source, seek="+1d")
    assert state["received_ns"] == state["to_ns"]
    await until_over(played.source)
    state = await steer(played.source, seek="-1s")
    assert state["state"] == "paused"


def test_a_pending_seek_returns_when_the_replay_ends(path: Path) -> None:
    played = replay(path, keeps_running=True, speed=1.0)

    async def visit() -> None:
        readiness = played.readiness
        running = asyncio.create_task(played.source.run(played.congestion, readiness))
        await asyncio.sleep(1)
        played.congestion.pause(SlowReader())
        await steer(played.source, speed=0)
        await asyncio.sleep(0)
        seeking = asyncio.create_task(steer(played.source, seek=at(150).ns))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})
        state = await asyncio.wait_for(seeking, 1)
        assert state["state"] != "over"

    memory_loop.run(visit())


def test_a_long_quiet_period_is_reported_and_can_be_skipped(tmp_path: Path) -> None:
    hour_ms = 3_600_000
    apart = recorded(
        tmp_path / "r",
        [(1, "btcusdt@trade", trade(1)), (3 * hour_ms, "btcusdt@trade", trade(2))],
    )
    played = replay(apart, speed=1.0, keeps_running=True)

    async def visit() -> None:
        await asyncio.sleep(60)
        assert played.readiness.is_ready
        assert played.readiness.reason == "nothing was recorded until 2024-08-09T02:54:16.000Z"
        await steer(played.source, seek="+2h")
        await steer(played.source, speed=1000)
        assert played.source.state().state == "playing"
        await until_over(played.source)
        assert played.source.messages == 2

    played.run_with(visit)


def test_a_recording_named_twice_is_refused(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(RecordingError, match="link: is named twice"):
        scan([str(path), str(link)])


def test_overlapping_recordings_of_the_same_stream_are_reported(tmp_path: Path) -> None:
    stream = "btcusdt@trade"
    paths = [
        recorded(tmp_path / name, [(n, stream, trade(n)) for n in range(first, first + 10)])
        for name, first in (("a", 1), ("b", 6), ("c", 20))
    ]
    played = Replay(paths, {"usdm": [stream]}, plan=Plan(speed=0))
    played.run()
    warnings = [text for text in played.readiness.warnings if "sent twice" in text]
    assert len(warnings) == 1, "c follows"
    assert f"{paths[1]} and {paths[0]} both hold {stream}" in warnings[0]


@during(wait_for=2)
async def test_a_seek_is_possible_before_the_subscribers_have_come(played: Replay) -> None:
    await asyncio.sleep(1)
    state = await steer(played.source, seek=at(100).ns)
    assert (state["state"], state["received_ns"]) == ("waiting", at(100).ns)
    state = await steer(played.source, step=3, paused=True)
    assert (state["state"], state["messages"], state["pending"]) == ("waiting", 3, False)


@during(["btcusdt@trade"], loops=True, begin=at(180), speed=1.0)
async def test_each_round_of_a_loop_starts_with_empty_markets(played: Replay) -> None:
    listener = played.listeners["usdm"]
    await until(lambda: listener.data.count(b'"e"') >= 3 * 21)
    assert listener.data.startswith(3 * received(180))
    assert not played.readiness.warnings


@during(loops=True, rebased=True, now_ms=lambda: START_MS)
async def test_a_seek_at_the_end_of_a_round_is_not_lost(played: Replay) -> None:
    reader = SlowReader()
    played.congestion.pause(reader)
    await until(lambda: played.source.messages >= 2 * TRADES)
    await steer(played.source, paused=True)
    seeking = asyncio.create_task(steer(played.source, seek=at(77).ns))
    await asyncio.sleep(0.1)
    played.congestion.resume(reader)
    assert (await seeking)["received_ns"] == at(77).ns


def test_a_very_short_loop_gives_the_event_loop_its_turns(tmp_path: Path) -> None:
    short = recorded(tmp_path / "r", [(1, "btcusdt@trade", trade(1))])
    played = replay(short, loops=True)

    states = set()

    async def visit() -> None:
        for _ in range(100):
            await asyncio.sleep(0)
            states.add(played.source.state().state)

    played.run_with(visit)
    assert "over" not in states, "expected a loop to have no end"
    received_data = played.listeners["usdm"].data
    assert received_data.startswith(3 * text_frame(trade(1)))


@during(DERIVED, keeps_running=True)
async def test_a_seek_back_frees_the_old_markets(played: Replay) -> None:
    await until_over(played.source)
    old = weakref.ref(played.plant.markets["BTCUSDT"])
    await steer(played.source, paused=True)
    await steer(played.source, seek=at(3).ns)
    assert old() is None, "each round of a loop would keep one"


def test_a_rebased_replay_has_current_times(path: Path) -> None:
    now_ms = START_MS + 86_400_123
    played = replay(
        path, ["btcusdt@trade", "btcusdt@miniTicker"], rebased=True, now_ms=lambda: now_ms
    )
    played.run()
    first = text_frame(
        payload(1).replace(b"%d" % (START_MS + EVERY_MS), b"%d" % (now_ms - 10 + EVERY_MS))
    )
    assert played.listeners["usdm"].data.startswith(first), (
        "its first message was a change of the book"
    )
    shift_ms = played.source.state().shift_ms
    assert shift_ms == now_ms - (START_MS + 10)
    assert played.plant.now_ms == START_MS + TRADES * EVERY_MS + shift_ms
    assert b"%d" % START_MS not in played.listeners["usdm"].data


@during(rebased=True, loops=True, speed=10.0, now_ms=lambda: START_MS)
async def test_time_continues_over_the_rounds_of_a_rebased_loop(played: Replay) -> None:
    times: list[int] = []
    for _ in range(200):
        times.append(played.plant.now_ms)
        await asyncio.sleep(0.1)
    assert times == sorted(times), "market time never goes back"
    assert times[-1] > times[0] + 3 * TRADES * EVERY_MS, "there were several rounds"


def test_candles_keep_a_rebased_replay_on_the_minute(tmp_path: Path) -> None:
    candle = b'{"e":"kline","E":%d,"s":"BTCUSDT","k":{"t":%d,"T":%d,"s":"BTCUSDT","i":"1m"}}'
    opened_ms = START_MS // 60_000 * 60_000
    line = (1, "btcusdt@kline_1m", candle % (START_MS, opened_ms, opened_ms + 59_999))
    path = recorded(tmp_path / "r", [line, (2, "btcusdt@trade", trade(1))])
    now_ms = START_MS + 7_654_321
    played = replay(path, ["btcusdt@kline_1m"], rebased=True, now_ms=lambda: now_ms)
    played.run()
    shift_ms = played.source.state().shift_ms
    assert shift_ms % 60_000 == 0
    assert 0 <= now_ms - (START_MS + shift_ms) < 60_000
    expected = candle % (START_MS + shift_ms, opened_ms + shift_ms, opened_ms + shift_ms + 59_999)
    assert played.listeners["usdm"].data == text_frame(expected)


@pytest.mark.parametrize(
    ("begin", "end", "complaint"),
    [
        (
            at(TRADES + 9),
            None,
            r"for --from: expected a time before the end of the recording, which is from",
        ),
        (None, TimeSpec(at(0).ns), r"for --to: expected a time after the beginning"),
        (at(50), at(40), r"for --to: expected a time after --from"),
        (at(50), at(50), r"for --to: expected a time after --from"),
        (
            TimeSpec(at(50).ns + 2 * NS),
            TimeSpec(at(50).ns + 3 * NS),
            r"for --to: .* there is none from",
        ),
        (TimeSpec(10**12, "+"), None, r"for --from: expected a time before the end"),
    ],
)
def test_a_plan_that_leaves_nothing_to_play_is_refused(
    path: Path, begin: TimeSpec | None, end: TimeSpec | None, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        replay(path, begin=begin, end=end)


def test_offsets_count_from_the_beginning_and_from_the_end(path: Path) -> None:
    played = replay(path, begin=TimeSpec(249 * NS, "+"), end=TimeSpec(49 * EVERY_MS * NS + NS, "-"))
    played.run()
    assert played.listeners["usdm"].data == received(1, TRADES - 50)


@during(keeps_running=True)
async def test_a_subscriber_that_comes_during_a_warm_up_receives_the_following_messages(
    played: Replay,
) -> None:
    late = Listener()
    await until_over(played.source)
    await steer(played.source, paused=True)
    warming_up = asyncio.create_task(steer(played.source, seek=at(150).ns))
    while not played.plant.hubs["usdm"].is_muted:  # noqa: ASYNC110
        await asyncio.sleep(0)
    played.plant.hubs["usdm"].subscribe(late, ["btcusdt@trade", "btcusdt@bookTicker"])
    await warming_up
    await steer(played.source, paused=False)
    await until_over(played.source)
    assert late.data.count(b'"e":"trade"') == 51
    assert late.data.count(b'"e":"bookTicker"') == 51
