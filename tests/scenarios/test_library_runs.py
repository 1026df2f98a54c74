"""Each scenario of the library, played to its end on a market that is checked event by event."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenario_market import ScenarioMarket

from tickerplant.scenarios.library import library_names, library_scenario

NAMES = library_names()


def played(
    name: str, seed: int = 7, until_s: float | None = None, *, hashes: bool = False
) -> ScenarioMarket:
    market = ScenarioMarket(seed, hashes=hashes)
    scenario = library_scenario(name)
    market.step(1)
    market.scenarios.start(scenario)
    market.step(scenario.duration_ms / 1e3 + 1 if until_s is None else until_s)
    return market


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_the_market_keeps_its_invariants_and_every_change_happens(name: str) -> None:
    market = played(name)
    (state,) = market.scenarios.states()
    assert state.state == "over"
    assert {each.state for each in state.changes} == {"done"}
    assert [line for line in market.log if line.startswith("!")] == []
    market.step(30)  # what goes back slowly is back
    assert (market.levers_on, market.kinds_on) == ([], [])
    assert market.checker.contracts["BTCUSDT"].status == "TRADING"


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["flash-crash", "exchange-restart", "delisting"])
def test_the_same_seed_is_the_same_run_to_the_byte(name: str) -> None:
    one, other = (played(name, until_s=100, hashes=True) for _ in range(2))
    assert one.digest == other.digest


@pytest.mark.heavy
def test_another_seed_is_another_run() -> None:
    assert played("flash-crash", 7, 9, hashes=True).digest != (
        played("flash-crash", 8, 9, hashes=True).digest
    )


@pytest.mark.heavy
@given(
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
    gaps_s=st.lists(st.floats(0, 60), min_size=3, max_size=3),
    seed=st.integers(1, 1_000),
)
@settings(max_examples=4, deadline=None)
def test_scenarios_started_at_any_time_and_stopped_in_the_middle_leave_nothing_behind(
    names: list[str], gaps_s: list[float], seed: int
) -> None:
    market = ScenarioMarket(seed, intensity=0.03)
    for name, gap_s in zip(dict.fromkeys(names), gaps_s, strict=False):
        market.step(gap_s)
        market.scenarios.start(library_scenario(name))
    market.step(gaps_s[0] + 45)
    market.scenarios.clear()
    assert market.kinds_on == []
    market.step(30)
    assert market.levers_on == []
    assert market.checker.contracts["BTCUSDT"].status == "TRADING"
    assert {state.state for state in market.scenarios.states()} == {"over"}


def last_price(market: ScenarioMarket) -> int:
    return market.plant.markets["BTCUSDT"].last_price


@pytest.mark.heavy
def test_a_flash_crash_falls_and_recovers() -> None:
    market = ScenarioMarket()
    market.step(1)
    market.scenarios.start(library_scenario("flash-crash"))
    market.step(59)
    before = last_price(market)
    market.step(42)
    bottom = last_price(market)
    market.step(120)
    after = last_price(market)
    assert -0.2 < log(bottom / before) < -0.09
    assert log(after / before) > 0.5 * log(bottom / before)
    assert market.checker.contracts["BTCUSDT"].liquidations > 5


@pytest.mark.heavy
def test_nobody_bids_when_nobody_bids() -> None:
    market = played("one-sided-book", until_s=80)
    contract = market.checker.contracts["BTCUSDT"]
    assert not contract.bids
    assert contract.asks
    market.step(85)
    assert contract.bids
    assert not contract.asks


@pytest.mark.heavy
def test_a_contract_is_delivered_in_the_delivery_hour() -> None:
    market = played("delivery-hour", until_s=119)
    assert "BTCUSDT_261225" in market.plant.markets
    market.step(15)
    assert "BTCUSDT_261225" not in market.plant.markets
