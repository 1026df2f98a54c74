"""What the journal says of connections, with a feed and a server joined through memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payloads import AGGREGATES, DEPTH, TICKERS, aggregate, ticker
from world import World
from written import START_NS, Clock

from tickerplant import notices
from tickerplant.messages.message import Message
from tickerplant.notices import Notice
from tickerplant.recorder.manifest_writer import (
    GAPS_AT_ONCE,
    SEVERAL_GAPS,
    GapEntries,
    ManifestWriter,
)
from tickerplant.recording.manifest_entries import (
    Connected,
    CopyLost,
    Disconnected,
    Entry,
    Missing,
    Refused,
    Silent,
    Unreadable,
)


class Journal:
    """A world whose feed writes a manifest."""

    def __init__(self, *names: str, settle_ms: int = 1_000, **settings: Any) -> None:
        self.world = World(**settings)
        self.entries: list[Entry] = []
        self.kept: list[tuple[str, bytes]] = []
        self.messages: list[bytes] = []
        self.manifest = ManifestWriter(
            self.entries.append,
            lambda _, stream, payload: self.kept.append((stream, payload)),
            lambda: self.world.now_ms * 1_000_000,
        )
        self.world.feed.context.observer = self.manifest
        self.world.feed.attach(names, self._take)
        self.world.perform()
        self.world.run(settle_ms)

    def _take(self, item: Message | Notice) -> None:
        if isinstance(item, Notice):
            self.manifest.take(item)
        else:
            self.messages.append(item.payload)

    def news(self) -> list[Any]:
        """Return the entries since the last call."""
        entries, self.entries[:] = list(self.entries), []
        return entries


def kinds(entries: list[Any]) -> list[str]:
    return [type(each).__name__ for each in entries]


def test_streams_are_noted_once_with_their_connection() -> None:
    journal = Journal(AGGREGATES, TICKERS)
    (connected,) = journal.news()
    assert isinstance(connected, Connected)
    assert set(connected.streams) == {AGGREGATES, TICKERS}
    assert (connected.connection, connected.blind_ms) == (1, 0)
    journal.world.publish(AGGREGATES, aggregate(1))
    journal.world.run(1_000)
    assert journal.news() == []


def test_a_server_that_is_not_there_yet_is_noted_once_however_many_attempts_fail() -> None:
    journal = Journal(AGGREGATES, settle_ms=0)
    journal.world.refuse_for(60_000)
    journal.world.run(59_000)
    (disconnected,) = journal.news()
    assert isinstance(disconnected, Disconnected)
    assert disconnected.reason == "refused: HTTP 503"
    journal.world.run(40_000)
    (connected,) = journal.news()
    assert isinstance(connected, Connected)
    assert connected.blind_ms >= 60_000


def test_a_lost_connection_is_noted_with_the_length_of_the_outage() -> None:
    journal = Journal(AGGREGATES)
    world = journal.world
    world.publish(AGGREGATES, aggregate(1))
    world.run(20_000)
    journal.news()
    world.refuse_for(5_000)
    world.wire(AGGREGATES).cut("reset by peer")
    world.publish(AGGREGATES, *map(aggregate, (2, 3, 4)))
    world.run(20_000)
    world.publish(AGGREGATES, aggregate(5))
    world.run(1_000)
    disconnected, connected, gap = journal.news()
    assert (disconnected.streams, disconnected.reason) == ((AGGREGATES,), "reset by peer")
    assert isinstance(connected, Connected)
    assert connected.time_ns - disconnected.time_ns <= connected.blind_ms * 1_000_000
    assert connected.blind_ms >= 5_000
    assert isinstance(gap, Missing)
    assert (gap.stream, gap.symbol) == (AGGREGATES, "BTCUSDT")
    assert (gap.after_id, gap.before_id, gap.missing) == (1, 5, 3)
    assert journal.manifest.gaps == 1


@pytest.mark.parametrize(("code", "is_whole_until_then"), [(1013, False), (1001, True)])
def test_a_server_that_lost_a_stream_ends_what_it_sent_long_after(
    code: int, is_whole_until_then: bool
) -> None:
    journal = Journal(AGGREGATES, TICKERS)
    world = journal.world
    world.publish(AGGREGATES, aggregate(1))
    lost_ms = world.now_ms
    for number in range(50):  # the server gets nothing of the other stream, and will say so
        world.run(100)
        world.publish(TICKERS, ticker(number))
    world.run(100)
    world.refuse_for(1_000)
    world.wire(AGGREGATES).end("closed", code)
    world.run(10_000)
    began_ms = {
        name: each.time_ns // 1_000_000 - each.blind_ms
        for each in journal.news()
        if isinstance(each, Connected) and each.blind_ms
        for name in each.streams
    }
    assert (began_ms[AGGREGATES] > lost_ms + 1_000) is is_whole_until_then
    assert began_ms[TICKERS] > lost_ms + 4_000


def test_the_loss_of_one_of_two_copies_is_not_an_outage_and_that_of_both_is() -> None:
    journal = Journal(AGGREGATES, copies=2)
    world = journal.world
    assert kinds(journal.news()) == ["Connected", "Connected"]
    world.publish(AGGREGATES, aggregate(1))
    world.run(1_000)
    world.wire(AGGREGATES, copy=1).cut("reset by peer")
    world.publish(AGGREGATES, aggregate(2))
    world.run(2_000)
    lost, again = journal.news()
    assert isinstance(lost, CopyLost)
    assert (lost.connection, lost.streams) == (2, (AGGREGATES,))
    assert isinstance(again, Connected)
    assert again.blind_ms == 0
    assert journal.messages == [aggregate(1), aggregate(2)]
    for copy in (0, 1):
        world.wire(AGGREGATES, copy=copy).cut()
    world.run(10_000)
    assert kinds(journal.news()) == ["CopyLost", "Disconnected", "Connected", "Connected"]


def test_silence_is_noted_and_its_end() -> None:
    name = "btcusdt@markPrice@1s"
    journal = Journal(name)
    world = journal.world
    received = b'{"e":"markPriceUpdate","E":%d,"s":"BTCUSDT","p":"1","P":"1","i":"1","r":"0","T":0}'
    for number in range(10):
        world.publish(name, received % number)
        world.run(1_000)
    journal.news()
    world.run(20_000)
    silent = journal.news()[0]
    assert isinstance(silent, Silent)
    assert silent.silent_ms >= 5_000
    world.publish(name, received % 99)
    world.run(1_000)
    again = journal.news()[-1]
    assert isinstance(again, Connected)
    assert again.blind_ms >= 20_000


def test_ids_that_restart_are_a_gap_of_unknown_size() -> None:
    journal = Journal(AGGREGATES)
    world = journal.world
    world.publish(AGGREGATES, aggregate(100))
    world.run(1_000)
    journal.news()
    world.publish(AGGREGATES, aggregate(1).replace(b'"E":1772', b'"E":1779'))
    world.run(1_000)
    (gap,) = journal.news()
    assert isinstance(gap, Missing)
    assert (gap.after_id, gap.before_id, gap.missing) == (100, 1, None)
    assert gap.reason


def test_messages_in_an_unknown_form_are_kept_and_noted_and_what_is_no_json_is_noted() -> None:
    journal = Journal(AGGREGATES)
    world = journal.world
    journal.news()
    odd = b'{"e":"aggTrade","a":[]}'
    world.publish(AGGREGATES, odd)
    world.run(2_000)
    assert journal.kept == [(AGGREGATES, odd)]
    (unreadable,) = journal.news()
    assert isinstance(unreadable, Unreadable)
    assert unreadable.streams == (AGGREGATES,)
    world.wire(AGGREGATES).say(b"<html>")
    world.run(2_000)
    assert kinds(journal.news()) == ["Unreadable"]
    assert len(journal.kept) == 1


def test_a_stream_that_the_server_refuses_is_noted() -> None:
    journal = Journal(AGGREGATES)
    journal.news()
    journal.manifest.take(
        notices.SubscriptionRejected(streams=(DEPTH,), time_ms=0, code=2, reason="Invalid")
    )
    (refused,) = journal.news()
    assert isinstance(refused, Refused)
    assert (refused.streams, refused.code, refused.reason) == ((DEPTH,), 2, "Invalid")


# Gaps

S = 1_000_000_000


class Notes:
    """Gaps as they are written."""

    def __init__(self) -> None:
        self.lines: list[Missing] = []
        self.clock = Clock()
        self.gaps = GapEntries(self.lines.append, self.clock)

    def add(self, number: int, missing: int | None = 3, stream: str = "btcusdt@trade") -> None:
        gap = Missing(
            time_ns=self.clock(),
            stream=stream,
            symbol="BTCUSDT",
            after_id=number * 10,
            before_id=number * 10 + 4,
            missing=missing,
        )
        self.gaps.add(gap)


def test_gaps_are_lines_of_their_own_until_they_are_too_many() -> None:
    notes = Notes()
    for number in range(GAPS_AT_ONCE + 5):
        notes.add(number)
    assert [line.after_id for line in notes.lines] == [n * 10 for n in range(GAPS_AT_ONCE)]
    notes.gaps.tick()
    assert len(notes.lines) == GAPS_AT_ONCE
    notes.clock.now_ns += S
    notes.gaps.tick()
    (line,) = notes.lines[GAPS_AT_ONCE:]
    assert (line.after_id, line.before_id) == (GAPS_AT_ONCE * 10, (GAPS_AT_ONCE + 4) * 10 + 4)
    assert (line.missing, line.reason) == (15, SEVERAL_GAPS)
    assert line.time_ns == START_NS, "the first of them"


def test_a_gap_of_unknown_size_makes_the_sum_unknown() -> None:
    notes = Notes()
    for number in range(GAPS_AT_ONCE):
        notes.add(number)
    notes.add(GAPS_AT_ONCE, missing=None)
    notes.add(GAPS_AT_ONCE + 1)
    notes.gaps.end()
    assert notes.lines[-1].missing is None


def test_streams_do_not_take_each_other_s_lines() -> None:
    notes = Notes()
    for number in range(GAPS_AT_ONCE + 1):
        notes.add(number)
    notes.add(0, stream="ethusdt@trade")
    assert notes.lines[-1].stream == "ethusdt@trade"


@given(st.lists(st.integers(0, 3 * S), max_size=300))
def test_nothing_is_forgotten_and_there_are_no_more_lines_than_time_allows(
    pauses: list[int],
) -> None:
    notes = Notes()
    for number, pause_ns in enumerate(pauses):
        notes.clock.now_ns += pause_ns // 50
        notes.add(number)
        notes.gaps.tick()
    passed_s = (notes.clock.now_ns - START_NS) / S
    assert len(notes.lines) <= GAPS_AT_ONCE + passed_s
    notes.gaps.end()
    assert sum(line.missing or 0 for line in notes.lines) == 3 * len(pauses)
    ends = [(line.after_id, line.before_id) for line in notes.lines]
    assert ends == sorted(ends)
