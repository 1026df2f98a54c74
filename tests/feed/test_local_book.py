from __future__ import annotations

from collections.abc import Callable

import pytest
from book_model import ACTS, SYMBOL, Line, Texts, TrueBook, assert_true, state, update, wants
from hypothesis import example, given
from hypothesis import strategies as st

from tickerplant.feed.local_book import (
    MAX_NOTICES,
    MAX_PAUSE_MS,
    MAX_WIDTH,
    VERIFY_AFTER_MS,
    LocalBook,
)
from tickerplant.feed.order_book import BookState
from tickerplant.messages.book import DepthSnapshot, DepthUpdate
from tickerplant.notices import BookResyncing, Gap

BIDS = [("100.00", "1.000"), ("99.00", "2.000"), ("98.00", "3.000"), ("97.00", "4.000")]
ASKS = [("101.00", "1.500"), ("102.00", "2.500"), ("103.00", "3.500"), ("104.00", "4.500")]


def snapshot(last: int, bids: Texts | None = None, asks: Texts | None = None) -> DepthSnapshot:
    return DepthSnapshot(
        last_update_id=last,
        bids=BIDS if bids is None else bids,
        asks=ASKS if asks is None else asks,
    )


def live_book(last: int = 10, *, limit: int = 1000) -> LocalBook:
    book = LocalBook(SYMBOL, limit=limit, streams=("btcusdt@depth",))
    book.snapshot_requested(0)
    assert book.load(snapshot(last), 0)
    assert book.state is BookState.LIVE
    return book


def reported(book: LocalBook) -> list[tuple[str, str]]:
    return [
        ("gap", f"{notice.after_id}-{notice.before_id}")
        if isinstance(notice, Gap)
        else ("resync", notice.reason if isinstance(notice, BookResyncing) else "")
        for notice in book.take_notices()
    ]


@given(
    acts=st.lists(st.sampled_from(ACTS), max_size=120),
    seed=st.integers(0, 1 << 30),
    gapless=st.booleans(),
    limit=st.sampled_from([4, 8, 20, 1000]),
)
@example(acts=[], seed=996, gapless=False, limit=20)  # the last update takes the last known bid
def test_a_live_book_is_the_true_book_whatever_happens_on_the_way(
    acts: list[str], seed: int, gapless: bool, limit: int
) -> None:
    true = TrueBook(seed, gapless=gapless)
    book = LocalBook(SYMBOL, limit=limit, max_buffered=16)
    line = Line(true, book)
    for act in acts:
        line.act(act)
        if book.state is BookState.LIVE:
            assert_true(book, true)
            assert book.reason == ""
        else:
            assert book.reason
        assert len(book.sides.bids.levels) <= limit * MAX_WIDTH
        assert len(book.sides.asks.levels) <= limit * MAX_WIDTH
        assert repr(book)
    line.calm()
    if limit >= 20:
        if book.reason.startswith("out of depth"):
            line.calm()
        assert book.state is BookState.LIVE, "updates and snapshots kept coming"
    if book.state is BookState.LIVE:
        assert_true(book, true)
    assert "crossed" not in [reason for _, reason in reported(book)], "a right chain never crosses"


@given(
    acts=st.lists(st.sampled_from((*ACTS, *("restart", "back", "flush") * 3)), max_size=120),
    seed=st.integers(0, 1 << 30),
    gapless=st.booleans(),
)
def test_a_live_book_is_that_of_its_server_wherever_ids_begin(
    acts: list[str], seed: int, gapless: bool
) -> None:
    true = TrueBook(seed, gapless=gapless, after_id=1_000_000_000)
    line = Line(true, LocalBook(SYMBOL, limit=20, max_buffered=16))
    for act in (*acts, "restart"):
        line.act(act)
        if line.book.state is BookState.LIVE:
            assert_true(line.book, line.true)
    line.calm()
    assert line.book.state is BookState.LIVE, line.book
    assert_true(line.book, line.true)


@given(acts=st.lists(st.sampled_from(ACTS), max_size=60), seed=st.integers(0, 1 << 30))
def test_a_book_that_is_not_live_has_a_true_past_unless_it_was_discarded(
    acts: list[str], seed: int
) -> None:
    true = TrueBook(seed)
    line = Line(true, LocalBook(SYMBOL, limit=20)).live()
    for act in acts:
        line.act(act)
        assert_true(line.book, true)


