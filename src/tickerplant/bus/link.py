"""Whether a node has its plant: through the bus, and alive.

    here ── the bus is lost, or the plant falls silent ──▶ away ── for longer than the grace ──▶ lost
    here ── streams wait for longer than the grace and some more ──▶ lost
    away ── the plant is heard ──▶ here
    lost ── the plant has accepted everything anew ──▶ here

Pure: times are arguments, in ms of a monotonic clock.
"""

from __future__ import annotations

from enum import Enum

from tickerplant.bus.nodes import HEARTBEAT_MS

SILENT_MS = 3 * HEARTBEAT_MS
"""A plant that says nothing for this long is away."""


SETTLE_MS = 2_000
"""How much longer than the grace streams may wait although the plant is there: it may have come back at
the end of the grace, and what was missed is read then."""
STUCK = "messages are missing, or the plant does not answer"


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
        self._is_stuck = False
        self._heard_ms = now_ms
        self._away_ms = now_ms

    @property
    def reason(self) -> str:
        """What is missing; empty if nothing is."""
        if self.state is LinkState.HERE:
            return ""
        if self._is_stuck and self.is_bus_here:
            return STUCK
        return "the plant is silent" if self.is_bus_here else "the bus is lost"

    def heard(self, now_ms: int) -> bool:
        """Note a heartbeat of the plant; return whether it was away.

        A plant that was lost is back only when it has `accepted` what is wanted.
        """
        self._heard_ms = now_ms
        self.is_bus_here = True
        was_away = self.state is LinkState.AWAY
        if was_away:
            self.state = LinkState.HERE
        return was_away

    def accepted(self, now_ms: int) -> bool:
        """Note that the plant has accepted everything; return whether it was lost, and is back."""
        if self.state is not LinkState.LOST:
            return False
        self.heard(now_ms)
        self.state, self._is_stuck = LinkState.HERE, False
        return True

    def bus_lost(self, now_ms: int) -> None:
        """Note that the bus is lost."""
        self.is_bus_here = False
        self._leave(now_ms)

    def bus_back(self) -> None:
        """Note that the bus is back; the plant has not been heard yet."""
        self.is_bus_here = True

    def tick(self, now_ms: int, waits_ms: int = 0) -> bool:
        """Note the time; return whether the plant is lost from now on.

        Args:
            now_ms: The time.
            waits_ms: For how long streams have waited for something.
        """
        if self.state is LinkState.HERE and now_ms - self._heard_ms > SILENT_MS:
            self._leave(self._heard_ms)
        is_stuck = self.state is LinkState.HERE and waits_ms >= self._grace_ms + SETTLE_MS
        is_over = self.state is LinkState.AWAY and now_ms - self._away_ms >= self._grace_ms
        if is_stuck or is_over:
            self.state, self._is_stuck = LinkState.LOST, is_stuck
        return is_stuck or is_over

    def _leave(self, now_ms: int) -> None:
        if self.state is LinkState.HERE:
            self.state = LinkState.AWAY
            self.away_count += 1
            self._away_ms = now_ms
