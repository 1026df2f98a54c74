"""Whether a node has its plant: through the bus, and alive.

    here ── the bus is lost, or the plant falls silent ──▶ away ── for longer than the grace ──▶ lost
    away, lost ── both are back ──▶ here

Pure: times are arguments, in ms of a monotonic clock.
"""

from __future__ import annotations

from enum import Enum

from tickerplant.bus.nodes import HEARTBEAT_MS

SILENT_MS = 3 * HEARTBEAT_MS
"""A plant that says nothing for this long is away."""


class LinkState(Enum):
    """How a plant can be reached."""

    HERE = "here"
    AWAY = "away"
    LOST = "lost"


class Link:
    """The way from an edge to its plant.

    Args:
        grace_ms: How long it may be away before it is lost.
        now_ms: The time.
    """

    def __init__(self, grace_ms: int, now_ms: int) -> None:
        self.state = LinkState.HERE
        self.away_count = 0
        """Times the plant was away."""
        self.is_bus_here = True
        self._grace_ms = grace_ms
        self._heard_ms = now_ms
        self._away_ms = now_ms

    @property
    def reason(self) -> str:
        """What is missing; empty if nothing is."""
        if self.state is LinkState.HERE:
            return ""
        return "the plant is silent" if self.is_bus_here else "the bus is lost"

    def heard(self, now_ms: int) -> bool:
        """Note a heartbeat of the plant; return whether it is back."""
        self._heard_ms = now_ms
        self.is_bus_here = True
        was, self.state = self.state, LinkState.HERE
        return was is not LinkState.HERE

    def bus_lost(self, now_ms: int) -> None:
        """Note that the bus is lost."""
        self.is_bus_here = False
        self._leave(now_ms)

    def bus_back(self) -> None:
        """Note that the bus is back; the plant has not been heard yet."""
        self.is_bus_here = True

    def tick(self, now_ms: int) -> bool:
        """Note the time; return whether the plant is lost from now on."""
        if self.state is LinkState.HERE and now_ms - self._heard_ms > SILENT_MS:
            self._leave(self._heard_ms)
        if self.state is LinkState.AWAY and now_ms - self._away_ms >= self._grace_ms:
            self.state = LinkState.LOST
            return True
        return False

    def _leave(self, now_ms: int) -> None:
        if self.state is LinkState.HERE:
            self.state = LinkState.AWAY
            self.away_count += 1
            self._away_ms = now_ms
