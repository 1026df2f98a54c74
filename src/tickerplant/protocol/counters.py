"""What happened in all sessions of one venue."""

from __future__ import annotations

from collections import Counter


class SessionCounters:
    """Plain counts for the metrics; one object is shared by every session of a venue."""

    def __init__(self) -> None:
        self.methods: Counter[str] = Counter()
        """Requests understood, by method."""
        self.errors: Counter[int] = Counter()
        """Error replies by code."""
        self.pings_sent = 0
        self.pongs_received = 0
