"""The order books of a recording, as of each of its messages."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from archived import START_NS, TRADE, line_of, recording
from blocks import line_file
from book_model import SYMBOL, TrueBook, within
from hypothesis import example, given
from hypothesis import strategies as st

from tickerplant import BookState, open_recording
from tickerplant.feed.order_book import OrderBook
from tickerplant.messages import DepthSnapshot, DepthUpdate, Trade
from tickerplant.messages.book import requested_levels
from tickerplant.recording.line import Line
from tickerplant.recording.manifest_entries import (
    MANIFEST,
    SnapshotRecorded,
    encode_entry,
)

STREAM = "btcusdt@depth@100ms"
SLOWER = "btcusdt@depth@500ms"
SECOND_NS = 1_000_000_000


class Tape:
    """Lines of one market, a tenth of a second after each other."""

    def __init__(self, true: TrueBook | None = None) -> None:
        self.true = true or TrueBook(1)
        self.lines: list[Line] = []

    @property
    def now_ns(self) -> int:
        return START_NS + len(self.lines) * SECOND_NS // 10

    def play(self, script: str) -> Tape:
        """Let something happen for each letter: update, lost update, snapshot, trade, ETHUSDT trade."""
        for each in script:
            match each:
                case "u":
                    self.update()
                case "l":
                    self.lost()
                case "s":
                    self.snapshot()
                case _:
                    self.trade(SYMBOL if each == "t" else "ETHUSDT")
        return self

    def trade(self, symbol: str = SYMBOL) -> None:
        stream = f"{symbol.lower()}@trade"
        self.lines.append(line_of(stream, TRADE | {"s": symbol}, self.now_ns))

    def update(self, stream: str = STREAM) -> DepthUpdate:
        """Record the next update."""
        update = self.lost()
        self.add(update, stream)
        return update

    def add(self, update: DepthUpdate, stream: str = STREAM) -> None:
        ours = {":stream", ":payload", ":received", ":backfilled"}
        payload = {
            key: value for key, value in msgspec.to_builtins(update).items() if key not in ours
        }
        self.lines.append(line_of(stream, payload, self.now_ns))

    def lost(self) -> DepthUpdate:
        """Return the next update without recording it."""
        self.true.change()
        update = self.true.flush()
        assert update is not None
        return update

    def snapshot(self, limit: int = 1000) -> None:
        address = f"http://127.0.0.1/fapi/v1/depth?symbol={SYMBOL}&limit={limit}"
        self.lines.append((self.now_ns, f"{address} ".encode() + self.true.snapshot(limit)))

    def path(self, folder: Path) -> str:
        return line_file(folder / "tape.jsonl", self.lines)


def states(path: str, **selected: Any) -> list[str]:
    """Return kind of message, and state of the book, of each message."""
    found = []
    for message, books in open_recording(path, **selected).with_books():
        book = books.get(SYMBOL)
        found.append(f"{type(message).__name__} {book.state if book else None}")
    return found


def assert_true(book: OrderBook, true: TrueBook) -> None:
    bids, asks = true.at(book.update_id)
    copied = book.copy()
    assert copied.bids(9_999) == within(bids, book.lowest_known_bid, 1)
    assert copied.asks(9_999) == within(asks, book.highest_known_ask, -1)


def test_a_book_is_joined_to_the_snapshot_and_follows_the_updates(tmp_path: Path) -> None:
    tape = Tape().play("tutst")
    last = tape.update()
    tape.trade()
    path = tape.path(tmp_path)
    assert states(path) == [
        "Trade syncing",
        "DepthUpdate syncing",
        "Trade syncing",
        "Trade live",
        "DepthUpdate live",
        "Trade live",
    ]
    *_, (message, books) = open_recording(path).with_books()
    book = books["btcusdt"]
    assert isinstance(message, Trade)
    assert (book.update_id, book.event_time_ms, book.age_ms) == (
        last.final_update_id,
        last.event_time_ms,
        100,
    )
    assert_true(book, tape.true)


def test_the_mapping_and_its_books_are_the_same_for_each_message(tmp_path: Path) -> None:
    tape = Tape().play("ue" * 3)
    path = tape.path(tmp_path)
    read = list(open_recording(path).with_books())
    assert len({id(books) for _, books in read}) == 1
    books = read[-1][1]
    assert list(books) == [SYMBOL], "ETHUSDT has no depth updates"
    assert books[SYMBOL] is books.get("btcusdt")
    assert "ETHUSDT" not in books
    with pytest.raises(KeyError, match="no book of ETHUSDT; there are books of BTCUSDT"):
        books["ETHUSDT"]
    assert [message.received_ns for message, _ in read] == [
        message.received_ns for message in open_recording(path)
    ]


def test_a_gap_makes_a_book_syncing_until_the_next_snapshot(tmp_path: Path) -> None:
    tape = Tape().play("sultutst")
    read = [
        (book.state, book.reason)
        for message, books in open_recording(tape.path(tmp_path)).with_books()
        for book in books.values()
        if isinstance(message, Trade)
    ]
    assert [state for state, _ in read] == ["live", "syncing", "live"]
    assert read[1][1].startswith("a gap after u=")
    assert states(tape.path(tmp_path))[-1] == "Trade live"


def test_only_messages_with_a_live_book_if_wanted(tmp_path: Path) -> None:
    tape = Tape().play("utste")
    read = list(open_recording(tape.path(tmp_path)).with_books(live_only=True))
    assert [(message.symbol, books[SYMBOL].is_live) for message, books in read] == [(SYMBOL, True)]


def test_streams_select_messages_and_not_what_books_are_made_of(tmp_path: Path) -> None:
    tape = Tape().play("sut")
    assert states(tape.path(tmp_path), streams=["btcusdt@trade"]) == ["Trade live"]
    folder = recording(tmp_path / "folder", tape.lines)
    assert states(folder, streams=["btcusdt@trade"]) == ["Trade live"]
    assert states(folder, symbols=[SYMBOL]) == ["DepthUpdate live", "Trade live"]


def test_what_a_manifest_lists_has_a_book_from_the_first_message(tmp_path: Path) -> None:
    tape = Tape().play("tu")
    assert states(recording(tmp_path / "folder", tape.lines))[0] == "Trade syncing"


def test_a_selected_symbol_has_a_book_that_is_syncing_from_the_beginning(tmp_path: Path) -> None:
    tape = Tape().play("et")
    path = tape.path(tmp_path)
    read = [
        (books["ETHUSDT"].state, books["ETHUSDT"].reason, books["ETHUSDT"].mid)
        for _, books in open_recording(path, symbols=["ethusdt"]).with_books()
    ]
    assert read == [("syncing", "no snapshot yet", None)], "no depth was recorded of it"


@pytest.mark.parametrize("has_manifest", [True, False])
@pytest.mark.parametrize("says_symbol", [True, False])
def test_a_snapshot_before_the_first_update_is_used(
    tmp_path: Path, says_symbol: bool, has_manifest: bool
) -> None:
    """Some collectors request the snapshot first, and keep the response without its address."""
    tape = Tape().play("ts")
    if not says_symbol:
        tape.lines[-1] = tape.now_ns, tape.lines[-1][1].partition(b" ")[2]
    tape.play("tut")
    path = recording(tmp_path / "f", tape.lines) if has_manifest else tape.path(tmp_path)
    assert states(path) == ["Trade syncing", "Trade live", "DepthUpdate live", "Trade live"]
    assert [each.symbol for each in open_recording(path).snapshots()] == [SYMBOL]
    rows = open_recording(path).arrow("depth_updates", numbers="text").to_pydict()
    assert set(rows["symbol"]) == {SYMBOL}
    assert None in rows["stream"], f"a snapshot among {set(rows['stream'])}"
    for message, books in open_recording(path).with_books():
        if isinstance(message, Trade):
            assert books[message.symbol].mid is not None or books[message.symbol].reason


def test_other_books_of_a_symbol_are_not_mixed_in(tmp_path: Path) -> None:
    tape = Tape().play("s")
    update = tape.update()
    for stream in ("btcusdt@depth20@100ms", "btcusdt@rpiDepth@500ms"):
        tape.add(msgspec.structs.replace(update, bids=[("1.00", "9")]), stream)
    tape.trade()
    *_, (_, books) = open_recording(tape.path(tmp_path)).with_books()
    assert_true(books[SYMBOL], tape.true)


@pytest.mark.parametrize("has_manifest", [True, False])
def test_books_are_in_sync_at_the_start_of_a_selection(tmp_path: Path, has_manifest: bool) -> None:
    tape = Tape().play("u" * 300)
    snapshot_ns = tape.now_ns
    tape.play("s" + "u" * 300)
    start_ns = tape.now_ns
    tape.play("ttt")
    if has_manifest:
        path = recording(tmp_path / "folder", tape.lines)
        entry = SnapshotRecorded(
            time_ns=snapshot_ns, symbol=SYMBOL, last_update_id=tape.true.last_id, levels=1000
        )
        with (tmp_path / "folder" / MANIFEST).open("ab") as manifest:
            manifest.write(encode_entry(entry) + b"\n")
    else:
        path = tape.path(tmp_path)
    assert states(path, start=start_ns) == ["Trade live"] * 3
    assert states(path, start=start_ns, end=start_ns + 1) == ["Trade live"]


def test_a_snapshot_of_few_levels_says_how_far_the_book_is_known(tmp_path: Path) -> None:
    tape = Tape()
    tape.snapshot(limit=20)
    tape.play("ut")
    *_, (_, books) = open_recording(tape.path(tmp_path)).with_books()
    book = books[SYMBOL]
    assert book.lowest_known_bid is not None
    assert book.highest_known_ask is not None
    assert_true(book, tape.true)


@pytest.mark.parametrize(
    ("bids", "asks", "limit"), [(0, 0, 5), (5, 3, 5), (6, 1, 10), (700, 20, 1000), (1500, 9, 1500)]
)
def test_the_limit_of_a_snapshot_is_the_smallest_that_fits(
    bids: int, asks: int, limit: int
) -> None:
    level = ("1", "1")
    snapshot = DepthSnapshot(last_update_id=1, bids=[level] * bids, asks=[level] * asks)
    assert requested_levels(snapshot) == limit


def test_a_shallow_book_is_deepened_by_the_next_snapshot(tmp_path: Path) -> None:
    tape = Tape(TrueBook(1, width=300))
    tape.snapshot(limit=20)
    tape.update()
    tape.snapshot(limit=1000)
    tape.play("uu")
    *_, (_, books) = open_recording(tape.path(tmp_path)).with_books()
    book = books[SYMBOL]
    assert book.lowest_known_bid is None
    assert_true(book, tape.true)


def test_the_fastest_stream_is_followed_that_is_in_sync(tmp_path: Path) -> None:
    """Both speeds carry the same changes here; each has a chain of its own."""
    tape = Tape().play("s")
    opened = tape.true.last_id
    first = tape.lost()
    tape.add(first, SLOWER)
    tape.add(first, STREAM)
    second = tape.lost()
    tape.add(second, SLOWER)  # of the faster stream it is missing
    third = tape.lost()
    tape.add(third, STREAM)
    tape.add(third, SLOWER)
    tape.snapshot()
    fourth = tape.lost()
    tape.add(fourth, STREAM)
    seen = []
    for message, books in open_recording(tape.path(tmp_path)).with_books():
        book = books[SYMBOL]
        seen.append((message.stream, book.state, book.update_id))
        assert_true(book, tape.true)
    one, two, three, four = (each.final_update_id for each in (first, second, third, fourth))
    assert seen == [
        (SLOWER, BookState.LIVE, opened),
        (STREAM, BookState.LIVE, one),
        (SLOWER, BookState.LIVE, one),
        (STREAM, BookState.LIVE, two),
        (SLOWER, BookState.LIVE, three),
        (STREAM, BookState.LIVE, four),
    ]


@given(st.integers(0, 1 << 30), st.booleans())
@example(seed=31_706_712, gapless=False)  # a loss while a side is out of depth, then a snapshot
def test_each_book_equals_the_true_one_whatever_is_missing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, gapless: bool
) -> None:
    random = Random(seed)
    tape = Tape(TrueBook(seed, gapless=gapless))
    is_complete: list[bool] = []
    """Whether every update since the last snapshot was recorded, by message that is yielded."""
    complete = False
    for _ in range(random.randint(5, 60)):
        what = random.random()
        if what < 0.1:
            tape.snapshot(random.choice([5, 1000]))
            complete = True
        elif what < 0.2:
            tape.lost()
            complete = False
        else:
            if what < 0.6:
                tape.update()
            else:
                tape.trade()
            is_complete.append(complete)
    path = tape.path(tmp_path_factory.mktemp("tape"))
    read = 0
    was_update = False
    for message, books in open_recording(path).with_books():
        book = books.get(SYMBOL)
        was_update = isinstance(message, DepthUpdate)
        if book is not None:
            assert_true(book, tape.true)
            if is_complete[read] and was_update:
                assert book.is_live or book.reason.startswith("out of depth"), book.reason
            if was_update and book.is_live:
                assert message.final_update_id == book.update_id  # type: ignore[attr-defined]
        read += 1
    assert read == len(is_complete)


def test_a_selection_may_end_where_a_block_begins(tmp_path: Path) -> None:
    lines = [line_of("btcusdt@trade", TRADE, START_NS + number) for number in range(250)]
    path = recording(tmp_path / "tape", lines)
    for end_ns, messages in ((START_NS + 100, 100), (START_NS + 101, 101), (START_NS + 1, 1)):
        selected = open_recording(path, end=end_ns)
        assert len(list(selected.with_books())) == len(list(selected)) == messages
    later = open_recording(path, start=START_NS + 100, end=START_NS + 200)
    assert len(list(later.with_books())) == 100
