"""What clients may read and set of the clock of a market: `/plant/v1/clock`."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

RESPONSE_TIMEOUT_S = 5.0
"""A request is answered when it is done, or after this long, whichever comes first."""
LONGEST_WAIT_S = 600.0
"""The longest that a request may wait."""

Phase = Literal["waiting", "warming up", "playing", "paused", "over"]


class ReplayState(Struct, frozen=True, kw_only=True):
    """The position of a replay and how it continues."""

    time: str
    """Market time, as a date."""
    time_ms: int
    """Market time, ms since 1970."""
    received_ns: int
    """Position in the recordings, ns since 1970: receive time, or event time if that is the pace."""
    speed: float
    """Recorded seconds per second; 0 is as fast as possible."""
    paused: bool
    """Whether the replay is paused on request."""
    state: Phase
    """`waiting` for subscribers, `warming up` silently before a position, `playing`, `paused` or `over`."""
    pace: Literal["receive", "event"]
    """Which time of a message paces the replay."""
    next_ns: int | None
    """Position of the next message, which a paced replay waits for; null at the end."""
    from_ns: int
    """Where the replay begins."""
    to_ns: int | None
    """Where the replay ends; null if that is not known yet."""
    loop: bool
    """Whether the replay starts over at its end."""
    shift_ms: int
    """How much later all times are than they were recorded."""
    messages: int
    """Recorded messages played so far, without those of warm-ups."""
    pending: bool = False
    """Whether a requested seek or step is not done yet."""
    target_ns: int | None = None
    """Where that leads, a position; null if it is done, or a step of messages."""
    recordings: tuple[str, ...]
    """The recordings that are played."""


class SimulationState(Struct, frozen=True, kw_only=True):
    """The position of a simulation and how it continues."""

    time: str
    """Market time, as a date."""
    time_ms: int
    """Market time, ms since 1970."""
    speed: float
    """Market seconds per second; 0 is as fast as possible."""
    paused: bool
    """Whether the simulation is paused on request."""
    state: Phase
    """`waiting` for subscribers, `playing`, `paused` or `over`."""
    from_ns: int
    """Where the simulation begins."""
    to_ns: int | None
    """Where the simulation ends; null if it does not."""
    messages: int
    """Market events so far."""
    pending: bool = False
    """Whether a requested seek or step is not done yet."""
    target_ns: int | None = None
    """Where that leads, a position; null if it is done, or a step of messages."""


ClockState: TypeAlias = SimulationState | ReplayState


class ClockFields(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a request may set; fields that are missing stay unchanged."""

    speed: float | str | UnsetType = UNSET
    """Market seconds per second; 0 is as fast as possible."""
    paused: bool | Literal["true", "false"] | UnsetType = UNSET
    """Whether the market is paused.  Pausing ends a seek or step that is not done where it is."""
    seek: int | str | UnsetType = UNSET
    """Where the market continues: a time, or an offset from the current position.  A simulation only
    goes forward, by at most 31 days at once; `now` brings it to the time of the machine."""
    step: int | str | UnsetType = UNSET
    """How far a paused market advances: market time such as `10s`, or in a replay a number of
    messages."""