@given(
    acts=st.lists(st.sampled_from(ACTS), min_size=20, max_size=200),
    seed=st.integers(0, 1 << 30),
    max_buffered=st.integers(1, 8),
)
def test_buffered_updates_are_bounded_and_counted(
    acts: list[str], seed: int, max_buffered: int
) -> None:
    line = Line(TrueBook(seed), LocalBook(SYMBOL, limit=4, max_buffered=max_buffered))
    for act in acts:
        line.act(act)
        assert len(line.book._sync._buffered) <= max_buffered
        assert len(line.book._notices) <= MAX_NOTICES


@given(
    st.lists(
        st.builds(
            DepthUpdate,
            event_time_ms=st.integers(),
            transaction_time_ms=st.integers(),
            symbol=st.sampled_from([SYMBOL, "ETHUSDT", ""]),
            first_update_id=st.integers(-5, 20),
            final_update_id=st.integers(-5, 20),
            previous_update_id=st.integers(-5, 20),
            bids=st.lists(
                st.tuples(st.text("0123.-x٣", max_size=4), st.text("012.-x", max_size=3))
            ),
            asks=st.lists(st.tuples(st.text("0123.-x", max_size=4), st.text("012.-x", max_size=3))),
        )
        | st.binary()
        | st.builds(
            DepthSnapshot,
            last_update_id=st.integers(-5, 20),
            bids=st.lists(st.tuples(st.text("0123.", max_size=4), st.text("012.", max_size=3))),
            asks=st.lists(st.tuples(st.text("0123.", max_size=4), st.text("012.", max_size=3))),
        )
    )
)
def test_odd_input_raises_nothing(things: list[DepthUpdate | DepthSnapshot | bytes]) -> None:
    book = LocalBook(SYMBOL, limit=2)
    for now_ms, thing in enumerate(things):
        if isinstance(thing, DepthUpdate):
            book.offer(thing, now_ms)
        else:
            book.load(thing, now_ms)
        bid, ask = book.best_bid, book.best_ask
        assert bid is None or ask is None or float(bid[0]) < float(ask[0]), "never crossed"
        assert book.bids(9)[:1] == ([bid] if bid else [])
        assert repr(book)
        assert all(
            reach is None or float(reach) >= 0
            for reach in (book.lowest_known_bid, book.highest_known_ask)
        )


def test_a_new_book_waits_and_says_so() -> None:
    book = LocalBook(SYMBOL)
    assert (state(book), book.reason) == (BookState.SYNCING, "no snapshot yet")
    assert (book.best_bid, book.best_ask, book.bids(5), book.asks(5)) == (None, None, [], [])
    assert wants(book)
    assert book.next_request_ms == 0, "at once"
    assert repr(book) == ("<LocalBook BTCUSDT syncing (no snapshot yet) None/None 0+0 levels u=0>")


def test_buffered_updates_follow_the_snapshot_as_documented() -> None:
    book = LocalBook(SYMBOL)
    book.offer(update(1, 5, 0, bids=[("100.00", "9.000")]), 0)
    book.offer(update(6, 12, 5, bids=[("100.00", "7.000")]), 0)
    book.offer(update(14, 20, 12, asks=[("101.00", "0.000")]), 0)
    book.snapshot_requested(0)
    assert book.load(snapshot(10), 50), "U <= L <= u holds for the second"
    assert (state(book), book.last_update_id) == (BookState.LIVE, 20)
    assert book.bids(2) == [("100.00", "7.000"), ("99.00", "2.000")]
    assert book.best_ask == ("102.00", "2.500")
    assert (book.event_time_ms, book.transaction_time_ms) == (21, 20)
    counters = book.counters
    assert (counters.applied, counters.snapshots_used) == (2, 1)


def test_an_update_whose_pu_is_the_snapshot_joins() -> None:
    book = LocalBook(SYMBOL)
    book.offer(update(14, 20, 10), 0)
    assert book.load(snapshot(10), 0)
    assert book.last_update_id == 20


def test_levels_are_read_exactly_as_they_were_printed() -> None:
    book = live_book()
    book.offer(update(11, 12, 10, bids=[("99.5", "0.50")], asks=[("101.00", "0")]), 0)
    assert book.bids(3) == [("100.00", "1.000"), ("99.5", "0.50"), ("99.00", "2.000")]
    assert book.asks(1) == [("102.00", "2.500")]
    assert (book.bids(0), book.bids(-1)) == ([], [])


