"""Requests to change the clock of a market, from the fields of `/plant/v1/clock`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.recording.timestamps import TimeSpec, parse_time_spec
from tickerplant.suggestions import one_of
from tickerplant.units import EXPECTED_DURATION, parse_duration_ns, parse_number, parse_whole

SLOWEST, FASTEST = 0.001, 1_000_000.0
"""Bounds of the speed, in market seconds per second; 0 is allowed too."""
EXPECTED_SPEED = f"a number from {SLOWEST:g} to {FASTEST:,.0f}, or 0 for as fast as it goes"
MAX_STEP_MESSAGES = 1_000_000
CONFLICT = -1
"""The error code of a request that is not possible now."""
NOW = TimeSpec(0)
"""The time of the machine, as the target of a seek."""
_EXPECTED_STEP = f"a number of messages from 1 to {MAX_STEP_MESSAGES:,}, or {EXPECTED_DURATION}"


class Step(Struct, frozen=True):
    """An advance of a paused market: by messages or by market time."""

    messages: int = 0
    duration_ns: int = 0


class ClockRequest(Struct, frozen=True, kw_only=True):
    """The values of `ClockFields`; those that are None stay unchanged."""

    speed: float | None = None
    paused: bool | None = None
    seek: TimeSpec | None = None
    step: Step | None = None


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
        raise ConfigError("a field", None, f"at least {one_of('', _PARSERS)}")
    return ClockRequest(**parsed)


def parse_speed(given: object) -> float:
    """Return the speed of a clock.

    Raises:
        ValueError: It is not a number or out of bounds; the message says what is expected.
    """
    try:
        speed = parse_number(given)
    except ValueError:
        raise ValueError(EXPECTED_SPEED) from None
    if not (speed == 0 or SLOWEST <= speed <= FASTEST):
        raise ValueError(EXPECTED_SPEED)
    return speed


def _parse_paused(given: object) -> bool:
    if isinstance(given, bool):
        return given
    if not isinstance(given, str) or given not in {"true", "false"}:
        raise ValueError("true or false")
    return given == "true"


def _parse_step(given: object) -> Step:
    try:
        messages = parse_whole(given)
    except ValueError:
        messages = 0
        with suppress(ValueError):
            if isinstance(given, str) and (duration_ns := parse_duration_ns(given)):
                return Step(duration_ns=duration_ns)
    if not 1 <= messages <= MAX_STEP_MESSAGES:
        raise ValueError(_EXPECTED_STEP)
    return Step(messages=messages)


def _parse_seek(given: object) -> TimeSpec:
    return NOW if given == "now" else parse_time_spec(given)


_PARSERS: Mapping[str, Callable[[object], object]] = {
    "speed": parse_speed,
    "paused": _parse_paused,
    "seek": _parse_seek,
    "step": _parse_step,
}
