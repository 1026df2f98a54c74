"""Local books from real captures: their top is the recorded book ticker with the same id."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Raw, Struct
from msgspec.json import Decoder

from tickerplant.feed.audit import Audit
from tickerplant.feed.local_book import LocalBook
from tickerplant.feed.order_book import BookState
from tickerplant.messages.book import DepthSnapshot, DepthUpdate

BESIDE = Path(__file__).parents[2].parent
CAPTURES = [("ws-usdm-2021-04-05-cryptofeed", ("BINANCE_FUTURES-1125a2.0.gz",), 215)]
MORE = [
    ("ws-usdm-2024-08-hftbacktest", ("ethusdt_20240808.gz",), 551),
    ("ws-usdm-2023-04-hftbacktest", ("btcusdt_20230404.dat.gz", "btcusdt_20230405.dat.gz"), 1_565),
    ("ws-usdm-2024-08-hftbacktest", ("btcusdt_20240808.gz",), 629),
    ("ws-coinm-2024-08-hftbacktest", ("btcusd_perp_20240808.gz", "btcusd_perp_20240809.gz"), 1_885),
    ("ws-usdm-2024-07-hftbacktest", ("ethusdt_20240718.gz", "ethusdt_20240719.gz"), 834),
]
long = pytest.mark.slow("it reads a whole capture of an exchange")


class _Ticker(Struct):
    s: str
    u: int
    b: str
    B: str
    a: str
    A: str


class _Envelope(Struct):
    stream: str
    data: Raw


envelope = Decoder(_Envelope).decode
ticker = Decoder(_Ticker).decode
depth = Decoder(DepthUpdate).decode


def lines(folder: str, names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """What was received: the stream or the question, and the payload."""
    for name in names:
        path = next(BESIDE.glob(f"*/data/{folder}/{name}"), None)
        if path is None:
            pytest.skip("the captures are not beside the repository")
        with gzip.open(path) as file:
            for line in file:
                if b"@trade" in line[:60]:
                    continue
                before, brace, rest = line.partition(b"{")
                raw = brace + rest
                if raw.startswith(b'{"stream"'):
                    frame = envelope(raw)
                    yield frame.stream, bytes(frame.data)
                elif b"lastUpdateId" in raw[:20]:
                    yield f"depth {before.decode()}", raw


class Books(dict[str, LocalBook]):
    """The books of a capture by symbol."""

    def __missing__(self, symbol: str) -> LocalBook:
        return self.setdefault(symbol, LocalBook(symbol))


def replay(folder: str, names: tuple[str, ...]) -> Iterator[tuple[LocalBook, str, bytes, int]]:
    """The captured books, as each thing is received that is about them; an update with its id."""
    books = Books()
    for now_ms, (subject, payload) in enumerate(lines(folder, names)):
        update_id = 0
        if "@depth@" in subject:
            update = depth(payload)
            update_id = update.final_update_id
            book = books[update.symbol]
            book.offer(update, now_ms)
        elif subject.startswith("depth "):
            in_address = subject.partition("symbol=")[2].partition("&")[0]
            book = books[in_address or next(iter(books))]
            book.snapshot_requested(now_ms)
            book.load(payload, now_ms)
        elif subject.endswith("@bookTicker"):
            book = books[subject.partition("@")[0].upper()]
        else:
            continue
        yield book, subject, payload, update_id


def number(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


@pytest.mark.parametrize(
    ("folder", "names", "compared"),
    [*CAPTURES, *(pytest.param(*each, marks=long) for each in MORE)],
)
def test_the_top_of_a_local_book_is_the_recorded_book_ticker(
    folder: str, names: tuple[str, ...], compared: int
) -> None:
    tops: dict[tuple[str, int], tuple[str, ...]] = {}
    tickers: dict[tuple[str, int], tuple[str, ...]] = {}
    books: dict[str, LocalBook] = {}
    beyond: set[tuple[str, int]] = set()
    for book, subject, payload, update_id in replay(folder, names):
        books[book.symbol] = book
        if subject.endswith("@bookTicker"):
            sent = ticker(payload)
            tickers[sent.s, sent.u] = sent.b, sent.B, sent.a, sent.A
        elif update_id != book.last_update_id:
            continue  # a snapshot, or an update that waits for one or is older
        elif book.reason.startswith("out of depth"):
            beyond.add((book.symbol, book.last_update_id))
        elif book.state is BookState.LIVE and book.best_bid and book.best_ask:
            tops[book.symbol, book.last_update_id] = (*book.best_bid, *book.best_ask)
    for book in books.values():
        assert (book.counters.gaps, book.counters.snapshots_used) == (0, 1), book
        assert book.state is BookState.LIVE
    both = tops.keys() & tickers.keys()
    wrong = [key for key in both if list(map(number, tops[key])) != list(map(number, tickers[key]))]
    assert wrong == [], "the top of the book is the book ticker with the same update id"
    assert len(both) + len(beyond & tickers.keys()) == compared, (
        "a book that says nothing had lost every level that its one snapshot told"
    )
    if not any(book.counters.resyncs for book in books.values()):
        assert not beyond


@pytest.mark.heavy
def test_a_real_book_is_compared_a_thousand_updates_later() -> None:
    """What it was when the audit began is compared, whatever the updates since have made of it."""
    folder, names, _ = MORE[0]
    audit: Audit | None = None
    same: DepthSnapshot | None = None
    for book, *_ in replay(folder, names):
        if audit is None and book.state is BookState.LIVE:
            audit = Audit(book)
            assert audit.begin()
            same = DepthSnapshot(
                last_update_id=book.last_update_id, bids=book.bids(1000), asks=book.asks(1000)
            )
        elif audit is not None and book.counters.applied == 1000:
            assert same is not None
            result = audit.take(same, 0)
            assert result is not None
            assert (result.score, result.in_flux) == (1.0, 0)
            assert result.compared > 1000
            return
    pytest.fail("the capture ended before")