def test_a_price_with_other_decimals_is_the_same_price() -> None:
    book = live_book()
    book.offer(update(11, 12, 10, bids=[("99.0", "5"), ("98.000", "0")]), 0)
    assert book.bids(9) == [("100.00", "1.000"), ("99.0", "5"), ("97.00", "4.000")]


def test_a_gap_is_reported_and_a_snapshot_wanted() -> None:
    book = live_book()
    assert book.offer(update(11, 12, 10), 0)
    assert not book.offer(update(31, 40, 30), 7)
    assert state(book) is BookState.SYNCING
    assert book.reason == "a gap after u=12: the next update has U=31 pu=30"
    assert wants(book)
    notices = book.take_notices()
    assert notices == [
        Gap(
            streams=("btcusdt@depth",),
            time_ms=7,
            symbol=SYMBOL,
            after_id=12,
            before_id=31,
            missing=None,
        ),
        BookResyncing(streams=("btcusdt@depth",), time_ms=7, symbol=SYMBOL, reason="gap"),
    ]
    assert book.take_notices() == []
    assert book.bids(1) == BIDS[:1], "what is read is true of `last_update_id`"
    assert book.last_update_id == 12
    book.snapshot_requested(2000)
    assert book.load(snapshot(35), 2100)
    assert (state(book), book.last_update_id) == (BookState.LIVE, 40)


def test_ids_that_restart_are_followed_at_once() -> None:
    book = live_book(1000)
    journal = book.start_journal(9)
    book.ids_restarted(7)
    assert (state(book), book.reason) == (BookState.SYNCING, "ids restarted")
    assert reported(book) == [("resync", "ids_restarted")]
    assert journal.broken == "ids restarted"
    assert book.best_bid == BIDS[0], "it is as it was"
    assert not book.offer(update(11, 12, 10), 7)
    book.snapshot_requested(7)
    assert book.load(snapshot(10), 8)
    assert (state(book), book.last_update_id) == (BookState.LIVE, 12)


@pytest.mark.parametrize(("ms", "is_restart"), [(1000, False), (1001, True)])
def test_lower_ids_of_a_clearly_later_time_mean_a_restart(ms: int, is_restart: bool) -> None:
    book = live_book(1000)
    assert book.offer(update(1001, 1010, 1000), 0)
    later = update(11, 12, 10)
    later.transaction_time_ms = 1010 + ms
    assert not book.offer(later, 7)
    assert state(book) is (BookState.SYNCING if is_restart else BookState.LIVE)
    assert reported(book) == [("resync", "ids_restarted")] * is_restart
    if is_restart:
        book.snapshot_requested(7)
        assert book.load(snapshot(10), 8)
        assert book.last_update_id == 12


@pytest.mark.parametrize(("ms", "is_restart"), [(1000, False), (1001, True)])
def test_a_quiet_book_follows_a_lower_snapshot_of_a_clearly_later_time(
    ms: int, is_restart: bool
) -> None:
    book = live_book(1000)
    assert book.offer(update(1001, 1010, 1000), 0)
    book.updates_lost("reset", 5)
    book.updates_resumed(10)
    book.snapshot_requested(6000)
    lower = snapshot(10)
    lower.transaction_time_ms = 1010 + ms
    assert book.load(lower, 6010) is is_restart
    assert state(book) is (BookState.LIVE if is_restart else BookState.STALE)
    assert reported(book) == [("resync", "ids_restarted")] * is_restart


def test_only_the_first_update_may_overlap_what_is_there() -> None:
    book = live_book()
    assert book.offer(update(9, 12, 8), 0)
    assert not book.offer(update(11, 20, 10), 0), "its pu is not the u before"
    assert book.state is BookState.SYNCING


def test_an_update_that_came_twice_or_of_another_symbol_is_left_out() -> None:
    book = live_book()
    once = update(11, 12, 10)
    assert book.offer(once, 0)
    assert not book.offer(once, 0)
    other = update(13, 14, 12)
    other.symbol = "ETHUSDT"
    assert not book.offer(other, 0)
    assert (state(book), book.last_update_id) == (BookState.LIVE, 12)


