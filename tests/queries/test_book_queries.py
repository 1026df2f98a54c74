"""Books and best prices are the result of the published changes."""

from __future__ import annotations

from typing import Any, NamedTuple

from coverage_of import covers
from exact import exact
from hypothesis import given
from hypothesis import strategies as st
from request_markets import INVERSE, LINEAR, SECOND, START_MS, call, get
from stage import BTCUSD_260626, open_plant, quote, snapshot, update

from tickerplant.events import Level
from tickerplant.instrument import Instrument
from tickerplant.market.markets import Markets
from tickerplant.queries.depth import LIMITS

VENUES = ((LINEAR, SECOND), (INVERSE, BTCUSD_260626))
FIRST_ID = 1000


class Change(NamedTuple):
    """A change of one of the two books, `gap_ms` after the previous one."""

    place: int
    gap_ms: int
    bids: list[Level]
    asks: list[Level]


def side(first: int, last: int, least: int = 0) -> st.SearchStrategy[list[Level]]:
    """Levels of a side; quantity 0 removes one, where `least` allows it."""
    level = st.tuples(st.integers(first, last), st.integers(least, 400))
    return st.lists(level, min_size=least, max_size=12, unique_by=lambda each: each[0])


openings = st.tuples(side(60, 99, least=1), side(100, 140, least=1))
changes = st.lists(
    st.builds(Change, st.integers(0, 1), st.integers(0, 90), side(60, 99), side(100, 140)),
    max_size=12,
)


class Book:
    """A book as a client would keep it: quantities by price, and the last best prices."""

    def __init__(self, instrument: Instrument, bids: list[Level], asks: list[Level]) -> None:
        self.instrument = instrument
        self.last_id = FIRST_ID
        self.time_ms = START_MS
        self.bids, self.asks = dict(bids), dict(asks)
        self.best = self.best_now()

    def take(self, change: Change, now_ms: int) -> None:
        self.last_id += 2
        self.time_ms = now_ms
        for levels, changed in ((self.bids, change.bids), (self.asks, change.asks)):
            levels.update(changed)
        self.bids = {price: quantity for price, quantity in self.bids.items() if quantity}
        self.asks = {price: quantity for price, quantity in self.asks.items() if quantity}

    def best_now(self) -> tuple[int, Level, Level, int]:
        bid, ask = max(self.bids), min(self.asks)
        return self.last_id, (bid, self.bids[bid]), (ask, self.asks[ask]), self.time_ms

    def printed(self, levels: list[Level]) -> list[list[str]]:
        price, quantity = self.instrument.price.decimals, self.instrument.quantity.decimals
        return [[exact(each[0], price), exact(each[1], quantity)] for each in levels]


def played(
    instruments: tuple[Instrument, ...],
    opening: tuple[list[Level], list[Level]],
    tape: list[Change],
) -> tuple[Markets, list[Book]]:
    """Return markets that received `tape`, and the books that a client would have."""
    plant = open_plant(instruments, start_ms=START_MS)
    books = [Book(each, *opening) for each in instruments]
    for book in books:
        bids, asks = sorted(book.bids.items(), reverse=True), sorted(book.asks.items())
        plant.publish(snapshot(FIRST_ID, bids, asks, START_MS, book.instrument.symbol))
        plant.publish(quote(*book.best, book.instrument.symbol))
    for change in tape:
        plant.advance(plant.now_ms + change.gap_ms)
        book, symbol = books[change.place], instruments[change.place].symbol
        before = book.last_id
        book.take(change, plant.now_ms)
        levels = change.bids, change.asks
        plant.publish(update(before, book.last_id, *levels, plant.now_ms, symbol))
        if book.bids and book.asks and book.best_now()[1:3] != book.best[1:3]:
            book.best = book.best_now()
            plant.publish(quote(*book.best, symbol))
    return plant.venues[instruments[0].venue.name], books


@covers("/v1/depth", "depth")
@given(opening=openings, tape=changes, limit=st.none() | st.sampled_from(LIMITS))
def test_depth_is_what_the_changes_left(
    opening: tuple[list[Level], list[Level]], tape: list[Change], limit: int | None
) -> None:
    for instruments in VENUES:
        markets, books = played(instruments, opening, tape)
        for book in books:
            symbol, most = book.instrument.symbol, limit or 500
            response: Any = get(markets, "/v1/depth", symbol=symbol, limit=limit)
            assert response["bids"] == book.printed(sorted(book.bids.items(), reverse=True)[:most])
            assert response["asks"] == book.printed(sorted(book.asks.items())[:most])
            assert response["lastUpdateId"] == book.last_id + 1, "which no change ever has"
            assert (response["E"], response["T"]) == (markets.now_ms, book.time_ms)
            if markets.venue.inverse:
                assert (response["symbol"], response["pair"]) == (symbol, "BTCUSD")
            else:
                assert call(markets, "depth", symbol=symbol, limit=limit) == response


@covers("/v1/ticker/bookTicker", "ticker.book")
@given(opening=openings, tape=changes)
def test_the_best_prices_are_the_last_there_were(
    opening: tuple[list[Level], list[Level]], tape: list[Change]
) -> None:
    for instruments in VENUES:
        markets, books = played(instruments, opening, tape)
        rows = [best(book) for book in books]
        if markets.venue.inverse:
            assert get(markets, "/v1/ticker/bookTicker") == rows
            assert get(markets, "/v1/ticker/bookTicker", symbol=rows[1]["symbol"]) == rows[1:]
            continue
        assert call(markets, "ticker.book") == rows
        assert call(markets, "ticker.book", symbol=rows[1]["symbol"]) == rows[1]
        for row in rows:
            del row["lastUpdateId"]
        assert get(markets, "/v1/ticker/bookTicker") == rows
        assert get(markets, "/v1/ticker/bookTicker", symbol=rows[1]["symbol"]) == rows[1]


def best(book: Book) -> dict[str, Any]:
    """The response with the fields of every venue."""
    update_id, bid, ask, time_ms = book.best
    ((bid_price, bid_quantity), (ask_price, ask_quantity)) = book.printed([bid, ask])
    instrument = book.instrument
    return {
        "lastUpdateId": update_id,
        "symbol": instrument.symbol,
        **({"pair": instrument.pair} if instrument.venue.inverse else {}),
        "bidPrice": bid_price,
        "bidQty": bid_quantity,
        "askPrice": ask_price,
        "askQty": ask_quantity,
        "time": time_ms,
    }
