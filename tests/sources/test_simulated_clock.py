"""The clock of a simulation: pauses, speeds, steps and seeks, in a loop in which waiting takes no time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import memory_loop
import pytest
from stage import Listener

from tickerplant.control.clock_state import SimulationState
from tickerplant.errors import ConfigError, RequestError
from tickerplant.plant import Plant
from tickerplant.protocol.limits import LIMITS
from tickerplant.readiness import Readiness
from tickerplant.server.congestion import Congestion
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import SimulatedSource, open_market

START_MS = 1_767_225_595_000
STREAMS = ("btcusdt@trade", "btcusdt@bookTicker", "btcusdt@depth@100ms")


class Simulation:
    """A simulated market of one symbol, with a listener, that is steered while it runs."""

    def __init__(self, **options: Any) -> None:
        traded = instruments(START_MS, ("BTCUSDT",))
        exchange = SimulatedExchange(traded, seed=5, start_ms=START_MS)
        self.plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
        open_market(self.plant, exchange)
        self.set_ms = 0
        """How far the clock of the machine was set."""
        self.readiness = Readiness()
        self.readiness.machine_set_ms = lambda: self.set_ms
        self.source = SimulatedSource(
            exchange, self.plant, machine_ms=lambda: self.machine_ms, **options
        )
        self.listener = Listener()
        self.plant.hubs["usdm"].subscribe(self.listener, STREAMS)

    @property
    def machine_ms(self) -> int:
        """The time of the machine, which was that of the market at the start."""
        now_s = asyncio.get_running_loop().time()
        return START_MS + int((now_s - self._began_s) * 1_000) + self.set_ms

    @property
    def passed_ms(self) -> int:
        return self.plant.now_ms - START_MS

    async def steer(self, **fields: object) -> SimulationState:
        return await self.source.steer(fields)

    def run(
        self,
        visit: Callable[[], Coroutine[None, None, None]] | None = None,
        passed_s: Callable[[], float] = memory_loop.a_look,
    ) -> None:
        """Run to the end, or until `visit` is done."""

        async def both() -> None:
            loop = asyncio.get_running_loop()
            self._began_s = loop.time()
            for hub in self.plant.hubs.values():
                hub.wake = lambda hub=hub: loop.call_soon(hub.flush)  # type: ignore[misc]
            running = asyncio.create_task(
                self.source.run(Congestion(LIMITS, lambda: 0), self.readiness)
            )
            if visit is None:
                await running
            else:
                await asyncio.sleep(0.001)
                await visit()
            running.cancel()
            await asyncio.sleep(0)

        memory_loop.run(both(), passed_s)


def untouched(duration_ms: int) -> list[bytes]:
    simulation = Simulation(speed=0, duration_ms=duration_ms)
    simulation.run()
    return simulation.listener.texts()


def test_pauses_speeds_and_steps_change_no_byte() -> None:
    simulation = Simulation(speed=1.0, duration_ms=5_000)

    async def visit() -> None:
        await asyncio.sleep(0.5)
        await simulation.steer(paused=True)
        await simulation.steer(step="700ms")
        await simulation.steer(speed=3)
        await simulation.steer(paused=False)
        await asyncio.sleep(0.4)
        await simulation.steer(speed=0)
        while simulation.source.state().state != "over":  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    simulation.run(visit)
    assert simulation.passed_ms == 5_000
    assert simulation.listener.texts() == untouched(5_000)


def test_nothing_happens_while_it_is_paused_and_nothing_is_caught_up() -> None:
    simulation = Simulation(is_paused=True)

    async def visit() -> None:
        assert simulation.source.state().state == "paused"
        await asyncio.sleep(100)
        assert simulation.passed_ms == 0
        assert not simulation.listener.writes
        await simulation.steer(paused=False)
        await asyncio.sleep(2)
        assert 1_900 <= simulation.passed_ms <= 2_100
        state = await simulation.steer(paused=True)
        await asyncio.sleep(100)
        assert simulation.plant.now_ms == state.time_ms
        await simulation.steer(paused=False, speed=10)
        await asyncio.sleep(1)
        assert 11_500 <= simulation.passed_ms <= 12_500

    simulation.run(visit)


def test_a_step_advances_exactly_by_market_time() -> None:
    simulation = Simulation(is_paused=True, speed=0)

    async def visit() -> None:
        for _ in range(3):
            state = await simulation.steer(step="250ms")
            assert not state.pending
            assert state.state == "paused"
        assert simulation.passed_ms == 750
        assert simulation.listener.writes

    simulation.run(visit)


def test_a_seek_forward_sends_nothing_of_what_lies_between() -> None:
    simulation = Simulation(is_paused=True)

    async def visit() -> None:
        state = await simulation.steer(seek="+3s")
        assert state.time_ms == START_MS + 3_000
        assert not simulation.listener.writes
        await simulation.steer(step="2s")

    simulation.run(visit)
    seen, everything = simulation.listener.texts(), untouched(5_000)
    trades = [each for each in seen if b'"e":"trade"' in each]
    assert trades
    assert trades == [each for each in everything if b'"e":"trade"' in each][-len(trades) :]


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"seek": "-1s"}, RequestError, "only goes forward .* same seed"),
        ({"seek": START_MS - 1}, RequestError, "only goes forward"),
        ({"seek": "+1h"}, RequestError, "is after the end"),
        ({"step": 5}, ConfigError, "a simulation has no messages to count"),
        ({"step": "1s"}, RequestError, "the simulation is not paused"),
        ({"step": "1s", "paused": True, "seek": "+1s"}, RequestError, "combined with a seek"),
        ({"speed": "fast"}, ConfigError, "invalid value 'fast' for speed"),
        ({"pause": True}, ConfigError, "paused"),
    ],
)
def test_what_is_not_possible_is_refused_and_changes_nothing(
    fields: dict[str, object], error: type[Exception], text: str
) -> None:
    simulation = Simulation(duration_ms=60_000)

    async def visit() -> None:
        before = simulation.source.state()
        with pytest.raises(error, match=text):
            await simulation.source.steer(fields)
        after = simulation.source.state()
        assert (after.speed, after.paused, after.pending) == (before.speed, False, False)

    simulation.run(visit)


@pytest.mark.parametrize("set_ms", [2_000, 300_000, -20_000])
def test_a_seek_to_now_follows_a_machine_whose_clock_was_set(set_ms: int) -> None:
    simulation = Simulation()

    async def visit() -> None:
        await simulation.steer(seek="now")
        simulation.set_ms = set_ms
        await asyncio.sleep(1)
        assert abs(simulation.machine_ms - simulation.plant.now_ms - set_ms) < 100, "as it was"
        assert len(simulation.readiness.warnings) == 1
        assert simulation.readiness.clock_offset_ms == set_ms
        before_ms = simulation.plant.now_ms
        assert not (await simulation.steer(seek="now")).pending
        assert simulation.readiness.warnings == []
        if set_ms < 0:
            await asyncio.sleep(-set_ms / 1_000 - 1)
            assert simulation.plant.now_ms == before_ms
            assert simulation.readiness.is_ready
            assert "waits" in simulation.readiness.reason
        await asyncio.sleep(5)
        assert abs(simulation.machine_ms - simulation.plant.now_ms) < 100
        assert simulation.readiness.reason == ""
        await simulation.steer(speed=2)
        simulation.set_ms = 0
        assert simulation.readiness.warnings == [], "it follows no more"

    simulation.run(visit)
    times = [json.loads(each)["E"] for each in simulation.listener.texts()]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("options", "follows"),
    [
        ({"opened_s": memory_loop.BEGIN_S}, True),
        ({}, False),
        ({"opened_s": memory_loop.BEGIN_S, "speed": 2.0}, False),
        ({"opened_s": memory_loop.BEGIN_S, "is_paused": True}, False),
    ],
)
def test_a_market_that_starts_now_at_its_pace_follows_the_machine(
    options: dict[str, Any], follows: bool
) -> None:
    simulation = Simulation(**options)

    async def visit() -> None:
        await asyncio.sleep(1)
        simulation.set_ms = 3_000
        assert simulation.readiness.clock_offset_ms == 3_000 * follows

    simulation.run(visit)


def test_a_market_waits_for_no_machine_longer_than_an_hour() -> None:
    simulation = Simulation()

    async def visit() -> None:
        simulation.set_ms = -3_601_000
        with pytest.raises(RequestError, match="only goes forward"):
            await simulation.steer(seek="now")

    simulation.run(visit)


@pytest.mark.parametrize("field", ["step", "seek"])
def test_a_change_that_leads_to_the_end_is_pending_until_the_simulation_is_over(field: str) -> None:
    simulation = Simulation(speed=0.001, duration_ms=5_000)

    async def visit() -> None:
        await simulation.steer(paused=True)
        await asyncio.sleep(1)
        left = f"{5_000 - simulation.passed_ms}ms"
        steering = asyncio.create_task(
            simulation.steer(**{field: f"+{left}" if field == "seek" else left})
        )
        await asyncio.sleep(0)
        while (state := simulation.source.state()).pending:  # noqa: ASYNC110  # each turn is looked at
            await asyncio.sleep(0)
        assert (state.state, simulation.passed_ms) == ("over", 5_000)
        assert (await steering).state == "over"

    simulation.run(visit)


def test_a_step_while_another_step_or_seek_runs_is_refused_and_changes_nothing() -> None:
    simulation = Simulation(is_paused=True)

    async def visit() -> None:
        for field, value in (("step", "5s"), ("seek", "+5s")):
            begun_ms = simulation.passed_ms
            first = asyncio.create_task(simulation.steer(**{field: value}))
            await asyncio.sleep(0)
            with pytest.raises(RequestError, match=f"another {field} is not done yet") as refused:
                await simulation.steer(step="1h", speed=7)
            assert refused.value.status == 409
            state = await first
            assert (state.speed, state.pending) == (1, False)
            assert simulation.passed_ms == begun_ms + 5_000

    simulation.run(visit)


def test_whoever_waits_no_longer_gets_the_state_on_the_way() -> None:
    simulation = Simulation(is_paused=True)

    async def visit() -> None:
        before_ms = simulation.source.state().time_ms
        state = await simulation.source.steer({"step": "10s"}, wait_s=0)
        assert (state.pending, state.target_ns) == (True, (before_ms + 10_000) * 1_000_000)
        while simulation.source.state().pending:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert simulation.passed_ms == 10_000
        assert simulation.source.state().target_ns is None

    simulation.run(visit)


def test_a_paused_market_is_stepped_before_anybody_has_subscribed() -> None:
    simulation = Simulation(is_paused=True, wait_for=1, duration_ms=10_000)
    expected = untouched(2_000)

    async def visit() -> None:
        state = await simulation.steer(step="2s")
        assert (state.state, state.pending, simulation.passed_ms) == ("waiting", False, 2_000)
        assert simulation.listener.texts() == expected
        state = await simulation.steer(step="8s")
        assert (state.pending, simulation.passed_ms) == (False, 10_000)

    simulation.run(visit)


def test_a_simulation_that_is_over_cannot_be_steered() -> None:
    simulation = Simulation(speed=0, duration_ms=100)
    simulation.run()

    async def visit() -> None:
        assert simulation.source.state().state == "over"
        with pytest.raises(RequestError, match="the simulation is over"):
            await simulation.steer(paused=True)

    memory_loop.run(visit())


@pytest.mark.parametrize(
    "fields",
    [
        {"seek": "2262-01-01"},
        {"seek": "+32d"},
        {"seek": "+36525d"},
        {"paused": True, "step": "32d"},
        {"paused": True, "step": "36525d"},
    ],
)
def test_a_leap_that_would_not_end_is_refused_with_the_latest_time(
    fields: dict[str, object],
) -> None:
    simulation = Simulation()

    async def visit() -> None:
        with pytest.raises(ConfigError, match="expected at most 31 days at once, until 2026-"):
            await simulation.source.steer(fields)
        assert not simulation.source.state().pending
        assert not simulation.source.state().paused

    simulation.run(visit)


@pytest.mark.parametrize("field", ["step", "seek"])
def test_a_pause_stops_a_leap_where_it_is(field: str) -> None:
    simulation = Simulation(is_paused=True)

    async def visit() -> None:
        state = await simulation.source.steer({field: "30d" if field == "step" else "+30d"}, 0)
        assert state.pending
        while not simulation.passed_ms:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        state = await simulation.steer(paused=True)
        assert (state.pending, state.target_ns, state.state) == (False, None, "paused")
        await asyncio.sleep(0.01)
        stopped_ms = simulation.plant.now_ms
        assert 0 < simulation.passed_ms < 86_400_000
        await asyncio.sleep(1)
        assert simulation.plant.now_ms == stopped_ms
        simulation.listener.writes.clear()
        state = await simulation.steer(step="10s")
        assert state.time_ms == stopped_ms + 10_000
        assert simulation.listener.writes, "nothing was sent after the leap"

    simulation.run(visit, passed_s=lambda: 0.001)
