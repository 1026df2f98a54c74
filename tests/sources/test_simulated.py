from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from random import Random

import memory_loop
import pytest
from stage import Listener

from tickerplant.hub.hub import Hub
from tickerplant.plant import Plant
from tickerplant.protocol.close_reasons import CloseReason
from tickerplant.protocol.limits import LIMITS
from tickerplant.readiness import Readiness
from tickerplant.server.congestion import Congestion
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import MAX_SLEEP_S, SLICE_S, SimulatedSource, open_market

DRAWN = Random()
START_MS = 1_767_225_595_000
STREAMS = {
    "usdm": [
        *("btcusdt@trade", "btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@depth@100ms"),
        *("btcusdt@depth5@500ms", "btcusdt@kline_1m", "btcusdt@markPrice@1s", "!ticker@arr"),
        *("btcusdt@rpiDepth@500ms", "!assetIndex@arr", "!contractInfo", "!forceOrder@arr"),
    ],
    "coinm": ["!bookTicker", "btcusd_perp@miniTicker", "btcusd_perp@depth"],
}


class SlowReader:
    """Takes a byte whenever somebody looks."""

    unsent_bytes = 1_000_000

    def close(self, reason: CloseReason) -> None:
        raise AssertionError(reason)


class Simulation:
    """A simulated market of two symbols with one listener a venue."""

    def __init__(self, *, speed: float, duration_ms: int = 7_000, wait_for: int = 0) -> None:
        traded = instruments(START_MS, ("BTCUSDT", "BTCUSD_PERP"))
        exchange = SimulatedExchange(traded, seed=5, start_ms=START_MS, quoting=0.25)
        self.plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
        open_market(self.plant, exchange)
        self.source = SimulatedSource(
            exchange, self.plant, speed=speed, duration_ms=duration_ms, wait_for=wait_for
        )
        self.readiness = Readiness()
        self.subscribers = 0
        self.listeners = {venue: Listener() for venue in STREAMS}
        for venue, names in STREAMS.items():
            self.plant.hubs[venue].subscribe(self.listeners[venue], names)

    def run_with_wake(self, hub: Hub, on_wake: Callable[[], object]) -> None:
        """Run; call `on_wake` when the first message of a turn is published in `hub`."""

        async def run() -> None:
            running = asyncio.create_task(self.run())
            await asyncio.sleep(0)
            flush_soon = hub.wake
            hub.wake = lambda: (flush_soon(), on_wake())
            await running

        memory_loop.run(run())

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for hub in self.plant.hubs.values():
            hub.wake = lambda hub=hub: loop.call_soon(hub.flush)  # type: ignore[misc]
        await self.source.run(Congestion(LIMITS, lambda: self.subscribers), self.readiness)
        await asyncio.sleep(0.1)


def streams_of(
    speed: float, passed_s: Callable[[], float] = memory_loop.a_look
) -> dict[str, bytes]:
    simulation = Simulation(speed=speed)
    memory_loop.run(simulation.run(), passed_s)
    assert simulation.plant.now_ms == START_MS + 7_000, "it ends when its time is up"
    return {venue: b"".join(each.writes) for venue, each in simulation.listeners.items()}


@cache
def at_once() -> dict[str, bytes]:
    return streams_of(0)


@pytest.mark.heavy
@pytest.mark.parametrize("speed", [1.0, 3.3, 250.0])
def test_the_same_seed_and_start_give_the_same_bytes_at_any_speed(speed: float) -> None:
    assert all(len(data) > 10_000 for data in at_once().values()), "both venues say something"
    assert streams_of(speed) == at_once()


def irregularly() -> float:
    """Mostly no time at all, now and then more than a slice, seldom a second."""
    return DRAWN.choice([0.0] * 40 + [0.0002] * 40 + [0.004, 0.006] * 8 + [1.1])


MACHINES: Mapping[str, Callable[[], float]] = {
    "one without time for a second step": lambda: SLICE_S * 1.1,
    "one with time for a few steps": lambda: SLICE_S / 7,
    "one that stops now and then": irregularly,
}


