"""Pauses between attempts: longer each time, never the same for everybody, never without end."""

from __future__ import annotations

from random import Random

FIRST_MS = 100
"""Longest pause before the first attempt after a connection that was good."""


class Backoff:
    """The pauses of one connection."""

    def __init__(self, base_ms: int, most_ms: int, rng: Random) -> None:
        self._base_ms = base_ms
        self._most_ms = most_ms
        self._rng = rng
        self.failures = 0
        """Attempts in a row that came to nothing."""

    def pause_ms(self, least_ms: int = 0) -> int:
        """Return how long to wait now, and count a failure.

        Args:
            least_ms: What the server asked for (`Retry-After`).
        """
        bound_ms = min(self._most_ms, self._base_ms << min(self.failures, 32))
        self.failures += 1
        return least_ms + round(bound_ms * self._rng.uniform(0.5, 1.0))

    def restart(self) -> None:
        """Forget the failures: the connection was good."""
        self.failures = 0

    def short_ms(self) -> int:
        """Return how long to wait after a connection that was good and ended without a reason."""
        return round(FIRST_MS * self._rng.random())
