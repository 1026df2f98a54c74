"""`tickerplant.replay`: a market that plays a recording, and ends with it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from loopback import looped_on_sockets, until
from one_loop import in_one_loop, tape
from programs import PATIENCE_S
from test_nursery import is_running, program

import tickerplant
from tickerplant import (
    ConfigError,
    RecordingError,
    RequestError,
    UpstreamError,
)
from tickerplant.messages import Message, Trade
from tickerplant.notices import Disconnected, Notice

RECORDED_MS = 1_795_132_800_000
"""Market time at the start of the recording."""
TRADES, DEPTH = "btcusdt@trade", "btcusdt@depth@100ms"
QUOTES = ("btcusdt@bookTicker", "ethusdt@bookTicker")


def recorded(*names: str) -> dict[str, list[bytes]]:
    found = defaultdict(list)
    for message in tickerplant.open_recording(tape()):
        if message.stream in names:
            found[message.stream].append(message.payload)
    return found


async def read(
    subscription: tickerplant.Subscription[Message | Notice], found: dict[str, list[bytes]]
) -> None:
    """Keep all payloads, and nothing else may come."""
    async for item in subscription:
        assert isinstance(item, Message)
        found[item.stream].append(item.payload)


def pid_of(market: Any) -> int:
    child = market._process.child  # the test ends it
    assert child is not None
    return int(child.pid)


@looped_on_sockets
async def test_an_error_that_nobody_listed_is_one_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = "the market cannot be served: ValueError: embedded null byte"
    with caplog.at_level(logging.DEBUG, "tickerplant.hosted"):
        with pytest.raises(UpstreamError, match=said):
            async with tickerplant.replay("a\0b"):
                pass
        traced, logged = [each.message for each in caplog.records if each.name.endswith("hosted")]
    assert "Traceback" in traced
    assert logged.endswith(said)


@pytest.mark.parametrize("speed", [0, 10])
@in_one_loop
async def test_everything_recorded_is_delivered_in_order_and_then_iterations_end(
    speed: float,
) -> None:
    names = (TRADES, DEPTH, *QUOTES)
    found: dict[str, list[bytes]] = defaultdict(list)
    notices: list[Notice] = []
    async with tickerplant.replay(tape(), speed=speed) as market:
        subscriptions = [market.stream(name) for name in names]
        listened: list[bytes] = []
        listener = market.on(
            TRADES, callback=lambda it: listened.append(it.payload), on_notice=notices.append
        )
        books = market.books("BTCUSDT")

        async def follow() -> None:
            states = {book.state async for book in books.changes()}
            assert states == {"live"}, "their first snapshot came before the first update"

        await asyncio.gather(follow(), *(read(each, found) for each in subscriptions))
        await listener
        assert books["BTCUSDT"].is_live
        assert [each async for each in market.stream(TRADES)] == [], "there is nothing any more"
        state = await market.clock.state()
        assert state.phase == "over"
        assert (await market.fetch_depth("BTCUSDT")).bids, "requests are still answered"
        assert market.counters.lost == 0
    assert found == recorded(*names)
    assert listened == found[TRADES]
    assert notices == []


@in_one_loop
async def test_only_chosen_symbols_and_streams_are_played() -> None:
    async with tickerplant.replay(tape(), symbols=["ethusdt"], speed=0) as market:
        assert {each.symbol for each in await market.fetch_instruments()} == {"ETHUSDT"}
        trades = market.stream(TRADES)
        found = [each.payload async for each in market.stream(QUOTES[1], on_notice=print)]
        assert trades.pending == 0
    assert {QUOTES[1]: found} == recorded(QUOTES[1])
    name = Trade.of("BTCUSDT")
    async with tickerplant.replay(tape(), speed=0, streams=[name]) as market:
        found = [each.payload async for each in market.stream(name, on_notice=print)]
    assert {TRADES: found} == recorded(TRADES)


@in_one_loop
async def test_a_slow_reader_loses_nothing() -> None:
    expected = recorded(*QUOTES)
    found: dict[str, list[bytes]] = defaultdict(list)
    async with tickerplant.replay(tape(), speed=1_000) as market:
        async for item in market.stream(*QUOTES, queue_size=5):
            assert isinstance(item, Message)
            found[item.stream].append(item.payload)
            if len(found[item.stream]) % 200 == 0:
                await asyncio.sleep(0.01)
    assert found == expected


@in_one_loop
async def test_the_clock_waits_for_the_first_read_and_for_everything_subscribed_before() -> None:
    async with tickerplant.replay(tape(), speed=0) as market:
        trades = market.stream(TRADES)
        await market.fetch_depth("BTCUSDT")
        before = await market.clock.state()
        assert (before.phase, before.messages) == ("paused", 0)
        quotes = market.stream(*QUOTES)
        both: dict[str, list[bytes]] = defaultdict(list)

        await asyncio.gather(read(trades, both), read(quotes, both))
    assert both == recorded(TRADES, *QUOTES)


@in_one_loop
async def test_steps_and_seeks_of_a_replay_that_is_left_to_the_program() -> None:
    async with tickerplant.replay(tape(), paused=True) as market:
        books = market.books("BTCUSDT")
        trades = market.stream(TRADES)
        state = await market.clock.step(700)
        assert state.messages == 700
        assert state.is_paused
        assert state.start_ns is not None
        assert state.end_ns is not None
        await until(lambda: books["BTCUSDT"].is_live)
        ahead_id = books["BTCUSDT"].update_id
        middle_ns = (state.start_ns + state.end_ns) // 2
        assert (await market.clock.seek(middle_ns)).received_ns == middle_ns
        back = await market.clock.seek("-10h")
        assert back.received_ns == back.start_ns
        await market.clock.step(300)
        assert books["BTCUSDT"].update_id < ahead_id
        assert books["BTCUSDT"].is_live, "the recorded snapshot at the beginning is used again"
        assert (await market.clock.set_speed(0)).speed == 0
        await market.clock.resume()
        async for _ in trades:
            pass
        assert books["BTCUSDT"].is_live, "the books are as they were at the end"
        with pytest.raises(RequestError, match="the replay is over"):
            await market.clock.pause()


@in_one_loop
async def test_a_scenario_of_faults_is_performed_at_recorded_times(tmp_path: Path) -> None:
    path = tmp_path / "lost.toml"
    path.write_text(
        'title = "Lost"\nduration = "5s"\n[[change]]\nat = "2s"\nfault = "close"\ncode = 1008\n'
    )
    market = tickerplant.replay(tape(), scenario=str(path), pace="event", speed=2)
    async with market:
        found = [item async for item in market.stream(TRADES)]
    lost = [item for item in found if isinstance(item, Disconnected)]
    assert [item.close_code for item in lost] == [1008]
    last = [item for item in found[: found.index(lost[0])] if isinstance(item, Trade)][-1]
    assert 1_000 < last.trade_time_ms - RECORDED_MS <= 2_000


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"start": "2020-01-01", "end": "2020-01-02"}, "for end: expected a time after"),
        ({"start": "2030-01-01"}, "for start: expected a time before the end"),
        ({"symbols": ["BTCUSD"]}, "for symbols: .*did you mean BTCUSDT"),
        ({"streams": ["btcusdt@trades"]}, "for streams: .*did you mean btcusdt@trade"),
        ({"venue": "coinm"}, "'coinm' for venue: expected usdm"),
        ({"faults": {"resets": "3s"}}, "for faults: .*reset"),
        ({"scenario": "mass-disconect"}, "for scenario: .*mean mass-disconnect"),
        ({"scenario": "flash-crash"}, "a scenario that has only faults"),
    ],
)
@in_one_loop
async def test_what_the_recording_does_not_have_is_said_when_the_market_is_opened(
    options: dict[str, Any], text: str
) -> None:
    market = tickerplant.replay(tape(), **options)
    with pytest.raises(ConfigError, match=text):
        await market
    with pytest.raises(RuntimeError, match="closed"):
        market.stream(TRADES)


@in_one_loop
async def test_a_path_without_a_recording_is_the_error_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recording in it: neither") as caught:
        await tickerplant.replay(tmp_path)
    assert caught.value.path == str(tmp_path)
    with pytest.raises(RecordingError, match="No such file"):
        async with tickerplant.replay(tmp_path / "missing"):
            pass


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"speed": -1}, "invalid value -1 for speed"),
        ({"start": "yesterday"}, "'yesterday' for start"),
        ({"end": 5}, "5 for end"),
        ({"venue": "spot"}, "'spot' for venue"),
        ({"symbols": [5]}, "5 for symbols"),
        ({"pace": "fast"}, "'fast' for pace: expected receive or event"),
    ],
)
def test_invalid_arguments_are_refused_at_once(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        tickerplant.replay("tape", **options)
    with pytest.raises(ConfigError, match="paths is missing"):
        tickerplant.replay()


@pytest.mark.slow("a child process is killed")
@looped_on_sockets
async def test_a_server_that_dies_is_one_clear_error_everywhere() -> None:
    async with tickerplant.replay(tape(), paused=True) as market:
        trades, books = market.stream(TRADES), market.books("BTCUSDT")
        listener = market.on(QUOTES[0], callback=lambda _: None)
        await market.clock.step(10)

        async def follow() -> None:
            async for _ in books.changes():
                pass

        async def read() -> None:
            async for _ in trades:
                pass

        waiting = [asyncio.ensure_future(each) for each in (follow(), read(), listener.wait())]
        os.kill(pid_of(market), signal.SIGKILL)
        for each in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(each, UpstreamError)
            assert "its server ended unexpectedly (killed by SIGKILL)" in str(each)
        with pytest.raises(UpstreamError, match="unexpectedly"):
            await market.fetch_depth("BTCUSDT")
        with pytest.raises(UpstreamError, match=r"unexpectedly|closed"):
            await market.clock.state()


@pytest.mark.slow("child processes end")
@looped_on_sockets
async def test_nothing_is_left_running_after_a_market_is_closed_or_forgotten() -> None:
    closed = await tickerplant.replay(tape())
    pids = [pid_of(closed)]
    await closed.close()
    with pytest.raises(ZeroDivisionError):
        await _failing(pids)
    forgotten = await tickerplant.replay(tape())
    pids.append(pid_of(forgotten))
    del forgotten
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0)
    opening = asyncio.ensure_future(_opened())
    await asyncio.sleep(0.05)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    assert not [pid for pid in pids if is_running(pid)]


async def _failing(pids: list[int]) -> None:
    async with tickerplant.replay(tape()) as market:
        pids.append(pid_of(market))
        _ = 1 / 0


async def _opened() -> None:
    async with tickerplant.replay(tape()):
        await asyncio.sleep(60)


@pytest.mark.slow("a child process")
def test_the_pipes_of_a_server_are_closed_with_the_loop_that_reads_them() -> None:
    async def opened() -> Any:
        return await tickerplant.replay(tape(), paused=True).__aenter__()

    market = asyncio.run(opened())
    child = market._process.child
    try:
        assert child.stdout.closed
        assert child.stderr.closed
    finally:
        market._process.kill()


@pytest.mark.slow("a program is interrupted")
def test_ctrl_c_shows_nothing_but_the_interruption() -> None:
    text = (
        "import tickerplant.blocking\n"
        f"market = tickerplant.blocking.replay({tape()!r}, paused=True)\n"
        "trades = market.stream('btcusdt@trade')\n"
        "print('reading', flush=True)\n"
        "for _ in trades: pass\n"
    )
    with program(text) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.send_signal(signal.SIGINT)
        _, errors = parent.communicate(timeout=PATIENCE_S)
    assert errors.startswith("Traceback")
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
