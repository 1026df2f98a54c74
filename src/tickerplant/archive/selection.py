"""The part of a recording that is read, and what is missing from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Literal, TypeGuard

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.formatting import count_text
from tickerplant.recording.timestamps import LATEST_NS, parse_time_spec
from tickerplant.stream_name import parse_stream_name
from tickerplant.suggestions import suggestion

END_NS = LATEST_NS + 1
"""Later than everything that is recorded."""
EXPECTED = (
    "an ISO date such as 2026-01-31T12:00:00 (UTC), a datetime, ns since 1970, "
    "or an offset such as +90s or -5m"
)

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


def is_offset(value: object) -> TypeGuard[str]:
    """Whether a time is given as an offset, such as `+1h`."""
    return isinstance(value, str) and value.strip()[:1] in {"+", "-"}


def offset_ns(name: str, value: str) -> int:
    """Return an offset in ns; negative if it is one from the end."""
    try:
        offset = parse_time_spec(value)
    except ValueError:
        raise ConfigError(name, value, EXPECTED) from None
    return -offset.ns if offset.sign == "-" else offset.ns


class Missing(Struct, frozen=True):
    """Wanted streams or symbols that were not recorded."""

    kind: Literal["stream", "symbol"]
    names: tuple[str, ...]
    """Sorted; at least one."""
    similar: tuple[str, ...]
    """Recorded names that they are compared with."""
    is_certain: bool = True
    """False if a stream that covers all symbols may have them."""

    def __str__(self) -> str:
        """Return the names, with suggestions."""
        shown = [f"{each}{suggestion(each, self.similar)}" for each in self.names[:MAX_SHOWN]]
        more = len(self.names) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")

    def refusal(self, paths: str, recorded: int) -> ConfigError:
        """Return the error about the first of the names."""
        first = self.names[0]
        expected = f"a {self.kind} in {paths}, which has {count_text(recorded, 'stream')}"
        return ConfigError(f"{self.kind}s", first, f"{expected}{suggestion(first, self.similar)}")


def missing_names(
    wanted: Selection, recorded: Collection[str], listed: Collection[str] = ()
) -> Iterator[Missing]:
    """Yield the wanted streams, and then the wanted symbols, that are not in recorded streams.

    If a stream covers all symbols, only symbols that are not listed are missing, and it is not
    certain; none is if no symbols are listed.
    """
    if streams := sorted(wanted.streams.difference(recorded)):
        symbols = {parse_stream_name(name).topic.lower() for name in streams}
        of_same_symbol = [name for name in recorded if parse_stream_name(name).topic in symbols]
        yield _missing("stream", streams, of_same_symbol or recorded)
    names = [parse_stream_name(stream) for stream in recorded]
    known = {name.symbol for name in names if name.topic}
    is_certain = all(name.topic for name in names)
    if not is_certain:
        if not listed:
            return
        known.update(listed)
    # A pair stream covers the contracts on the pair.
    symbols = {each for each in wanted.symbols if known.isdisjoint({each, _pair(each)})}
    if symbols:
        yield _missing("symbol", sorted(symbols), known, is_certain=is_certain)


def _pair(symbol: str) -> str:
    return symbol.partition("_")[0]


def _missing(
    kind: Literal["stream", "symbol"],
    names: Iterable[str],
    recorded: Iterable[str],
    *,
    is_certain: bool = True,
) -> Missing:
    similar = tuple(islice(sorted(recorded), MAX_COMPARED))
    return Missing(kind, tuple(names), similar, is_certain)
