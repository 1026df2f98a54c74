"""How long things take, counted in histograms."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

BOUNDS_S = (
    *(0.000_05, 0.000_1, 0.000_25, 0.000_5),
    *(0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)
"""The upper bounds of the buckets; what is longer than the last one is in a bucket of its own."""


class Histogram:
    """Counts durations in fixed buckets; one costs less than a microsecond."""

    __slots__ = ("_counts", "sum_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0
        """The sum of all durations."""

    @property
    def count(self) -> int:
        """The number of durations."""
        return sum(self._counts)

    def observe(self, duration_s: float) -> None:
        """Count a duration; a negative one, of something that was early, counts as 0."""
        if duration_s < 0.0:  # noqa: PLR1730  # a call costs more than all of this
            duration_s = 0.0
        self._counts[bisect_left(BOUNDS_S, duration_s)] += 1
        self.sum_s += duration_s

    def buckets(self) -> Iterator[tuple[str, int]]:
        """Yield each bound as text and how many durations are within it; the last is `+Inf`."""
        total = 0
        for bound_s, count in zip((*map(str, BOUNDS_S), "+Inf"), self._counts, strict=True):
            total += count
            yield bound_s, total
