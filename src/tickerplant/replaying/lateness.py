"""How punctual a replay is: counted, message by message."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter

from tickerplant.recording.line import Line
from tickerplant.sources.source import Sample

BOUNDS_MS = (1, 2, 10, 100)
"""Messages that are later than these are counted apart."""

_received = itemgetter(0)


class Lateness:
    """Counts the messages that were played in time, and those that were late."""

    def __init__(self) -> None:
        self.messages = 0
        """Messages that had a time at which they were due."""
        self.late = dict.fromkeys(BOUNDS_MS, 0)
        """Those that were played so many ms later, or more."""

    def count(self, lines: Sequence[Line], reached_ns: int, speed: float) -> None:
        """Count `lines`, which are played when everything up to `reached_ns` is due."""
        self.messages += len(lines)
        for bound_ms in BOUNDS_MS:
            late_ns = reached_ns - int(bound_ms * 1_000_000 * speed)
            if lines[0][0] > late_ns:
                return
            self.late[bound_ms] += bisect_right(lines, late_ns, key=_received)

    def samples(self) -> Iterator[Sample]:
        """Yield what `/metrics` prints."""
        yield Sample(
            name="replay_paced",
            type="counter",
            value=self.messages,
            doc="Recorded messages that were played at a pace.",
        )
        for bound_ms, number in self.late.items():
            yield Sample(
                name="replay_late",
                type="counter",
                value=number,
                doc="Of those, messages that were played later than they were due, by how much.",
                labels={"over": f"{bound_ms}ms"},
            )
