"""A scenario as it was read, and how one that runs is shown."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from tickerplant.faults.rule import Rule
from tickerplant.simulation.levers import Lever

Progress: TypeAlias = Literal["to come", "done", "failed", "cancelled"]


class Change(Struct, frozen=True, kw_only=True):
    """One `[[change]]`: a lever that is pulled, or a fault that begins."""

    at_ms: int
    """When, in market time from the start of the scenario."""
    action: Lever | Rule
    text: str
    """What it does, on one line: `market shock move=-0.12 over=40s`."""
    place: str
    """Where it was read, for errors: `change 2 (at 30s) of worst-day.toml`."""

    @property
    def is_market(self) -> bool:
        """Whether it changes the market, and not only what clients get of it."""
        return isinstance(self.action, Lever)


class Scenario(Struct, frozen=True, kw_only=True):
    """Timed changes, in the order of their times."""

    name: str
    """Its name in the library, that of its file without the ending, or `custom`."""
    origin: str
    """Where it was read, for errors."""
    title: str
    happened: str = ""
    """What happened in reality."""
    here: str = ""
    """What it does here."""
    survive: str = ""
    """What a client should survive."""
    duration_ms: int
    """The market time after which everything that it changed is as it was."""
    changes: tuple[Change, ...]

    @property
    def market_changes(self) -> tuple[Change, ...]:
        """The changes that only a simulated market can make."""
        return tuple(each for each in self.changes if each.is_market)


class ChangeState(Struct, frozen=True, kw_only=True):
    """A change of a scenario that was started."""

    time_ms: int
    """Market time at which it happens."""
    text: str
    state: Progress
    reason: str = ""
    """Why it failed."""


class ScenarioState(Struct, frozen=True, kw_only=True):
    """A scenario that was started."""

    id: str
    name: str
    title: str
    state: Literal["waiting", "running", "over"]
    """`waiting` until its start; `over` after its end, or when it was stopped."""
    stopped: bool
    """Whether it was stopped before its end."""
    start_ms: int
    """Market time of its start."""
    end_ms: int
    """Market time of its end."""
    done: int
    """Changes that have happened."""
    to_come: int
    """Changes that will happen."""
    changes: tuple[ChangeState, ...]
