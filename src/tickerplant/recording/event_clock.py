"""Whether the event time of a recorded message can be true.

Lines have a receive time by the clock of the collector, and messages an event time (`E`) by the
clock of the exchange.  Either clock may be wrong by years, but their offset hardly changes within a
file.  An event time that is far from the one expected by its receive time is damage, and must not
move market time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tickerplant.formatting import iso_text
from tickerplant.raw_events import FAR_MS
from tickerplant.recording.line import Line
from tickerplant.units import NS_PER_MS

EARLIEST_MS, LATEST_MS = 10**12, 10**13 - 1
"""Event times have thirteen digits, from 2001 to 2286."""
SAMPLE_LINES = 1_000
"""How many event times at the beginning of a file determine the offset of its clocks."""
WITNESSES = 8
"""Different event times in a row with the same new offset before it is believed: then the clock of
the collector was set."""
MISTIMED = "a time that cannot be true"
"""Why such a message is skipped."""


class EventClock:
    """Judges the event times of one file, line by line; the grouping of lines does not matter."""

    def __init__(self, ahead_ms: int) -> None:
        self.ahead_ms = ahead_ms
        self._witnesses: dict[int, int] = {}
        """Consecutive event times that were not believed, and how far each was ahead."""
        self._market_ms = 0
        """Market time when the last of them was judged."""

    def bounds_ms(self, lines: Sequence[Line]) -> tuple[int, int]:
        """Return the bounds within which every event time of `lines` can be true."""
        latest_ms = lines[0][0] // NS_PER_MS + self.ahead_ms + FAR_MS
        return lines[-1][0] // NS_PER_MS + self.ahead_ms - FAR_MS, min(latest_ms, LATEST_MS)

    def believes(self, time_ms: int, received_ns: int, now_ms: int) -> bool:
        """Return whether an event time can be true."""
        if not EARLIEST_MS <= time_ms <= LATEST_MS:
            return False
        ahead_ms = time_ms - received_ns // NS_PER_MS
        if abs(ahead_ms - self.ahead_ms) <= FAR_MS:
            return True
        if abs(time_ms - now_ms) > FAR_MS and not self._is_attested(time_ms, ahead_ms, now_ms):
            return False
        self.ahead_ms = ahead_ms
        self._witnesses.clear()
        return True

    def first_ms(self, time_ms: int, received_ns: int) -> int:
        """Return the market time at the first message: its event time, if that can be true."""
        if self.believes(time_ms, received_ns, 0):
            return time_ms
        return received_ns // NS_PER_MS + self.ahead_ms

    def _is_attested(self, time_ms: int, ahead_ms: int, now_ms: int) -> bool:
        """Whether enough messages in a row have the same offset, none of which moved market time."""
        others = self._witnesses.values()
        if now_ms != self._market_ms or any(abs(ahead_ms - each) > FAR_MS for each in others):
            self._witnesses.clear()
        self._market_ms = now_ms
        self._witnesses[time_ms] = ahead_ms
        return len(self._witnesses) >= WITNESSES


def clock_from(ahead_ms: int, times: Sequence[tuple[int, int]]) -> EventClock:
    """Return a clock that judges lines from any position in a file on.

    Args:
        ahead_ms: How far event times are ahead at the beginning of the file.
        times: The event time (ms, or 0) and the receive time (ns) of the next lines.  If there are
            enough, and none can be true, the clock of the collector was set before them.
    """
    timed = [each for each in times if each[0]]
    if len(timed) < WITNESSES or any(EventClock(ahead_ms).believes(*each, 0) for each in timed):
        return EventClock(ahead_ms)
    return EventClock(typical_ahead_ms(timed))


def mistimed_text(time_ms: int, received_ns: int) -> str:
    """Return why the event time of a message is not believed."""
    shown = str(time_ms)
    if EARLIEST_MS <= time_ms <= LATEST_MS:
        shown += f" ({iso_text(time_ms * NS_PER_MS)})"
    return f"its event time {shown} is far from its receive time, {iso_text(received_ns)}"


def typical_ahead_ms(times: Iterable[tuple[int, int]]) -> int:
    """Return how far event times (ms) are ahead of receive times (ns); 0 if there are none.

    The result is the median by distance: a few wrong times do not change it, and if half of them are
    wrong, those near their receive times count.
    """
    ahead_ms = sorted(
        (
            time_ms - received_ns // NS_PER_MS
            for time_ms, received_ns in times
            if EARLIEST_MS <= time_ms <= LATEST_MS
        ),
        key=abs,
    )
    return ahead_ms[(len(ahead_ms) - 1) // 2] if ahead_ms else 0
