from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from stage import snapshot, update

from tickerplant.events import Level
from tickerplant.market.book import MAX_PENDING_LEVELS, OrderBook

LEVELS = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=8, unique_by=lambda level: level[0]
)
QUESTIONS = st.sampled_from(["nothing", "best", "prices", "bid", "ask", "top", "depth"])
STEPS = st.lists(st.tuples(st.sampled_from(["apply", "apply", "apply", "load"]), LEVELS, LEVELS,
                           QUESTIONS, st.integers(0, 12)), max_size=25)  # fmt: skip


class NaiveBook:
    """Two dictionaries, sorted on every read."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    def load(self, bids: list[Level], asks: list[Level]) -> None:
        self.bids, self.asks = {}, {}
        self.apply(bids, asks)

    def apply(self, bids: list[Level], asks: list[Level]) -> None:
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, quantity in levels:
                side[price] = quantity
                if not quantity:
                    del side[price]

    def top(self, count: int) -> tuple[list[Level], list[Level]]:
        return (
            sorted(self.bids.items(), reverse=True)[:count],
            sorted(self.asks.items())[:count],
        )


def whole(book: OrderBook) -> tuple[list[Level], list[Level]]:
    return book.top(1 << 30)


@given(STEPS)
def test_a_book_equals_two_dictionaries_at_every_read(
    steps: list[tuple[str, list[Level], list[Level], str, int]],
) -> None:
    book, naive = OrderBook(), NaiveBook()
    for number, (act, bids, asks, question, count) in enumerate(steps):
        if act == "load":
            book.load(snapshot(number, bids, asks, time_ms=number))
            naive.load(bids, asks)
        else:
            book.apply(update(number - 1, number, bids, asks, time_ms=number))
            naive.apply(bids, asks)
        assert (book.last_update_id, book.transaction_time_ms) == (number, number)
        best_bids, best_asks = naive.top(1)
        if question == "best":
            assert book.best_bid == (best_bids[0] if best_bids else None)
            assert book.best_ask == (best_asks[0] if best_asks else None)
        elif question == "prices":
            assert book.best_prices == (
                max(naive.bids, default=None),
                min(naive.asks, default=None),
            )
        elif question == "bid":
            assert book.bid_quantity(count) == naive.bids.get(count, 0)
        elif question == "ask":
            assert book.ask_quantity(count) == naive.asks.get(count, 0)
        elif question == "top":
            assert book.top(count) == naive.top(count), f"the best {count} levels of each side"
        elif question == "depth":
            assert book.depth == len(naive.bids) + len(naive.asks)
    assert whole(book) == naive.top(1 << 30)


def test_the_later_of_two_quantities_of_one_update_holds() -> None:
    book = OrderBook()
    book.apply(update(0, 1, [(100, 5), (100, 7)], [(101, 5), (101, 0)]))
    assert whole(book) == ([(100, 7)], [])


def test_pending_levels_are_merged_at_their_bound() -> None:
    book, naive = OrderBook(), NaiveBook()
    for number in range(3 * MAX_PENDING_LEVELS):
        bids = [(number * 7919 % 100_003 + 1, number % 5)]
        book.apply(update(number, number + 1, bids, []))
        naive.apply([], [])
        naive.bids.update(bids)
        assert len(book._bids.pending) <= MAX_PENDING_LEVELS, "what waits must stay bounded"
    expected = sorted(((p, q) for p, q in naive.bids.items() if q), reverse=True)
    assert whole(book) == (expected, [])


def test_few_changes_of_a_deep_book_keep_its_order() -> None:
    levels = [(price, 1) for price in range(0, 2000, 2)]
    book = OrderBook()
    book.load(snapshot(1, levels, levels))
    book.apply(update(1, 2, [(7, 3), (8, 0), (10, 9)], [(1999, 1), (0, 0)]))
    bids = {**dict(levels), 7: 3, 10: 9}
    asks = {**dict(levels), 1999: 1}
    del bids[8], asks[0]
    assert whole(book) == (sorted(bids.items(), reverse=True), sorted(asks.items()))
