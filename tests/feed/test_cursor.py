"""Every cursor, compared with a naive model that remembers all messages."""

from __future__ import annotations

from copy import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from tickerplant.feed.cursor import (
    NONE,
    RESTART_MS,
    AggregateTradeCursor,
    BookTickerCursor,
    CandleCursor,
    DepthCursor,
    IdCursor,
    Step,
    TradeCursor,
    id_cursor_of,
)
from tickerplant.messages.kline import Candle
from tickerplant.messages.readers import reader

CURSORS = [TradeCursor, AggregateTradeCursor, DepthCursor, BookTickerCursor]
MINUTE_MS = 60_000


class Identified(Struct):
    """A message of any stream with ids."""

    id: int
    previous: int
    event_time_ms: int

    @property
    def trade_id(self) -> int:
        return self.id

    @property
    def aggregate_id(self) -> int:
        return self.id

    @property
    def update_id(self) -> int:
        return self.id

    @property
    def final_update_id(self) -> int:
        return self.id

    @property
    def previous_update_id(self) -> int:
        return self.previous


def numbered(number: int, *, event_time_ms: int = 0) -> Identified:
    return Identified(number, number - 1, event_time_ms)


def follows(cursor: type[IdCursor], last: Identified, message: Identified) -> bool:
    """Whether ids show that nothing is missing between two messages."""
    if cursor is BookTickerCursor:
        return message.id > last.id
    return (message.previous if cursor is DepthCursor else message.id - 1) == last.id


def expected(cursor: type[IdCursor], last: Identified | None, message: Identified) -> Step:
    if last is None or follows(cursor, last, message):
        return Step.NEXT
    if message.id == last.id:
        return Step.DUPLICATE
    return Step.LATE if message.id < last.id else Step.GAP


ids = st.lists(st.integers(0, 12), max_size=40)


@pytest.mark.parametrize("new", CURSORS)
@given(ids=ids)
def test_messages_are_classified_as_a_model_with_memory_does(
    new: type[IdCursor], ids: list[int]
) -> None:
    cursor, last = new(), None
    delivered: list[int] = []
    missing = 0
    for number in ids:
        message = numbered(number)
        step = cursor.classify(message, 0)
        assert step is expected(new, last, message)
        if step is Step.GAP:
            found = cursor.missing_before(message)
            assert (found is not None) == (new in {TradeCursor, AggregateTradeCursor})
            missing += found or 0
        if step in {Step.NEXT, Step.GAP}:
            cursor.advance(message)
            last = message
            delivered.append(number)
            assert cursor.last_id == number
    assert delivered == sorted(set(delivered))
    if new in {TradeCursor, AggregateTradeCursor} and delivered:
        assert missing == delivered[-1] - delivered[0] + 1 - len(delivered)


@pytest.mark.parametrize("new", CURSORS)
@given(first=st.integers(0, 5), message=st.builds(Identified, *[st.integers(0, 9)] * 3))
def test_what_is_accepted_is_next_and_moves_the_cursor_as_advance_does(
    new: type[IdCursor], first: int, message: Identified
) -> None:
    cursor = new()
    cursor.advance(numbered(first))
    other, before = copy(cursor), (cursor.last_id, cursor.expected_id, cursor.event_time_ms)
    is_next = cursor.classify(message, 0) is Step.NEXT
    assert cursor.accept(message) is is_next
    if is_next:
        other.advance(message)
        before = other.last_id, other.expected_id, other.event_time_ms
    assert (cursor.last_id, cursor.expected_id, cursor.event_time_ms) == before


@pytest.mark.parametrize("new", CURSORS)
@given(number=st.integers(0, 9), event_time_ms=st.integers(0, 5 * RESTART_MS))
def test_an_id_that_does_not_rise_is_a_restart_if_the_message_is_newer(
    new: type[IdCursor], number: int, event_time_ms: int
) -> None:
    cursor = new()
    cursor.advance(numbered(9, event_time_ms=RESTART_MS))
    message = numbered(number, event_time_ms=event_time_ms)
    repeated = Step.DUPLICATE if number == 9 else Step.LATE
    is_newer = event_time_ms > 2 * RESTART_MS
    assert cursor.classify(message, RESTART_MS) is (Step.RESTART if is_newer else repeated)
    assert cursor.classify(message, None) is Step.RESTART


@pytest.mark.parametrize(
    ("stream", "cursor"),
    [
        ("btcusdt@trade", TradeCursor),
        ("btcusdt@aggTrade", AggregateTradeCursor),
        ("btcusdt@depth", DepthCursor),
        ("btcusdt@depth20@100ms", DepthCursor),
        ("btcusdt@rpiDepth@500ms", DepthCursor),
        ("btcusdt@bookTicker", BookTickerCursor),
        ("!bookTicker", None),
        ("btcusdt@markPrice", None),
        ("btcusdt@kline_1m", None),
        ("odd@stream", None),
    ],
)
def test_each_kind_of_stream_has_its_cursor(stream: str, cursor: type[IdCursor] | None) -> None:
    assert id_cursor_of(stream, reader(stream).message) is cursor


def candle(minute: int, *, is_closed: bool) -> Candle:
    fields: dict[str, Any] = dict.fromkeys(Candle.__struct_fields__, "1")
    opened = minute * MINUTE_MS
    fields |= {"open_time_ms": opened, "close_time_ms": opened + MINUTE_MS - 1}
    return Candle(**fields | {"is_closed": is_closed})


@given(messages=st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=40))
def test_candles_are_missing_between_those_that_were_closed(
    messages: list[tuple[int, bool]],
) -> None:
    cursor = CandleCursor()
    assert cursor.open_time_ms == NONE
    last: int | None = None
    closed: set[int] = set()
    for minute, is_closed in messages:
        message = candle(minute, is_closed=is_closed)
        step = cursor.classify(message)
        if last is None:
            assert step is Step.NEXT
        elif minute < last:
            assert step is Step.LATE
        elif minute == last:
            assert step is (Step.DUPLICATE if minute in closed else Step.NEXT)
        else:
            missing = set(range(last, minute)) - closed
            assert step is (Step.GAP if missing else Step.NEXT)
            assert not missing or cursor.missing_before(message.open_time_ms) == len(missing)
        is_update = minute == last and step is Step.NEXT
        if step in {Step.NEXT, Step.GAP}:
            assert copy(cursor).accept(message) is is_update
            cursor.advance(message)
            last = minute
            closed |= {minute} if is_closed else set()
