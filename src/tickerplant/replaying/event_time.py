"""Recordings by the time the exchange sent their messages, instead of when they were received.

A line then has the latest event time (`E`) up to and with its own, so that time never goes back
and lines without one stay where they are.  A recording so read is a recording like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tickerplant.recording.line import Line, RecordedFile

SKEW_NS = 60_000_000_000
"""The two clocks of a line differ by what its recording's first line has, give or take so much."""
LONGEST_LEAP_NS = 3_600_000_000_000
"""An event time that is farther ahead of the one before than this, and than the receive time is, is
none: one wrong message must not carry the time of all others with it."""

_EVENT_TIME = re.compile(rb'"E":\s?(\d{13})(?!\d)')
_NS_PER_MS = 1_000_000


def event_time_ms(raw: bytes) -> int:
    """Return the event time of a message in any envelope, ms since the epoch; 0 if it has none."""
    found = _EVENT_TIME.search(raw)
    return int(found[1]) if found else 0


class ByEventTime:
    """A recording whose lines have event times, in ns, for receive times.

    A first line without an event time has the one that its receive time lets expect.
    """

    def __init__(self, recording: RecordedFile) -> None:
        self._recording = recording
        self._ahead_ns: int | None = None

    @property
    def path(self) -> str:
        """Where it is."""
        return self._recording.path

    def batches(self, start_ns: int = 0) -> Iterator[list[Line]]:
        """Yield the lines whose time is `start_ns` or later.

        Raises:
            RecordingError: the recording cannot be opened, or is none.
        """
        ahead_ns = self.ahead_ns
        latest_ns = latest_received_ns = 0
        for lines in self._recording.batches(max(start_ns - ahead_ns - SKEW_NS, 0)):
            timed: list[Line] = []
            for at_ns, raw in lines:
                event_ns = event_time_ms(raw) * _NS_PER_MS
                if not latest_ns:
                    latest_ns, latest_received_ns = event_ns or at_ns + ahead_ns, at_ns
                elif (
                    latest_ns
                    < event_ns
                    <= (latest_ns + at_ns - latest_received_ns + LONGEST_LEAP_NS)
                ):
                    latest_ns, latest_received_ns = event_ns, at_ns
                timed.append((latest_ns, raw))
            if timed[0][0] < start_ns:
                timed = [line for line in timed if line[0] >= start_ns]
            if timed:
                yield timed

    @property
    def ahead_ns(self) -> int:
        """How far the event times are ahead of the receive times, as its first message has it."""
        if self._ahead_ns is None:
            self._ahead_ns = 0
            for lines in self._recording.batches():
                told = ((event_time_ms(raw), at_ns) for at_ns, raw in lines)
                found = next(((ms, at_ns) for ms, at_ns in told if ms), None)
                if found is not None:
                    self._ahead_ns = found[0] * _NS_PER_MS - found[1]
                    break
        return self._ahead_ns
