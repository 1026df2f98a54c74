"""The connections of all edges of a plant, as a source that can wait sees them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickerplant.bus.interest import EdgeState, InterestTable
    from tickerplant.bus.nodes import Reached
    from tickerplant.sources.source import Readers

WINDOW_BYTES = 8 << 20
"""What a source that waits may publish before every edge has delivered it."""
MARKS_PER_WINDOW = 4
CHECK_S = 0.5
"""How often a wait looks for edges that have gone."""
ASK_AGAIN_CHECKS = 4
"""Looks after which the edges are asked again how far they are."""


class PlantReaders:
    """Tells a source whether to wait, and counts the subscribers.

    From time to time a mark is sent among the messages.  An edge answers when it has delivered
    everything before it and, if the source waits, when none of its connections is congested.

    Args:
        interest: The edges.
        send_mark: Sends a mark, with whether the source waits.
        local: The readers of the plant's own ports, if it has any.
    """

    def __init__(
        self,
        interest: InterestTable,
        send_mark: Callable[[int, bool], object],
        local: Readers | None = None,
    ) -> None:
        self.wait_count = 0
        """Times the source has waited for an edge."""
        self._interest = interest
        self._send_mark = send_mark
        self._local = local
        self._published_bytes = 0
        self._mark = 0
        """The last mark that was sent."""
        self._marked_bytes = 0
        """Bytes published before the last mark."""
        self._open: deque[tuple[int, int]] = deque()
        """Marks that not all edges have reached, each with the bytes published before it."""
        self._reached_bytes = 0
        """Bytes that all edges have delivered."""
        self._is_asked = False
        """Whether the last mark asks the edges to answer when nothing is congested."""
        self._change = asyncio.Event()

    @property
    def congested(self) -> bool:
        """Whether a source that can wait should wait."""
        if self._local is not None and self._local.congested:
            return True
        return self._is_behind()

    @property
    def is_incomplete(self) -> bool:
        """Whether a source is to wait for a client that was cut off: never, there are many."""
        return False

    @property
    def subscriber_count(self) -> int:
        """Connections with at least one subscription, over all edges."""
        own = 0 if self._local is None else self._local.subscriber_count
        return own + sum(edge.subscriber_count for edge in self._interest.edges.values())

    @property
    def unreached_bytes(self) -> int:
        """What was published and not yet delivered by all edges."""
        return self._published_bytes - self._reached_bytes if self._interest.edges else 0

    async def wait_clear(self) -> None:
        """Return when no connection is congested; one that reads nothing for too long is closed."""
        if self._local is None:
            await asyncio.sleep(0)
        else:
            await self._local.wait_clear()
        if self._is_behind():
            self.wait_count += 1
        checks = 0
        while self._is_behind():
            self._change.clear()
            if not self._is_asked or checks >= ASK_AGAIN_CHECKS:  # an answer may have been lost
                self._send(waits=True)
                checks = 0
            try:
                async with asyncio.timeout(CHECK_S):
                    await self._change.wait()
            except TimeoutError:
                checks += 1
                self._settle()

    # What happens at the bus

    def published(self, published_bytes: int) -> None:
        """Note how many bytes were published so far."""
        self._published_bytes = published_bytes
        if (
            published_bytes - self._marked_bytes > WINDOW_BYTES // MARKS_PER_WINDOW
            and self._interest.edges
        ):
            self._send(waits=False)

    def joined(self, edge: EdgeState) -> None:
        """Expect nothing of an edge that was published before it joined."""
        edge.reached_mark = self._mark

    def reached(self, answer: Reached) -> None:
        """Note how far an edge has come."""
        edge = self._interest.edges.get(answer.edge)
        if edge is not None:
            edge.reached_mark = max(edge.reached_mark, answer.mark)
            edge.is_congested = answer.is_congested
            self._settle()

    def left(self) -> None:
        """Wait no longer for an edge that has gone."""
        self._settle()

    def _is_behind(self) -> bool:
        if self.unreached_bytes > WINDOW_BYTES:
            return True
        return any(edge.is_congested for edge in self._interest.edges.values())

    def _send(self, *, waits: bool) -> None:
        self._mark += 1
        self._marked_bytes = self._published_bytes
        self._open.append((self._mark, self._published_bytes))
        self._is_asked = waits
        self._send_mark(self._mark, waits)

    def _settle(self) -> None:
        """Find how far all edges have come."""
        reached = min(
            (edge.reached_mark for edge in self._interest.edges.values()), default=self._mark
        )
        while self._open and self._open[0][0] <= reached:
            self._reached_bytes = self._open.popleft()[1]
        if not self._open:
            self._is_asked = False
        self._change.set()
