"""The operations of faults on demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tickerplant.faults.board import FaultBoard, FaultOn, State
from tickerplant.server.control_plane import ControlPlane
from tickerplant.server.operation import Operation, Request

FAULTS_PATH = "/plant/v1/faults"


class FaultRule(Struct, frozen=True, kw_only=True):
    """A rule: a fault that somebody asked for."""

    id: str
    """What it is called here: `f1`, `f2` …"""
    kind: str
    """What it does: the name of a [fault](faults.md)."""
    text: str
    """The rule as text."""
    rule: dict[str, Any]
    """The rule as it was given."""
    state: State
    """`waiting` until its window opens, `on`, or `over`."""
    hits: int
    """How often it has happened, here and not at edges."""
    opens_ms: int
    """When its window opens, in ms since 1970."""
    ends_ms: int | None
    """When it is over; null if it stays until it is removed."""


class FaultsPage(Struct, frozen=True, kw_only=True):
    """The faults."""

    seed: int
    """The seed of the random draws."""
    clock: str
    """By which time windows open: `market` or `connection`."""
    rules: list[FaultRule]
    """The rules in the order in which they were added; of those that are over, the last 100."""
    counts: dict[str, int]
    """How often each kind of fault has happened, at all edges too."""


def fault_rule(on: FaultOn) -> FaultRule:
    """Return a rule as it is shown."""
    return FaultRule(
        id=on.id,
        kind=on.rule.row.name,
        text=on.rule.text,
        rule=dict(on.rule.given),
        state=on.state,
        hits=on.hits,
        opens_ms=on.opens_ms,
        ends_ms=on.ends_ms,
    )


def faults_page(board: FaultBoard, at_edges: Mapping[str, int]) -> FaultsPage:
    """Return the faults of a server.

    Args:
        board: Its rules.
        at_edges: How often each kind has happened at edges.
    """
    counts = {**board.counts}
    for name, number in at_edges.items():
        counts[name] = counts.get(name, 0) + number
    return FaultsPage(
        seed=board.seed,
        clock="market" if board.clock.is_market else "connection",
        rules=[fault_rule(on) for on in board],
        counts=counts,
    )


def _read(plane: ControlPlane, _request: Request) -> FaultsPage:
    """Return the faults, counted here and at the edges."""
    assert plane.faults is not None  # noqa: S101  # only an edge has none, and asks its plant
    return faults_page(plane.faults, {} if plane.edges is None else plane.edges.fault_counts())


OPERATIONS = (
    Operation(
        method="GET",
        path=FAULTS_PATH,
        name="faults",
        summary="The faults on demand.",
        handler=_read,
        answers=(FaultsPage,),
    ),
)
