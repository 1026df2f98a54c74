"""The part of a recording that is read, and what is missing from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

from msgspec import Struct

from tickerplant.recording.timestamps import LATEST_NS
from tickerplant.stream_name import parse_stream_name
from tickerplant.suggestions import suggestion

END_NS = LATEST_NS + 1
"""Later than everything that is recorded."""

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
