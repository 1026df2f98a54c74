"""What happened at one venue's port."""

from __future__ import annotations

from collections import Counter

NO_DESCRIPTOR = "no descriptor"
TLS_TO_PLAIN = "TLS to a plain port"
PLAIN_TO_TLS = "plain to a TLS port"
NO_TLS = "TLS failed"
"""Why connections are turned away before their first request."""


class PortCounters:
    """Plain counts for the metrics; the shells add, the collector reads."""

    def __init__(self) -> None:
        self.accept_pauses = 0
        """Times the system had no socket for a connection, and accepting paused."""
        self.turned_away: Counter[str] = Counter()
        """Connections ended before their first request, by reason."""
        self.opened = 0
        """WebSocket connections opened."""
        self.closed: Counter[str] = Counter()
        """WebSocket connections that ended, by reason."""
        self.refused: Counter[int] = Counter()
        """Handshakes refused, by HTTP status."""
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """HTTP requests answered, by path, method and status; unknown paths count as `other`."""
        self.malformed = 0
        """HTTP requests that could not be parsed, or whose head was too long."""
        self.timeouts: Counter[str] = Counter()
        """HTTP connections that were cut, by what they were late with."""
        self.weight = 0
        """Request weight charged for HTTP requests."""
