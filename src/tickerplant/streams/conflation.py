"""What becomes of the messages of a stream that wait for a client that asked for the latest state."""

from __future__ import annotations

from enum import Enum


class Conflation(Enum):
    """How messages of a stream that wait are replaced or merged; the value is the documentation."""

    NONE = "Every message is kept."
    NEWEST = "The newest message replaces the one that waits."
    NEWEST_OF_SYMBOL = (
        "The newest message of a symbol replaces the one that waits; of `tradingSession`, that of a "
        "market."
    )
    NEWEST_CANDLE = (
        "The newest message replaces the one that waits, unless that is of a closed candle, which "
        "is kept."
    )
    NEWEST_LEVELS = (
        "The newest message replaces the one that waits, with `U` and `pu` of the oldest that it "
        "replaces, so that `pu` is the last `u` that was sent."
    )
    MERGED_LEVELS = (
        "The messages that wait become one: the latest quantity of each price, `U` and `pu` of the "
        "first, and all else of the last, so that the ids chain."
    )
    MERGED_ARRAY = "The arrays that wait become one, with the newest element of each symbol."
