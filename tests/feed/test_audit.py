from __future__ import annotations

import msgspec
import pytest
from book_model import ACTS, SYMBOL, Line, TrueBook, state, update
from hypothesis import assume, given
from hypothesis import strategies as st

from tickerplant.feed.audit import Audit, AuditResult
from tickerplant.feed.local_book import LocalBook
from tickerplant.feed.order_book import BookState
from tickerplant.messages.book import DepthSnapshot

LIMIT = 20


def live_line(seed: int, *, gapless: bool = False) -> Line:
    return Line(TrueBook(seed, gapless=gapless), LocalBook(SYMBOL, limit=LIMIT)).live()


def follow(line: Line, audit: Audit, count: int) -> AuditResult | None:
    """The market goes on, until the audit has a result."""
    for _ in range(count):
        line.act("change")
        line.act("flush")
        result = audit.poll(line.now_ms)
        if result is not None:
            return result
    return None


@given(
    seed=st.integers(0, 1 << 30),
    gapless=st.booleans(),
    before=st.integers(0, 6),
    pending=st.integers(0, 3),
    after=st.integers(0, 6),
)
def test_a_true_book_has_the_score_of_one_wherever_the_snapshot_lies(
    seed: int, gapless: bool, before: int, pending: int, after: int
) -> None:
    """The snapshot is taken after `before` updates and changes without an update, and is late."""
    line = live_line(seed, gapless=gapless)
    audit = Audit(line.book)
    assert audit.begin()
    assert follow(line, audit, before) is None, "there is no snapshot yet"
    for _ in range(pending):
        line.act("change")
    answer = line.true.snapshot(LIMIT)
    assert follow(line, audit, after) is None
    result = audit.take(answer, line.now_ms) or follow(line, audit, 1)
    assert result is not None
    if result.skipped_reason:
        assert "the book was replaced" in result.skipped_reason
        return
    assert result.score in (1.0, None), result
    assert (result.missing, result.extra, result.wrong) == (0, 0, 0)
    assert result.compared == result.matched + result.in_flux > 0
    if not pending and not gapless:
        assert result.in_flux == 0, "the snapshot lies between two updates"
    assert not audit.is_running
    assert line.book.journal is None


@given(seed=st.integers(0, 1 << 30), at=st.integers(0, 9), kind=st.sampled_from("mex"))
def test_a_corrupted_level_lowers_the_score(seed: int, at: int, kind: str) -> None:
    line = live_line(seed)
    audit = Audit(line.book)
    side = line.book.sides.bids
    assume(len(side.order) > 1)  # a book whose only bid is missing is not live
    key = side.order[-1 - at % len(side.order)]
    if kind == "m":
        side.apply([(side.levels[key][0], "77777.000")])
    elif kind == "e":
        side.apply([(side.levels[key][0], "0.000")])
    else:
        side.apply([(f"{(key + 1) / 10**8:.8f}", "1.000")])
    assert audit.begin()
    result = audit.take(line.true.snapshot(LIMIT), line.now_ms)
    assert result is not None
    assert not result.skipped_reason
    assert result.score is not None
    assert result.score < 1.0
    found = {"m": result.wrong, "e": result.missing, "x": result.extra}
    assert found == {**dict.fromkeys("mex", 0), kind: 1}
    assert result.score == (result.compared - 1) / result.compared


@given(acts=st.lists(st.sampled_from(ACTS), max_size=60), seed=st.integers(0, 1 << 30))
def test_an_audit_never_accuses_a_true_book(acts: list[str], seed: int) -> None:
    line = live_line(seed)
    audit = Audit(line.book, wait_ms=500, max_updates=8)
    for number, act in enumerate(acts):
        if not audit.is_running and not audit.begin():
            assert state(line.book) is not BookState.LIVE
        line.act(act)
        result = audit.poll(line.now_ms)
        if number % 4 == 3:
            result = audit.take(line.true.snapshot(LIMIT), line.now_ms)
        if result is not None:
            assert result.score in (1.0, None), result
        assert line.book.journal is None or len(line.book.journal.updates) <= 8


def snapshot(last: int, *bids: tuple[str, str]) -> DepthSnapshot:
    return DepthSnapshot(last_update_id=last, bids=list(bids), asks=[("9", "1")])


def book_at_ten() -> LocalBook:
    book = LocalBook(SYMBOL)
    assert book.load(snapshot(10, ("5", "1.0"), ("4", "2.0")), 0)
    return book


