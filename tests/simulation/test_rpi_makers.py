"""RPI makers and retail takers in the events of the simulated market."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from tickerplant.events import BookSnapshot, DepthUpdate, Event, RpiUpdate, Trade
from tickerplant.instrument import Instrument
from tickerplant.market.book import OrderBook, RpiBook
from tickerplant.simulation.agents import Agents
from tickerplant.simulation.contract_market import ContractMarket
from tickerplant.simulation.contract_profile import contract_profile
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.order_sizes import OrderSizes
from tickerplant.simulation.rpi_makers import LEVELS, RpiMakers
from tickerplant.simulation.scheduler import Scheduler
from tickerplant.simulation.takers import Takers
from tickerplant.simulation.valuation import FairValue, LeaderValuation, News

START_MS = 1_780_000_000_000
SYMBOLS = ("BTCUSDT", "DOGEUSDT", "BTCUSDT_260626", "BTCUSD_PERP")
SEED = 3
SECONDS = 15


class Traded(Struct):
    """One contract, its opening and its events."""

    market: ContractMarket
    retail: RpiUpdate | None
    book: BookSnapshot
    events: list[Event]

    def kept(self) -> Kept:
        return Kept(self.book, self.retail)


def trade(symbol: str, seed: int, seconds: int = SECONDS) -> Traded:
    """Let agents trade one contract, with news of its coin."""
    instrument = instruments(START_MS, [symbol])[0]
    tape: list[Event] = []
    scheduler, profile = Scheduler(START_MS), contract_profile(instrument)
    market = ContractMarket(instrument, scheduler, tape, 1000, 1)
    value = FairValue(profile.price, profile.daily_volatility, profile.beta)
    valuation = LeaderValuation(value, 10.0**instrument.price.decimals)
    agents = Agents(Random(f"{seed} {symbol}"), market, profile, valuation, lambda: 1.0, 1.0)
    news = News(Random(f"{seed} news"), 1.4)

    def surprise(_: int) -> None:
        size = news.size()
        value.move(size * value.volatility)
        agents.on_news(size)
        market.after(news.gap_ms(1.0), surprise)

    bids, asks = agents.open()
    book = BookSnapshot(symbol, market.engine.update_id, bids, asks, START_MS)
    market.after(1, surprise)
    while scheduler.next_time_ms < START_MS + seconds * 1000:
        scheduler.step()
    return Traded(market, agents.opening_rpi_orders, book, tape)


@pytest.fixture(scope="module")
def traded() -> list[Traded]:
    return [trade(symbol, SEED) for symbol in SYMBOLS]


@pytest.fixture(scope="module")
def improved(traded: list[Traded]) -> list[Traded]:
    return [each for each in traded if each.market.rpi_orders is not None]


class Kept:
    """The books that a client of one contract would keep."""

    def __init__(self, book: BookSnapshot, retail: RpiUpdate | None) -> None:
        self.book, self.retail = OrderBook(), RpiBook()
        self.book.load(book)
        self.last_id = book.last_update_id
        if retail is not None:
            self.retail.apply(retail)

    def apply(self, event: DepthUpdate | RpiUpdate) -> None:
        if isinstance(event, DepthUpdate):
            assert event.previous_update_id == self.book.last_update_id, "the chain is whole"
            update_id = event.final_update_id
            self.book.apply(event)
        else:
            update_id = event.update_id
            self.retail.apply(event)
        assert update_id > self.last_id, "ids rise over both kinds of change"
        assert update_id % 2 == 0, "odd ids are reserved for snapshots"
        self.last_id = update_id


@pytest.mark.heavy
def test_both_books_rebuilt_from_events_equal_the_engines(traded: list[Traded]) -> None:
    for each in traded:
        kept, market = each.kept(), each.market
        for event in each.events:
            if isinstance(event, DepthUpdate | RpiUpdate):
                kept.apply(event)
        assert kept.book.top(10**6) == (
            market.engine.bids.top(10**6),
            market.engine.asks.top(10**6),
        )
        if market.rpi_orders is not None:
            assert kept.retail.bids == dict(market.rpi_orders.bids.levels())
            assert kept.retail.asks == dict(market.rpi_orders.asks.levels())


@pytest.mark.heavy
def test_rpi_orders_are_few_and_obey_the_rules_of_the_contract(improved: list[Traded]) -> None:
    for each in improved:
        kept, rules = each.kept(), each.market.instrument
        for event in each.events:
            if isinstance(event, RpiUpdate):
                kept.apply(event)
                for side in (kept.retail.bids, kept.retail.asks):
                    assert len(side) <= LEVELS
                for price, quantity in (*event.bids, *event.asks):
                    assert price % rules.tick_size == quantity % rules.step_size == 0
                    assert rules.min_price <= price <= rules.max_price
                    assert quantity >= 0


def test_a_retail_trade_is_at_or_better_than_the_book_it_leaves(improved: list[Traded]) -> None:
    """By then the book has no better prices left for the same order."""
    checked = inside = 0
    for each in improved:
        kept, waiting = each.kept(), None
        for event in each.events:
            if isinstance(event, Trade) and event.rpi:
                waiting = event
            elif isinstance(event, DepthUpdate | RpiUpdate):
                kept.apply(event)
            if isinstance(event, RpiUpdate) and waiting is not None:
                bid, ask = kept.book.best_bid, kept.book.best_ask
                assert bid is not None
                assert ask is not None
                gain = waiting.price - bid[0] if waiting.buyer_is_maker else ask[0] - waiting.price
                assert gain >= 0
                checked += 1
                inside += gain > 0
                waiting = None
    assert checked > 30
    assert inside, "some got a better price than the book had"


def test_remaining_rpi_orders_are_published_in_the_millisecond_of_the_trade(
    improved: list[Traded],
) -> None:
    for each in improved:
        traded_ms = None
        for event in each.events:
            if isinstance(event, RpiUpdate):
                assert traded_ms in (None, event.transaction_time_ms)
                traded_ms = None
            elif isinstance(event, Trade):
                assert traded_ms in (None, event.trade_time_ms)
                traded_ms = event.trade_time_ms if event.rpi else traded_ms
        assert traded_ms is None


def test_the_volume_of_a_market_is_that_of_all_its_trades(traded: list[Traded]) -> None:
    for each in traded:
        volume = sum(event.quantity for event in each.events if isinstance(event, Trade))
        assert each.market.volume == volume, "what RPI orders traded counts too"


def test_in_a_minute_a_part_of_what_is_traded_is_traded_with_rpi_orders(
    improved: list[Traded],
) -> None:
    for each in improved:
        trades = [event for event in each.events if isinstance(event, Trade)]
        volume = sum(trade.quantity for trade in trades)
        retail = [trade.quantity for trade in trades if trade.rpi]
        assert 0.0005 < sum(retail) / volume < 0.2
        assert 0.002 < len(retail) / len(trades) < 0.2


def test_the_book_moves_through_rpi_orders_until_their_makers_look(improved: list[Traded]) -> None:
    kept = improved[0].kept()
    crossed = looks = met_ms = 0
    for event in improved[0].events:
        if isinstance(event, Trade) and event.rpi:
            met_ms = event.trade_time_ms
        elif isinstance(event, DepthUpdate):
            kept.apply(event)
            crossed += kept.retail.visible_levels(kept.book) != (kept.retail.bids, kept.retail.asks)
        elif isinstance(event, RpiUpdate):
            kept.apply(event)
            if event.transaction_time_ms != met_ms:  # a check, not a taker
                looks += 1
                assert kept.retail.visible_levels(kept.book) == (kept.retail.bids, kept.retail.asks)
                assert kept.retail.bids
                assert kept.retail.asks
    assert looks > 15
    assert crossed > 30


def test_rpi_updates_are_a_small_part_of_the_events(improved: list[Traded]) -> None:
    levels = {DepthUpdate: 0, RpiUpdate: 0}
    for each in improved:
        for event in each.events:
            if isinstance(event, DepthUpdate | RpiUpdate):
                levels[type(event)] += len(event.bids) + len(event.asks)
    assert 0.001 < levels[RpiUpdate] / levels[DepthUpdate] < 0.05


def test_only_perpetual_contracts_of_the_venue_that_has_them_have_rpi_orders(
    traded: list[Traded],
) -> None:
    for each in traded:
        has = each.market.symbol in ("BTCUSDT", "DOGEUSDT")
        assert (each.retail is not None) is has
        assert any(isinstance(event, RpiUpdate) for event in each.events) is has
        assert any(isinstance(event, Trade) and event.rpi for event in each.events) is has


def test_the_opening_orders_have_ids_before_the_opening_book(improved: list[Traded]) -> None:
    for each in improved:
        book, retail = each.book, each.retail
        assert retail is not None
        assert 1000 < retail.update_id < book.last_update_id
        assert retail.bids
        assert retail.asks
        assert retail.bids[0][0] <= book.bids[0][0] < book.asks[0][0] <= retail.asks[0][0]


def test_the_same_seed_gives_the_same_rpi_orders(traded: list[Traded]) -> None:
    def messages_of(each: Traded) -> list[bytes]:
        return [msgspec.json.encode(e) for e in each.events if isinstance(e, RpiUpdate)]

    again, other = (messages_of(trade(SYMBOLS[0], seed, SECONDS // 3)) for seed in (SEED, SEED + 1))
    assert again
    assert again == messages_of(traded[0])[: len(again)] != other[: len(again)]


# One market


def stand(spread_ticks: int = 1) -> tuple[ContractMarket, RpiMakers, list[Event], Scheduler]:
    instrument: Instrument = instruments(START_MS, ["BTCUSDT"])[0]
    tape: list[Event] = []
    scheduler = Scheduler(START_MS)
    market = ContractMarket(instrument, scheduler, tape, 0, 1)
    assert market.rpi_orders is not None
    sizes = OrderSizes(Random(2), instrument, contract_profile(instrument))
    rpi_makers = RpiMakers(Random(5), market, market.rpi_orders, sizes, 85.0)
    ask = 6_500_000 + spread_ticks * instrument.tick_size
    rpi_makers.open(6_500_000, ask)
    market.open([(6_500_000, 100), (6_499_000, 100)], [(ask, 100), (6_501_000, 100)], 6_500_000)
    return market, rpi_makers, tape, scheduler


def test_a_maker_never_quotes_where_it_would_trade_with_the_book() -> None:
    market, rpi_makers, _, _ = stand(spread_ticks=5)
    assert market.rpi_orders is not None
    for _ in range(200):
        rpi_makers.check_quotes()
        bid, ask = market.engine.bids.best, market.engine.asks.best
        assert bid is not None
        assert ask is not None
        bids, asks = market.rpi_orders.bids.levels(), market.rpi_orders.asks.levels()
        assert bid[0] <= bids[0][0] < ask[0], "at the best price or better"
        assert bid[0] < asks[0][0] <= ask[0]
        assert len(bids) <= LEVELS
        market.take_as_retail(buy=True, quantity=2, price=ask[0])
        market.engine.post(False, ask[0], 2)


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=12))
def test_a_maker_withdraws_orders_only_beyond_its_reach(moves: list[int]) -> None:
    market, rpi_makers, _, _ = stand()
    assert market.rpi_orders is not None
    engine, tick, reach = market.engine, market.instrument.tick_size, 18 * 85
    bid = 6_500_000
    for move in moves:
        for buy, book in ((True, engine.bids), (False, engine.asks)):
            for price, quantity in book.top(2):
                engine.withdraw(buy, price, quantity)
        bid += move * tick
        engine.post(True, bid, 100)
        engine.post(False, bid + tick, 100)
        sides = ((market.rpi_orders.bids, bid), (market.rpi_orders.asks, -bid - tick))
        good = [
            {key for key in side.quantities if best - reach <= key <= best} for side, best in sides
        ]
        rpi_makers.check_quotes()
        for (side, best), before in zip(sides, good, strict=True):
            assert all(best - reach <= key <= best for key in side.quantities), "18 usual moves"
            left_out = before - side.quantities.keys()
            assert not left_out or (len(side.quantities) == LEVELS and left_out == {min(before)}), (
                "the farthest makes room for a better one"
            )


def test_orders_the_book_moved_through_stay_until_the_maker_looks() -> None:
    market, rpi_makers, tape, scheduler = stand()
    assert market.rpi_orders is not None
    before = market.rpi_orders.asks.levels()
    market.engine.withdraw(False, 6_500_010, 100)
    market.engine.post(True, 6_500_500, 50)
    market.flush()
    rpi_makers.react()
    rpi_makers.react()
    assert market.rpi_orders.asks.levels() == before
    waiting = scheduler.next_time_ms - START_MS
    assert waiting >= 90
    scheduler.step()
    assert isinstance(tape[-1], RpiUpdate)
    assert tape[-1].transaction_time_ms == START_MS + waiting
    assert all(price > 6_500_500 for price, _ in market.rpi_orders.asks.levels())
    assert not scheduler, "two moves are one look"


def test_an_order_of_more_than_five_usual_ones_is_no_retail_order() -> None:
    instrument: Instrument = instruments(START_MS, ["BTCUSDT"])[0]
    tape: list[Event] = []
    market = ContractMarket(instrument, Scheduler(START_MS), tape, 0, 1)
    assert market.rpi_orders is not None
    market.open([(6_500_000, 10**9)], [(6_500_020, 10**9)], 6_500_000)
    market.rpi_orders.asks.put(-6_500_010, 10**9)
    sizes, value = (
        OrderSizes(Random(2), instrument, contract_profile(instrument)),
        FairValue(65_000.0, 0.02, 0.8),
    )
    valuation = LeaderValuation(value, 100.0)
    takers = Takers(Random(3), market, sizes, valuation, 0.0, 1.0, lambda: 1.0, 1.0)
    largest = int(5 * sizes.median)
    for quantity, better in ((2, True), (largest, True), (largest + 1, False)):
        tape.clear()
        takers.send(True, quantity, retail=True)
        trades = [(each.quantity, each.rpi) for each in tape if isinstance(each, Trade)]
        assert trades == [(quantity, better)], f"{largest} are the most of a retail taker"


def test_retail_takers_get_the_better_price_and_others_do_not() -> None:
    market, _, tape, _ = stand()
    assert market.rpi_orders is not None
    price, quantity = market.rpi_orders.asks.levels()[0]
    market.engine.withdraw(False, 6_500_010, 100)
    market.engine.post(True, 6_500_500, 50)
    market.flush()
    tape.clear()
    assert [fill[1] for fill in market.take(True, 1, 6_501_000)] == [6_501_000]
    assert [fill[1] for fill in market.take_as_retail(True, 1, 6_501_000)] == [price]
    assert [(each.price, each.rpi) for each in tape if isinstance(each, Trade)] == [
        (6_501_000, False),
        (price, True),
    ]
    market.flush()
    market.flush_rpi()
    last = tape[-1]
    assert isinstance(last, RpiUpdate)
    assert last.asks == [(price, quantity - 1)]