def test_lost_updates_make_the_book_stale_and_readable() -> None:
    book = live_book()
    book.updates_lost("closed 1006", 5)
    assert (state(book), book.reason, book.best_bid) == (BookState.STALE, "closed 1006", BIDS[0])
    assert not wants(book), "while nothing is heard a snapshot cannot be continued"
    book.updates_lost("refused", 6)
    book.updates_resumed(10)
    assert state(book) is BookState.STALE
    assert "next update" in book.reason
    assert book.offer(update(15, 20, 10), 11)
    assert (state(book), book.counters.resyncs) == (BookState.LIVE, 0), "nothing was missed"


@pytest.mark.parametrize(
    ("last", "useful", "resyncs"), [(9, False, 0), (10, True, 0), (17, True, 1)]
)
def test_a_quiet_book_whose_updates_resumed_is_verified_by_a_snapshot(
    last: int, useful: bool, resyncs: int
) -> None:
    book = live_book()
    book.updates_lost("reset", 5_000)
    book.updates_resumed(10_000)
    assert wants(book)
    assert book.next_request_ms == 10_000 + VERIFY_AFTER_MS
    book.snapshot_requested(15_000)
    assert book.load(snapshot(last), 15_050) is useful
    assert state(book) is (BookState.LIVE if useful else BookState.STALE)
    assert book.counters.resyncs == resyncs


def test_a_snapshot_older_than_the_updates_is_of_no_use_and_pauses_grow() -> None:
    book = LocalBook(SYMBOL)
    book.offer(update(51, 60, 50), 0)
    now_ms, pauses = 0, []
    for _ in range(8):
        book.snapshot_requested(now_ms)
        assert not wants(book)
        assert not book.load(snapshot(20), now_ms)
        assert "20 is older" in book.reason
        assert wants(book)
        pauses.append(book.next_request_ms - now_ms)
        now_ms = book.next_request_ms
    assert pauses == [1000, 2000, 4000, 8000, 16_000, 32_000, 32_000, MAX_PAUSE_MS]
    assert book.counters.snapshots_unused == 8
    book.snapshot_requested(now_ms)
    assert book.load(snapshot(55), now_ms)
    book.offer(update(91, 95, 90), now_ms + 59_999)
    book.snapshot_requested(now_ms + 59_999)
    assert book.next_request_ms > now_ms + 61_000, "it was not live for long"


def lose(book: LocalBook, now_ms: int) -> None:
    book.updates_lost("reset", now_ms)
    book.updates_resumed(now_ms + 3_600_000)


def restart_ids(book: LocalBook, now_ms: int) -> None:
    book.ids_restarted(now_ms)


def gap(book: LocalBook, now_ms: int) -> None:
    book.offer(update(31, 40, 30), now_ms)


def cross(book: LocalBook, now_ms: int) -> None:
    book.offer(update(11, 12, 10, bids=[("101.00", "1.000")]), now_ms)


def fall_short(book: LocalBook, now_ms: int) -> None:
    book.offer(update(11, 12, 10, bids=[(price, "0") for price, _ in BIDS]), now_ms)


@pytest.mark.parametrize("leave", [lose, restart_ids, gap, cross, fall_short])
def test_a_book_that_was_live_for_long_starts_again_with_the_first_pause(
    leave: Callable[[LocalBook, int], None],
) -> None:
    pauses = []
    for live_ms in (59_999, 60_000):
        book = live_book(limit=4)
        leave(book, live_ms)
        assert wants(book)
        book.snapshot_requested(4_000_000)
        pauses.append(book.next_request_ms - 4_000_000)
    assert pauses == [1000 if leave is fall_short else 2000, 1000], "short is live when it asks"


def test_a_book_that_is_live_only_briefly_backs_off() -> None:
    book = live_book()
    lose(book, 1_000)
    assert book.offer(update(11, 12, 10), 3_700_000)
    gap(book, 3_701_000)
    book.snapshot_requested(3_701_000)
    assert book.next_request_ms == 3_703_000


