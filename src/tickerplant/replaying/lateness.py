"""How punctual a replay is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter

from tickerplant.readiness import Sample
from tickerplant.recording.line import Line
from tickerplant.units import NS_PER_MS

LATE_BOUNDS_MS = (1, 2, 10, 100)
"""For each of these, messages that are at least this late are counted."""

_received_ns = itemgetter(0)


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
