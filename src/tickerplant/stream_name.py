"""The parts of a stream name, as they follow from its form alone, and the values they can have.

Whether such a stream exists, and at which venue, is for the catalogue (`streams/`) to say; the
parts are the same for every venue.  The forms are `btcusdt@trade`, `btcusdt@depth20@100ms`,
`btcusdt@kline_1m`, `btcusdt_perpetual@continuousKline_1m`, `!bookTicker`, `!markPrice@arr@1s` and
`tradingSession`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias, TypeVar

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.suggestions import one_of

MAX_PARSED = 1 << 14
"""Names whose parts are remembered; the least recently used is forgotten first."""

MAX_SYMBOL_CHARS = 48
"""More than twice the length of any symbol of the exchange; a name stays below 256 bytes."""

BookKey: TypeAlias = tuple[str, str]
"""The symbol of a book, and the REST endpoint of its snapshots: `depth`, or `rpiDepth`."""
DEFAULT_DEPTH_SPEED_MS = 250
SNAPSHOT_SUFFIX = "@snapshot"
"""Follows the name of a depth stream where a hosted replay shows a recorded snapshot to it."""

_Choice = TypeVar("_Choice", str, int)

_SPEED = re.compile(r"([0-9]{1,9})(ms|s)")
_VARIANT = re.compile(
    r"(?P<kind>\w*[kK]line)_(?P<interval>[0-9]{1,9}[A-Za-z])|depth(?P<levels>[0-9]{1,9})"
)
_CONTRACT_TYPE = re.compile(
    r"_(perpetual|current_quarter|next_quarter|tradifi_perpetual)$", re.IGNORECASE
)

FREE = r"[^@!/<>\s]+?"
"""A symbol or pair: anything without the characters that structure a name."""
_is_free = re.compile(FREE).fullmatch
_has_letters = re.compile(r"[\w.-]+").fullmatch
"""Letters, of any script, digits, and what else the exchange allows in a symbol."""


class StreamParts(Struct, frozen=True):
    """A stream name and its parts."""

    text: str
    """The whole name."""
    topic: str = ""
    """What precedes the kind: the symbol, pair, or pair and contract type, in the case of the name;
    empty for a stream of all symbols."""
    kind: str = ""
    """The kind without interval, levels and speed: `trade`, `depth`, `kline`, `continuousKline`,
    `markPrice`, `ticker`."""
    interval: str = ""
    """The interval of candles, such as `1m`; empty for other kinds."""
    levels: int = 0
    """The number of levels of a partial book; 0 for depth updates and other kinds."""
    speed_ms: int | None = None
    """The update speed in the name; None without one."""
    is_of_all: bool = False
    """Whether the stream covers all symbols: its name begins with `!`."""
    is_array: bool = False
    """Whether the name ends in `@arr`, apart from its speed."""

    @property
    def symbol(self) -> str:
        """The symbol or pair in upper case, without contract type; empty for a stream of all."""
        return _CONTRACT_TYPE.sub("", self.topic).upper()

    @property
    def contract_type(self) -> str:
        """The contract type of a `continuousKline` in upper case, such as `PERPETUAL`; else empty."""
        found = _CONTRACT_TYPE.search(self.topic)
        return found[1].upper() if found else ""

    @property
    def family(self) -> str:
        """What the names of all streams with the same kind of payload share.

        That is `depth` for `btcusdt@depth20@100ms`, `!markPrice@arr` for `!markPrice@arr@1s`.
        """
        return f"{'!' * self.is_of_all}{self.kind}{'@arr' * self.is_array}"


@lru_cache(MAX_PARSED)
def parse_stream_name(text: str) -> StreamParts:
    """Return the parts of a stream name; a name of no known form has only `text` and a `kind`."""
    parts = text.split("@")
    speed_ms = None
    if len(parts) > 1 and (speed := _SPEED.fullmatch(parts[-1])):
        speed_ms = int(speed[1]) * (1 if speed[2] == "ms" else 1000)
        del parts[-1]
    is_array = len(parts) > 1 and parts[-1] == "arr"
    if is_array:
        del parts[-1]
    is_of_all = parts[0].startswith("!")
    if is_of_all:
        parts[0] = parts[0][1:]
    topic = parts.pop(0) if len(parts) > 1 else ""
    kind = "@".join(parts)
    variant = _VARIANT.fullmatch(kind)
    if variant is None:
        interval, levels = "", 0
    else:
        kind = variant["kind"] or "depth"
        interval, levels = variant["interval"] or "", int(variant["levels"] or 0)
    return StreamParts(text, topic, kind, interval, levels, speed_ms, is_of_all, is_array)


def book_of_diffs(text: str) -> BookKey | None:
    """Return the book that the stream of a name updates; None if it does not update one.

    The book with RPI orders is a different book from the one without.
    """
    name = parse_stream_name(text)
    if name.kind not in {"depth", "rpiDepth"} or name.levels or name.is_of_all or name.is_array:
        return None
    return (name.topic.upper(), name.kind) if name.topic else None


def depth_speed_ms(text: str) -> int:
    """Return the update speed of a stream of depth updates, that of `@depth` if its name has none."""
    speed_ms = parse_stream_name(text).speed_ms
    return DEFAULT_DEPTH_SPEED_MS if speed_ms is None else speed_ms


def fills(text: str) -> bool:
    """Return whether `text` can be a symbol or pair in a stream name.

    Symbols are lower case in stream names.  An upper-case symbol never matches, nor does a letter
    that only becomes a letter of a symbol in upper case (`ſ`, `ı`).
    """
    # Text of letters and digits alone needs no search for those characters, which is slower.
    return (text.isalnum() or _is_free(text) is not None) and text == text.upper().lower()


def upper_case(symbol: str) -> str:
    """Return a symbol in upper case; as it is if lower case would not lead back to it (`ſ`, `ı`)."""
    upper = symbol.upper()
    return upper if symbol.isascii() or upper.lower() == symbol.lower() else symbol


def is_symbol(value: object) -> bool:
    """Return whether `value` can be a symbol, in any case."""
    return (
        isinstance(value, str)
        and len(value) <= MAX_SYMBOL_CHARS
        and _has_letters(value) is not None
        and fills(value.lower())
    )


def symbol_part(argument: str, value: object) -> str:
    """Return a symbol or pair as stream names contain it: in lower case.

    Args:
        argument: The name of the argument, for the error.
        value: The symbol, in any case.

    Raises:
        ConfigError: It cannot be a symbol.
    """
    if isinstance(value, str) and is_symbol(value):
        return value.lower()
    is_long = isinstance(value, str) and len(value) > MAX_SYMBOL_CHARS
    raise ConfigError(
        argument,
        f"{str(value)[:MAX_SYMBOL_CHARS]}…" if is_long else value,
        f"a {argument} such as BTCUSDT (at most {MAX_SYMBOL_CHARS} letters, digits, '_', '-' and '.')",
    )


def choice(argument: str, value: object, choices: Sequence[_Choice]) -> _Choice:
    """Return the one of `choices` that equals `value`.

    Args:
        argument: The name of the argument, for the error.
        value: What the caller passed.
        choices: The values that the argument can have.

    Raises:
        ConfigError: It is none of them.
    """
    for each in choices:
        if isinstance(value, type(each)) and value == each:
            return each
    raise ConfigError(argument, value, one_of(str(value), map(str, choices)))
