"""What somebody may want of a replay while it runs: speed, pause, another moment, one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.recording.timestamps import (
    EXPECTED_DURATION,
    TimeSpec,
    parse_duration_ns,
    parse_time_spec,
)
from tickerplant.replaying.clock import read_speed

MOST_STEPS = 1_000_000
"""Messages of one step."""
_EXPECTED_STEP = f"a number of messages from 1 to {MOST_STEPS:,}, or {EXPECTED_DURATION}"


class Step(Struct, frozen=True):
    """So many messages, or so much recorded time."""

    messages: int = 0
    duration_ns: int = 0


class Wishes(Struct, frozen=True, kw_only=True):
    """What is wanted; None leaves it as it is."""

    speed: float | None = None
    """Recorded seconds per second; 0 is as fast as it goes."""
    paused: bool | None = None
    """Whether the replay stands still."""
    seek: TimeSpec | None = None
    """Where it goes on: a moment of the recording, or an offset from the present one."""
    step: Step | None = None
    """How far it goes while it is paused."""


def read_wishes(given: Mapping[str, object]) -> Wishes:
    """Return what is wanted by a body or by query parameters.

    Raises:
        ConfigError: a field is unknown, or its value cannot be used.
    """
    read: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _READERS:
            raise ConfigError("field", name, f"one of {', '.join(_READERS)}")
        try:
            read[name] = _READERS[name](value)
        except ValueError as error:
            raise ConfigError(name, value, str(error)) from None
    if not read:
        raise ConfigError("fields", "", f"at least one of {', '.join(_READERS)}")
    return Wishes(**read)


def _read_paused(given: object) -> bool:
    if isinstance(given, bool):
        return given
    if not isinstance(given, str) or given not in {"true", "false"}:
        raise ValueError("true or false")
    return given == "true"


def _read_step(given: object) -> Step:
    text = str(given)
    try:
        if not text.isdecimal() and (duration_ns := parse_duration_ns(text)):
            return Step(duration_ns=duration_ns)
        messages = int(text) if len(text) < len(str(MOST_STEPS)) + 1 else 0
    except ValueError:
        messages = 0
    if not 1 <= messages <= MOST_STEPS:
        raise ValueError(_EXPECTED_STEP)
    return Step(messages=messages)


_READERS: Mapping[str, Callable[[object], object]] = {
    "speed": read_speed,
    "paused": _read_paused,
    "seek": parse_time_spec,
    "step": _read_step,
}
