"""Market time that follows the upstream's messages, and this machine's clock between them.

Pure: the machine's time is an argument.  Most of this module is about messages whose time cannot be
true, and servers that restart at another time: market time never goes back.  It goes forward in
steps, because everything that is due on the way happens; a long way is one leap, in which the market
does not do all of it (`market/timers.py`).
"""

from __future__ import annotations

from tickerplant.market.timers import MAX_CONTINUOUS_MS
from tickerplant.recording.event_clock import LATEST_MS

MAX_EXTRAPOLATION_MS = 1_000
"""How far market time advances without a message."""
MIN_EXTRAPOLATION_MS = 100
"""The least by which time advances when messages are too late to set it."""
PLAUSIBLE_MS = 60_000
"""A message may be this much further ahead than time has passed and is accepted alone."""
CONFIRMATIONS = 8
"""Messages in a row, with as many different times, that must be further ahead to be accepted."""
LATE_MS = 2_000
"""Messages this far behind mean that market time is ahead, because of a wrong time that was accepted:
it runs at half speed until they have caught up."""
OTHER_CLOCK_MS = 60_000
"""Messages further behind come from a server with another clock: time runs on without them."""
STEP_MS = 60_000
"""The longest step of market time, unless it leaps."""


class UpstreamClock:
    """The time of a market that follows an upstream."""

    def __init__(self, now_ms: int, machine_ms: int) -> None:
        self.now_ms = now_ms
        """The latest time that was returned."""
        self.rejected = 0
        """Messages whose time was not accepted, or not yet."""
        self.is_behind = False
        """Whether the messages are of a time that is past here."""
        self._accepted_ms = now_ms
        """The latest time that was accepted."""
        self._accepted_at_ms = machine_ms
        """The machine's clock at that time."""
        self._rate = 1.0
        """How fast time runs without messages."""
        self._candidates: dict[int, int] = {}
        """Times of messages in a row that are too far ahead to be accepted alone, each with the
        machine's clock."""

    def on_message(self, time_ms: int, machine_ms: int) -> int:
        """Take the time of a message; return the market time before it is applied."""
        passed_ms = machine_ms - self._accepted_at_ms
        ahead_ms = time_ms - max(self.now_ms, self._accepted_ms)
        if ahead_ms > passed_ms + PLAUSIBLE_MS:
            self._consider(time_ms, machine_ms)
        else:
            self._candidates.clear()
            if ahead_ms > 0:
                self._accept(time_ms, machine_ms)
            elif -ahead_ms > LATE_MS and (self.is_behind or passed_ms > MAX_EXTRAPOLATION_MS):
                self.is_behind = True
                self._rate = 1.0 if -ahead_ms > OTHER_CLOCK_MS else 0.5
                self._extrapolate(machine_ms)
        return self.now_ms if self.is_catching_up else self._step_to(self._accepted_ms)

    def advance(self, machine_ms: int) -> int:
        """Return the market time at `machine_ms` without a message."""
        return self._step_to(self._accepted_ms + self._passed_ms(machine_ms))

    @property
    def lag_ms(self) -> int:
        """How far market time is behind the latest time that was accepted."""
        return max(self._accepted_ms - self.now_ms, 0)

    @property
    def is_catching_up(self) -> bool:
        """Whether market time is more than one step behind."""
        return self._accepted_ms - self.now_ms > STEP_MS

    def _consider(self, time_ms: int, machine_ms: int) -> None:
        """Accept a time far ahead only when enough messages confirm it."""
        self.rejected += 1
        if time_ms > LATEST_MS or time_ms in self._candidates:
            return
        self._candidates[time_ms] = machine_ms
        if len(self._candidates) >= CONFIRMATIONS:
            ahead_ms = min(each_ms - at_ms for each_ms, at_ms in self._candidates.items())
            self._candidates.clear()
            self._accept(ahead_ms + machine_ms, machine_ms)

    def _accept(self, time_ms: int, machine_ms: int) -> None:
        self._accepted_ms, self._accepted_at_ms = time_ms, machine_ms
        self.is_behind, self._rate = False, 1.0

    def _extrapolate(self, machine_ms: int) -> None:
        """Let time pass by the machine's clock, because the messages are too late."""
        if machine_ms - self._accepted_at_ms >= MIN_EXTRAPOLATION_MS:  # parts of a ms would be lost
            self._accepted_ms = max(self._accepted_ms + self._passed_ms(machine_ms), self.now_ms)
            self._accepted_at_ms = machine_ms

    def _passed_ms(self, machine_ms: int) -> int:
        """Return how much market time has passed since the last accepted time, within bounds."""
        passed_ms = max(machine_ms - self._accepted_at_ms, 0)
        return round(min(passed_ms, MAX_EXTRAPOLATION_MS) * self._rate)

    def _step_to(self, time_ms: int) -> int:
        ahead_ms = time_ms - self.now_ms
        if ahead_ms > 0:
            self.now_ms += ahead_ms if ahead_ms > MAX_CONTINUOUS_MS else min(ahead_ms, STEP_MS)
        return self.now_ms