@pytest.mark.heavy
@pytest.mark.parametrize("speed", [0, 1.0, 20.0])
@pytest.mark.parametrize("machine", MACHINES)
def test_how_fast_the_machine_is_changes_no_byte(speed: float, machine: str) -> None:
    DRAWN.seed(7)
    assert streams_of(speed, MACHINES[machine]) == at_once()


def test_what_is_due_at_the_very_end_is_sent_although_the_last_event_took_too_long() -> None:
    simulation = Simulation(speed=0)
    memory_loop.run(simulation.run(), MACHINES["one without time for a second step"])
    last = [each["E"] for each in simulation.listeners["usdm"].messages() if "E" in each][-1]
    assert last == START_MS + 7_000


def test_the_end_waits_until_its_readers_have_taken_what_was_said() -> None:
    simulation = Simulation(speed=0, duration_ms=1_000)
    gate = Congestion(LIMITS, lambda: 0)
    reader = SlowReader()
    simulation.plant.hubs["usdm"].wake = lambda: gate.pause(reader)

    async def run() -> None:
        running = asyncio.create_task(simulation.source.run(gate, simulation.readiness))
        await asyncio.sleep(1)
        assert not running.done(), "somebody has not taken all of it yet"
        gate.resume(reader)
        await running

    memory_loop.run(run())


@pytest.mark.heavy
def test_the_clock_waits_for_its_subscribers() -> None:
    simulation = Simulation(speed=1.0, wait_for=2, duration_ms=1_000)

    async def subscribe_late() -> None:
        running = asyncio.create_task(simulation.run())
        await asyncio.sleep(5)
        assert simulation.plant.now_ms == START_MS
        assert simulation.readiness.reason == "waiting for 2 subscribers"
        simulation.subscribers = 2
        await running

    memory_loop.run(subscribe_late())
    assert simulation.plant.now_ms == START_MS + 1_000


def lateness_ms(simulation: Simulation) -> list[float]:
    """How late each message was by the pace of the source, in ms, as stamps tell it."""
    hub = simulation.plant.hubs["usdm"]
    found: list[float] = []

    def on_wake() -> None:
        late_ns = simulation.readiness.late_ns()
        if late_ns is not None:
            found.append(late_ns / 1e6)

    simulation.run_with_wake(hub, on_wake)
    return found


def test_a_machine_that_keeps_up_publishes_within_its_longest_sleep() -> None:
    simulation = Simulation(speed=1.0, duration_ms=2_000)
    late_ms = lateness_ms(simulation)
    assert late_ms
    assert max(late_ms) <= MAX_SLEEP_S * 1_000 + 1
    histogram = simulation.readiness.event_to_publish
    assert histogram.count > 10
    assert histogram.sum_s / histogram.count <= MAX_SLEEP_S


def test_events_that_a_machine_could_not_publish_in_time_count_as_late() -> None:
    simulation = Simulation(speed=1.0, duration_ms=2_000)
    late_ms = lateness_ms(simulation)
    stopped = Simulation(speed=1.0, duration_ms=2_000)
    pauses = iter([0.0] * 200 + [1.5])
    memory_loop.run(stopped.run(), lambda: next(pauses, 0.0))
    assert max(late_ms) < 100
    assert stopped.readiness.event_to_publish.sum_s > 1.0


def test_without_a_pace_nothing_is_late() -> None:
    simulation = Simulation(speed=0, duration_ms=1_000)
    assert lateness_ms(simulation) == []
    assert simulation.readiness.event_to_publish.count == 0


def test_what_was_missed_since_the_market_opened_is_made_up_for() -> None:
    traded = instruments(START_MS, ("BTCUSDT",))
    exchange = SimulatedExchange(traded, seed=5, start_ms=START_MS, quoting=0.25)
    plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
    open_market(plant, exchange)

    async def run_late() -> None:
        now_s = asyncio.get_running_loop().time()
        source = SimulatedSource(exchange, plant, opened_s=now_s - 2)
        running = asyncio.create_task(source.run(Congestion(LIMITS, lambda: 0), Readiness()))
        await asyncio.sleep(1)
        running.cancel()

    memory_loop.run(run_late())
    assert START_MS + 2_900 <= plant.now_ms <= START_MS + 3_100
