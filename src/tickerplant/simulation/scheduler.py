"""What is going to happen, in order of time: the clockwork of the simulated exchange."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Protocol, TypeAlias

Action: TypeAlias = Callable[[int], None]


class ActionOwner(Protocol):
    """Where actions happen; tells what changed once they are done."""

    def flush(self) -> None:
        """Tell what changed since the last time."""
        ...


class Scheduler:
    """Actions waiting for their millisecond.

    Actions of one millisecond happen in the order they were entered, including those entered
    while it runs; the places they happened at are flushed after the last of them.
    """

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self._entries: list[tuple[int, int, ActionOwner, Action, int]] = []
        self._entered = 0

    def after(self, delay_ms: int, place: ActionOwner, action: Action, argument: int = 0) -> None:
        """Let `action(argument)` happen at `place`, `delay_ms` from now."""
        self._entered += 1
        entry = (self.now_ms + delay_ms, self._entered, place, action, argument)
        heappush(self._entries, entry)

    def cancel_all(self, place: ActionOwner) -> None:
        """Let nothing of what was planned at `place` happen."""
        self._entries[:] = [entry for entry in self._entries if entry[2] is not place]
        heapify(self._entries)

    @property
    def next_time_ms(self) -> int:
        """Time of the next action."""
        return self._entries[0][0]

    def step(self) -> None:
        """Let everything of the next millisecond happen."""
        entries = self._entries
        self.now_ms = now_ms = entries[0][0]
        visited: dict[ActionOwner, None] = {}
        while entries and entries[0][0] == now_ms:
            _, _, place, action, argument = heappop(entries)
            action(argument)
            visited[place] = None
        for place in visited:
            place.flush()
