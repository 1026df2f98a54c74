"""The part of a recording that is read, and what is missing from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import TypeAlias

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.recording.block import EARLIEST_NS, LATEST_NS
from tickerplant.recording.timestamps import parse_time_ns
from tickerplant.stream_name import parse_stream_name
from tickerplant.suggestions import suggestion

Instant: TypeAlias = str | int | datetime
"""A time: an ISO date, a `datetime` (UTC unless it has a time zone), or ns since the epoch."""

END_NS = LATEST_NS + 1
"""Later than everything that is recorded."""
EXPECTED = "an ISO date such as 2026-01-31T12:00:00 (UTC), a datetime, or ns since 1970"

MAX_COMPARED = 2_000
"""Names that a missing one is compared with."""
MAX_SHOWN = 3
"""Missing names that are shown; of further ones the number is."""


class Selection(Struct, frozen=True):
    """Which messages of a recording are read."""

    streams: frozenset[str] = frozenset()
    """Only these streams; empty: all."""
    symbols: frozenset[str] = frozenset()
    """Only these symbols, or pairs for pair streams; empty: all."""
    start_ns: int = 0
    """The first receive time."""
    end_ns: int = END_NS
    """The end of the receive times, exclusive."""


def instant_ns(name: str, value: Instant) -> int:
    """Return a time as ns since the epoch.

    Args:
        name: The name of the argument, for the error.
        value: The time; UTC if it has no time zone, and 0 for the beginning of all time.

    Raises:
        ConfigError: It is not a valid time.
    """
    if isinstance(value, int) and (value == 0 or EARLIEST_NS <= value <= LATEST_NS):
        return value
    if isinstance(value, str | datetime):  # other numbers are not nanoseconds
        with suppress(ValueError):
            return parse_time_ns(value)
    raise ConfigError(name, value, EXPECTED)


def missing_streams(wanted: Collection[str], recorded: Collection[str]) -> str:
    """Return the wanted streams that were not recorded, with suggestions; empty if all were."""
    missing = sorted(set(wanted).difference(recorded))
    symbols = {parse_stream_name(name).topic.lower() for name in missing}
    of_same_symbol = [name for name in recorded if parse_stream_name(name).topic in symbols]
    return _listed(missing, of_same_symbol or recorded)


def missing_symbols(wanted: Collection[str], streams: Collection[str]) -> str:
    """Return the wanted symbols without a recorded stream, with suggestions; empty if all have one.

    Empty also if a stream covers all symbols, because then it is not known.
    """
    names = [parse_stream_name(stream) for stream in streams]
    if not all(name.topic for name in names):
        return ""
    recorded = {name.symbol for name in names}
    # A pair stream covers the contracts on the pair.
    missing = sorted(each for each in wanted if recorded.isdisjoint({each, each.partition("_")[0]}))
    return _listed(missing, recorded)


def _listed(missing: Collection[str], recorded: Iterable[str]) -> str:
    if not missing:
        return ""
    names = list(islice(sorted(recorded), MAX_COMPARED))
    shown = [f"{name}{suggestion(name, names)}" for name in islice(missing, MAX_SHOWN)]
    more = len(missing) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
