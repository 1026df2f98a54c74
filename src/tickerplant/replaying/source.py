"""Recordings as a source: what was recorded is served again, in the time it took, or otherwise.

Two clocks were recorded with every line: when the collector received it, and `E`, when the
exchange sent it.  They are seconds apart on real machines.  The replay is paced by the receive
time, because that is the rhythm in which the messages arrived and every line has it (or, if that is
the wish, by `E`); the market's clock is `E`, because the messages that are derived must carry times
in line with those that were recorded.  Market time moves only with messages, so the same recording
gives the same bytes at every speed.

    waiting ──subscribers──▶ playing ──last line──▶ over ──loop──▶ warming up
                               │  ▲                  │                 │
                               └──┼───── seek ───────┴──▶ warming up ──┘
                                  └── all before is played, silently ──┘

Who wants the replay elsewhere says so by `steer`, in between two turns of `run`.  A moment in the
middle is reached by *warming up* to it: what was recorded before is played while nothing is sent,
so that the markets know what they would.  Going back, the plant begins anew.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from tickerplant.errors import RequestError
from tickerplant.logs import logger
from tickerplant.plant import Plant
from tickerplant.progress import Progress, StatusLine
from tickerplant.recording.block import LATEST_NS
from tickerplant.recording.line import share_read
from tickerplant.recording.timestamps import TimeSpec, iso
from tickerplant.replaying.clock import ReplayClock
from tickerplant.replaying.clock_state import ClockState, Phase
from tickerplant.replaying.deck import Deck
from tickerplant.replaying.lateness import Lateness
from tickerplant.replaying.plan import Plan
from tickerplant.replaying.scan import Scan
from tickerplant.replaying.steering import Step, read_wishes
from tickerplant.replaying.unavailable_streams import UnavailableStreams
from tickerplant.sources.source import Readers, Status, wait_for_subscribers
from tickerplant.units import NS_PER_MS, NS_PER_S

SLICE_MESSAGES = 2_000
"""Most messages played without a turn of the event loop."""
BURST_MESSAGES = 256
"""As many at a pace, which are with the subscribers before what they say is applied."""
BEHIND_S = 0.01
"""A replay that is later than this plays as many as without a pace, to catch up."""
SLICE_BYTES = 1 << 19
"""Text played without a turn, more or less: far less than a subscriber may leave unread."""
SLICE_NS = 60_000_000_000
"""Recorded time played without a look at the clock of this machine: in a sparse recording it is
time that has work to do, not messages."""
SLICE_S = 0.1
"""Time of this machine without a turn of the event loop, and a slice more."""
LONGEST_WAIT_S = 1.0
"""The source wakes so often while a recording is quiet."""
GRAIN_S = 0.0001
"""To sleep and wake takes about as long: what is due so soon is due now."""
ANSWER_WITHIN_S = 5.0
"""Who steers is answered when it is done, or after this long, whatever comes first."""
QUIET_S = 60.0
"""A longer wait for the next message is spoken of: it looks like a replay that hangs."""
PATIENCE_MS = 1_000
"""How long subscribers may take until a replay that is rebased looks at the clock again."""

CONFLICT = -1


class RecordingSource:
    """Plays recordings into a plant.

    Args:
        found: What `scan` found in the recordings.
        plant: Where the messages go; made from the instruments that were found.
        plan: From where to where, how fast, and so on.
        wait_for: Connections that must have subscribed before the clock starts.
        stays: Whether `run` goes on at the end, for who seeks back.
        now_ms: The clock of this machine, of which a rebased replay is.
        status_line: Where the progress is shown; standard error if missing.

    Raises:
        ConfigError: the plan leaves nothing to play.
        RecordingError: a file cannot be opened, or is no recording.
    """

    def __init__(
        self,
        found: Scan,
        plant: Plant,
        plan: Plan | None = None,
        *,
        wait_for: int = 1,
        stays: bool = False,
        now_ms: Callable[[], int] = lambda: time.time_ns() // NS_PER_MS,
        status_line: StatusLine | None = None,
    ) -> None:
        self.messages = 0
        """Lines played so far, those of warm-ups not included."""
        self._found = found
        self._plant = plant
        self._plan = plan = plan or Plan()
        self._wait_for = wait_for
        self._stays = stays
        self._now_ms = now_ms
        self._status: Status
        self._readers: Readers
        self._log = logger()
        self._deck = Deck(found, plant, plan, self._warn)
        self._clock = ReplayClock(plan.speed)
        self._progress = Progress(
            "replay",
            lambda: share_read(self._deck.recordings),
            status_line=status_line,
            state=self._state_words,
        )
        self._lateness = Lateness()
        self._phase: Phase = "waiting"
        self._target_ns: int | None = None
        """Where somebody wants to be instead."""
        self._step: Step | None = None
        self._quiet_until_ns = 0
        """Until when there is no message, as was logged last."""
        self._done = asyncio.Event()
        """Is set when what was wanted is done."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: asyncio.Future[None] | None = None
        """What ends a sleep early."""

    async def run(self, readers: Readers, status: Status) -> None:
        """Play the recordings to their end, or until cancelled.

        Raises:
            RecordingError: a file cannot be opened, or is no recording.
        """
        try:
            await self._run(readers, status)
        finally:
            self._progress.clear()
            self._done.set()  # nobody waits for what will not be
            self._deck.close()

    async def _run(self, readers: Readers, status: Status) -> None:
        self._readers, self._status = readers, status
        self._loop = asyncio.get_running_loop()
        status.left_out = self.left_out
        status.measure(self._lateness.samples)
        self._deck.look_for_silence()
        for venue_name, hub in self._plant.hubs.items():
            tells = () if self._plan.verbatim else self._found.streams(venue_name)
            hub.demand = UnavailableStreams(hub, tells)
        await self._open()
        while True:
            await self._go_elsewhere()
            await self._play()
            if self._is_wanted_elsewhere:
                continue
            await self._end()
            if self._plan.loops:
                if not self._is_wanted_elsewhere:  # else somebody was quicker
                    await self._begin_anew()
                await asyncio.sleep(0)  # a round may be shorter than a slice
            elif not self._stays:
                return
            while not self._is_wanted_elsewhere:
                await self._sleep(LONGEST_WAIT_S)

    # What it says of itself

    def state(self) -> ClockState:
        """Return where the replay is."""
        now_ms = self._plant.now_ms
        span = self._deck.span
        stopped = self._phase == "playing" and self._clock.is_paused
        return ClockState(
            time=iso(now_ms * NS_PER_MS),
            time_ms=now_ms,
            received_ns=self._position_ns(),
            speed=self._clock.speed,
            paused=self._clock.is_paused,
            state="paused" if stopped else self._phase,
            pace=self._plan.pace,
            from_ns=span.begin_ns,
            to_ns=span.end_ns if span.is_end_known else None,
            loop=self._plan.loops,
            shift_ms=self._deck.shift_ms,
            messages=self.messages,
            recordings=tuple(recording.path for recording in self._deck.recordings),
        )

    def _state_words(self) -> tuple[str, ...]:
        """Return where the replay is and how it goes on, for the line that shows the progress."""
        speed = f"{self._clock.speed:g}x" if self._clock.speed else "full speed"
        words = ["warming up"] * (self._phase == "warming up") + ["paused"] * self._clock.is_paused
        seconds, _, _ = iso(self._plant.now_ms * NS_PER_MS).partition(".")
        return f"{seconds}Z", speed, *words

    def left_out(self) -> Counter[str]:
        """Count the lines and messages of which no market heard, by what was wrong with them."""
        return self._deck.left_out()

    def look_around(self) -> None:
        """Say what was not applied, and which books are not whole, and why, or are again."""
        self._deck.look_around(self._status)

    # What others want of it

    async def steer(self, given: Mapping[str, object]) -> ClockState:
        """Do what is wanted, see `Wishes`; return where the replay is then, or is on its way from.

        Raises:
            ConfigError: a field is unknown, or its value cannot be used; nothing is changed.
            RequestError: that is not possible now; nothing is changed.
        """
        wishes = read_wishes(given)
        target_ns = None if wishes.seek is None else self._sought_ns(wishes.seek)
        is_paused = self._clock.is_paused if wishes.paused is None else wishes.paused
        if wishes.step is not None:
            self._refuse_step(is_paused=is_paused, seeks=target_ns is not None)
        at_ns, next_ns = self._at_ns(), self._deck.edge_ns
        if wishes.speed is not None:
            self._clock.set_speed(wishes.speed, at_ns, next_ns)
        if wishes.paused is not None:
            self._clock.pause(at_ns, next_ns, paused=wishes.paused)
        if target_ns is not None or wishes.step is not None:
            self._target_ns, self._step = target_ns, wishes.step
            self._done.clear()
        self._wake()
        if target_ns is not None or wishes.step is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._done.wait(), ANSWER_WITHIN_S)
        return self.state()

    def _sought_ns(self, moment: TimeSpec) -> int:
        """Return where a seek leads.

        Raises:
            RequestError: that is not in the recordings.
        """
        first_ns, end_ns = self._deck.span.opening_ns, self._deck.span.end_ns
        if moment.sign:
            offset_ns = moment.ns if moment.sign == "+" else -moment.ns
            return min(max(self._position_ns() + offset_ns, first_ns), end_ns)
        if not first_ns <= moment.ns <= end_ns:
            until = f" to {iso(end_ns)}" if self._deck.span.is_end_known else " on"
            there_is = f"the replay is of what was recorded from {iso(first_ns)}{until}"
            raise RequestError(CONFLICT, f"seek: {iso(moment.ns)} is not in it, {there_is}", 409)
        return moment.ns

    def _refuse_step(self, *, is_paused: bool, seeks: bool) -> None:
        reason = ""
        if self._phase != "playing":
            reason = f"the replay is {self._phase}"
        elif not is_paused:
            reason = "the replay is not paused"
        elif seeks:
            reason = "it cannot come with a seek"
        if reason:
            raise RequestError(CONFLICT, f"step: {reason}", 409)

    # How it goes on

    async def _open(self) -> None:
        """Get ready, and wait for the first subscribers."""
        await self._begin()
        waited_from_ms = self._now_ms()
        self._phase = "waiting"
        await wait_for_subscribers(self._wait_for, self._readers, self._status, self._go_elsewhere)
        late = self._now_ms() - waited_from_ms > PATIENCE_MS
        if self._plan.rebased and late and self._deck.played_ns < self._deck.span.begin_ns:
            await self._begin()

    async def _begin(self) -> None:
        """Be where the replay begins, with all that is known there."""
        begin_ns = self._deck.span.begin_ns
        self._plant.mute()
        await self._wind(self._deck.open(self._now_ms()))
        await self._warm_up(begin_ns)
        self._clock.jump(begin_ns, self._at_ns())

    @property
    def _is_wanted_elsewhere(self) -> bool:
        return self._target_ns is not None

    async def _go_elsewhere(self) -> None:
        """Be where somebody wants the replay to be, if anybody does."""
        phase = self._phase
        while self._target_ns is not None:
            await self._jump(self._target_ns)
            self._phase = phase

    async def _play(self) -> None:
        """Play until the end, or until somebody wants to be elsewhere."""
        clock, deck = self._clock, self._deck
        self._phase = "playing"
        self._status.ready(True)
        clock.go(self._at_ns())
        slices = _Slice(deck)
        while not self._is_wanted_elsewhere and (next_ns := deck.next_ns) is not None:
            if self._progress.report(self.messages):
                self.look_around()
            if clock.stands:
                self._status.lag_ms = 0
                await self._stand()
            elif clock.speed:
                await self._play_due(next_ns, slices)
            else:
                lines = self._take(next_ns + SLICE_NS)
                clock.jump(deck.played_ns, self._at_ns())
                if slices.is_full(lines):
                    await asyncio.sleep(0)  # the server flushes
                    if self._readers.congested:
                        await self._readers.wait_clear()

    async def _play_due(self, next_ns: int, slices: _Slice) -> None:
        """Play what is due by now, or sleep until something is."""
        wait_s = self._clock.wait_ns(self._at_ns(), next_ns) / NS_PER_S
        self._status.lag_ms = max(0, int(-wait_s * 1_000))
        if wait_s > GRAIN_S:
            if wait_s > QUIET_S:
                self._speak_of_silence(next_ns, wait_s)
            await self._sleep(min(wait_s - GRAIN_S, LONGEST_WAIT_S))
            self._status.ready(True)
            return
        reached_ns = self._clock.reached_ns(self._at_ns(), next_ns)
        is_behind = wait_s < -BEHIND_S
        most = SLICE_MESSAGES if is_behind else BURST_MESSAGES
        while not slices.is_full(self._take_due(reached_ns, most, prompt=not is_behind), most):
            following_ns = self._deck.next_ns
            if following_ns is None or following_ns > reached_ns:
                break
        await asyncio.sleep(0)

    def _speak_of_silence(self, next_ns: int, wait_s: float) -> None:
        """Say until when there is no message, and log it once."""
        reason = f"nothing was recorded until {iso(next_ns)}"
        self._status.ready(True, reason)
        if self._quiet_until_ns != next_ns:
            self._quiet_until_ns = next_ns
            self._log.info(f"= {reason}; seek to pass over it", wait_s=round(wait_s))

    def _take_due(self, reached_ns: int, most: int, *, prompt: bool) -> int:
        """Play lines that are due; return how many they were."""
        lines = self._deck.take(reached_ns, most, prompt=prompt)
        self._lateness.count(lines, reached_ns, self._clock.speed)
        self.messages += len(lines)
        return len(lines)

    def _take(self, until_ns: int, most: int = SLICE_MESSAGES) -> int:
        """Play the next lines; return how many they were."""
        lines = self._deck.take(until_ns, most)
        if self._phase == "playing":
            self.messages += len(lines)
        return len(lines)

    async def _stand(self) -> None:
        """Do not play, but for the steps that somebody wants."""
        step, self._step = self._step, None
        if step is None:
            self._status.ready(True, "paused")
            await self._sleep(LONGEST_WAIT_S)
            self._status.ready(True)
            return
        until_ns = self._position_ns() + step.duration_ns if step.duration_ns else LATEST_NS
        left = step.messages or LATEST_NS
        while left and self._target_ns is None and self._deck.next_ns is not None:
            if self._deck.next_ns > until_ns:
                break
            left -= self._take(until_ns, min(left, SLICE_MESSAGES))
            self._clock.jump(self._deck.played_ns, self._at_ns())
            await asyncio.sleep(0)
            if self._readers.congested:
                await self._readers.wait_clear()
        if step.duration_ns and self._target_ns is None:
            self._clock.jump(min(until_ns, self._deck.span.end_ns), self._at_ns())
        if self._target_ns is None:
            self._done.set()

    async def _jump(self, target_ns: int) -> None:
        """Be elsewhere; is left early if somebody changes their mind."""
        self._step = None
        self._clock.stand(self._at_ns(), self._deck.edge_ns)
        self._phase = "warming up"
        self._plant.mute()
        await self._wind(self._deck.advance_before(target_ns))
        if self._target_ns != target_ns or not await self._warm_up(target_ns):
            return
        self._target_ns = None
        is_beyond = self._deck.next_ns is None and not self._deck.span.is_end_known
        self._clock.jump(max(self._deck.played_ns, 0) if is_beyond else target_ns, self._at_ns())
        self._log.debug("= the replay is elsewhere", at=iso(target_ns))
        self._done.set()

    async def _wind(self, steps: Iterator[None]) -> None:
        """Do what takes many steps, and give the event loop its turns meanwhile."""
        loop = asyncio.get_running_loop()
        turned_s = loop.time()
        for _ in steps:
            if loop.time() - turned_s >= SLICE_S:
                self._phase = "warming up"
                self._status.ready(False, "looking for the place in the recording")
                self._progress.report(self.messages)
                await asyncio.sleep(0)
                turned_s = loop.time()

    async def _warm_up(self, target_ns: int) -> bool:
        """Play all before a moment, which nobody hears, and let the plant speak then.

        Returns:
            Whether it came to that, and nobody wanted to be elsewhere meanwhile.
        """
        wanted_ns = self._target_ns
        while (next_ns := self._deck.next_ns) is not None and next_ns < target_ns:
            self._phase = "warming up"
            self._status.ready(False, f"warming up to {iso(target_ns)}")
            self._take(min(target_ns - 1, next_ns + SLICE_NS))
            self._progress.report(self.messages)
            await asyncio.sleep(0)
            if self._target_ns != wanted_ns:
                return False
        self._plant.unmute()
        return True

    async def _end(self) -> None:
        """Say that it is over; the last state stays."""
        self._progress.clear()
        self._clock.stand(self._at_ns(), self._deck.edge_ns)
        self._plant.advance(self._plant.now_ms)
        self.look_around()
        await self._readers.wait_clear()
        self._phase = "warming up" if self._plan.loops else "over"
        if not self._is_wanted_elsewhere:
            self._done.set()
        if self._plan.loops:
            self._log.debug("= the recording begins anew", messages=self.messages)
            return
        self._status.ready(False, "the recording is over")
        self._log.info(
            "= the recording is over", messages=self.messages, left_out=self.left_out().total()
        )

    async def _begin_anew(self) -> None:
        """Want to be at the beginning; times go on where they are, if they were shifted at all."""
        if self._plan.rebased:
            await self._wind(self._deck.rebase(self._plant.now_ms, late=True))
        if not self._is_wanted_elsewhere:  # meanwhile
            self._target_ns = self._deck.span.begin_ns

    def _position_ns(self) -> int:
        return self._clock.position_ns(self._at_ns(), self._deck.edge_ns)

    def _at_ns(self) -> int:
        """Return the time of this machine, by the clock of the event loop; 0 before there is one."""
        return int(self._loop.time() * NS_PER_S) if self._loop else 0

    async def _sleep(self, seconds: float) -> None:
        """Return after a time, or when somebody wants something."""
        loop = asyncio.get_running_loop()
        self._alarm = alarm = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await alarm
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)

    def _warn(self, text: str, subject: str = "") -> None:
        """Show a warning on `/readyz` and log it; without a subject it stands to the end."""
        if self._status.warn(subject or text, text):
            self._log.warning(f"! {text}")


class _Slice:
    """What was played since the last turn of the event loop."""

    def __init__(self, deck: Deck) -> None:
        self._deck = deck
        self._now_s = asyncio.get_running_loop().time
        self._turned_s = self._now_s()
        self._messages = 0
        self._turned_bytes = 0

    def is_full(self, messages: int, most: int = SLICE_MESSAGES) -> bool:
        """Count messages; return whether it is time for a turn, which it is after `most`."""
        self._messages += messages
        text_bytes = self._deck.text_bytes
        now_s = self._now_s()
        full = (
            self._messages >= most
            or text_bytes - self._turned_bytes >= SLICE_BYTES
            or now_s - self._turned_s >= SLICE_S
        )
        if full:
            self._turned_s = now_s
            self._messages, self._turned_bytes = 0, text_bytes
        return full
