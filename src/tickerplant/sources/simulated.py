"""The simulated exchange as a source: in step with the clock, or as fast as possible.

Requests to change the clock (`steer`) take effect between two slices.  A simulation only goes forward:
a seek plays what comes before the target while the plant is muted.  It is bounded, and pausing stops it.
A seek to now lets it follow the machine whose clock was set: it catches up, after a seek if it is far
behind, or waits until the machine has come to its time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tickerplant.control.clock import CONFLICT, NOW, ClockRequest, Step
from tickerplant.control.clock_state import RESPONSE_TIMEOUT_S, Phase, SimulationState
from tickerplant.errors import ConfigError, RequestError
from tickerplant.events import Event
from tickerplant.formatting import iso_text
from tickerplant.plant import Plant
from tickerplant.readiness import Readiness
from tickerplant.recording.timestamps import LATEST_NS, TimeSpec
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.sources.clock import SourceClock
from tickerplant.sources.errand import Errand
from tickerplant.sources.source import Readers, wait_for_subscribers
from tickerplant.sources.speed import SpeedWatch
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS, NS_PER_MS, NS_PER_S

SLICE_S = 0.005
"""How long events are generated, and frames wait, without a turn of the event loop."""
MAX_SLEEP_S = 0.01
"""Longest sleep of the source: what is due without an event is sent within it."""
LONGEST_LEAP_MS = 31 * DAY_MS
"""The most market time of one seek or step, all of which is simulated."""
LONGEST_WAIT_MS = HOUR_MS
"""The most by which it waits for a machine whose clock was set back."""
CAUGHT_UP_MS = MINUTE_MS
"""The most by which it catches up with the machine without a seek."""
LONGEST_PAUSE_S = 1.0
"""Longest sleep while the clock is paused."""
WAITS_FOR_MACHINE = "market time waits for the clock of the machine"


def open_market(plant: Plant, exchange: SimulatedExchange) -> None:
    """Give every market of `plant` its history and its opening events."""
    for instrument in exchange.instruments:
        symbol = instrument.symbol
        plant.markets[symbol].load_history(exchange.history(symbol))
        for event in exchange.opening(symbol):
            plant.publish(event)
    for event in exchange.opening_of_venues:
        plant.publish(event)


class SimulatedSource:
    """Drives a plant with a simulated exchange.

    Args:
        exchange: The source of the events.
        plant: Receives them.
        speed: Market seconds per second; 0 is as fast as the machine and the subscribers allow.
        duration_ms: Market time after which it ends; None is never.
        wait_for: Connections that must subscribe before the clock starts.
        opened_s: When the market opened, on the clock of the event loop; it catches up from there.
            None: it opens when `run` starts.
        is_paused: Whether the clock is paused at first.
        waits: Whether it waits for slow readers at any speed.
        machine_ms: Returns the time of the machine, ms since 1970.
    """

    def __init__(
        self,
        exchange: SimulatedExchange,
        plant: Plant,
        *,
        speed: float = 1.0,
        duration_ms: int | None = None,
        wait_for: int = 0,
        opened_s: float | None = None,
        is_paused: bool = False,
        waits: bool = False,
        machine_ms: Callable[[], int] = lambda: time.time_ns() // NS_PER_MS,
    ) -> None:
        self._exchange = exchange
        self._plant = plant
        self._clock = SourceClock(speed, is_paused=is_paused)
        self._wait_for = wait_for
        self._opened_s = opened_s
        self._waits = waits
        self._machine_ms = machine_ms
        self._status: Readiness | None = None
        self._start_ms = plant.now_ms
        self._end_ms = None if duration_ms is None else plant.now_ms + duration_ms
        self._phase: Phase = "waiting"
        self._target_ms: int | None = None
        """The end of the requested step or seek, until it is reached."""
        self._is_seeking = False
        """Whether nothing is sent before the target."""
        self._follows = False
        """Whether it goes on in the time of the machine from the target."""
        self._drawn: tuple[int, Sequence[Event]] | None = None
        """Events that are due next, and their time, if they wait for a client to return."""
        self._errand = Errand("simulation")
        """The requested step or seek."""
        self._changed = asyncio.Event()
        """Set when the clock was changed."""
        self._watch = SpeedWatch()

    async def run(self, readers: Readers, status: Readiness) -> None:
        """Run until the market time is up, or until cancelled.

        When it returns, market time is exactly the end, everything due by then has been sent, and no
        subscriber is congested.
        """
        self._status = status
        status.late_ns = self._published_late_ns
        is_at_pace = self._clock.speed == 1 and not self._clock.is_paused
        status.follow_machine(follows=is_at_pace and self._opened_s is not None)
        status.measure(self._watch.samples)
        clock, now_s = self._clock, asyncio.get_running_loop().time
        await wait_for_subscribers(
            self._wait_for, readers, status, lambda: self._go_while_waiting(readers)
        )
        clock.start(_ns(now_s()))
        opened_s = now_s() if self._opened_s is None else self._opened_s
        if self._plant.now_ms == self._start_ms:
            clock.set_position(self._start_ms * NS_PER_MS, _ns(opened_s))
        self._phase = "playing"
        try:
            while not self._over():
                if self._target_ms is not None:
                    await self._go_on_request(readers)
                elif clock.is_paused:
                    await self._pause(status)
                elif clock.speed:
                    await self._keep_up(readers, status)
                else:
                    self._watch.stop(status)
                    await self._run_freely(readers)
            if self._end_ms is not None:
                self._plant.advance(self._end_ms)  # what is due at the end follows its last event
            await readers.wait_clear()
            status.ready(False, "the simulation is over")
        finally:
            self._phase = "over"
            self._errand.end()

    # State and requests

    def state(self) -> SimulationState:
        """Return market time and how it continues."""
        is_pausing = self._phase == "playing" and self._clock.is_paused
        return SimulationState(
            time=iso_text(self._plant.now_ms * NS_PER_MS),
            time_ms=self._plant.now_ms,
            speed=self._clock.speed,
            paused=self._clock.is_paused,
            state="paused" if is_pausing else self._phase,
            from_ns=self._start_ms * NS_PER_MS,
            to_ns=None if self._end_ms is None else self._end_ms * NS_PER_MS,
            messages=self._plant.published.total(),
            pending=self._errand.is_pending,
            target_ns=None if self._target_ms is None else self._target_ms * NS_PER_MS,
        )

    async def steer(
        self, given: Mapping[str, object], wait_s: float = RESPONSE_TIMEOUT_S
    ) -> SimulationState:
        """Change the clock as requested, see `ClockFields`; return the state when that is done.

        If it takes longer than `wait_s`, return the state on the way.
        """
        return await self._errand.steer(given, wait_s, self._change, self.state)

    def _change(self, request: ClockRequest) -> None:
        if self._phase == "over":
            raise RequestError(CONFLICT, "the simulation is over", 409)
        clock = self._clock
        is_paused = clock.is_paused if request.paused is None else request.paused
        target_ms = None if request.seek is None else self._seek_target_ms(request.seek)
        if request.step is not None:
            target_ms = self._step_target_ms(request.step, is_paused, target_ms is not None)
        # Whatever changes continues from here: a clock that was behind does not catch up.
        now_ms, self._follows = self._plant.now_ms, request.seek == NOW
        clock.set_position(now_ms * NS_PER_MS, self._machine_ns())
        if self._follows and target_ms is not None:
            clock.set_position(target_ms * NS_PER_MS, self._machine_ns())
            target_ms = target_ms if target_ms > now_ms + CAUGHT_UP_MS else now_ms
        self._watch.restart()
        clock.speed = clock.speed if request.speed is None else request.speed
        clock.is_paused = is_paused
        if self._status is not None:
            is_at_pace = clock.speed == 1 and not is_paused
            self._status.follow_machine(follows=self._follows and is_at_pace)
        if target_ms is not None:
            self._target_ms, self._is_seeking = target_ms, request.seek is not None
        elif request.paused:
            self._target_ms = None  # it stops where it is
            self._errand.end()
        self._changed.set()

    def _seek_target_ms(self, spec: TimeSpec) -> int:
        """Return the market time that a seek leads to."""
        now_ms = self._plant.now_ms
        offset_ms = self._machine_ms() if spec == NOW else spec.ns // NS_PER_MS
        signs = {"": offset_ms, "+": now_ms + offset_ms, "-": now_ms - offset_ms}
        target_ms = signs[spec.sign]
        shown = iso_text(target_ms * NS_PER_MS)
        if spec == NOW and now_ms - LONGEST_WAIT_MS <= target_ms < now_ms:
            return target_ms
        if target_ms < now_ms:
            reason = f"seek: {shown} is past, and a simulation only goes forward from {iso_text(now_ms * NS_PER_MS)}"
            again = "start another one with the same seed and start to see it again"
            raise RequestError(CONFLICT, f"{reason}; {again}", 409)
        if self._end_ms is not None and target_ms > self._end_ms:
            end = iso_text(self._end_ms * NS_PER_MS)
            raise RequestError(CONFLICT, f"seek: {shown} is after the end, {end}", 409)
        if target_ms - now_ms > LONGEST_LEAP_MS:
            raise ConfigError("seek", shown, _expected_leap(now_ms))
        return target_ms

    def _step_target_ms(self, step: Step, is_paused: bool, seeks: bool) -> int:
        """Return the market time that a step leads to."""
        step_ms = step.duration_ns // NS_PER_MS
        if not step_ms:
            given = step.messages or f"{step.duration_ns / NS_PER_MS:g}ms"
            expected = (
                "market time of at least 1ms, such as 100ms: a simulation has no messages to count"
            )
            raise ConfigError("step", given, expected)
        self._errand.refuse_step(self._phase, is_paused=is_paused, seeks=seeks)
        if step_ms > LONGEST_LEAP_MS:
            raise ConfigError("step", f"{step_ms // DAY_MS}d", _expected_leap(self._plant.now_ms))
        target_ms = self._plant.now_ms + step_ms
        return target_ms if self._end_ms is None else min(target_ms, self._end_ms)

    # Phases

    async def _go_while_waiting(self, readers: Readers) -> None:
        """Make the step or seek that is requested before the clock has started."""
        await self._go_on_request(readers)
        if self._target_ms is None:
            self._errand.end()

    async def _go_on_request(self, readers: Readers) -> None:
        """Make the requested step or seek, if there is one, as fast as possible.

        Return early if another one is requested.
        """
        target_ms = self._target_ms
        if target_ms is None:
            return
        is_seeking = self._is_seeking
        if is_seeking:
            self._plant.mute()
        try:
            while self._target_ms == target_ms and not self._play(target_ms, readers):
                await self._turn(readers)
        finally:
            if is_seeking:
                self._plant.unmute()
        if self._target_ms != target_ms:
            return
        self._plant.advance(target_ms)
        await self._turn(readers)
        self._target_ms = None
        if not self._follows:
            self._clock.set_position(target_ms * NS_PER_MS, self._machine_ns())
        if not self._over():  # at the end, `run` ends it when the simulation is over
            self._errand.end()

    async def _pause(self, status: Readiness) -> None:
        status.lag_ms = 0
        self._watch.stop(status)
        status.ready(True, "paused")
        self._changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), LONGEST_PAUSE_S)
        status.ready(True)

    async def _keep_up(self, readers: Readers, status: Readiness) -> None:
        """Play what is due, and sleep until something else may be."""
        machine_ns = self._machine_ns()
        position_ms = self._clock.position_ns(machine_ns, LATEST_NS) // NS_PER_MS
        if self._end_ms is not None:
            position_ms = min(position_ms, self._end_ms)
        wanted_ms = max(position_ms, self._plant.now_ms)
        status.ready(True, WAITS_FOR_MACHINE if position_ms < wanted_ms else "")
        if self._exchange.next_time_ms <= wanted_ms:
            status.observe_lateness(self._late_ns(self._exchange.next_time_ms, machine_ns))
        if self._play(wanted_ms):
            self._plant.advance(wanted_ms)
            wait_s = (self._exchange.next_time_ms - position_ms) / 1000 / self._clock.speed
            await asyncio.sleep(min(max(wait_s, 0.001), MAX_SLEEP_S))
        else:
            await asyncio.sleep(0)
        status.lag_ms = max(0, wanted_ms - self._plant.now_ms)
        if self._waits and readers.congested:
            await readers.wait_clear()
            self._watch.restart()
            return
        self._watch.note(
            status,
            now_s=asyncio.get_running_loop().time(),
            market_s=self._plant.now_ms / 1_000,
            late_s=status.lag_ms / 1_000 / self._clock.speed if self._clock.speed else 0,
            speed=self._clock.speed,
        )

    async def _run_freely(self, readers: Readers) -> None:
        """Play a slice."""
        self._play(self._end_ms, readers)
        await self._turn(readers)
        self._clock.set_position(self._plant.now_ms * NS_PER_MS, self._machine_ns())

    async def _turn(self, readers: Readers) -> None:
        await asyncio.sleep(0)
        if readers.congested or readers.is_incomplete:
            await readers.wait_clear()

    def _published_late_ns(self) -> int | None:
        """Return how late the present market time is; None if it keeps no pace."""
        clock = self._clock
        if clock.is_stopped or not clock.speed:
            return None
        return self._late_ns(self._plant.now_ms, self._machine_ns())

    def _late_ns(self, time_ms: int, machine_ns: int) -> int:
        return -self._clock.wait_ns(machine_ns, time_ms * NS_PER_MS)

    def _machine_ns(self) -> int:
        return _ns(asyncio.get_running_loop().time())

    def _over(self) -> bool:
        end_ms = self._end_ms
        if end_ms is None:
            return False
        # At full speed market time stays at the last event, until the end is reached at once.
        is_played = self._exchange.next_time_ms > end_ms and not self._drawn
        is_free = not self._clock.speed and not self._clock.is_paused and self._target_ms is None
        return is_played and (is_free or self._plant.now_ms >= end_ms)

    def _play(self, until_ms: int | None, readers: Readers | None = None) -> bool:
        """Play events up to `until_ms` for at most one slice; return whether all were played.

        A slice ends when one of `readers` was cut off, if they are given: what is due then comes after
        its return.
        """
        exchange, plant = self._exchange, self._plant
        clock = asyncio.get_running_loop().time
        stop_s = clock() + SLICE_S
        while self._drawn or until_ms is None or exchange.next_time_ms <= until_ms:
            time_ms, events = self._drawn or exchange.step()
            plant.advance_before(time_ms)
            if readers is not None and readers.is_incomplete:
                self._drawn = time_ms, events
                return False
            self._drawn = None
            for event in events:
                plant.publish(event)
            if clock() > stop_s:
                return False
        return True


def _expected_leap(now_ms: int) -> str:
    days = LONGEST_LEAP_MS // DAY_MS
    latest = iso_text((now_ms + LONGEST_LEAP_MS) * NS_PER_MS)
    return f"at most {days} days at once, until {latest}: all of it is simulated"


def _ns(seconds: float) -> int:
    return int(seconds * NS_PER_S)
