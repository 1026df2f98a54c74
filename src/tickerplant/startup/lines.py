"""The lines of JSON that a server prints with `--json`."""

from __future__ import annotations

from msgspec import Struct


class Addresses(Struct, frozen=True, kw_only=True):
    """Where one venue is served."""

    streams: str
    """Base URL of the streams."""
    api: str
    """URL of the WebSocket API."""
    rest: str
    """Base URL of REST."""
    control: str = ""
    """Base URL of the control plane."""
    symbols: int
    """How many contracts there are."""


class Ready(Struct, frozen=True, kw_only=True, tag="ready", tag_field="event"):
    """The JSON line of a server that is ready."""

    profile: str
    """The protocol profile."""
    venues: dict[str, Addresses]
    """The venues that are served, by name."""
    authority: str = ""
    """The file that clients must trust; empty if there is none."""
    token: str = ""
    """The token of the control plane, as `Authorization: Bearer TOKEN`; empty if it needs none."""
    pid: int = 0
    """The process id of the server."""


class Totals(Struct, frozen=True, kw_only=True, tag="totals", tag_field="event"):
    """The JSON line of a server that has ended."""

    messages: int
    """Messages that were sent."""
    bytes: int
    """Their bytes."""
    connections: int
    """WebSocket connections that were opened."""
    events: int
    """Market events."""
    seconds: float
    """How long it served."""
    ended: str
    """Why it ended."""
    recorded: tuple[str, ...] = ()
    """What was recorded, one sentence each."""
