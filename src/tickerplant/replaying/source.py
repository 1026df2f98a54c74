"""Recordings as a source: recorded messages are served again, at the recorded pace or another.

Every line has a receive time, by the clock of the collector, and most messages have an event time
(`E`), by the clock of the exchange; on real machines they are seconds apart.  The replay is paced by
receive times, which keep the rhythm of arrival and which every line has (or by event times, if the
plan says so).  Market time follows event times, because derived messages must have times in line
with the recorded ones.  Market time moves only with messages, so the same recording gives the same
bytes at every speed.

    waiting ──subscribers──▶ playing ──last line──▶ over ──loop──▶ warming up
                               │  ▲                  │                 │
                               └──┼───── seek ───────┴──▶ warming up ──┘
                                  └── everything before is played, muted ──┘

Requests to change the clock (`steer`) take effect between two turns of `run`.  To reach a position
in the middle, the replay *warms up*: it plays what was recorded before while the plant is muted, so
that the markets know what they would.  To go back, the plant is restarted.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter

from tickerplant.control.clock import CONFLICT, NOW, ClockRequest, Step
from tickerplant.control.clock_state import RESPONSE_TIMEOUT_S, Phase, ReplayState
from tickerplant.control.coverage_state import ReplayCoverage
from tickerplant.errors import RequestError
from tickerplant.formatting import date_text, iso_text
from tickerplant.logs import logger
from tickerplant.plant import Plant
from tickerplant.progress import Progress, StatusLine
from tickerplant.readiness import Readiness, Sample
from tickerplant.recording.line import Line, share_read
from tickerplant.recording.timestamps import LATEST_NS, TimeSpec
from tickerplant.replaying.coverage_reader import CoverageReader
from tickerplant.replaying.plan import Plan
from tickerplant.replaying.playback import Playback
from tickerplant.replaying.scan import Scan
from tickerplant.replaying.unavailable import UnavailableStreams
from tickerplant.sources.clock import SourceClock
from tickerplant.sources.errand import Errand
from tickerplant.sources.source import Readers, wait_for_subscribers
from tickerplant.sources.speed import SpeedWatch
from tickerplant.units import MINUTE_MS, NS_PER_MS, NS_PER_S

SLICE_MESSAGES = 2_000
"""Most messages played without a turn of the event loop."""
BURST_MESSAGES = 256
"""The same of a paced replay, which writes them to the subscribers before they are applied."""
BEHIND_S = 0.01
"""A paced replay that is later than this plays as many as an unpaced one, to catch up."""
SLICE_BYTES = 1 << 19
"""Text played without a turn, approximately: far less than a subscriber may leave unread."""
SLICE_NS = MINUTE_MS * NS_PER_MS
"""Recorded time played without looking at machine time: in a sparse recording, time takes work."""
SLICE_S = 0.1
"""Machine time without a turn of the event loop, plus one slice."""
LONGEST_WAIT_S = 1.0
"""The longest sleep while nothing is due."""
WAKE_UP_S = 0.0001
"""What sleeping and waking takes: a line that is due this soon is played now."""
QUIET_S = 60.0
"""A longer wait for the next message is reported, because it looks like a replay that hangs."""
REBASE_AFTER_MS = 1_000
"""If the subscribers take longer, a rebased replay reads the current time again."""
LATE_BOUNDS_MS = (1, 2, 10, 100)
"""For each of these, messages that are at least this late are counted."""

_received_ns = itemgetter(0)


class RecordingSource:
    """Plays recordings into a plant.

    Raises:
        ConfigError: The plan leaves nothing to play.
        RecordingError: A file cannot be opened, or is not a recording.
    """

    def __init__(
        self,
        found: Scan,
        plant: Plant,
        plan: Plan | None = None,
        *,
        wait_for: int = 1,
        keeps_running: bool = False,
        now_ms: Callable[[], int] = lambda: time.time_ns() // NS_PER_MS,
        status_line: StatusLine | None = None,
        slice_messages: int = SLICE_MESSAGES,
    ) -> None:
        self.messages = 0
        """Lines played so far, without those of warm-ups."""
        self._paced_ns = 0
        """When the lines that are played now were due, in machine time; 0 if they keep no pace."""
        self._found = found
        self._plant = plant
        self._plan = plan = plan or Plan()
        self._wait_for = wait_for
        self._keeps_running = keeps_running
        self._now_ms = now_ms
        self._slice_messages = slice_messages
        self._status: Readiness
        self._readers: Readers
        self._log = logger()
        self._playback = Playback(found, plant, plan, self._warn)
        self._coverage = CoverageReader(found, plan, self._playback.span)
        self._clock = SourceClock(plan.speed, is_paused=plan.is_paused)
        self._progress = Progress(
            "replay",
            lambda: share_read(self._playback.recordings),
            status_line=status_line,
            state=self._progress_words,
        )
        self._lateness = Lateness()
        self._watch = SpeedWatch()
        self._phase: Phase = "waiting"
        self._target_ns: int | None = None
        """The requested position, until it is reached."""
        self._step: Step | None = None
        """The requested step, until it is made."""
        self._is_stopped = False
        """Whether the seek or step that is being made is to end where it is."""
        self._step_end_ns: int | None = None
        """Where a step by time that is being made leads."""
        self._quiet_until_ns = 0
        """The end of the last quiet period that was logged."""
        self._errand = Errand("replay")
        self._has_run = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: asyncio.Future[None] | None = None
        """Ends the current sleep early."""

    async def run(self, readers: Readers, status: Readiness) -> None:
        """Play the recordings to their end, or until cancelled."""
        try:
            await self._run(readers, status)
        finally:
            self._has_run = True
            self._progress.clear()
            self._errand.end()
            self._coverage.close()
            self._playback.close()

    async def _run(self, readers: Readers, status: Readiness) -> None:
        self._readers, self._status = readers, status
        self._loop = asyncio.get_running_loop()
        status.skipped = self._playback.skipped
        status.measure(self._lateness.samples)
        status.measure(self._watch.samples)
        status.late_ns = self._late_ns
        self._playback.warn_of_missing_streams()
        for venue_name, hub in self._plant.hubs.items():
            recorded = () if self._plan.verbatim else self._found.streams(venue_name)
            hub.demand = UnavailableStreams(hub, recorded)
        await self._open()
        while True:
            await self._seek()
            await self._play()
            if self._has_target:
                continue
            await self._end()
            if self._plan.loops:
                if not self._has_target:
                    await self._start_over()
                await asyncio.sleep(0)  # a round may be shorter than a slice
            elif not self._keeps_running:
                return
            while not self._has_target:
                await self._sleep(LONGEST_WAIT_S)

    # State

    def state(self) -> ReplayState:
        """Return the position of the replay and how it continues."""
        now_ms = self._plant.now_ms
        span = self._playback.span
        is_pausing = self._phase == "playing" and self._clock.is_paused
        return ReplayState(
            time=iso_text(now_ms * NS_PER_MS),
            time_ms=now_ms,
            received_ns=self._position_ns(),
            speed=self._clock.speed,
            paused=self._clock.is_paused,
            state="paused" if is_pausing else self._phase,
            pace=self._plan.pace,
            next_ns=self._playback.next_ns,
            from_ns=span.begin_ns,
            to_ns=span.end_ns if span.is_end_known else None,
            loop=self._plan.loops,
            shift_ms=self._playback.shift_ms,
            messages=self.messages,
            pending=self._errand.is_pending,
            target_ns=self._going_to_ns,
            recordings=tuple(recording.path for recording in self._playback.recordings),
        )

    async def coverage(self) -> ReplayCoverage:
        """Return what the recordings cover, as far as it is known after half a second."""
        return await self._coverage.coverage()

    def report_state(self) -> None:
        """Show on `/readyz`, and log, which messages are not applied and which books not in sync."""
        self._playback.report_state(self._status)

    @property
    def _going_to_ns(self) -> int | None:
        """Where the requested seek or step leads; None if there is none, or it is one of messages."""
        if not self._errand.is_pending:
            return None
        return self._step_end_ns if self._target_ns is None else self._target_ns

    def _progress_words(self) -> tuple[str, ...]:
        speed = f"{self._clock.speed:g}x" if self._clock.speed else "full speed"
        words = ["warming up"] * (self._phase == "warming up") + ["paused"] * self._clock.is_paused
        return f"{date_text(self._plant.now_ms)}Z", speed, *words

    # Requests

    async def steer(
        self, given: Mapping[str, object], wait_s: float = RESPONSE_TIMEOUT_S
    ) -> ReplayState:
        """Change the clock as requested, see `ClockFields`; return the state when that is done.

        If it takes longer than `wait_s`, return the state on the way.

        Raises:
            ConfigError: A field is unknown, or its value is invalid; nothing is changed.
            RequestError: The request is not possible now; nothing is changed.
        """
        return await self._errand.steer(given, wait_s, self._change, self.state)

    def _change(self, request: ClockRequest) -> None:
        if self._has_run:
            raise RequestError(CONFLICT, "the replay is over", 409)
        target_ns = None if request.seek is None else self._seek_target_ns(request.seek)
        is_paused = self._clock.is_paused if request.paused is None else request.paused
        if request.step is not None:
            self._errand.refuse_step(self._phase, is_paused=is_paused, seeks=target_ns is not None)
        machine_ns, limit_ns = self._machine_ns(), self._playback.limit_ns
        if request.speed is not None:
            self._clock.set_speed(request.speed, machine_ns, limit_ns)
        if request.paused is not None:
            self._clock.set_paused(machine_ns, limit_ns, paused=request.paused)
        if target_ns is not None or request.step is not None:
            self._target_ns, self._step, self._step_end_ns = target_ns, request.step, None
        elif request.paused and self._errand.is_pending:
            self._target_ns = self._step = None  # it stops where it is
            self._is_stopped = True
            self._errand.end()
        self._wake()

    def _seek_target_ns(self, spec: TimeSpec) -> int:
        """Return the position that a seek leads to."""
        span = self._playback.span
        if spec.sign:
            offset_ns = spec.ns if spec.sign == "+" else -spec.ns
            return min(max(self._position_ns() + offset_ns, span.first_ns), span.end_ns)
        if not span.first_ns <= spec.ns <= span.end_ns:
            until = f" to {iso_text(span.end_ns)}" if span.is_end_known else " on"
            played = f"the replay is of what was recorded from {iso_text(span.first_ns)}{until}"
            given = "now" if spec == NOW else iso_text(spec.ns)
            raise RequestError(CONFLICT, f"seek: {given} is not in it, {played}", 409)
        return spec.ns

    # Phases

    async def _open(self) -> None:
        """Move to the beginning, and wait for the first subscribers."""
        await self._begin()
        waiting_since_ms = self._now_ms()
        self._phase = "waiting"
        await wait_for_subscribers(
            self._wait_for, self._readers, self._status, self._move_on_request
        )
        waited_ms = self._now_ms() - waiting_since_ms
        is_unplayed = self._playback.played_ns < self._playback.span.begin_ns
        if self._plan.rebased and waited_ms > REBASE_AFTER_MS and is_unplayed:
            await self._begin()

    async def _begin(self) -> None:
        begin_ns = self._playback.span.begin_ns
        self._plant.mute()
        await self._run_steps(self._playback.open(self._now_ms()))
        await self._warm_up(begin_ns)
        self._clock.set_position(begin_ns, self._machine_ns())

    @property
    def _has_target(self) -> bool:
        """Whether a seek is requested; awaiting anything may change it."""
        return self._target_ns is not None

    async def _seek(self) -> None:
        phase = self._phase
        while self._target_ns is not None:
            await self._seek_to(self._target_ns)
            self._phase = phase

    async def _move_on_request(self) -> None:
        """Make the seek or step that is requested before the clock has started."""
        await self._seek()
        if self._step is not None:
            await self._make_step()
            if not self._has_target:
                self._errand.end()

    async def _play(self) -> None:
        clock, playback = self._clock, self._playback
        self._phase = "playing"
        self._status.ready(True)
        clock.start(self._machine_ns())
        self._watch.restart()
        current = _Slice(playback)
        while not self._has_target and (next_ns := playback.next_ns) is not None:
            if self._progress.report(self.messages):
                self.report_state()
            if clock.is_stopped:
                self._status.lag_ms = 0
                self._watch.stop(self._status)
                await self._pause()
            elif clock.speed:
                await self._play_due(next_ns, current)
            else:
                self._watch.stop(self._status)
                count = self._play_next(next_ns + SLICE_NS, self._slice_messages)
                clock.set_position(playback.played_ns, self._machine_ns())
                if current.is_full(count, self._slice_messages):
                    await self._turn()

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        is_free = not self._clock.speed or self._clock.is_stopped
        if self._readers.congested or (is_free and self._readers.is_incomplete):
            await self._readers.wait_clear()

    async def _play_due(self, next_ns: int, current: _Slice) -> None:
        """Play the lines that are due, or sleep until one is."""
        wait_s = self._clock.wait_ns(self._machine_ns(), next_ns) / NS_PER_S
        self._status.lag_ms = max(0, int(-wait_s * 1_000))
        if wait_s < -BEHIND_S or self._watch.is_short:
            self._watch.note(
                self._status,
                now_s=self._machine_ns() / NS_PER_S,
                market_s=next_ns / NS_PER_S,
                late_s=max(-wait_s, 0.0),
                speed=self._clock.speed,
            )
        if wait_s > WAKE_UP_S:
            if wait_s > QUIET_S:
                self._report_quiet(next_ns, wait_s)
            await self._sleep(min(wait_s - WAKE_UP_S, LONGEST_WAIT_S), self._play_on_time)
            self._status.ready(True)
            if self._plan.waits and self._readers.congested:
                await self._readers.wait_clear()
            return
        due_ns = self._begin_due(wait_s, next_ns)
        is_behind = wait_s < -BEHIND_S
        max_lines = self._slice_messages if is_behind else BURST_MESSAGES
        while True:
            count = self._play_burst(due_ns, max_lines, prompt=not is_behind)
            if current.is_full(count, max_lines):
                break
            following_ns = self._playback.next_ns
            if following_ns is None or following_ns > due_ns:
                break
        self._paced_ns = 0
        if self._plan.waits:
            if self._readers.congested:
                self._watch.restart()
            await self._turn()
        else:
            await asyncio.sleep(0)

    def _begin_due(self, wait_s: float, next_ns: int) -> int:
        """Note how late the next lines are; return the time up to which lines are due."""
        machine_ns = self._machine_ns()
        self._paced_ns = machine_ns + int(wait_s * NS_PER_S)
        self._status.observe_lateness(machine_ns - self._paced_ns)
        return self._clock.due_ns(machine_ns, next_ns)

    def _play_burst(self, due_ns: int, max_lines: int, *, prompt: bool) -> int:
        lines = self._playback.play(due_ns, max_lines, prompt=prompt)
        self._lateness.count(lines, due_ns, self._clock.speed)
        self.messages += len(lines)
        return len(lines)

    def _play_on_time(self) -> float:
        """Play the lines that are due now, in the callback of the timer.

        Returns:
            The time until the next line is due; 0 if `_play` has to decide what comes next.
        """
        wait_s = self._wait_s()
        if wait_s is None or wait_s < -BEHIND_S:
            return 0
        next_ns = self._playback.next_ns
        if wait_s <= WAKE_UP_S and next_ns is not None:
            self._play_burst(self._begin_due(wait_s, next_ns), BURST_MESSAGES, prompt=True)
            self._paced_ns = 0
            if self._progress.report(self.messages):
                self.report_state()
            wait_s = self._wait_s()
        if wait_s is None or not WAKE_UP_S < wait_s < LONGEST_WAIT_S:
            return 0
        return wait_s - WAKE_UP_S

    def _wait_s(self) -> float | None:
        """Return the time until the next line is due; None if something other than time decides."""
        next_ns, clock = self._playback.next_ns, self._clock
        if next_ns is None or self._has_target or clock.is_stopped or not clock.speed:
            return None
        if self._watch.is_short or (self._plan.waits and self._readers.congested):
            return None
        return clock.wait_ns(self._machine_ns(), next_ns) / NS_PER_S

    def _late_ns(self) -> int | None:
        """Return how late the lines are that are played now; None if they keep no pace."""
        return self._machine_ns() - self._paced_ns if self._paced_ns else None

    def _report_quiet(self, next_ns: int, wait_s: float) -> None:
        """Show on `/readyz` when the next message comes, and log it once."""
        reason = f"nothing was recorded until {iso_text(next_ns)}"
        self._status.ready(True, reason)
        if self._quiet_until_ns != next_ns:
            self._quiet_until_ns = next_ns
            self._log.info(f"= {reason}; seek to skip it", wait_s=round(wait_s))

    def _play_next(self, until_ns: int, max_lines: int) -> int:
        lines = self._playback.play(until_ns, max_lines)
        if self._phase != "warming up":
            self.messages += len(lines)
        return len(lines)

    async def _pause(self) -> None:
        if self._step is not None:
            await self._make_step()
            return
        self._status.ready(True, "paused")
        await self._sleep(LONGEST_WAIT_S)
        self._status.ready(True)

    async def _make_step(self) -> None:
        step, self._step = self._step, None
        if step is None:
            return
        playback = self._playback
        until_ns = self._position_ns() + step.duration_ns if step.duration_ns else LATEST_NS
        self._step_end_ns = until_ns if step.duration_ns else None
        self._is_stopped = False
        left = step.messages or LATEST_NS
        while left and not (self._has_target or self._is_stopped):
            next_ns = playback.next_ns
            if next_ns is None or next_ns > until_ns:
                break
            left -= self._play_next(until_ns, min(left, self._slice_messages))
            self._clock.set_position(playback.played_ns, self._machine_ns())
            await self._turn()
        if self._has_target or self._is_stopped:
            return
        if step.duration_ns:
            end_ns = min(until_ns, playback.span.end_ns)
            self._clock.set_position(end_ns, self._machine_ns())
        if playback.next_ns is not None:  # a step to the end is done when the replay is over
            self._errand.end()

    async def _seek_to(self, target_ns: int) -> None:
        playback = self._playback
        self._step, self._is_stopped = None, False
        self._clock.stop(self._machine_ns(), playback.limit_ns)
        self._phase = "warming up"
        self._plant.mute()
        await self._run_steps(playback.seek(target_ns))
        if self._target_ns == target_ns:
            await self._warm_up(target_ns)
        if self._is_stopped and not self._has_target:
            self._plant.unmute()
            reached_ns = min(max(playback.played_ns, playback.span.first_ns), target_ns)
            self._clock.set_position(reached_ns, self._machine_ns())
            return
        if self._target_ns != target_ns:
            return
        self._target_ns = None
        is_beyond = playback.next_ns is None and not playback.span.is_end_known
        position_ns = max(playback.played_ns, 0) if is_beyond else target_ns
        self._clock.set_position(position_ns, self._machine_ns())
        self._log.debug("= seek complete", at=iso_text(target_ns))
        self._errand.end()

    async def _run_steps(self, steps: Iterator[None]) -> None:
        loop = asyncio.get_running_loop()
        turned_s = loop.time()
        for _ in steps:
            if loop.time() - turned_s >= SLICE_S:
                self._phase = "warming up"
                self._status.ready(False, "looking for the position in the recording")
                self._progress.report(self.messages)
                await asyncio.sleep(0)
                turned_s = loop.time()

    async def _warm_up(self, target_ns: int) -> bool:
        """Play everything before a position while the plant is muted, then unmute it.

        Returns:
            Whether the position was reached; False if another one was requested.
        """
        requested_ns = self._target_ns
        while (next_ns := self._playback.next_ns) is not None and next_ns < target_ns:
            self._phase = "warming up"
            self._status.ready(False, f"warming up to {iso_text(target_ns)}")
            self._play_next(min(target_ns - 1, next_ns + SLICE_NS), self._slice_messages)
            self._progress.report(self.messages)
            await asyncio.sleep(0)
            if self._target_ns != requested_ns:
                return False
        self._plant.unmute()
        return True

    async def _end(self) -> None:
        """Report the end; the last state of the markets stays."""
        self._progress.clear()
        self._clock.stop(self._machine_ns(), self._playback.limit_ns)
        self._plant.advance(self._plant.now_ms)
        self.report_state()
        await self._readers.wait_clear()
        self._phase = "warming up" if self._plan.loops else "over"
        if self._plan.loops:  # the seek to the beginning completes a step
            self._log.debug("= the recording starts over", messages=self.messages)
            return
        if not self._has_target:
            self._errand.end()
        self._status.ready(False, "the recording is over")
        skipped = self._playback.skipped().total()
        self._log.info("= the recording is over", messages=self.messages, skipped=skipped)

    async def _start_over(self) -> None:
        """Request a seek to the beginning; if times are shifted, they continue."""
        if self._plan.rebased:
            await self._run_steps(self._playback.rebase(self._plant.now_ms, late=True))
        if not self._has_target:
            self._target_ns = self._playback.span.begin_ns

    def _position_ns(self) -> int:
        return self._clock.position_ns(self._machine_ns(), self._playback.limit_ns)

    def _machine_ns(self) -> int:
        """Return the time of the event loop; 0 before it runs."""
        return int(self._loop.time() * NS_PER_S) if self._loop else 0

    async def _sleep(self, seconds: float, on_time: Callable[[], float] | None = None) -> None:
        """Return after a time, or when a request comes.

        After the time, `on_time` is called; while it returns another one, sleep on for so long.
        """
        loop = asyncio.get_running_loop()
        self._alarm = alarm = loop.create_future()
        timer: asyncio.TimerHandle

        def end() -> None:
            nonlocal timer
            if alarm.done():
                return
            try:
                more_s = on_time() if on_time is not None else 0
            except Exception as error:  # noqa: BLE001  # raised where this is awaited
                alarm.set_exception(error)
                return
            if more_s and not alarm.done():
                timer = loop.call_later(more_s, end)
            else:
                self._wake()

        timer = loop.call_later(seconds, end)
        try:
            await alarm
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)

    def _warn(self, text: str, subject: str = "") -> None:
        """Show a warning on `/readyz` and log it; without a subject it stays to the end."""
        if self._status.warn(subject or text, text):
            self._log.warning(f"! {text}")


class _Slice:
    """What was played since the last turn of the event loop."""

    def __init__(self, playback: Playback) -> None:
        self._playback = playback
        self._now_s = asyncio.get_running_loop().time
        self._turned_s = self._now_s()
        self._messages = 0
        self._turned_bytes = 0

    def is_full(self, messages: int, max_messages: int) -> bool:
        """Count messages; return whether it is time for a turn, and begin the next slice if so."""
        self._messages += messages
        text_bytes = self._playback.text_bytes
        now_s = self._now_s()
        full = (
            self._messages >= max_messages
            or text_bytes - self._turned_bytes >= SLICE_BYTES
            or now_s - self._turned_s >= SLICE_S
        )
        if full:
            self._turned_s = now_s
            self._messages, self._turned_bytes = 0, text_bytes
        return full


class Lateness:
    """Counts the messages played at a pace, and how many of them were late."""

    def __init__(self) -> None:
        self.messages = 0
        self.late = dict.fromkeys(LATE_BOUNDS_MS, 0)
        """The messages that were played at least this many ms late."""

    def count(self, lines: Sequence[Line], due_ns: int, speed: float) -> None:
        """Count `lines`, which are played when everything up to `due_ns` is due."""
        self.messages += len(lines)
        for bound_ms in LATE_BOUNDS_MS:
            late_ns = due_ns - int(bound_ms * NS_PER_MS * speed)
            if lines[0][0] > late_ns:
                return
            self.late[bound_ms] += bisect_right(lines, late_ns, key=_received_ns)

    def samples(self) -> Iterator[Sample]:
        """Yield the samples for `/metrics`."""
        yield Sample(
            name="replay_paced",
            type="counter",
            value=self.messages,
            doc="Recorded messages that were played at a pace.",
        )
        for bound_ms, count in self.late.items():
            yield Sample(
                name="replay_late",
                type="counter",
                value=count,
                doc="Of those, messages that were played later than they were due, by how much.",
                labels={"over": f"{bound_ms}ms"},
            )
