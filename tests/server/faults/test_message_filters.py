from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from set_clock import SetClock

from tickerplant.errors import ConfigError
from tickerplant.faults.board import FaultBoard
from tickerplant.faults.rule import parse_rule
from tickerplant.hub.delivery import Message, Published
from tickerplant.server.faults.message_filters import MAX_WITHHELD, MessageFilter, message_filter
from tickerplant.streams.conflation import Conflation


class Name(Struct, frozen=True):
    name: str
    prefix: bytes = b""
    conflation: Conflation = Conflation.NONE


TRADES = Name("btcusdt@trade")
QUOTES = Name("btcusdt@bookTicker")


def message(number: int, stream: Name = TRADES) -> Message:
    kind = stream.name.partition("@")[2]
    text = b'{"e":"%s","E":%d,"p":"65280.10"}' % (kind.encode(), number)
    return Message(stream, text, b"", Published())


class Stage:
    """One rule on one connection, and what its client gets."""

    def __init__(self, rule: object, seed: int = 1) -> None:
        self.clock = SetClock()
        self.board = FaultBoard(self.clock, seed)
        self.on = self.board.add(parse_rule(rule))
        self.written: list[Message] = []
        chances = self.board.chances(self.on, 1)
        self.fault: MessageFilter = message_filter(
            self.on, chances, self.clock, self.written.extend
        )

    def send(self, *messages: Message) -> None:
        self.written += self.fault(messages)

    def take(self) -> list[Any]:
        """What the client got since the last time."""
        texts, self.written[:] = [each.payload for each in self.written], ()
        return [json.loads(text) for text in texts]

    def numbers(self) -> list[int]:
        return [each["E"] for each in self.take()]


def run(rule: object, messages: Sequence[Message]) -> list[Any]:
    stage = Stage(rule)
    stage.send(*messages)
    return stage.take()


FIVE = [message(number) for number in range(1, 6)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("drop", []),
        ("drop once=true", [2, 3, 4, 5]),
        ("drop after=2 times=2", [1, 2, 5]),
        ("duplicate after=1 once=true", [1, 2, 2, 3, 4, 5]),
        ("reorder after=1 once=true", [1, 3, 2, 4, 5]),
        ("reorder", [2, 1, 4, 3]),
        ({"kind": "chain", "after": 4}, [1, 2, 3, 4]),
        ("delay=5s once=true", [2, 3, 4, 5]),
    ],
)
def test_messages_are_dropped_repeated_swapped_and_withheld(
    rule: object, expected: list[int]
) -> None:
    assert [each["E"] for each in run(rule, FIVE)] == expected


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("missing_field=p", {"e": "trade", "E": 1}),
        ("missing_field", {"e": "trade", "p": "65280.10"}),
        ("numbers", {"e": "trade", "E": 1, "p": 65280.1}),
        ("scale=2", {"e": "trade", "E": 1, "p": "6528010"}),
        ("scale=-1", {"e": "trade", "E": 1, "p": "6528.010"}),
        ("clock=-5s", {"e": "trade", "E": -4_999, "p": "65280.10"}),
        ("clock=+2s", {"e": "trade", "E": 2_001, "p": "65280.10"}),
    ],
)
def test_messages_are_changed(rule: str, changes: dict[str, Any]) -> None:
    assert run(rule, [message(1)]) == [changes]


def test_only_the_streams_that_are_aimed_at_are_hit() -> None:
    mixed = [message(1), message(2, QUOTES), message(3), message(4, QUOTES)]
    assert [each["E"] for each in run("drop stream=btcusdt@trade", mixed)] == [2, 4]
    assert [each["E"] for each in run("drop stream=*@bookTicker", mixed)] == [1, 3]
    assert [each["E"] for each in run("reorder stream=*@trade", mixed)] == [2, 3, 1, 4]


