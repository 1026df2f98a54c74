"""The events of the simulated exchange: consistent, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from market_invariants import MarketChecker, run_checked

from tickerplant.errors import ConfigError
from tickerplant.events import (
    AssetIndex,
    BookSnapshot,
    BookTicker,
    ContractChanged,
    DepthUpdate,
    Event,
    IndexBasket,
    Liquidation,
    MarkPrice,
    Positioning,
    RpiUpdate,
    Trade,
)
from tickerplant.instrument import Instrument
from tickerplant.simulation.contract_registry import OpeningEvents
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.units import DAY_MS, MINUTE_MS

START_MS = 1_780_000_000_250
SECONDS = 8
SYMBOLS = ("BTCUSDT", "ETHUSDT", "DOGEUSDT", "BTCUSDT_260626", "BTCUSD_PERP", "ETHUSD_260626")


def make(
    seed: int = 3,
    symbols: tuple[str, ...] = SYMBOLS,
    intensity: float = 1.0,
    quoting: float = 1.0,
) -> SimulatedExchange:
    traded = instruments(START_MS, symbols)
    return SimulatedExchange(traded, seed, START_MS, intensity, quoting=quoting)


def run(exchange: SimulatedExchange, seconds: float) -> list[Event]:
    events: list[Event] = []
    while exchange.next_time_ms < START_MS + seconds * 1000:
        now_ms, batch = exchange.step()
        for event in batch:
            assert time_of(event) == now_ms, "an event carries the time of its batch"
        events += batch
    return events


def time_of(event: Event) -> int:
    if isinstance(event, Trade | Liquidation):
        return event.trade_time_ms
    if isinstance(event, MarkPrice | Positioning | IndexBasket | AssetIndex):
        return event.time_ms
    assert isinstance(event, DepthUpdate | BookTicker | RpiUpdate), f"why is {event} told?"
    return event.transaction_time_ms


@pytest.fixture(scope="module")
def exchange() -> SimulatedExchange:
    return make()


@pytest.fixture(scope="module")
def openings(exchange: SimulatedExchange) -> dict[str, OpeningEvents]:
    return {symbol: exchange.opening(symbol) for symbol in SYMBOLS}


@pytest.fixture(scope="module")
def events(exchange: SimulatedExchange, openings: dict[str, OpeningEvents]) -> list[Event]:
    assert openings, "openings are taken before the first step"
    return run(exchange, SECONDS)


@pytest.mark.heavy
def test_every_event_leads_to_the_books_of_the_engines() -> None:
    exchange = make()
    checker = MarketChecker(exchange)
    played = run_checked(exchange, checker, START_MS + 1_000 * SECONDS)
    assert len(played) > 1_000, "the market is alive"
    for symbol, contract in checker.contracts.items():
        engine = exchange.contracts[symbol].market.engine
        assert contract.bids == dict(engine.bids.top(10**6)), f"{symbol} bids"
        assert contract.asks == dict(engine.asks.top(10**6)), f"{symbol} asks"


def test_trades_continue_history_without_a_gap(
    exchange: SimulatedExchange, events: list[Event]
) -> None:
    last = {symbol: exchange.history(symbol).trades[-1].trade_id for symbol in SYMBOLS}
    seen: Counter[str] = Counter()
    for event in events:
        if isinstance(event, Trade):
            assert event.trade_id == last[event.symbol] + 1
            last[event.symbol] += 1
            seen[event.symbol] += 1
    assert seen["BTCUSDT"] > 100, "the busiest contract trades all the time"


def test_every_event_obeys_the_rules_of_its_instrument(
    exchange: SimulatedExchange, events: list[Event]
) -> None:
    rules: dict[str, Instrument] = {each.symbol: each for each in exchange.instruments}

    def check(symbol: str, price: int, quantity: int) -> None:
        rule = rules[symbol]
        assert price % rule.tick_size == 0, f"{symbol} price {price} is between ticks"
        assert rule.min_price <= price <= rule.max_price, f"{symbol} price {price}"
        assert quantity % rule.step_size == 0, f"{symbol} quantity {quantity}"
        assert quantity >= 0

    for event in events:
        if isinstance(event, DepthUpdate):
            for price, quantity in (*event.bids, *event.asks):
                check(event.symbol, price, quantity)
        elif isinstance(event, Trade):
            check(event.symbol, event.price, event.quantity)
            assert event.quantity > 0


def test_mark_prices_are_published_at_every_second_for_every_symbol(events: list[Event]) -> None:
    marks = [event for event in events if isinstance(event, MarkPrice)]
    expected = {
        (symbol, START_MS // 1000 * 1000 + 1000 * second)
        for symbol in SYMBOLS
        for second in range(1, SECONDS + 1)
    }
    assert Counter((mark.symbol, mark.time_ms) for mark in marks) == Counter(expected)


def test_the_opening_of_a_contract_has_every_kind_of_event(
    openings: dict[str, OpeningEvents],
) -> None:
    for symbol, events in openings.items():
        kinds = [type(event) for event in events]
        expected = [BookSnapshot, MarkPrice, Positioning, IndexBasket, ContractChanged]
        assert kinds[: len(expected)] == expected
        (changed,) = (event for event in events if isinstance(event, ContractChanged))
        assert changed.brackets, f"{symbol} opens with its brackets"
        assert {event.symbol for event in events} == {symbol}


def test_openings_are_dropped_when_trading_has_begun() -> None:
    exchange = make(symbols=("BTCUSDT",))
    run(exchange, 2)
    with pytest.raises(KeyError):
        exchange.opening("BTCUSDT")


def test_books_open_full_and_apart(
    openings: dict[str, OpeningEvents],
) -> None:
    for symbol, (snapshot, mark, *_) in openings.items():
        assert snapshot.bids[0][0] < snapshot.asks[0][0], f"{symbol} opens crossed"
        assert snapshot.bids == sorted(snapshot.bids, reverse=True), "best bids first"
        assert snapshot.asks == sorted(snapshot.asks), "best asks first"
        assert min(len(snapshot.bids), len(snapshot.asks)) >= 300, f"{symbol} opens thin"
        assert mark.symbol == symbol
    assert len(openings["BTCUSDT"][0].bids) >= 1000


def encoded(events: list[Event]) -> list[bytes]:
    return [type(event).__name__.encode() + msgspec.json.encode(event) for event in events]


@pytest.mark.heavy
def test_the_same_seed_gives_the_same_events(events: list[Event]) -> None:
    again = encoded(run(make(), 3))
    assert again == encoded(events)[: len(again)]


@pytest.mark.heavy
def test_reading_history_and_opening_changes_nothing(events: list[Event]) -> None:
    other = make()
    for symbol in SYMBOLS:
        other.history(symbol).bars(MINUTE_MS, START_MS // DAY_MS * DAY_MS - 3 * DAY_MS, START_MS)
        other.opening(symbol)
    first = run(other, 2)
    for symbol in SYMBOLS:
        other.history(symbol).bars(DAY_MS, 0, START_MS)
    again = encoded(first + run(other, 4))
    assert again == encoded(events)[: len(again)], "they are read, not drawn"


def test_another_seed_gives_another_market(events: list[Event]) -> None:
    other = encoded(run(make(seed=4), 2))
    assert other
    assert other != encoded(events)[: len(other)], "the same events, whatever the seed"


@pytest.mark.parametrize("alone", ["BTCUSDT", "ETHUSDT"])
def test_a_leading_contract_does_the_same_whoever_else_is_listed(
    events: list[Event], alone: str
) -> None:
    others = run(make(symbols=(alone,)), SECONDS)
    lonely = encoded([event for event in others if event.symbol == alone])
    assert lonely == encoded([event for event in events if event.symbol == alone])


@pytest.mark.heavy
def test_a_pair_in_usdc_has_a_path_of_its_own_near_that_in_usdt_and_changes_no_other(
    events: list[Event],
) -> None:
    exchange = make(symbols=(*SYMBOLS, "BTCUSDC"))
    with_it = run(exchange, SECONDS)
    assert encoded([each for each in with_it if each.symbol != "BTCUSDC"]) == encoded(events)
    last: dict[str, dict[int, float]] = {"BTCUSDC": {}, "BTCUSDT": {}}
    for each in with_it:
        if isinstance(each, BookTicker) and each.symbol in last:
            scale = exchange.contracts[each.symbol].instrument.price.decimals
            last[each.symbol][each.transaction_time_ms // 1000] = each.bid_price / 10**scale
    mine, theirs = last["BTCUSDC"], last["BTCUSDT"]
    assert mine.keys() == theirs.keys()
    assert mine != theirs, "its own path"
    assert all(mine[second] == pytest.approx(theirs[second], rel=5e-4) for second in mine)


def test_a_follower_without_its_leader_still_trades() -> None:
    seen = Counter(type(event) for event in run(make(symbols=("BTCUSD_PERP",)), 10))
    assert seen[Trade] > 0
    assert seen[BookTicker] > 50, "its makers look at the coin's value instead"


def test_coin_margined_prices_follow_the_leading_contract(exchange: SimulatedExchange) -> None:
    run(exchange, SECONDS)
    leader = exchange.contracts["BTCUSDT"].market.engine.bids.best
    follower = exchange.contracts["BTCUSD_PERP"].market.engine.bids.best
    assert leader is not None
    assert follower is not None
    assert follower[0] * 10 == pytest.approx(leader[0], rel=5e-4), "within five basis points"


def test_intensity_multiplies_the_orders() -> None:
    calm = make(symbols=("BTCUSDT",))
    wild = make(symbols=("BTCUSDT",), intensity=8)
    before = calm.order_count
    assert wild.order_count == before, "both open with the same book"
    run(calm, 2)
    run(wild, 2)
    ratio = (wild.order_count - before) / (calm.order_count - before)
    assert 3 < ratio < 20, f"eight times the intensity made {ratio} times the orders"


@pytest.mark.heavy
def test_makers_that_quote_less_change_the_book_less_and_trade_as_before(
    events: list[Event],
) -> None:
    less = make(quoting=0.25)
    fewer = run(less, SECONDS)
    ratio = updates_in(fewer) / updates_in(events)
    assert 0.1 < ratio < 0.5, f"a quarter of the quoting made {ratio} times the updates"
    trades = sum(isinstance(each, Trade) for each in fewer)
    assert trades > 0.4 * sum(isinstance(each, Trade) for each in events)
    for contract in less.contracts.values():
        bid, ask = contract.market.engine.bids.best, contract.market.engine.asks.best
        assert bid is not None
        assert ask is not None
        tick = contract.instrument.tick_size
        assert ask[0] - bid[0] < 20 * tick, "the spread is closed"


def updates_in(events: list[Event]) -> int:
    return sum(isinstance(each, DepthUpdate) for each in events)


@pytest.mark.heavy
@pytest.mark.parametrize(("move", "side"), [(-0.04, "SELL"), (0.04, "BUY")])
def test_a_hard_move_liquidates_positions_in_the_book(move: float, side: str) -> None:
    exchange = make(symbols=("BTCUSDT",))
    assert not [each for each in run(exchange, 3) if isinstance(each, Liquidation)]
    exchange.registry.news.underlyings["BTC"].value.move(move)
    events = run(exchange, 8)
    forced = [event for event in events if isinstance(event, Liquidation)]
    assert len(forced) > 5, f"a move of {move:.0%} reaches many positions"
    assert {event.side for event in forced} == {side}
    for event in forced:
        trades = [
            each
            for each in events
            if isinstance(each, Trade) and each.trade_time_ms == event.trade_time_ms
        ]
        taken = sum(each.quantity for each in trades if each.buyer_is_maker == (side == "SELL"))
        assert taken >= event.filled_quantity, "forced orders are trades in the book"
        assert (event.status == "FILLED") == (event.filled_quantity == event.quantity)


def test_settings_that_cannot_be_used_are_named() -> None:
    with pytest.raises(ConfigError, match="intensity"):
        make(intensity=0)
    with pytest.raises(ConfigError, match="quoting"):
        make(quoting=1.5)
    with pytest.raises(ConfigError, match="symbols"):
        SimulatedExchange((), 1, START_MS)
