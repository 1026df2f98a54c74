"""Levers that are pulled, alone and together: what they do to the market, and what they leave."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market_invariants import MarketChecker, run_checked

from tickerplant.errors import ConfigError
from tickerplant.events import (
    BookTicker,
    ContractChanged,
    Delivered,
    DepthUpdate,
    Event,
    Liquidation,
    MarkPrice,
    Trade,
)
from tickerplant.instrument import RATE_ONE
from tickerplant.simulation.conditions import ORDINARY
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.levers import parse_lever
from tickerplant.simulation.valuation import PREMIUM

START_MS = 1_780_000_000_250
SYMBOLS = ("BTCUSDT", "TRXUSDT", "BTCUSDT_260626", "BTCUSD_PERP")


def make(
    symbols: tuple[str, ...] = SYMBOLS, seed: int = 3, quoting: float = 1.0
) -> SimulatedExchange:
    return SimulatedExchange(instruments(START_MS, symbols), seed, START_MS, quoting=quoting)


def pull(exchange: SimulatedExchange, after_ms: int, **written: Any) -> str:
    if "for_" in written:
        written["for"] = written.pop("for_")
    return exchange.levers.pull(parse_lever(written), START_MS + after_ms)


def run(exchange: SimulatedExchange, until_ms: int) -> list[Event]:
    """Return the events up to a time after the start."""
    events: list[Event] = []
    while exchange.next_time_ms <= START_MS + until_ms:
        events += exchange.step()[1]
    return events


def encoded(events: list[Event]) -> list[bytes]:
    encoder = msgspec.json.Encoder(enc_hook=repr)
    return [type(event).__name__.encode() + encoder.encode(event) for event in events]


def of(kind: type[Any], events: list[Event], symbol: str = "BTCUSDT") -> list[Any]:
    return [each for each in events if isinstance(each, kind) and each.symbol == symbol]


# Time


def test_an_action_runs_at_its_time_before_anything_else_of_that_millisecond() -> None:
    exchange = make(("BTCUSDT",))
    due_ms = START_MS + 1_000 - START_MS % 1_000  # a whole second, at which marks are published
    seen: list[tuple[int, int]] = []
    contract = exchange.contracts["BTCUSDT"]
    contract.market.after(due_ms - START_MS, lambda _: seen.append((0, 0)))
    exchange.at(due_ms, lambda time_ms: seen.append((time_ms, exchange.now_ms)))
    exchange.at(due_ms, lambda time_ms: exchange.at(time_ms, lambda _: seen.append((1, 1))))
    run(exchange, 2_000)
    assert seen == [(due_ms, due_ms), (1, 1), (0, 0)]
    with pytest.raises(ValueError, match="the time of the market"):
        exchange.at(START_MS, seen.append)  # type: ignore[arg-type]


def test_without_a_lever_the_events_are_those_of_an_exchange_that_runs_none() -> None:
    """Also when one is pulled and released before it begins, and when one comes later."""
    plain, pulled = make(quoting=0.25), make(quoting=0.25)
    waiting = pull(pulled, 900, market="shock", move=-0.5)
    pulled.levers.release(waiting, START_MS + 300)
    pull(pulled, 1_500, market="makers", presence=0.1)
    before = encoded(run(plain, 1_499))
    assert before
    assert encoded(run(pulled, 1_499)) == before
    assert encoded(run(pulled, 2_500)) != encoded(run(plain, 2_500))


@pytest.mark.heavy
def test_the_same_levers_at_the_same_times_give_the_same_bytes() -> None:
    def play() -> list[bytes]:
        exchange = make(quoting=0.25)
        pull(exchange, 200, market="shock", move=-0.03, over="1s", recover=0.5, recover_over="1s")
        pull(exchange, 400, market="liquidations", over="1s")
        return encoded(run(exchange, 2_500))

    assert play() == play()


def test_conditions_of_levers_that_overlap_multiply_and_end_exactly() -> None:
    exchange = make(("BTCUSDT", "TRXUSDT"))
    agents = exchange.contracts["BTCUSDT"].agents
    first = pull(exchange, 100, market="makers", presence=0.3)
    pull(exchange, 200, market="makers", presence=0.7, symbols="BTCUSDT", for_="400ms")
    pull(exchange, 300, market="depth", factor=0.1, venue="usdm", for_="1s")
    run(exchange, 350)
    assert agents.conditions.presence == 0.3 * 0.7
    assert agents.conditions.depth == 0.1
    assert exchange.contracts["TRXUSDT"].agents.conditions.presence == 0.3
    assert [each.state for each in exchange.levers.state()] == ["on", "on", "on"]
    run(exchange, 700)
    assert agents.conditions.presence == 0.3
    exchange.levers.release(first, START_MS + 800)
    assert [each.state for each in exchange.levers.state()] == ["releasing", "on"]
    run(exchange, 1_400)
    assert agents.conditions == ORDINARY
    assert exchange.levers.state() == []
    with pytest.raises(KeyError):
        exchange.levers.release(first, START_MS + 1_500)


# What each lever does


@pytest.mark.heavy
def test_a_shock_moves_the_price_and_comes_back_by_its_share() -> None:
    exchange = make(("BTCUSDT", "BTCUSD_PERP"), quoting=0.1)
    first = exchange.contracts["BTCUSDT"].market.last_price
    pull(exchange, 0, market="shock", move=-0.1, over="2s", recover=0.5, recover_over="2s")
    events = run(exchange, 2_000)
    assert exchange.contracts["BTCUSDT"].market.last_price / first == pytest.approx(0.9, abs=0.01)
    assert of(Trade, events), "takers follow"
    run(exchange, 7_000)
    market = exchange.contracts["BTCUSDT"].market
    assert market.last_price / first == pytest.approx(0.9**0.5, abs=0.01)
    follower = exchange.contracts["BTCUSD_PERP"].market
    assert follower.last_price * 10 / market.last_price == pytest.approx(1, abs=0.01)


@pytest.mark.heavy
def test_makers_who_withdraw_leave_fewer_levels_and_a_wider_spread() -> None:
    exchange = make(("BTCUSDT",))
    engine = exchange.contracts["BTCUSDT"].market.engine
    levels = len(engine.bids.keys)
    lever = pull(exchange, 0, market="makers", presence=0.1)
    quotes = of(BookTicker, run(exchange, 2_000))
    last = quotes[-1]
    assert last.ask_price - last.bid_price > 100, "ten ticks"
    assert len(engine.bids.keys) < levels / 4
    exchange.levers.release(lever, START_MS + 2_001)
    last = of(BookTicker, run(exchange, 9_000))[-1]
    assert last.ask_price - last.bid_price < 100
    assert len(engine.bids.keys) > levels * 0.7


def test_without_makers_the_book_is_empty_until_they_come_back() -> None:
    exchange = make(("BTCUSDT",))
    checker = MarketChecker(exchange)
    engine = exchange.contracts["BTCUSDT"].market.engine
    pull(exchange, 0, market="makers", presence=0, for_="3s")
    run_checked(exchange, checker, START_MS + 2_900)
    assert engine.bids.keys == engine.asks.keys == []
    assert checker.contracts["BTCUSDT"].top == (0, 0, 0, 0)
    trades = checker.contracts["BTCUSDT"].trades
    run_checked(exchange, checker, START_MS + 9_000)
    assert len(engine.bids.keys) > 500 < len(engine.asks.keys)
    assert checker.contracts["BTCUSDT"].trades > trades + 10, "trading goes on"


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_side_without_makers_becomes_empty_and_the_other_follows_the_fair_value(
    side: str,
) -> None:
    exchange = make(("BTCUSDT",))
    checker = MarketChecker(exchange)
    market = exchange.contracts["BTCUSDT"].market
    pull(exchange, 0, market="one_sided", side=side)
    pull(exchange, 1_000, market="shock", move=0.02, over="1s", stay=1.0, recover_over="0s")
    run_checked(exchange, checker, START_MS + 4_000)
    gone, left = market.engine.bids, market.engine.asks
    if side == "asks":
        gone, left = left, gone
    assert gone.keys == []
    assert left.best is not None
    fair_value = exchange.contracts["BTCUSDT"].agents.valuation.price()
    assert left.best[0] / fair_value == pytest.approx(1, abs=0.002)


def test_a_halted_contract_is_silent_and_goes_on_where_it_stopped() -> None:
    exchange = make(("BTCUSDT", "TRXUSDT"))
    checker = MarketChecker(exchange)
    pull(exchange, 500, market="halt", symbols="BTCUSDT", for_="3s")
    events = run_checked(exchange, checker, START_MS + 6_000)
    statuses = [each.instrument.status for each in of(ContractChanged, events)]
    assert statuses == ["TRADING_HALT", "TRADING"]
    quiet = [
        each.trade_time_ms
        for each in of(Trade, events)
        if START_MS + 500 <= each.trade_time_ms < START_MS + 3_500
    ]
    assert quiet == []
    assert len(of(MarkPrice, events)) == 6, "mark prices go on"
    assert of(Trade, events)[-1].trade_time_ms > START_MS + 3_500
    assert of(DepthUpdate, events, "TRXUSDT")


@pytest.mark.heavy
def test_a_wave_of_liquidations_sells_at_falling_prices() -> None:
    exchange = make(("BTCUSDT",))
    first = exchange.contracts["BTCUSDT"].market.last_price
    pull(exchange, 0, market="liquidations", notional=30_000_000, over="4s")
    events = run(exchange, 4_000)
    forced = of(Liquidation, events)
    assert len(forced) > 20
    assert {each.side for each in forced} == {"SELL"}
    assert sum(each.quantity * each.average_price for each in forced) / 10**5 > 25_000_000
    assert exchange.contracts["BTCUSDT"].market.last_price < first * 0.9995


@pytest.mark.heavy
def test_the_funding_rate_goes_to_the_lever_and_back_within_the_cap() -> None:
    exchange = make(("BTCUSDT",))
    lever = pull(exchange, 0, market="funding", rate=-0.03, over="2s")
    marks = of(MarkPrice, run(exchange, 4_000))
    assert marks[-1].funding_rate == -exchange.instruments[0].funding_cap
    price = exchange.contracts["BTCUSDT"].market.last_price
    assert price * 10**6 / marks[-1].index_price == pytest.approx(0.98, abs=0.003)
    exchange.levers.release(lever, START_MS + 4_001)
    marks = of(MarkPrice, run(exchange, 12_000))
    assert abs(marks[-1].funding_rate) < RATE_ONE // 100
    assert exchange.levers.state() == []


def test_a_contract_is_listed_delisted_and_a_dated_one_delivered_on_request() -> None:
    exchange = make(quoting=0.04)
    checker = MarketChecker(exchange)
    pull(exchange, 0, market="list", symbols="NEWUSDT", notice="1s")
    pull(exchange, 0, market="delist", symbols="BTCUSDT", notice="2s")
    pull(exchange, 0, market="deliver", notice="3s")
    events = run_checked(exchange, checker, START_MS + 140_000)

    def statuses(symbol: str) -> list[str]:
        return [each.instrument.status for each in of(ContractChanged, events, symbol)]

    assert statuses("NEWUSDT")[:2] == ["PENDING_TRADING", "TRADING"]
    assert [each for each in statuses("BTCUSDT") if each != "TRADING"] == ["SETTLING", "CLOSE"]
    delivered = [each for each in statuses("BTCUSDT_260626") if each != "TRADING"]
    assert delivered == ["DELIVERING", "DELIVERED"]
    (settled,) = of(Delivered, events, "BTCUSDT_260626")
    index = of(MarkPrice, events, "BTCUSDT_260626")[-1].index_price
    assert settled.price == pytest.approx(index, rel=0.001)
    assert of(Trade, events, "NEWUSDT")
    assert of(DepthUpdate, events, "BTCUSD_PERP")[-1].transaction_time_ms > START_MS + 100_000


@pytest.mark.parametrize("symbol", ["币安人生USDT", "ETHUSDC", "4USDC", "wUSDT", "1000000MOGUSDT"])
def test_a_contract_of_any_name_in_usdt_or_usdc_is_listed_and_moved(symbol: str) -> None:
    exchange = make(("ETHUSDT",), quoting=0.04)
    pull(exchange, 0, market="list", symbols=symbol, notice="1s")
    name = symbol.upper()
    before = of(MarkPrice, run(exchange, 4_000), name)[-1]
    pull(exchange, 4_100, market="shock", symbols=symbol, move=-0.1, over="1s")
    after = of(MarkPrice, run(exchange, 10_000), name)[-1]
    assert after.index_price == pytest.approx(before.index_price * 0.9, rel=0.02)
    assert exchange.contracts[name].instrument.margin_asset == name[-4:]


@pytest.fixture(scope="module")
def exchange() -> SimulatedExchange:
    return make()


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ({"market": "halt", "symbols": "BTCUSTD"}, "did you mean BTCUSDT"),
        ({"market": "halt", "symbols": "BTCUSD_PERP", "venue": "usdm"}, "one of BTCUSDT"),
        ({"market": "deliver", "symbols": "BTCUSDT"}, "a dated contract: BTCUSDT_260626"),
        ({"market": "funding", "rate": 0.01, "symbols": "BTCUSDT_260626"}, "a perpetual contract"),
        ({"market": "list", "symbols": "BTCUSDT"}, "not listed yet"),
        ({"market": "list", "symbols": "BTC"}, "a coin followed by USDT or USDC"),
        ({"market": "list", "symbols": "NEWEUR"}, "a coin followed by USDT or USDC"),
        ({"market": "list", "symbols": "NEW-USDT"}, "a coin followed by USDT or USDC"),
        ({"market": "list", "venue": "coinm"}, "usdm: new contracts are listed there"),
    ],
)
def test_a_lever_that_makes_no_sense_here_is_refused(
    written: dict[str, object], sentence: str, exchange: SimulatedExchange
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        exchange.levers.pull(parse_lever(written), START_MS)
    assert exchange.levers.state() == []


def test_there_are_only_so_many_levers_at_a_time() -> None:
    exchange = make(("TRXUSDT",))
    for _ in range(64):
        pull(exchange, 100, market="activity", factor=1)
    with pytest.raises(ConfigError, match="at most 64 levers"):
        pull(exchange, 100, market="activity", factor=1)


# Any levers


@pytest.mark.heavy
def test_prices_stay_within_the_bounds_of_a_contract_however_far_it_falls_or_rises() -> None:
    for move in (-0.9, 9.0):
        exchange = make(("TRXUSDT", "BTCUSDT", "BTCUSD_PERP"), quoting=0.04)
        checker = MarketChecker(exchange)
        for after_ms in (0, 500, 1_000):
            pull(exchange, after_ms, market="shock", move=move, over="1s", beta=True, stay=0.1)
        pull(exchange, 0, market="volatility", factor=50)
        run_checked(exchange, checker, START_MS + 2_500)
        for instrument in exchange.instruments:
            contract = checker.contracts[instrument.symbol]
            prices = contract.bids.keys() | contract.asks.keys()
            assert instrument.min_price <= min(prices) < max(prices) <= instrument.max_price


PULLS = st.one_of(
    st.fixed_dictionaries(
        {
            "market": st.just("shock"),
            "move": st.floats(-0.6, 1.5),
            "over": st.sampled_from(["0s", "300ms", "2s"]),
            "recover": st.floats(0, 1.5),
            "recover_over": st.sampled_from(["0s", "1s"]),
            "stay": st.sampled_from([0.0, 0.05, 1.0]),
        }
    ),
    st.fixed_dictionaries({"market": st.just("volatility"), "factor": st.floats(0, 30)}),
    st.fixed_dictionaries({"market": st.just("activity"), "factor": st.floats(0, 20)}),
    st.fixed_dictionaries({"market": st.just("makers"), "presence": st.floats(0, 1)}),
    st.fixed_dictionaries({"market": st.just("depth"), "factor": st.floats(0.001, 4)}),
    st.fixed_dictionaries(
        {"market": st.just("one_sided"), "side": st.sampled_from(["bids", "asks"])}
    ),
    st.just({"market": "halt"}),
    st.fixed_dictionaries(
        {
            "market": st.just("liquidations"),
            "side": st.sampled_from(["longs", "shorts"]),
            "notional": st.sampled_from([1_000, 1_000_000, 100_000_000]),
            "over": st.sampled_from(["0s", "1s"]),
        }
    ),
    st.fixed_dictionaries(
        {"market": st.just("funding"), "rate": st.floats(-0.03, 0.03), "over": st.just("1s")}
    ),
    st.fixed_dictionaries({"market": st.just("list"), "notice": st.sampled_from(["0s", "1s"])}),
    st.fixed_dictionaries(
        {
            "market": st.just("delist"),
            "symbols": st.sampled_from(["TRXUSDT", "BTCUSDT_260626"]),
            "notice": st.sampled_from(["0s", "1s"]),
        }
    ),
    st.fixed_dictionaries({"market": st.just("deliver"), "notice": st.sampled_from(["0s", "1s"])}),
)
TIMES = st.tuples(PULLS, st.integers(0, 4_000), st.integers(1, 3_000))


def assert_ordinary(exchange: SimulatedExchange) -> None:
    """Nothing of any lever is left: every factor is exactly what it was."""
    for contract in exchange.contracts.values():
        assert contract.agents.conditions == ORDINARY
        assert contract.agents.touch_makers.spread == contract.instrument.tick_size
        assert contract.positions.target_factor == 1.0
        assert contract.mark.pinned_premium is None
        assert not contract.market.is_halted
    for underlying in exchange.registry.news.underlyings.values():
        assert underlying.volatility == 1.0
        assert underlying.value.premium == PREMIUM


@pytest.mark.heavy
@settings(max_examples=5)
@given(st.lists(TIMES, min_size=1, max_size=5), st.integers(1, 3))
def test_whatever_levers_are_pulled_the_market_is_whole_and_comes_back(
    pulls: list[tuple[dict[str, object], int, int]], seed: int
) -> None:
    exchange = make(seed=seed, quoting=0.04)
    checker = MarketChecker(exchange)
    for written, after_ms, held_ms in pulls:
        lever = parse_lever(written)
        try:
            lever_id = exchange.levers.pull(lever, START_MS + after_ms)
        except ConfigError:
            continue  # it ends already
        exchange.levers.release(lever_id, START_MS + after_ms + held_ms)
    run_checked(exchange, checker, START_MS + 12_500)
    before = {symbol: each.updates for symbol, each in checker.contracts.items()}
    assert exchange.levers.state() == []
    assert_ordinary(exchange)
    left = {symbol for symbol in checker.contracts if symbol in SYMBOLS}
    for seconds in range(20, 140, 5):  # the quietest contract may rest for half a minute
        run_checked(exchange, checker, START_MS + seconds * 1_000)
        left -= {each for each in left if checker.contracts[each].updates > before[each]}
        if not left:
            break
    assert not left, "died"
    for symbol, contract in checker.contracts.items():
        if symbol in SYMBOLS:
            assert contract.bids, f"{symbol} has no bids"
            assert contract.asks, f"{symbol} has no asks"
