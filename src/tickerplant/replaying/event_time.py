"""Recordings by the time the exchange sent their messages, instead of when they were received.

A line then has the latest event time (`E`) up to and with its own, so that time never goes back
and lines without one stay where they are; event times that cannot be true count for nothing
(`recording/event_clock.py`).  A recording so read is a recording like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice

from tickerplant.recording.event_clock import SAMPLE_LINES, clock_from, typical_ahead_ms
from tickerplant.recording.line import Line, RecordedFile
from tickerplant.units import NS_PER_MS

SKEW_NS = 60_000_000_000
"""The two clocks of a line differ by what most of its recording have, give or take so much."""

_EVENT_TIME = re.compile(rb'"E":\s?(\d{13})(?!\d)')


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
        self._ahead_ms: int | None = None

    @property
    def path(self) -> str:
        """Where it is."""
        return self._recording.path

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield the lines whose time is `start_ns` or later.

        No batch is empty, but with `pauses` for each that is passed over.

        Raises:
            RecordingError: the recording cannot be opened, or is none.
        """
        received_ns = max(start_ns - self.ahead_ns - SKEW_NS, 0)
        latest_ms, clock = 0, None
        for lines in self._recording.batches(received_ns, pauses=pauses):
            if not lines:
                yield lines
                continue
            times_ms = [event_time_ms(raw) for _, raw in lines]
            if clock is None:
                times = [(ms, at_ns) for ms, (at_ns, _) in zip(times_ms, lines, strict=True)]
                clock = clock_from(self.ahead_ns // NS_PER_MS, times)
                latest_ms = clock.first_ms(*times[0])
            earliest_ms, last_ms = clock.bounds_ms(lines)
            timed: list[Line] = []
            for event_ms, (at_ns, raw) in zip(times_ms, lines, strict=True):
                if event_ms > latest_ms and (
                    earliest_ms <= event_ms <= last_ms or clock.believes(event_ms, at_ns, latest_ms)
                ):
                    latest_ms = event_ms
                timed.append((latest_ms * NS_PER_MS, raw))
            if timed[0][0] < start_ns:
                timed = [line for line in timed if line[0] >= start_ns]
            if timed or pauses:
                yield timed

    @property
    def ahead_ns(self) -> int:
        """How far the event times are ahead of the receive times, as most of its first ones are."""
        if self._ahead_ms is None:
            lines = chain.from_iterable(self._recording.batches())
            times = ((event_time_ms(raw), at_ns) for at_ns, raw in lines)
            told = islice((each for each in times if each[0]), SAMPLE_LINES)
            self._ahead_ms = typical_ahead_ms(told)
        return self._ahead_ms * NS_PER_MS