def test_a_live_book_whose_requests_fail_backs_off() -> None:
    book = live_book(limit=4)
    fall_short(book, 70_000)
    now_ms, pauses = 70_000, []
    for _ in range(4):
        book.snapshot_requested(now_ms)
        book.snapshot_failed(now_ms)
        pauses.append(book.next_request_ms - now_ms)
        now_ms = book.next_request_ms
    assert pauses == [1000, 2000, 4000, 8000]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b'{"code":-1003,"msg":"Too many requests"}',
        b'{"lastUpdateId":"7","bids":[],"asks":[]}',
        b'{"lastUpdateId":70,"bids":[["1","2","3"]],"asks":[]}',
        b'{"lastUpdateId":70,"bids":[["one","2"]],"asks":[]}',
        b'{"lastUpdateId":70,"bids":[["2","2"]],"asks":[["1","2"]]}',
        b'{"lastUpdateId":70,"bids":[["1","-2"]],"asks":[]}',
        b'{"symbol":"ETHUSDT","lastUpdateId":70,"bids":[],"asks":[]}',
    ],
)
def test_a_response_without_a_valid_book_counts_as_failed(answer: bytes) -> None:
    book = LocalBook(SYMBOL)
    book.snapshot_requested(0)
    assert not book.load(answer, 0)
    assert (book.counters.snapshots_failed, wants(book)) == (1, True)


def test_a_book_that_crosses_is_forgotten_and_is_rebuilt() -> None:
    book = live_book()
    assert not book.offer(update(11, 12, 10, bids=[("101.00", "1.000")]), 3)
    assert (state(book), book.best_bid, book.best_ask) == (BookState.SYNCING, None, None)
    assert book.reason == "crossed: bid 101.00 and ask 101.00"
    assert reported(book) == [("resync", "crossed")]
    assert wants(book)


def test_a_book_that_moves_through_its_old_best_price_is_not_crossed() -> None:
    book = live_book()
    down = [("100.00", "0.000"), ("99.00", "0.000")]
    assert book.offer(update(11, 12, 10, bids=down, asks=[("99.00", "1.000")]), 0)
    assert (book.best_bid, book.best_ask) == (("98.00", "3.000"), ("99.00", "1.000"))
    assert state(book) is BookState.LIVE


def test_a_level_that_cannot_be_read_makes_it_rebuild() -> None:
    book = live_book()
    assert not book.offer(update(11, 12, 10, bids=[("1e5", "1.000")]), 3)
    assert book.reason == "unreadable: '1e5' is not a plain decimal"
    assert reported(book) == [("resync", "unreadable")]
    assert book.bids(5) == []


def test_nothing_is_known_beyond_the_last_level_of_a_full_snapshot() -> None:
    book = live_book(limit=4)
    assert (book.lowest_known_bid, book.highest_known_ask) == ("97.00", "104.00")
    book.offer(update(11, 12, 10, bids=[("96.00", "1")], asks=[("104.50", "1")]), 0)
    assert (book.bids(9), book.asks(9)) == (BIDS, ASKS)
    book.offer(update(13, 14, 12, bids=[("97.00", "0")]), 0)
    assert (book.lowest_known_bid, book.bids(9)) == ("97", BIDS[:3])
    assert live_book(limit=5).lowest_known_bid is None, (
        "fewer levels than asked for are all there are"
    )


def test_a_shallow_book_wants_a_snapshot_and_stays_live() -> None:
    book = live_book(limit=8)
    book.ids_restarted(0)
    book.snapshot_requested(0)
    bids = [(f"{price}.00", "1.000") for price in range(100, 92, -1)]
    assert book.load(snapshot(20, bids), 0)
    assert book.lowest_known_bid == "93.00"
    book.take_notices()
    book.offer(update(21, 22, 20, bids=[(price, "0") for price, _ in bids[:7]]), 5000)
    assert (state(book), reported(book)) == (BookState.LIVE, [("resync", "too_shallow")])
    assert wants(book)
    book.snapshot_requested(5000)
    assert not wants(book)
    book.offer(update(24, 30, 22, bids=[("90.00", "3.000")]), 5010)
    assert book.bids(9) == bids[7:], "beyond its reach"
    low = [(f"{price}.00", "2.000") for price in range(93, 85, -1)]
    assert book.load(snapshot(25, low), 5020)
    assert (state(book), book.last_update_id, book.lowest_known_bid) == (
        BookState.LIVE,
        30,
        "86.00",
    )
    assert book.bids(4)[3] == ("90.00", "3.000")
    assert not wants(book)
    assert book.counters.snapshots_used == 3
    assert reported(book) == []


