"""The arguments of `replay`, `simulate` and `testing.exchange`, checked where they are given."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tickerplant.control.clock import parse_speed
from tickerplant.errors import ConfigError
from tickerplant.recording.timestamps import Instant, TimeSpec, instant_ns, parse_time_spec
from tickerplant.units import NS_PER_MS, parse_duration_ns, parse_number


def simulation_fields(
    *,
    seed: int | None,
    symbols: Iterable[str],
    start: Instant | None,
    intensity: float | None,
    quoting: float | None = None,
) -> dict[str, Any]:
    """Return the settings of a simulated market; what is None or empty is left to the server."""
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise ConfigError("seed", seed, "a whole number")
    for name, number in (("intensity", intensity), ("quoting", quoting)):
        if number is not None and not _is_positive(number):
            raise ConfigError(name, number, "a finite number of more than 0")
    fields = {
        "seed": seed,
        "symbols": names_of("symbols", symbols),
        "start_ms": None if start is None else instant_ns("start", start) // NS_PER_MS,
        "intensity": intensity,
        "quoting": quoting,
    }
    return {name: value for name, value in fields.items() if value not in (None, ())}


def _is_positive(given: object) -> bool:
    try:
        return not isinstance(given, str) and parse_number(given) > 0
    except ValueError:
        return False


def names_of(argument: str, given: Iterable[str]) -> tuple[str, ...]:
    """Return symbols or streams.

    Raises:
        ConfigError: one of them is not a text.
    """
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if not isinstance(name, str) or not name:
            raise ConfigError(argument, name, "texts, such as BTCUSDT")
    return tuple(map(str, names))  # a `StreamName` cannot be encoded


def speed_of(speed: float) -> float:
    """Return the speed of a clock.

    Raises:
        ConfigError: it is out of bounds.
    """
    try:
        return parse_speed(speed)
    except ValueError as error:
        raise ConfigError("speed", speed, str(error)) from None


def duration_ms_of(duration: str | None) -> int | None:
    """Return a duration in ms."""
    if duration is None:
        return None
    try:
        return parse_duration_ns(duration) // NS_PER_MS
    except (ValueError, TypeError) as error:
        raise ConfigError("duration", duration, str(error)) from None


def spec_of(argument: str, given: Instant | None) -> TimeSpec | None:
    """Return a bound of a replay as the server takes it."""
    if given is None:
        return None
    if isinstance(given, datetime | int):
        return TimeSpec(instant_ns(argument, given))
    try:
        return parse_time_spec(given)
    except ValueError as error:
        raise ConfigError(argument, given, str(error)) from None
