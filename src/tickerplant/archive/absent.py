"""What is wanted of a recording and is not in it, with the name that was probably meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

from tickerplant.suggestions import suggestion

MOST_COMPARED = 2_000
"""Names that a wrong one is compared with."""
MOST_SHOWN = 3
"""Names that are shown; of more it is said how many they are."""


def absent_streams(wanted: Collection[str], there: Collection[str]) -> str:
    """Return which streams are not among those that are there, in words; empty if all are."""
    absent = sorted(set(wanted).difference(there))
    return _listed(absent, _to_compare(absent, there))


def absent_symbols(wanted: Collection[str], streams: Collection[str]) -> str:
    """Return which symbols no stream is about, in words; empty if all are, or that is not known.

    It is not known where a stream is about all symbols.
    """
    if any(stream.startswith("!") or "@" not in stream for stream in streams):
        return ""
    there = {stream.partition("@")[0].partition("_perpetual")[0].upper() for stream in streams}
    # A stream of a pair is about the contracts on it.
    absent = sorted(each for each in wanted if there.isdisjoint({each, each.partition("_")[0]}))
    return _listed(absent, there)


def _to_compare(absent: Collection[str], there: Collection[str]) -> Collection[str]:
    """Return the streams to compare with: of the symbols that were named, if there are any."""
    symbols = {name.partition("@")[0].lower() for name in absent}
    same = [name for name in there if name.partition("@")[0] in symbols]
    return same or there


def _listed(absent: Collection[str], there: Iterable[str]) -> str:
    if not absent:
        return ""
    names = list(islice(sorted(there), MOST_COMPARED))
    shown = [f"{name}{suggestion(name, names)}" for name in islice(absent, MOST_SHOWN)]
    more = len(absent) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