def test_a_refreshing_snapshot_waits_for_the_update_that_joins_it() -> None:
    book = live_book(limit=4)
    book.offer(update(11, 12, 10, bids=[(price, "0") for price, _ in BIDS[1:]]), 0)
    assert not wants(book), "one of four is enough"
    book.offer(update(13, 14, 12, bids=[("100.00", "0")]), 0)
    assert state(book) is BookState.SYNCING, "no bid is known, and there may be some"
    assert book.reason.startswith("out of depth")
    book.snapshot_requested(1000)
    low = [(f"{price}.00", "2.000") for price in range(93, 89, -1)]
    assert book.load(snapshot(20, low), 1010)
    assert state(book) is BookState.SYNCING
    assert not wants(book)
    assert book.offer(update(18, 22, 14, bids=[("93.00", "7.000")]), 1020)
    assert (state(book), book.best_bid) == (BookState.LIVE, ("93.00", "7.000"))


def test_a_refreshing_snapshot_that_is_too_old_leaves_the_book_as_it_is() -> None:
    book = live_book(limit=4)
    book.offer(update(11, 12, 10, bids=[(price, "0") for price, _ in BIDS]), 0)
    book.snapshot_requested(1000)
    book.offer(update(31, 40, 12, bids=[("99.00", "1.000")]), 1001)
    assert not book.load(snapshot(11), 1010)
    assert state(book) is BookState.LIVE
    assert (book.bids(9), book.counters.snapshots_unused) == ([("99.00", "1.000")], 1)


def test_a_side_that_grows_too_wide_forgets_its_worst_levels() -> None:
    book = live_book(limit=5)
    more = [(f"{100 + number / 100:.2f}", "1.000") for number in range(1, 30)]
    book.offer(update(11, 12, 10, bids=more), 0)
    assert len(book.bids(999)) == 5 * MAX_WIDTH // 2
    assert book.lowest_known_bid == book.bids(999)[-1][0]


def test_a_snapshot_that_was_not_requested_is_not_used() -> None:
    book = live_book()
    assert not book.load(snapshot(99, [("1.00", "1.000")]), 0)
    assert (book.best_bid, book.counters.snapshots_unused) == (BIDS[0], 1)


def test_the_oldest_notices_are_forgotten_at_the_bound() -> None:
    book = live_book()
    for number in range(1, 60):
        book.offer(update(100 * number, 100 * number, 100 * number - 1), 0)
        book.load(snapshot(100 * number), 0)
    assert len(book.take_notices()) == MAX_NOTICES


@pytest.mark.parametrize(
    ("bids", "asks", "missing"),
    [([], [], "no bids and no asks"), ([], None, "no bids"), (None, [], "no asks")],
)
def test_a_snapshot_without_levels_is_believed_when_the_next_lacks_them_too(
    bids: Texts | None, asks: Texts | None, missing: str
) -> None:
    book = LocalBook(SYMBOL)
    book.snapshot_requested(0)
    assert not book.load(snapshot(10, bids, asks), 5)
    assert book.state is BookState.SYNCING
    assert f"it has {missing};" in book.reason
    assert book.counters.snapshots_failed == 1
    assert (book.wants_snapshot, book.next_request_ms) == (True, 1_000)
    book.snapshot_requested(1_000)
    assert book.load(snapshot(11, bids, asks), 1_005)
    assert (book.state, book.reason) == (BookState.LIVE, "")


def test_a_snapshot_with_levels_after_one_without_is_used() -> None:
    book = LocalBook(SYMBOL)
    assert not book.load(snapshot(10, []), 0)
    assert book.load(snapshot(11), 1_000)
    assert book.best_bid == BIDS[0]
    book.updates_lost("disconnected", 2_000)
    book.updates_resumed(3_000)
    assert not book.load(snapshot(12, []), 9_000), "the one before it had bids"


def test_a_book_says_why_its_snapshot_was_not_used() -> None:
    book = LocalBook(SYMBOL)
    book.snapshot_requested(0)
    assert not book.load(snapshot(10, [("101.20", "1.000")]), 5)
    assert book.reason == "the snapshot cannot be used: crossed: bid 101.20 and ask 101.00"
    book.snapshot_requested(1_000)
    book.snapshot_failed(1_005)
    assert book.reason == "no snapshot yet"
    assert book.load(snapshot(10), 2_000)
    assert book.reason == ""
