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
    id_field: str
    previous_field: str = ""

    @property
    def id_of(self) -> Callable[[Any], int]:
        """Returns the id of a message."""
        return attrgetter(self.id_field)

    @property
    def previous_of(self) -> Callable[[Any], int]:
        """Returns the id by which a message is known to follow: its own, or that of the one before."""
        return attrgetter(self.previous_field or self.id_field)


_UPDATES = Sequence(CHAINED, "final_update_id", "previous_update_id")

SEQUENCES = {
    "trade": Sequence(NUMBERED, "trade_id"),
    "aggTrade": Sequence(NUMBERED, "aggregate_id"),
    "depth": _UPDATES,
    "rpiDepth": _UPDATES,
    "bookTicker": Sequence(RISING, "update_id"),
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


def sequence_of(stream: str, message: type[Struct]) -> Sequence | None:
    """Return the rule of a stream of such messages, None if they have no ids."""
    found = SEQUENCES.get(kind_of(stream))
    if found is None or found.id_field not in message.__struct_fields__:
        return None
    return found
