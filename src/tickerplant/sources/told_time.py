"""Market time that is told by messages, and goes on by this machine's clock between them.

Pure: it is told what time the machine has.  Most of it is about messages whose time cannot be true,
and servers that begin again at another time: market time never goes back.  It goes forward in
steps, because everything that is due on the way happens; a long way is one leap, in which the
market does not do all of it (`market/timers.py`).
"""

from __future__ import annotations

from tickerplant.market.timers import MAX_CONTINUOUS_MS
from tickerplant.recording.event_clock import LATEST_MS

LONGEST_LEAP_MS = 1_000
"""Market time goes on so far without a message, not farther."""
LEAST_MS = 100
"""Without a message time goes on by so much at least, or not yet."""
LIKELY_MS = 60_000
"""A message may be so much farther ahead than time has passed and is believed alone."""
WITNESSES = 8
"""Messages in a row, of as many moments, that must be farther ahead before that is believed."""
LATE_MS = 2_000
"""Messages that are so far behind say that market time is ahead, by one that was believed and should
not have been: it goes on at half its pace until they have caught up."""
FAR_BEHIND_MS = 60_000
"""Messages that are farther behind are of a server with another clock: time goes on without them."""
STEP_MS = 60_000
"""Market time goes so far in one step, unless it leaps."""


class ToldTime:
    """The time of a market, as far as it is known.

    Args:
        now_ms: Market time at the beginning.
        machine_ms: The clock of the machine then, which never goes back.
    """

    def __init__(self, now_ms: int, machine_ms: int) -> None:
        self.now_ms = now_ms
        """The latest time that was given out."""
        self.disbelieved = 0
        """Messages whose time was not believed, or not yet."""
        self.is_behind = False
        """Whether the messages are of a time that is over here."""
        self._told_ms = now_ms
        """The latest time that was told and believed."""
        self._told_at_ms = machine_ms
        """When that was."""
        self._pace = 1.0
        """How fast time goes when no message tells it."""
        self._witnesses: dict[int, int] = {}
        """Different times of messages in a row that are too far ahead to be believed alone, with the
        machine's."""

    def tell(self, time_ms: int, machine_ms: int) -> int:
        """Take the time of a message; return how far market time comes before it is told."""
        passed_ms = machine_ms - self._told_at_ms
        ahead_ms = time_ms - max(self.now_ms, self._told_ms)
        if ahead_ms > passed_ms + LIKELY_MS:
            self._doubt(time_ms, machine_ms)
        else:
            self._witnesses.clear()
            if ahead_ms > 0:
                self._believe(time_ms, machine_ms)
            elif -ahead_ms > LATE_MS and (self.is_behind or passed_ms > LONGEST_LEAP_MS):
                self.is_behind = True
                self._pace = 1.0 if -ahead_ms > FAR_BEHIND_MS else 0.5
                self._go_on(machine_ms)
        return self.now_ms if self.is_catching_up else self._approach(self._told_ms)

    def reach(self, machine_ms: int) -> int:
        """Return what time it is when nothing is told."""
        return self._approach(self._told_ms + self._passed_ms(machine_ms))

    @property
    def lag_ms(self) -> int:
        """How far market time is behind what was told."""
        return max(self._told_ms - self.now_ms, 0)

    @property
    def is_catching_up(self) -> bool:
        """Whether what was told is farther ahead than one step."""
        return self._told_ms - self.now_ms > STEP_MS

    def _doubt(self, time_ms: int, machine_ms: int) -> None:
        self.disbelieved += 1
        if time_ms > LATEST_MS or time_ms in self._witnesses:
            return
        self._witnesses[time_ms] = machine_ms
        if len(self._witnesses) >= WITNESSES:
            ahead_ms = min(told_ms - at_ms for told_ms, at_ms in self._witnesses.items())
            self._witnesses.clear()
            self._believe(ahead_ms + machine_ms, machine_ms)

    def _believe(self, time_ms: int, machine_ms: int) -> None:
        self._told_ms, self._told_at_ms = time_ms, machine_ms
        self.is_behind, self._pace = False, 1.0

    def _go_on(self, machine_ms: int) -> None:
        """Let time pass by this machine's clock, because the messages do not tell it."""
        if machine_ms - self._told_at_ms >= LEAST_MS:  # parts of a millisecond are not kept
            self._told_ms = max(self._told_ms + self._passed_ms(machine_ms), self.now_ms)
            self._told_at_ms = machine_ms

    def _passed_ms(self, machine_ms: int) -> int:
        """Return how much market time has passed since something was told, as far as it may."""
        passed_ms = max(machine_ms - self._told_at_ms, 0)
        return round(min(passed_ms, LONGEST_LEAP_MS) * self._pace)

    def _approach(self, time_ms: int) -> int:
        ahead_ms = time_ms - self.now_ms
        if ahead_ms > 0:
            self.now_ms += ahead_ms if ahead_ms > MAX_CONTINUOUS_MS else min(ahead_ms, STEP_MS)
        return self.now_ms
