"""The event queue of the simulated exchange: actions in order of their due time."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Protocol, TypeAlias

Action: TypeAlias = Callable[[int], None]
Suspended: TypeAlias = tuple[int, Action, int]
"""Time left in milliseconds, action and argument."""
FIRST = 1 << 60
"""More actions than are ever scheduled."""


class ActionOwner(Protocol):
    """Owns actions and publishes what they changed."""

    def flush(self) -> None:
        """Publish what changed since the last call."""


class Scheduler:
    """Actions waiting for their millisecond.

    Actions of one millisecond run in the order in which they were scheduled, including those
    scheduled during that millisecond. Their owners are flushed after the last of them.
    """

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self._entries: list[tuple[int, int, ActionOwner, Action, int]] = []
        self._entered = 0
        self._entered_first = 0

    def after(self, delay_ms: int, place: ActionOwner, action: Action, argument: int = 0) -> None:
        """Run `action(argument)` on behalf of `owner`, `delay_ms` from now."""
        self._entered += 1
        entry = (self.now_ms + delay_ms, self._entered, place, action, argument)
        heappush(self._entries, entry)

    def first_at(self, time_ms: int, place: ActionOwner, action: Action, argument: int) -> None:
        """Run `action(argument)` at `time_ms`, before what `after` schedules for that millisecond.

        Actions that come first keep their order.
        """
        self._entered_first += 1
        entry = (time_ms, self._entered_first - FIRST, place, action, argument)
        heappush(self._entries, entry)

    def suspend(self, place: ActionOwner) -> list[Suspended]:
        """Cancel every action of `place`, and return them with the time left to each, in order."""
        now_ms = self.now_ms
        mine = sorted((each[:2], each) for each in self._entries if each[2] is place)
        self.cancel_all(place)
        return [(entry[0] - now_ms, entry[3], entry[4]) for _, entry in mine]

    def cancel_all(self, place: ActionOwner) -> None:
        """Cancel every action of `owner`."""
        self._entries[:] = [entry for entry in self._entries if entry[2] is not place]
        heapify(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def next_time_ms(self) -> int:
        """The time of the next action."""
        return self._entries[0][0]

    def step(self) -> None:
        """Run all actions of the next millisecond."""
        entries = self._entries
        self.now_ms = now_ms = entries[0][0]
        visited: dict[ActionOwner, None] = {}
        while entries and entries[0][0] == now_ms:
            _, _, place, action, argument = heappop(entries)
            action(argument)
            visited[place] = None
        for place in visited:
            place.flush()
