"""What the ids of a stream say about the order and the completeness of its messages."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from msgspec import Struct

NUMBERED = "numbered"
CHAINED = "chained"
RISING = "rising"


class Sequence(Struct, frozen=True):
    """The rule of one kind of stream."""

    rule: str
    """`numbered`: ids rise by one.  `chained`: each message names the id of the one before it.
    `rising`: ids rise, by how much says nothing."""
    id_of: Callable[[Any], int]
    previous_of: Callable[[Any], int] | None = None


_UPDATES = Sequence(CHAINED, attrgetter("final_update_id"), attrgetter("previous_update_id"))

SEQUENCES = {
    "trade": Sequence(NUMBERED, attrgetter("trade_id")),
    "aggTrade": Sequence(NUMBERED, attrgetter("aggregate_id")),
    "depth": _UPDATES,
    "rpiDepth": _UPDATES,
    "bookTicker": Sequence(RISING, attrgetter("update_id")),
}
"""By kind of stream, for streams of one symbol."""

_LEVELS = ("depth5", "depth10", "depth20")


def kind_of(stream: str) -> str:
    """Return what a stream tells: `trade` of `btcusdt@trade`, `depth` of `btcusdt@depth20@100ms`.

    Of a stream of all symbols it is the whole name.
    """
    symbol, at, rest = stream.partition("@")
    if not at or symbol.startswith("!"):
        return stream
    kind = rest.partition("@")[0]
    return "depth" if kind in _LEVELS else kind


def sequence_of(stream: str) -> Sequence | None:
    """Return the rule of a stream, None if its messages have no ids."""
    return SEQUENCES.get(kind_of(stream))