@pytest.mark.parametrize(
    ("quantity", "matched", "in_flux"),
    [("1.0", 3, 0), ("3.00", 3, 0), ("2.0", 2, 1)],
)
def test_a_level_that_is_changing_is_as_before_or_after_or_in_flux(
    quantity: str, matched: int, in_flux: int
) -> None:
    book = book_at_ten()
    audit = Audit(book)
    audit.begin()
    book.offer(update(12, 20, 10, [("5", "3.0")]), 0)
    book.offer(update(22, 30, 20, [("5", "9.0"), ("4", "0")]), 0)
    result = audit.take(snapshot(15, ("5", quantity), ("4", "2.000")), 0)
    assert result == AuditResult(
        symbol=SYMBOL, last_update_id=15, compared=3, matched=matched, in_flux=in_flux
    )
    assert result.score == 1.0


@pytest.mark.parametrize(("last", "quantity"), [(11, "3.0"), (20, "1.0")])
def test_between_updates_and_at_the_end_of_one_nothing_is_changing(
    last: int, quantity: str
) -> None:
    book = book_at_ten()
    audit = Audit(book)
    audit.begin()
    book.offer(update(12, 20, 10, [("5", "3.0")]), 0)
    result = audit.take(snapshot(last, ("5", quantity), ("4", "2.0")), 0)
    assert result is not None
    assert (result.wrong, result.matched, result.in_flux) == (1, 2, 0)
    assert result.score == 2 / 3


def test_only_prices_that_both_cover_are_compared() -> None:
    book = book_at_ten()
    audit = Audit(book, limit=1)
    audit.begin()
    result = audit.take(snapshot(10, ("5", "1")), 0)
    assert result is not None
    assert (result.compared, result.score) == (2, 1.0), "the bid of 4 is beyond its reach"


def test_an_audit_waits_for_the_next_update_only_so_long() -> None:
    book = book_at_ten()
    audit = Audit(book, wait_ms=1000)
    audit.begin()
    assert audit.take(snapshot(15, ("5", "1.0")), 100) is None
    assert audit.poll(1099) is None
    result = audit.poll(1100)
    assert result is not None
    assert result.skipped_reason == (
        "the snapshot 15 is newer than the book, which is at 10 after 1000 ms"
    )
    assert (result.score, audit.is_running) == (None, False)
    assert audit.poll(1200) is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (snapshot(9), "the snapshot 9 is older than the journal, which begins at 10"),
        (b"{}", "the snapshot cannot be used: Object missing required field `lastUpdateId`"),
        (snapshot(10, ("x", "1")), "the snapshot cannot be used: 'x' is not a plain decimal"),
        (snapshot(10, ("9", "1")), "the snapshot cannot be used: crossed: bid 9 and ask 9"),
    ],
)
def test_a_snapshot_that_cannot_be_compared_is_inconclusive(
    answer: DepthSnapshot | bytes, reason: str
) -> None:
    audit = Audit(book_at_ten())
    assert audit.begin()
    result = audit.take(answer, 0)
    assert result is not None
    assert result.skipped_reason == reason
    assert not audit.is_running


def test_updates_beyond_the_bound_are_forgotten_and_the_audit_says_so() -> None:
    book = book_at_ten()
    audit = Audit(book, max_updates=2)
    audit.begin()
    for last in (20, 30, 40):
        book.offer(update(last - 5, last, last - 10), 0)
    result = audit.take(snapshot(15), 0)
    assert result is not None
    assert result.skipped_reason.endswith("which begins at 20")


def test_a_book_that_is_rebuilt_ends_the_audit() -> None:
    book = book_at_ten()
    audit = Audit(book)
    audit.begin()
    book.offer(update(31, 40, 30), 0)
    book.load(snapshot(40, ("5", "1.0")), 0)
    result = audit.take(msgspec.json.encode(snapshot(40)), 0)
    assert result is not None
    assert result.skipped_reason.startswith("the book was replaced: the book was rebuilt")


def test_only_a_live_book_is_audited() -> None:
    book = LocalBook(SYMBOL)
    audit = Audit(book)
    assert not audit.begin()
    assert not audit.is_running
    result = audit.take(snapshot(10), 0)
    assert result is not None
    assert result.skipped_reason == "no audit was begun"
    assert audit.failed("timed out").skipped_reason == "timed out"


def test_empty_books_have_nothing_to_compare() -> None:
    book = LocalBook(SYMBOL)
    for _ in range(2):
        book.load(DepthSnapshot(last_update_id=10, bids=[], asks=[]), 0)
    audit = Audit(book)
    audit.begin()
    result = audit.take(DepthSnapshot(last_update_id=10, bids=[], asks=[]), 0)
    assert result is not None
    assert (result.score, result.skipped_reason) == (None, "there is no level to compare")
