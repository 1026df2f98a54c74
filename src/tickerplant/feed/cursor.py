"""Cursors: where a stream is, and how its next message relates to that.

What the ids of messages, or the times of candles, prove about order and completeness is decided
here, both for live streams and for `tickerplant verify`.  There is a cursor for each rule:

- ids that rise by one: trades, aggregate trades;
- chained ids, where each message names the id of the one before it: depth updates;
- rising ids, which do not show what is missing: book tickers;
- candles, each of which is sent until it is closed, and is followed by the next.

An id that is not above the last one is a repetition, or the ids have restarted: another server, or
a new count.  A repetition is no newer than what it repeats.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum, auto
from operator import attrgetter
from typing import Any, ClassVar

from msgspec import Struct

from tickerplant.messages.kline import Candle
from tickerplant.stream_name import parse_stream_name

NONE = -1
"""Stands for the id or time of a message before the first."""
RESTART_MS = 1_000
"""By how much the clocks of two servers that send the same message may differ."""

RESTARTED = "ids restarted"
"""The reason in the `Gap` of a restart."""


class Step(Enum):
    """How a message relates to the last one that was accepted."""

    NEXT = auto()
    """It follows: nothing is missing between them, as far as the rule can show."""
    DUPLICATE = auto()
    """It has the id of the last one, or repeats a closed candle."""
    LATE = auto()
    """It is older than the last one."""
    GAP = auto()
    """It is newer, and messages between them are missing."""
    RESTART = auto()
    """The ids have restarted, and it is the first message with a new one."""


class IdCursor(ABC):
    """The position of a stream whose messages have ids.

    Each subclass is for one field, and spells out `accept`, which is called for every message.
    """

    __slots__ = ("event_time_ms", "expected_id", "id_of", "last_id", "link_of")

    id_field: ClassVar[str]
    previous_field: ClassVar[str] = ""
    """The field that names the id of the message before, if there is one."""
    proves_gaps: ClassVar[bool] = True
    step: ClassVar[int] = 0
    """The difference of two consecutive ids, if that is fixed; else 0."""

    def __init__(self) -> None:
        self.id_of: Callable[[Any], int] = attrgetter(self.id_field)
        """Returns the id of a message."""
        self.link_of: Callable[[Any], int] = attrgetter(self.previous_field or self.id_field)
        """Returns the id that shows whether a message follows: the one it names, or its own."""
        self.last_id = NONE
        """Id of the last accepted message; negative if there is none."""
        self.expected_id = NONE
        """What `link_of` returns for the next message."""
        self.event_time_ms = 0
        """Event time of the last accepted message."""

    @abstractmethod
    def accept(self, message: Any) -> bool:
        """Move to `message` and return True if it is the next one; else return False.

        This is the usual case; `classify` tells what else a message can be.
        """

    def classify(self, message: Any, newest_ms: int | None) -> Step:
        """Return how `message` relates to the last accepted one.

        Args:
            message: A message of the stream.
            newest_ms: The latest event time of the messages that may be repeated.  None if no
                message can be: an id that does not rise is a restart then.
        """
        if self.last_id == NONE or self.link_of(message) == self.expected_id:
            return Step.NEXT
        item_id = self.id_of(message)
        if item_id > self.last_id:
            return Step.GAP if self.proves_gaps else Step.NEXT
        if newest_ms is None or message.event_time_ms > newest_ms + RESTART_MS:
            return Step.RESTART
        return Step.DUPLICATE if item_id == self.last_id else Step.LATE

    def advance(self, message: Any) -> None:
        """Move to `message`, whatever it is."""
        self.last_id = self.id_of(message)
        self.expected_id = self.last_id + self.step
        self.event_time_ms = message.event_time_ms

    def missing_before(self, message: Any) -> int | None:
        """Return how many messages are missing before `message`; None if ids do not show it."""
        return self.id_of(message) - self.last_id - 1 if self.step else None


class TradeCursor(IdCursor):
    """Trades: their ids rise by one."""

    __slots__ = ()
    id_field = "trade_id"
    step = 1

    def accept(self, message: Any) -> bool:
        """Move to `message` and return True if it is the next one; else return False."""
        trade_id: int = message.trade_id
        if trade_id != self.expected_id:
            return False
        self.last_id = trade_id
        self.expected_id = trade_id + 1
        self.event_time_ms = message.event_time_ms
        return True


class AggregateTradeCursor(IdCursor):
    """Aggregate trades: their ids rise by one."""

    __slots__ = ()
    id_field = "aggregate_id"
    step = 1

    def accept(self, message: Any) -> bool:
        """Move to `message` and return True if it is the next one; else return False."""
        aggregate_id: int = message.aggregate_id
        if aggregate_id != self.expected_id:
            return False
        self.last_id = aggregate_id
        self.expected_id = aggregate_id + 1
        self.event_time_ms = message.event_time_ms
        return True


class DepthCursor(IdCursor):
    """Depth updates: each names the id of the one before it."""

    __slots__ = ()
    id_field = "final_update_id"
    previous_field = "previous_update_id"

    def accept(self, message: Any) -> bool:
        """Move to `message` and return True if it is the next one; else return False."""
        if message.previous_update_id != self.expected_id:
            return False
        self.last_id = self.expected_id = message.final_update_id
        self.event_time_ms = message.event_time_ms
        return True


class BookTickerCursor(IdCursor):
    """Book tickers: their ids rise, by any amount."""

    __slots__ = ()
    id_field = "update_id"
    proves_gaps = False

    def accept(self, message: Any) -> bool:
        """Move to `message` and return True if it is the next one; else return False."""
        update_id: int = message.update_id
        if update_id <= self.last_id:
            return False
        self.last_id = update_id
        self.event_time_ms = message.event_time_ms
        return True

    def advance(self, message: Any) -> None:
        """Move to `message`, whatever it is."""
        self.last_id = message.update_id
        self.event_time_ms = message.event_time_ms


ID_CURSORS: dict[str, type[IdCursor]] = {
    "trade": TradeCursor,
    "aggTrade": AggregateTradeCursor,
    "depth": DepthCursor,
    "rpiDepth": DepthCursor,
    "bookTicker": BookTickerCursor,
}
"""By the kind in a stream name, for streams of one symbol."""


def id_cursor_of(stream: str, message: type[Struct]) -> type[IdCursor] | None:
    """Return the cursor for a stream of one symbol; None if its messages have no such ids."""
    name = parse_stream_name(stream)
    cursor = None if name.is_of_all else ID_CURSORS.get(name.kind)
    if cursor is None or cursor.id_field not in message.__struct_fields__:
        return None
    return cursor


class CandleCursor:
    """The position of a stream of candles."""

    __slots__ = ("close_time_ms", "is_closed", "open_time_ms")

    def __init__(self) -> None:
        self.open_time_ms = NONE
        """When the last candle opened; negative if there is none."""
        self.close_time_ms = NONE
        self.is_closed = True

    @property
    def first_missing_ms(self) -> int:
        """When the earliest candle opens whose last message has not been accepted."""
        return self.close_time_ms + 1 if self.is_closed else self.open_time_ms

    def accept(self, candle: Candle) -> bool:
        """Take an update of the open candle and return True; return False for any other message."""
        if candle.open_time_ms != self.open_time_ms or self.is_closed:
            return False
        self.is_closed = candle.is_closed
        return True

    def classify(self, candle: Candle) -> Step:
        """Return how a message relates to the last accepted one."""
        if candle.open_time_ms < self.open_time_ms:
            return Step.LATE
        if candle.open_time_ms == self.open_time_ms and self.is_closed:
            return Step.DUPLICATE
        is_first = self.open_time_ms == NONE
        return Step.NEXT if is_first or candle.open_time_ms <= self.first_missing_ms else Step.GAP

    def advance(self, candle: Candle) -> None:
        """Move to `candle`, whatever it is."""
        self.open_time_ms = candle.open_time_ms
        self.close_time_ms = candle.close_time_ms
        self.is_closed = candle.is_closed

    def missing_before(self, open_time_ms: int) -> int:
        """Return how many candles are missing before one that opens then; at least one."""
        span_ms = max(1, self.close_time_ms + 1 - self.open_time_ms)  # whatever a server says
        return max(1, (open_time_ms - self.first_missing_ms + span_ms // 2) // span_ms)
