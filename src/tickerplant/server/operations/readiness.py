"""The page `/readyz`: whether a market is served."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tickerplant.server.operations.nodes import Edges
from tickerplant.server.readiness import Readiness
from tickerplant.server.response import Response


class ReadyState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The page `/readyz`."""

    ready: bool
    """Whether clients are served and the source is running."""
    reason: str
    """Why not, or what the source is doing."""
    warnings: list[str]
    """What is incomplete now."""
    edges: int | UnsetType = UNSET
    """How many edges there are; missing if the plant serves alone."""
    bus: str | UnsetType = UNSET
    """`connected` or `lost`; missing if the plant serves alone."""


def ready_response(state: ReadyState) -> Response:
    """Return the page `/readyz`: 503 while the market is not served."""
    return Response(msgspec.json.encode(state), 200 if state.ready else 503)


def ready_state(readiness: Readiness, edges: Edges | None, *, listens: bool) -> ReadyState:
    """Return whether a market is served.

    Args:
        readiness: The state of the source.
        edges: The edges; None if the plant serves alone.
        listens: Whether the plant has ports of its own.
    """
    is_ready, reason = readiness.is_ready, readiness.reason
    if edges is None:
        return ReadyState(ready=is_ready, reason=reason, warnings=readiness.warnings)
    bus, number, warnings = edges.bus(), len(edges.rows()), readiness.warnings
    lost = "" if bus.connected else f"the bus at {bus.address} is lost"
    if lost and listens:
        warnings = [*warnings, lost]
    elif is_ready and not listens and (lost or not number):
        is_ready, reason = False, lost or "no edge has joined yet"
    return ReadyState(
        ready=is_ready,
        reason=reason,
        warnings=warnings,
        edges=number,
        bus="connected" if bus.connected else "lost",
    )
