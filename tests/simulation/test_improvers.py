"""RPI makers and retail takers in the simulated market, from what it tells."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from tickerplant.events import (
    BookSnapshot,
    BookTicker,
    DepthUpdate,
    Event,
    RetailUpdate,
    Trade,
)
from tickerplant.instrument import Instrument
from tickerplant.market.book import OrderBook
from tickerplant.market.retail import RetailBook
from tickerplant.simulation.agenda import Agenda
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.improvers import LEVELS, Improvers
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.pit import Pit
from tickerplant.simulation.sizes import Sizes
from tickerplant.simulation.temper import temper

START_MS = 1_780_000_000_000
SYMBOLS = ("BTCUSDT", "DOGEUSDT", "BTCUSDT_260626", "BTCUSD_PERP")
SEEDS = (3, 4)


def opened(seed: int) -> tuple[SimulatedExchange, dict[str, list[Event]]]:
    """Return an exchange and the books and RPI orders its contracts open with."""
    exchange = SimulatedExchange(instruments(START_MS, SYMBOLS), seed, START_MS)
    openings: dict[str, list[Event]] = {}
    for symbol, listing in exchange._listings.items():
        snapshot = next(e for e in exchange.opening(symbol) if isinstance(e, BookSnapshot))
        retail = listing.crowd.retail_opening()
        openings[symbol] = [snapshot] if retail is None else [snapshot, retail]
    return exchange, openings


def minute(exchange: SimulatedExchange) -> list[Event]:
    events: list[Event] = []
    while exchange.next_time_ms < START_MS + 60_000:
        events += exchange.step()[1]
    return events


@pytest.fixture(scope="module")
def traded() -> list[tuple[SimulatedExchange, dict[str, list[Event]], list[Event]]]:
    made = [opened(seed) for seed in SEEDS]
    return [(exchange, openings, minute(exchange)) for exchange, openings in made]


class Kept:
    """What a listener keeps of one contract."""

    def __init__(self, opening: list[Event]) -> None:
        self.book, self.retail = OrderBook(), RetailBook()
        self.id = 0
        for event in opening:
            if isinstance(event, BookSnapshot):
                self.book.load(event)
                self.id = event.last_update_id
            elif isinstance(event, RetailUpdate):
                self.retail.apply(event)

    def apply(self, event: Event) -> None:
        if isinstance(event, DepthUpdate):
            assert event.previous_update_id == self.book.last_update_id
            assert event.final_update_id > self.id, "ids rise over both kinds of change"
            self.id = event.final_update_id
            self.book.apply(event)
        elif isinstance(event, RetailUpdate):
            assert event.update_id > self.id, "ids rise over both kinds of change"
            assert event.update_id % 2 == 0, "odd ids are reserved for snapshots"
            self.id = event.update_id
            self.retail.apply(event)


Traded = list[tuple[SimulatedExchange, dict[str, list[Event]], list[Event]]]


def test_both_books_kept_from_events_are_the_pits(traded: Traded) -> None:
    for exchange, openings, events in traded:
        kept = {symbol: Kept(opening) for symbol, opening in openings.items()}
        for event in events:
            if isinstance(event, DepthUpdate | RetailUpdate):
                kept[event.symbol].apply(event)
        for symbol, each in kept.items():
            pit = exchange._listings[symbol].pit
            assert each.book.top(10**6) == (pit.engine.bids.top(10**6), pit.engine.asks.top(10**6))
            if pit.retail is not None:
                assert each.retail.bids == dict(pit.retail.bids.levels())
                assert each.retail.asks == dict(pit.retail.asks.levels())
                assert 0 < len(each.retail.bids) <= LEVELS
                assert min(*each.retail.bids.values(), *each.retail.asks.values()) > 0


def test_a_retail_trade_is_at_or_better_than_the_book_it_leaves(traded: Traded) -> None:
    """The book has lost by then what it had at better prices, in the same order."""
    for _, openings, events in traded:
        kept = {symbol: Kept(opening) for symbol, opening in openings.items()}
        waiting: dict[str, Trade] = {}
        checked = inside = 0
        for event in events:
            if isinstance(event, Trade) and event.retail:
                waiting[event.symbol] = event
            elif isinstance(event, DepthUpdate | RetailUpdate):
                kept[event.symbol].apply(event)
            if isinstance(event, RetailUpdate) and event.symbol in waiting:
                trade, book = waiting.pop(event.symbol), kept[event.symbol].book
                bid, ask = book.best_bid, book.best_ask
                assert bid is not None
                assert ask is not None
                if trade.buyer_is_maker:
                    assert trade.price >= bid[0]
                    inside += trade.price > bid[0]
                else:
                    assert trade.price <= ask[0]
                    inside += trade.price < ask[0]
                checked += 1
        assert checked > 10
        assert inside, "some got a better price than the book had"


def test_the_order_that_met_rpi_orders_is_followed_by_what_is_left_of_them(traded: Traded) -> None:
    for _, _, events in traded:
        open_since: dict[str, int] = {}
        for event in events:
            if isinstance(event, Trade) and event.retail:
                open_since[event.symbol] = event.trade_time_ms
            elif isinstance(event, RetailUpdate):
                open_since.pop(event.symbol, None)
            elif isinstance(event, BookTicker | DepthUpdate) and event.symbol in open_since:
                assert event.transaction_time_ms == open_since[event.symbol]
        assert not open_since


def test_in_a_minute_a_part_of_what_is_traded_is_traded_with_rpi_orders(traded: Traded) -> None:
    for _, _, events in traded:
        trades = [each for each in events if isinstance(each, Trade) and each.symbol == "BTCUSDT"]
        volume = sum(each.quantity for each in trades)
        retail = sum(each.quantity for each in trades if each.retail)
        assert 0.0005 < retail / volume < 0.2
        assert 0.002 < sum(each.retail for each in trades) / len(trades) < 0.2


def test_the_book_moves_through_rpi_orders_which_are_then_hidden(traded: Traded) -> None:
    _, openings, events = traded[0]
    kept = Kept(openings["BTCUSDT"])
    crossed = looks = met_ms = 0
    for event in events:
        if event.symbol != "BTCUSDT":
            continue
        if isinstance(event, Trade) and event.retail:
            met_ms = event.trade_time_ms
        elif isinstance(event, DepthUpdate | RetailUpdate):
            kept.apply(event)
            if isinstance(event, RetailUpdate):
                if event.transaction_time_ms == met_ms:
                    continue  # a taker's, not a look
                looks += 1
                assert kept.retail.shown(kept.book) == (kept.retail.bids, kept.retail.asks)
                assert kept.retail.bids
                assert kept.retail.asks
            elif kept.retail.shown(kept.book) != (kept.retail.bids, kept.retail.asks):
                crossed += 1
    assert looks > 30
    assert crossed > 30


def test_rpi_orders_are_a_small_part_of_what_is_told(traded: Traded) -> None:
    for _, _, events in traded:
        levels = {DepthUpdate: 0, RetailUpdate: 0}
        for event in events:
            if isinstance(event, DepthUpdate | RetailUpdate):
                levels[type(event)] += len(event.bids) + len(event.asks)
        assert 0.001 < levels[RetailUpdate] / levels[DepthUpdate] < 0.05


def test_only_perpetual_contracts_of_the_venue_that_has_them_have_rpi_orders(
    traded: Traded,
) -> None:
    for exchange, openings, events in traded:
        told = {each.symbol for each in events if isinstance(each, RetailUpdate)}
        assert told == {"BTCUSDT", "DOGEUSDT"}
        assert {each.symbol for each in events if isinstance(each, Trade) and each.retail} <= told
        assert {symbol for symbol, opening in openings.items() if len(opening) == 2} == told
        assert exchange._listings["BTCUSD_PERP"].crowd.retail_opening() is None


def test_the_opening_orders_have_ids_before_the_opening_book(traded: Traded) -> None:
    for _, openings, _ in traded:
        snapshot, retail = openings["BTCUSDT"]
        assert isinstance(snapshot, BookSnapshot)
        assert isinstance(retail, RetailUpdate)
        assert 0 < retail.update_id < snapshot.last_update_id
        assert retail.bids
        assert retail.asks
        assert retail.bids[0][0] <= snapshot.bids[0][0] < snapshot.asks[0][0] <= retail.asks[0][0]


def test_the_same_seed_gives_the_same_rpi_orders(traded: Traded) -> None:
    def told(events: list[Event]) -> list[bytes]:
        return [msgspec.json.encode(each) for each in events if isinstance(each, RetailUpdate)]

    again = minute(opened(SEEDS[0])[0])
    assert told(again) == told(traded[0][2])
    assert told(traded[1][2]) != told(again)


# One pit


def stand(spread_ticks: int = 1) -> tuple[Pit, Improvers, list[Event], Agenda]:
    instrument: Instrument = instruments(START_MS, ["BTCUSDT"])[0]
    tape: list[Event] = []
    agenda = Agenda(START_MS)
    pit = Pit(instrument, agenda, tape, 0, 1)
    assert pit.retail is not None
    sizes = Sizes(Random(2), instrument, temper(instrument))
    improvers = Improvers(Random(5), pit, pit.retail, sizes, 85.0)
    ask = 6_500_000 + spread_ticks * instrument.tick_size
    improvers.open(6_500_000, ask)
    pit.open([(6_500_000, 100), (6_499_000, 100)], [(ask, 100), (6_501_000, 100)], 6_500_000)
    return pit, improvers, tape, agenda


def test_a_maker_never_quotes_where_it_would_trade_with_the_book() -> None:
    pit, improvers, _, _ = stand(spread_ticks=5)
    assert pit.retail is not None
    for _ in range(200):
        improvers.look()
        bid, ask = pit.engine.bids.best, pit.engine.asks.best
        assert bid is not None
        assert ask is not None
        bids, asks = pit.retail.bids.levels(), pit.retail.asks.levels()
        assert bid[0] <= bids[0][0] < ask[0], "at the best price or better"
        assert bid[0] < asks[0][0] <= ask[0]
        assert len(bids) <= LEVELS
        pit.take_retail(buy=True, quantity=2, price=ask[0])
        pit.engine.post(False, ask[0], 2)


def test_orders_the_book_moved_through_stay_until_the_maker_looks() -> None:
    pit, improvers, tape, agenda = stand()
    assert pit.retail is not None
    before = pit.retail.asks.levels()
    pit.engine.withdraw(False, 6_500_010, 100)
    pit.engine.post(True, 6_500_500, 50)
    pit.flush()
    improvers.react()
    improvers.react()
    assert pit.retail.asks.levels() == before
    waiting = agenda.next_time_ms - START_MS
    assert waiting >= 90
    agenda.step()
    assert isinstance(tape[-1], RetailUpdate)
    assert tape[-1].transaction_time_ms == START_MS + waiting
    assert all(price > 6_500_500 for price, _ in pit.retail.asks.levels())
    assert not agenda._entries, "two moves are one look"


def test_retail_takers_get_the_better_price_and_others_do_not() -> None:
    pit, _, tape, _ = stand()
    assert pit.retail is not None
    price, quantity = pit.retail.asks.levels()[0]
    pit.engine.withdraw(False, 6_500_010, 100)
    pit.engine.post(True, 6_500_500, 50)
    pit.flush()
    tape.clear()
    assert [fill[1] for fill in pit.take(True, 1, 6_501_000)] == [6_501_000]
    assert [fill[1] for fill in pit.take_retail(True, 1, 6_501_000)] == [price]
    assert [(each.price, each.retail) for each in tape if isinstance(each, Trade)] == [
        (6_501_000, False),
        (price, True),
    ]
    pit.flush()
    pit.flush_retail()
    last = tape[-1]
    assert isinstance(last, RetailUpdate)
    assert last.asks == [(price, quantity - 1)]
