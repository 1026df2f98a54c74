"""The operations of faults on demand."""

from __future__ import annotations

from msgspec import Struct

from tickerplant.server.control_plane import ControlPlane
from tickerplant.server.fault_injector import FaultInjector
from tickerplant.server.faults import FAULT_ROWS, FAULTS_PATH
from tickerplant.server.operation import Operation, Request


class FaultUse(Struct, frozen=True, kw_only=True):
    """The value of a fault, and how often it happened."""

    value: str | None
    """The value as it was written, null if the fault is off."""
    count: int
    """How often it happened."""
    doc: str
    """What it does."""


class FaultsPage(Struct, frozen=True, kw_only=True):
    """The page of the faults."""

    seed: int
    """The seed of the random draws."""
    faults: dict[str, FaultUse]
    """Every fault there is, by name."""


def _read(plane: ControlPlane, _request: Request) -> FaultsPage:
    """Return the faults, counted here and at the edges."""
    faults = plane.faults or FaultInjector()
    there = {} if plane.edges is None else plane.edges.fault_counts()
    uses = {
        row.name: FaultUse(
            value=faults.values[row.name].text if row.name in faults.values else None,
            count=faults.done[row.name] + there.get(row.name, 0),
            doc=row.doc,
        )
        for row in FAULT_ROWS
    }
    return FaultsPage(seed=faults.seed, faults=uses)


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
