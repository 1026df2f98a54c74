"""When a book wants a snapshot, and which snapshot is worth keeping."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.recorder.snapshot_schedule import (
    FIRST_PAUSE_MS,
    LONGEST_PAUSE_MS,
    OLD_PAUSE_MS,
    Book,
    SnapshotSchedule,
)
from tickerplant.stream_name import book_of_diffs
from tickerplant.units import HOUR_MS

DEPTH = "btcusdt@depth@100ms"
OTHER = "btcusdt@depth"
ETH = "ethusdt@depth"
RPI = "btcusdt@rpiDepth@500ms"


def schedule_of(*names: str, every_ms: int = HOUR_MS) -> SnapshotSchedule:
    return SnapshotSchedule(names or (DEPTH,), every_ms)


def asked(books: SnapshotSchedule, now_ms: int = 0) -> Book:
    book = books.next_due(now_ms)
    assert book is not None, f"expected a book to want a snapshot at {now_ms}"
    return book


@pytest.mark.parametrize(
    ("stream", "book"),
    [
        ("btcusdt@depth", ("BTCUSDT", "depth")),
        ("btcusdt@depth@100ms", ("BTCUSDT", "depth")),
        ("btcusd_perp@depth@0ms", ("BTCUSD_PERP", "depth")),
        ("btcusdt@rpiDepth@500ms", ("BTCUSDT", "rpiDepth")),
        ("btcusdt@depth20", None),
        ("btcusdt@depth20@100ms", None),
        ("!depth@arr", None),
        ("btcusdt@aggTrade", None),
    ],
)
def test_only_streams_of_changes_have_a_book(stream: str, book: tuple[str, str] | None) -> None:
    assert book_of_diffs(stream) == book


def test_the_book_with_rpi_orders_is_another() -> None:
    books = schedule_of(DEPTH, RPI)
    books.on_first_update(DEPTH, 100)
    books.on_first_update(RPI, 900)
    assert books.on_snapshot(asked(books), 100, 0)
    assert not books.on_snapshot(asked(books), 100, 0)
    assert books.on_snapshot(asked(books, OLD_PAUSE_MS), 900, 0)


def test_no_snapshot_is_requested_before_the_first_update() -> None:
    books = schedule_of()
    assert books.next_due(0) is None
    books.on_first_update(DEPTH, 100)
    assert asked(books).symbol == "BTCUSDT"
    assert books.next_due(0) is None, "one question at a time"


def test_a_snapshot_older_than_the_first_update_is_requested_again() -> None:
    books = schedule_of()
    books.on_first_update(DEPTH, 100)
    assert not books.on_snapshot(asked(books), 99, 1_000)
    assert books.next_due(1_000 + OLD_PAUSE_MS - 1) is None
    assert books.on_snapshot(asked(books, 1_000 + OLD_PAUSE_MS), 100, 2_000)
    assert books.waiting == 0


def test_a_snapshot_is_taken_again_when_the_interval_is_over() -> None:
    books = schedule_of(every_ms=60_000)
    books.on_first_update(DEPTH, 100)
    assert books.on_snapshot(asked(books), 100, 1_000)
    assert books.next_due(60_999) is None
    assert books.on_snapshot(asked(books, 61_000), 500, 61_500)
    assert books.next_due(121_499) is None
    assert asked(books, 121_500)


def test_two_streams_of_a_symbol_share_a_snapshot_that_suits_both() -> None:
    books = schedule_of(DEPTH, OTHER)
    assert len(books.books) == 1
    books.on_first_update(DEPTH, 100)
    books.on_first_update(OTHER, 110)
    assert not books.on_snapshot(asked(books), 105, 0)
    assert books.on_snapshot(asked(books, OLD_PAUSE_MS), 110, 0)
    books.on_lost([OTHER])
    books.on_first_update(OTHER, 300)
    assert books.on_snapshot(asked(books), 300, 0)


def test_failures_are_reported_once_and_retried_after_increasing_pauses() -> None:
    books = schedule_of()
    books.on_first_update(DEPTH, 100)
    now_ms, pauses = 0, []
    for number in range(12):
        assert books.on_failure(asked(books, now_ms), now_ms) == (number == 0)
        due_ms = next(ms for ms in range(now_ms, now_ms + HOUR_MS, 500) if _is_due(books, ms))
        pauses.append(due_ms - now_ms)
        now_ms = due_ms
    assert pauses[0] == FIRST_PAUSE_MS
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_MS
    assert books.on_snapshot(asked(books, now_ms), 100, now_ms)
    books.on_lost([DEPTH])
    books.on_first_update(DEPTH, 500)
    assert books.on_failure(asked(books, now_ms), now_ms), "the first failure in a row again"


def _is_due(books: SnapshotSchedule, now_ms: int) -> bool:
    return any(now_ms >= book.due_ms for book in books.books.values())


def test_a_book_that_the_server_does_not_know_keeps_no_other_waiting() -> None:
    books = schedule_of(DEPTH, ETH)
    books.on_first_update(DEPTH, 1)
    books.on_first_update(ETH, 1)
    assert books.on_failure(asked(books), 0, LONGEST_PAUSE_MS)
    assert books.on_snapshot(asked(books), 5, 0)
    assert books.next_due(LONGEST_PAUSE_MS - 1) is None
    assert asked(books, LONGEST_PAUSE_MS).symbol == "BTCUSDT"


class Market:
    """Books whose ids restart at a loss, and a server whose snapshots are of any age."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.books = schedule_of(DEPTH, ETH, every_ms=30_000)
        self.now_ms = 0
        self.epoch, self.last_id = 0, 100
        self.needed: dict[str, tuple[int, int]] = {}
        self.on_the_way: list[tuple[Book, int, int]] = []

    def step(self) -> None:
        """Let something happen."""
        self.now_ms += self.rng.randrange(2_000)
        self.last_id += self.rng.randrange(1, 20)
        happen = (self.lose, self.books.renew_all, self.update, self.update, self.ask, self.answer)
        self.rng.choice(happen)()

    def lose(self) -> None:
        self.epoch, self.last_id = self.epoch + 1, self.rng.randrange(1_000)
        self.books.on_lost([DEPTH, ETH])
        self.needed.clear()

    def update(self) -> None:
        for name in tuple(self.books.awaited):
            self.needed[name.partition("@")[0].upper()] = self.epoch, self.last_id
            self.books.on_first_update(name, self.last_id)

    def ask(self) -> None:
        if (book := self.books.next_due(self.now_ms)) is not None:
            age = self.rng.randrange(30)
            self.on_the_way.append((book, self.epoch, self.last_id - age))

    def answer(self) -> None:
        if not self.on_the_way:
            return
        book, epoch, last_id = self.on_the_way.pop()
        if self.rng.random() < 0.2:
            self.books.on_failure(book, self.now_ms)
        elif self.books.on_snapshot(book, last_id, self.now_ms) and book.symbol in self.needed:
            assert (epoch, last_id) >= self.needed.pop(book.symbol), "a snapshot that is kept joins"

    def settle(self) -> None:
        """Let everything be answered well."""
        self.update()
        for asked, _, _ in self.on_the_way:
            self.books.on_failure(asked, self.now_ms)
        for _ in range(4):
            self.now_ms += LONGEST_PAUSE_MS
            while (book := self.books.next_due(self.now_ms)) is not None:
                assert self.books.on_snapshot(book, self.last_id, self.now_ms)


@given(st.integers(0, 1 << 32))
def test_what_is_kept_always_joins_the_updates_and_nothing_waits_for_ever(seed: int) -> None:
    market = Market(seed)
    for _ in range(200):
        market.step()
    market.settle()
    assert market.books.waiting == 0
