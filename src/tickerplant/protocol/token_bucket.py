"""A rate limit that allows a burst."""

from __future__ import annotations


class TokenBucket:
    """Holds up to `capacity` tokens, starts full, and gains `rate_per_s` tokens a second.

    Counts in thousandths of a token, so that a millisecond refills a whole number of them and
    nothing is lost to rounding.
    """

    def __init__(self, rate_per_s: int, capacity: int, now_ms: int) -> None:
        self._rate_per_s = rate_per_s
        self._full = capacity * 1000
        self._level = self._full
        self._filled_ms = now_ms

    @property
    def used(self) -> int:
        """Tokens that are missing, a part of one as a whole; as of the last `take`."""
        return -((self._level - self._full) // 1000)

    def take(self, now_ms: int) -> bool:
        """Remove one token and return True, or return False if there is none."""
        gained = (now_ms - self._filled_ms) * self._rate_per_s
        self._level = min(self._full, self._level + gained)
        self._filled_ms = now_ms
        if self._level < 1000:
            return False
        self._level -= 1000
        return True