def test_a_late_message_comes_when_its_time_has_come_and_others_do_not_wait() -> None:
    stage = Stage("delay=100ms after=1 once=true")
    stage.send(*FIVE)
    assert stage.numbers() == [1, 3, 4, 5]
    stage.clock.go_on(99)
    assert stage.numbers() == []
    stage.clock.go_on(1)
    assert stage.numbers() == [2]


def test_the_jitter_of_late_messages_is_drawn_from_the_seed() -> None:
    def arrivals(seed: int) -> list[tuple[int, int]]:
        stage = Stage("delay=10ms jitter=50ms", seed)
        stage.send(*FIVE)
        found = []
        for now_ms in range(1, 61):
            stage.clock.go_on(1)
            found += [(now_ms, number) for number in stage.numbers()]
        return found

    first = arrivals(7)
    assert first == arrivals(7)
    assert first != arrivals(8)
    assert sorted(number for _, number in first) == [1, 2, 3, 4, 5]
    assert all(10 <= now_ms <= 60 for now_ms, _ in first)


@pytest.mark.parametrize("rule", ["delay=1h", "reorder once=true"])
def test_what_is_withheld_is_written_when_the_fault_ends(rule: str) -> None:
    stage = Stage(rule)
    stage.send(message(1))
    assert stage.numbers() == []
    stage.fault.end()
    assert stage.numbers() == [1]
    stage.clock.go_on(3_600_000)
    assert stage.numbers() == [], "not twice"


def test_the_oldest_messages_come_early_when_too_many_are_withheld() -> None:
    stage = Stage("delay=1h")
    stage.send(*(message(number) for number in range(MAX_WITHHELD + 2)))
    assert stage.numbers() == [0, 1]
    assert stage.board.overflows == {"delay": 2}
    stage.clock.go_on(3_600_000)
    assert stage.numbers() == list(range(2, MAX_WITHHELD + 2)), "the others are late as they should"


@given(
    st.sampled_from(["drop=0.3", "duplicate=0.3", "reorder=0.3", "delay=20ms share=0.3"]),
    st.lists(st.sampled_from([TRADES, QUOTES]), max_size=60),
    st.integers(1, 100),
)
def test_nothing_but_what_was_hit_is_lost_repeated_or_out_of_order(
    rule: str, streams: list[Name], seed: int
) -> None:
    stage = Stage(rule, seed)
    for number, stream in enumerate(streams):
        stage.send(message(number, stream))
        stage.clock.go_on(7)
    stage.fault.end()
    numbers = stage.numbers()
    hits, kind = stage.on.hits, stage.on.rule.kind
    lost = {"drop": hits, "duplicate": -hits}.get(kind, 0)
    assert len(numbers) == len(streams) - lost
    if lost >= 0:
        assert len(set(numbers)) == len(numbers), "none came twice"
    if kind in {"drop", "duplicate"}:
        assert numbers == sorted(numbers), "the order is kept"
    assert set(numbers) <= set(range(len(streams)))


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ("scale", "digits"),
        ("scale=1.5", "digits"),
        ("scale=9", "digits"),
        ("scale=1 of=volume", "of"),
        ("clock", "by"),
        ("clock=soon", "by"),
        ("clock=5", "by"),
        ("delay", "time"),
        ("delay=0s", "time"),
        ("duplicate=2", "share"),
        ("drop symbol=BTCUSDT", "symbol"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_name(rule: str, field: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_rule(rule)
    assert refused.value.setting == field, str(refused.value)


@pytest.mark.parametrize(
    "rule", ["missing_field=p once=true", "scale=1 once=true", "numbers once=true"]
)
def test_a_message_in_which_nothing_can_change_is_no_occasion(rule: str) -> None:
    bare = Message(TRADES, b'{"e":"trade","E":1}', b"", Published())
    stage = Stage(rule)
    stage.send(bare, message(2), message(3))
    first, second, third = stage.take()
    assert first == {"e": "trade", "E": 1}
    assert second != {"e": "trade", "E": 2, "p": "65280.10"}
    assert third == {"e": "trade", "E": 3, "p": "65280.10"}
    assert stage.on.hits == 1
