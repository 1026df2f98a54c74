"""Listings and deliveries: the end of a quarter, new coins, changed brackets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from msgspec import structs

from tickerplant.events import (
    BookSnapshot,
    ContractChanged,
    Delivered,
    DepthUpdate,
    Event,
    FundingPaid,
    MarkPrice,
    Trade,
)
from tickerplant.instrument import Instrument
from tickerplant.market.interval import INTERVALS, close_time
from tickerplant.market.market import Market
from tickerplant.plant import Plant
from tickerplant.quarters import SINCE_MS
from tickerplant.queries import QUERIES
from tickerplant.simulation.contract_calendar import ContractCalendar
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.mark_price import paid_ms
from tickerplant.simulation.scheduler import Action
from tickerplant.sources.simulated import open_market
from tickerplant.units import HOUR_MS
from tickerplant.venue import COINM, USDM

DELIVERY_MS = 1_782_460_800_000
"""2026-06-26 08:00 UTC."""
QUARTERS = ("BTCUSDT_260626", "BTCUSD_260626", "BTCUSD_260925")


def batches(
    exchange: SimulatedExchange, plant: Plant, until_ms: int
) -> Iterator[tuple[int, list[Event]]]:
    """Play the exchange on the plant; yield the events after the plant has received them."""
    while exchange.next_time_ms <= until_ms:
        now_ms, events = exchange.step()
        plant.advance(now_ms)
        for event in events:
            plant.publish(event)
        yield now_ms, events


def play(exchange: SimulatedExchange, plant: Plant, until_ms: int) -> list[Event]:
    return [event for _, events in batches(exchange, plant, until_ms) for event in events]


def opened(
    symbols: tuple[str, ...],
    start_ms: int,
    *,
    listings: bool = False,
    intensity: float = 1.0,
) -> tuple[SimulatedExchange, Plant]:
    listed = instruments(start_ms, symbols)
    exchange = SimulatedExchange(listed, 7, start_ms, intensity, listings=listings)
    plant = Plant(listed, start_ms=start_ms, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    return exchange, plant


def of_type(plant: Plant, venue: str, pair: str, contract_type: str) -> str | None:
    market = plant.venues[venue].contract(pair, contract_type)
    return None if market is None else market.symbol


def changes(events: list[Event], symbol: str) -> list[tuple[str, str]]:
    return [
        (event.instrument.status, event.instrument.contract_type)
        for event in events
        if isinstance(event, ContractChanged) and event.symbol == symbol and not event.brackets
    ]


@pytest.fixture(scope="module")
def rolled() -> tuple[Plant, list[Event], SimulatedExchange]:
    """A minute around the end of a quarter."""
    exchange, plant = opened(QUARTERS, DELIVERY_MS - 20_000)
    events = play(exchange, plant, DELIVERY_MS + 40_000)
    return plant, events, exchange


@pytest.mark.heavy
def test_a_delivered_contract_is_published_step_by_step_and_then_no_more(
    rolled: tuple[Plant, list[Event], SimulatedExchange],
) -> None:
    _, events, _ = rolled
    for symbol in QUARTERS[:2]:
        own = [event for event in events if event.symbol == symbol]
        first = next(at for at, event in enumerate(own) if isinstance(event, ContractChanged))
        assert any(isinstance(event, DepthUpdate) for event in own[:first]), "it was traded"
        assert [type(event) for event in own[first:]] == [
            ContractChanged,
            Delivered,
            ContractChanged,
        ]
        assert changes(own, symbol) == [
            ("DELIVERING", "CURRENT_QUARTER DELIVERING"),
            ("DELIVERED", "CURRENT_QUARTER DELIVERING"),
        ]


@pytest.mark.heavy
def test_a_contract_is_settled_at_the_average_index_which_its_estimate_tended_to(
    rolled: tuple[Plant, list[Event], SimulatedExchange],
) -> None:
    plant, events, _ = rolled
    for symbol, venue, pair in (
        ("BTCUSDT_260626", "usdm", "BTCUSDT"),
        ("BTCUSD_260626", "coinm", "BTCUSD"),
    ):
        marks = [each for each in events if isinstance(each, MarkPrice) and each.symbol == symbol]
        (delivered,) = plant.venues[venue].deliveries[pair]
        assert (delivered.symbol, delivered.pair) == (symbol, pair)
        assert marks[-1].time_ms == DELIVERY_MS - 1000
        assert delivered.price == marks[-1].estimated_settle_price
        indices = [mark.index_price for mark in marks]
        assert delivered.price == pytest.approx(sum(indices) / len(indices), rel=1e-5)


@pytest.mark.heavy
def test_the_market_moves_to_the_next_contracts(
    rolled: tuple[Plant, list[Event], SimulatedExchange],
) -> None:
    plant, events, _ = rolled
    assert set(plant.markets) == {
        *("BTCUSDT_260925", "BTCUSD_260925", "BTCUSD_261225"),
    }
    assert of_type(plant, "coinm", "BTCUSD", "CURRENT_QUARTER") == "BTCUSD_260925"
    assert of_type(plant, "coinm", "BTCUSD", "NEXT_QUARTER") == "BTCUSD_261225"
    assert of_type(plant, "usdm", "BTCUSDT", "CURRENT_QUARTER") == "BTCUSDT_260925"
    assert changes(events, "BTCUSD_260925") == [("TRADING", "CURRENT_QUARTER")], "it moved up"


@pytest.mark.heavy
def test_a_delivery_changes_no_candle_of_a_type_and_the_next_contract_continues_it() -> None:
    exchange, plant = opened(QUARTERS, DELIVERY_MS - 80_000, intensity=0.25)
    coinm = plant.venues["coinm"]

    def candles(contract_type: str, interval: str, limit: int = 300) -> dict[int, list[int]]:
        found = coinm.candles("BTCUSD", contract_type)
        assert found is not None
        return {row[0]: row for row in found[1].rows(interval, None, None, limit).tolist()}

    play(exchange, plant, DELIVERY_MS - 1)
    kinds = ("CURRENT_QUARTER", "NEXT_QUARTER")
    before = {(kind, each): candles(kind, each) for kind in kinds for each in INTERVALS}
    for symbol, kind in (("BTCUSD_260626", kinds[0]), ("BTCUSD_260925", kinds[1])):
        own = plant.markets[symbol].candles.rows("1m", None, None, 300).tolist()
        assert own == list(before[kind, "1m"].values())
    play(exchange, plant, DELIVERY_MS + 130_000)
    plant.advance(DELIVERY_MS + 130_000)
    for (kind, interval), rows in before.items():
        now = candles(kind, interval, 400)
        closed = [ms for ms in rows if close_time(interval, ms) < DELIVERY_MS]
        assert {ms: now[ms] for ms in closed} == {ms: rows[ms] for ms in closed}
        day = next(iter(candles(kind, interval, 1).values()))
        minutes = candles(kind, "1m", 1_500)
        parts = [row for ms, row in minutes.items() if ms >= day[0]]
        if interval in {"6h", "12h", "1d"}:
            assert day[5:10] == [sum(column) for column in zip(*parts, strict=True)][5:10]
            assert (day[1], day[4]) == (parts[0][1], parts[-1][4])
    found = coinm.candles("BTCUSD", kinds[0])
    assert found is not None
    (first,) = found[1].rows("1d", 0, None, 1).tolist()
    assert first[0] == SINCE_MS[kinds[0]], "through all deliveries"


@pytest.mark.parametrize("symbol", ["BTCUSDT_260925", "BTCUSD_261225"])
def test_a_new_contract_is_published_before_its_book_and_is_traded(
    rolled: tuple[Plant, list[Event], SimulatedExchange], symbol: str
) -> None:
    plant, events, exchange = rolled
    own = [event for event in events if event.symbol == symbol]
    assert [type(event) for event in own[:3]] == [ContractChanged, BookSnapshot, MarkPrice]
    changed = own[0]
    assert isinstance(changed, ContractChanged)
    assert changed.time_ms == DELIVERY_MS == changed.instrument.onboard_date_ms
    assert changed.instrument.delivery_date_ms > DELIVERY_MS
    assert changed.brackets
    assert sum(isinstance(event, DepthUpdate) for event in own) > 100, "makers quote"
    trades = [event.trade_id for event in own if isinstance(event, Trade)]
    assert trades == list(range(1, len(trades) + 1)), "its trades are numbered from one"
    book = plant.markets[symbol].book
    engine = exchange.contracts[symbol].market.engine
    assert book.best_bid == engine.bids.best


def test_delivered_contracts_follow_their_coin_no_more(
    rolled: tuple[Plant, list[Event], SimulatedExchange],
) -> None:
    plant, _, exchange = rolled
    followers = [
        listing.instrument.symbol
        for underlying in exchange.registry.news.underlyings.values()
        for listing in underlying.followers
    ]
    assert sorted(followers) == sorted(plant.markets), "those that are listed, each once"


def test_the_same_seed_rolls_the_same_way(
    rolled: tuple[Plant, list[Event], SimulatedExchange],
) -> None:
    exchange, plant = opened(QUARTERS, DELIVERY_MS - 20_000)
    again = play(exchange, plant, DELIVERY_MS + 5_000)
    assert again == rolled[1][: len(again)]


def test_quarters_roll_without_the_other_contracts_of_the_pair() -> None:
    """Only the later quarter is listed: it is promoted when the earlier one ends elsewhere."""
    exchange, plant = opened(("BTCUSD_260925",), DELIVERY_MS - 5_000, intensity=0.01)
    assert of_type(plant, "coinm", "BTCUSD", "NEXT_QUARTER") == "BTCUSD_260925"
    play(exchange, plant, DELIVERY_MS + 1_000)
    assert of_type(plant, "coinm", "BTCUSD", "CURRENT_QUARTER") == "BTCUSD_260925"
    assert len(plant.markets) == 1


@pytest.mark.heavy
def test_funding_is_paid_every_eight_hours_or_four() -> None:
    start_ms = DELIVERY_MS + 4 * HOUR_MS - 3_000
    exchange, plant = opened(("BTCUSDT", "SUIUSDT", "BTCUSD_PERP"), start_ms)
    events = play(exchange, plant, start_ms + 6_000)
    paid = [event for event in events if isinstance(event, FundingPaid)]
    assert [each.symbol for each in paid] == ["SUIUSDT"], "twelve o'clock is no eighth hour"
    exchange, plant = opened(("BTCUSDT", "SUIUSDT", "BTCUSD_PERP"), DELIVERY_MS - 3_000)
    events, paid = [], []
    for now_ms, batch in batches(exchange, plant, DELIVERY_MS + 3_000):
        events += batch
        for each in (event for event in batch if isinstance(event, FundingPaid)):
            assert each.time_ms == now_ms == paid_ms(each.symbol, DELIVERY_MS), "not before"
            paid.append(each)
    assert {each.symbol for each in paid} == {"BTCUSDT", "SUIUSDT", "BTCUSD_PERP"}
    for each in paid:
        marks = [
            event
            for event in events
            if isinstance(event, MarkPrice) and event.symbol == each.symbol
        ]
        before = next(mark for mark in marks if mark.time_ms == DELIVERY_MS - 1000)
        then = next(mark for mark in marks if mark.time_ms == DELIVERY_MS)
        assert (each.rate, each.mark_price) == (before.funding_rate, then.mark_price)
        assert plant.markets[each.symbol].fundings.within(None, None, 1) == [each]


@pytest.mark.heavy
def test_the_brackets_of_a_contract_of_each_venue_change_now_and_then() -> None:
    symbols = ("TRXUSDT", "ADAUSDT", "BTCUSD_260925")
    exchange, plant = opened(symbols, DELIVERY_MS + 1_000, intensity=0.01)
    brackets = {
        symbol: event.brackets
        for symbol in symbols
        for event in exchange.opening(symbol)
        if isinstance(event, ContractChanged)
    }
    assert brackets.keys() == set(symbols)
    found: Counter[str] = Counter()
    for _, events in batches(exchange, plant, DELIVERY_MS + 6 * 60_000):
        for event in events:
            if isinstance(event, ContractChanged):
                assert event.brackets, "nothing else changes"
                assert event.brackets != brackets[event.symbol]
                assert event.instrument == plant.markets[event.symbol].instrument
                brackets[event.symbol] = event.brackets
                found[event.instrument.venue.name] += 1
    assert found == {USDM.name: 3, COINM.name: 3}, "every two minutes"


@pytest.mark.heavy
def test_a_new_coin_is_announced_without_a_book_and_traded_when_its_date_has_come() -> None:
    start_ms = DELIVERY_MS + 60_000
    exchange, plant = opened(("TRXUSDT",), start_ms, listings=True, intensity=0.02)
    events = play(exchange, plant, start_ms + 5 * 60_000)
    new = set(plant.markets) - {"TRXUSDT"}
    (symbol,) = new
    market: Market = plant.markets[symbol]
    announced = market.instrument
    assert announced.status == "PENDING_TRADING"
    assert announced.onboard_date_ms == start_ms + 10 * 60_000
    (change,) = (
        each for each in events if isinstance(each, ContractChanged) and each.symbol == symbol
    )
    assert change.brackets
    assert market.book.depth == 0
    events = play(exchange, plant, start_ms + 10 * 60_000 - 1)
    assert not [event for event in events if event.symbol == symbol], "it waits"
    events = play(exchange, plant, start_ms + 10 * 60_000)
    assert market.is_untraded
    asked = {"symbol": symbol, "interval": "1m", "period": "5m"}
    for query in QUERIES:
        of_symbols = USDM in query.venues and "symbol" in {param.name for param in query.params}
        if of_symbols and query.path not in {"/v1/indexInfo", "/v1/assetIndex"}:
            assert query.respond(plant.venues["usdm"], asked) is not None, "all is known of it"
    events += play(exchange, plant, start_ms + 12 * 60_000)
    own = [event for event in events if event.symbol == symbol]
    assert [type(event) for event in own[:3]] == [ContractChanged, BookSnapshot, MarkPrice]
    assert market.instrument == structs.replace(announced, status="TRADING")
    assert market.book.depth > 100
    assert sum(isinstance(event, DepthUpdate) for event in own) > 20


def test_no_new_coins_are_listed_where_they_are_not_wanted() -> None:
    start_ms = DELIVERY_MS + 60_000
    exchange, plant = opened(("TRXUSDT",), start_ms, intensity=0.02)
    play(exchange, plant, start_ms + 6 * 60_000)
    assert set(plant.markets) == {"TRXUSDT"}


class RecordingRegistry:
    """A registry without trading that records what the calendar does, and when."""

    def __init__(self, *traded: Instrument) -> None:
        self.listed = {each.symbol: each for each in traded}
        self.rows: list[tuple[int, str, Instrument]] = []
        self._now_ms = 0
        self._plans: dict[int, list[Action]] = {}

    @property
    def traded(self) -> list[Instrument]:
        return list(self.listed.values())

    def plan(self, time_ms: int, action: Action) -> None:
        assert time_ms > self._now_ms
        assert time_ms % 1000 == 0, "a whole second"
        self._plans.setdefault(time_ms, []).append(action)

    def run(self, until_ms: int) -> None:
        while (now_ms := min(self._plans)) <= until_ms:
            self._now_ms = now_ms
            for action in self._plans.pop(now_ms):
                action(now_ms)

    def _note(self, what: str, instrument: Instrument) -> None:
        self.rows.append((self._now_ms, what, instrument))

    def announce(self, instrument: Instrument) -> None:
        assert instrument.symbol not in self.listed
        self._note("announce", instrument)

    def open(self, instrument: Instrument) -> None:
        assert instrument.symbol not in self.listed
        self.listed[instrument.symbol] = instrument
        self._note("open", instrument)

    def change(self, instrument: Instrument) -> None:
        assert instrument.symbol in self.listed
        self.listed[instrument.symbol] = instrument
        self._note("change", instrument)

    def change_brackets(self, symbol: str, scale: float) -> None:
        assert scale > 0
        assert symbol in self.listed

    def stop(self, instrument: Instrument) -> int:
        del self.listed[instrument.symbol]
        self._note("stop", instrument)
        return 1

    def deliver(self, instrument: Instrument, price: int) -> None:
        assert price == 1
        self._note("deliver", instrument)

    def close(self, instrument: Instrument) -> None:
        self._note("close", instrument)


def test_of_the_new_coins_the_oldest_is_delisted_when_there_are_too_many() -> None:
    start_ms = DELIVERY_MS + 60_500
    standard = len(instruments(start_ms))
    old = instruments(start_ms, symbol_count=standard + 3)
    registry = RecordingRegistry(*old)
    calendar = ContractCalendar(registry, 1, start_ms, listings=True)
    registry.run(start_ms + 21 * HOUR_MS)
    announced = [each.symbol for _, what, each in registry.rows if what == "announce"]
    assert len(announced) == len(set(announced)) == 11, "one in two hours, never the same"
    names = [each.base_asset for _, what, each in registry.rows if what == "announce"]
    assert not {each.base_asset for each in old}.intersection(names), "none of them is listed"
    assert list(registry.listed)[standard + 3 :] == announced[-3:], "three at a time"
    assert calendar.bracket_scales.keys() <= registry.listed.keys(), "who is gone has no brackets"
    for symbol in announced[:-3]:
        rows = [row for row in registry.rows if row[2].symbol == symbol]
        assert [(what, each.status) for _, what, each in rows] == [
            ("announce", "PENDING_TRADING"),
            ("open", "TRADING"),
            ("change", "TRADING"),
            ("stop", "SETTLING"),
            ("close", "CLOSE"),
        ]
        (_, _, pending), (opened_ms, _, trading), (publish_time_ms, _, _), *ended = rows
        (stopped_ms, _, _), (closed_ms, _, _) = ended
        assert pending.onboard_date_ms == opened_ms
        assert trading.perpetual
        assert {each.delivery_date_ms for _, _, each in rows[2:]} == {stopped_ms}, "it was moved"
        assert stopped_ms - publish_time_ms == 5 * 60_000, "told in time"
        assert closed_ms - stopped_ms == 2 * 60_000, "it is settling for two minutes"


@pytest.mark.heavy
def test_quarters_follow_each_other() -> None:
    start_ms = DELIVERY_MS - 10 * HOUR_MS
    registry = RecordingRegistry(*instruments(start_ms, QUARTERS))
    calendar = ContractCalendar(registry, 1, start_ms, listings=False)
    registry.run(start_ms + 93 * 24 * HOUR_MS)
    assert sum(what == "deliver" for _, what, _ in registry.rows) == 2 * 2
    assert calendar.bracket_scales.keys() <= registry.listed.keys(), "who is gone has no brackets"
    assert {each.symbol: each.contract_type for each in registry.traded} == {
        "BTCUSDT_261225": "CURRENT_QUARTER",
        "BTCUSD_261225": "CURRENT_QUARTER",
        "BTCUSD_270326": "NEXT_QUARTER",
    }
    for now_ms, what, each in registry.rows:
        if what == "stop":
            assert now_ms == each.delivery_date_ms


def test_a_stopped_contract_is_silent_whatever_its_traders_had_planned() -> None:
    start_ms = DELIVERY_MS + 60_000
    exchange, plant = opened(("TRXUSDT", "DOGEUSDT", "BTCUSD_PERP"), start_ms)
    registry, stopped_ms = exchange.registry, start_ms + 5_000
    settling = structs.replace(
        plant.markets["DOGEUSDT"].instrument, status="SETTLING", delivery_date_ms=stopped_ms
    )
    operations: list[int] = []
    registry.plan(stopped_ms, lambda _: operations.append(exchange.order_count))
    registry.plan(stopped_ms, lambda _: operations.append(registry.stop(settling)))
    registry.plan(stopped_ms, lambda _: operations.append(exchange.order_count))
    closed = structs.replace(settling, status="CLOSE")
    registry.plan(start_ms + 8_000, lambda _: registry.close(closed))
    events = play(exchange, plant, start_ms + 12_000)
    own = [event for event in events if event.symbol == "DOGEUSDT"]
    stopped = next(at for at, event in enumerate(own) if isinstance(event, ContractChanged))
    assert any(isinstance(event, DepthUpdate) for event in own[:stopped])
    assert [type(event) for event in own[stopped:]] == [ContractChanged, ContractChanged]
    assert set(plant.markets) == {"TRXUSDT", "BTCUSD_PERP"}
    assert operations[0] == operations[2], "what it did still counts"
