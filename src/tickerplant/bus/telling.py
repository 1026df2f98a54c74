"""What an edge tells its plant that it wants, and what the plant has not accepted yet.

Words are lost with a connection, and a plant that does not publish for a while answers nothing.  So
what is not accepted in time is told again, in full.

Pure: times are arguments, in ms of a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tickerplant.bus.interest import Name
from tickerplant.bus.nodes import Interest

ACCEPT_MS = 2_000
"""How long the plant may take to accept something, before it is told everything again."""
NAMES_AT_ONCE = 5_000
"""Names in one message of interest."""


class Telling:
    """The interest of one edge, as its plant is told.

    Args:
        identity: The edge.
        send: Publishes a change.
    """

    def __init__(self, identity: str, send: Callable[[Interest], object]) -> None:
        self.version = 0
        """Of the last change."""
        self._identity = identity
        self._send = send
        self._told: dict[int, tuple[Name, ...]] = {}
        """What each change opened that was not accepted yet, by version."""
        self._told_ms = 0
        """When everything was told last, or the plant accepted something."""
        self._since_ms = 0
        """The same, but telling everything again changes nothing."""

    @property
    def unaccepted_count(self) -> int:
        """Changes that the plant has not accepted yet."""
        return len(self._told)

    def waits_ms(self, now_ms: int) -> int:
        """Return for how long the plant has accepted nothing of what waits; 0 if nothing waits."""
        return now_ms - self._since_ms if self._told else 0

    def is_overdue(self, now_ms: int) -> bool:
        """Return whether everything should be told again."""
        return bool(self._told) and now_ms - self._told_ms >= ACCEPT_MS

    def change(self, opened: list[Name], closed: list[Name], now_ms: int) -> None:
        """Tell a change; what is closed is closed first."""
        while len(closed) > NAMES_AT_ONCE:
            self._tell([], closed[:NAMES_AT_ONCE], now_ms)
            closed = closed[NAMES_AT_ONCE:]
        self._tell(opened[:NAMES_AT_ONCE], closed, now_ms)
        for start in range(NAMES_AT_ONCE, len(opened), NAMES_AT_ONCE):
            self._tell(opened[start : start + NAMES_AT_ONCE], [], now_ms)

    def everything(self, names: list[Name], now_ms: int) -> None:
        """Tell all that is wanted, in the place of what was told before."""
        if not self._told:
            self._since_ms = now_ms
        self._told.clear()
        self._told_ms = now_ms
        while len(names) > NAMES_AT_ONCE:
            self._tell(names[:NAMES_AT_ONCE], [], now_ms, is_full=True, has_more=True)
            names = names[NAMES_AT_ONCE:]
        self._tell(names, [], now_ms, is_full=True)

    def accept(self, version: int, now_ms: int) -> list[Name]:
        """Note that the plant has accepted the changes up to `version`; return what they opened."""
        versions = [each for each in self._told if each <= version]
        if versions or not version:  # the parts of a full list have none
            self._told_ms = self._since_ms = now_ms
        return [name for each in versions for name in self._told.pop(each)]

    def forget(self) -> None:
        """Wait for nothing that was told."""
        self._told.clear()

    def _tell(
        self,
        opened: list[Name],
        closed: list[Name],
        now_ms: int,
        *,
        is_full: bool = False,
        has_more: bool = False,
    ) -> None:
        if not self._told and not is_full:
            self._told_ms = self._since_ms = now_ms
        self.version += 1
        self._told[self.version] = tuple(opened)
        self._send(
            Interest(
                edge=self._identity,
                version=self.version,
                is_full=is_full,
                has_more=has_more,
                opened=by_venue(opened),
                closed=by_venue(closed),
            )
        )


def by_venue(names: Iterable[Name]) -> dict[str, list[str]]:
    """Return the names of streams by the names of their venues."""
    found: dict[str, list[str]] = {}
    for venue, name in names:
        found.setdefault(venue, []).append(name)
    return found
