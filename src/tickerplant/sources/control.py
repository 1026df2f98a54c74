"""What clients may read and set of the clock of a source: `/plant/v1/clock`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.recording.timestamps import TimeSpec, parse_time_spec
from tickerplant.sources.clock import parse_speed
from tickerplant.suggestions import one_of
from tickerplant.units import EXPECTED_DURATION, parse_duration_ns

MAX_STEP_MESSAGES = 1_000_000
RESPONSE_TIMEOUT_S = 5.0
"""A request is answered when it is done, or after this long, whichever comes first."""
CONFLICT = -1
"""The error code of a request that is not possible now."""
_EXPECTED_STEP = f"a number of messages from 1 to {MAX_STEP_MESSAGES:,}, or {EXPECTED_DURATION}"

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


class Step(Struct, frozen=True):
    """An advance of a paused market: by messages or by market time."""

    messages: int = 0
    duration_ns: int = 0


class ClockRequest(Struct, frozen=True, kw_only=True):
    """A change of the clock; fields that are None stay unchanged."""

    speed: float | None = None
    """Market seconds per second; 0 is as fast as possible."""
    paused: bool | None = None
    """Whether the market is paused."""
    seek: TimeSpec | None = None
    """Where the market continues: a time, or an offset from the current position.  A simulation only
    goes forward."""
    step: Step | None = None
    """How far a paused market advances.  A simulation only takes market time."""


def parse_clock_request(given: Mapping[str, object]) -> ClockRequest:
    """Return the request in a JSON object or in query parameters.

    Raises:
        ConfigError: There is no field, a field is unknown, or its value is invalid.
    """
    parsed: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _PARSERS:
            raise ConfigError("field", name, one_of(name, _PARSERS))
        try:
            parsed[name] = _PARSERS[name](value)
        except ValueError as error:
            raise ConfigError(name, value, str(error)) from None
    if not parsed:
        raise ConfigError("fields", "", f"at least {one_of('', _PARSERS)}")
    return ClockRequest(**parsed)


def _parse_paused(given: object) -> bool:
    if isinstance(given, bool):
        return given
    if not isinstance(given, str) or given not in {"true", "false"}:
        raise ValueError("true or false")
    return given == "true"


def _parse_step(given: object) -> Step:
    text = str(given)
    try:
        if not text.isdecimal() and (duration_ns := parse_duration_ns(text)):
            return Step(duration_ns=duration_ns)
        messages = int(text) if len(text) <= len(str(MAX_STEP_MESSAGES)) else 0
    except ValueError:
        messages = 0
    if not 1 <= messages <= MAX_STEP_MESSAGES:
        raise ValueError(_EXPECTED_STEP)
    return Step(messages=messages)


_PARSERS: Mapping[str, Callable[[object], object]] = {
    "speed": parse_speed,
    "paused": _parse_paused,
    "seek": parse_time_spec,
    "step": _parse_step,
}
