"""Each scenario of the library, played to its end on a market that is checked event by event."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenario_market import START_MS, SYMBOLS, ScenarioMarket

from tickerplant.scenarios.library import library_names, library_scenario

NAMES = library_names()
EVERYDAY = {"delivery-hour", "depth-hole", "mass-disconnect"}
"""Scenarios of levers, of faults and of a contract that ends."""


def started(name: str, seed: int = 7, *, hashes: bool = False) -> ScenarioMarket:
    """Return a market on which a scenario has begun a second after the start."""
    symbols = SYMBOLS if name == "delivery-hour" else SYMBOLS[:1]
    market = ScenarioMarket(seed, symbols=symbols, hashes=hashes)
    market.step(1)
    market.scenarios.start(library_scenario(name))
    return market


def last_price(market: ScenarioMarket) -> int:
    return market.plant.markets["BTCUSDT"].last_price


def a_flash_crash_falls_and_recovers(market: ScenarioMarket) -> None:
    market.step(59)
    before = last_price(market)
    market.step(42)
    bottom = last_price(market)
    market.step(120)
    after = last_price(market)
    assert -0.2 < log(bottom / before) < -0.09
    assert log(after / before) > 0.5 * log(bottom / before)
    assert market.checker.contracts["BTCUSDT"].liquidations > 5


def nobody_bids_and_then_nobody_asks(market: ScenarioMarket) -> None:
    market.step(80)
    contract = market.checker.contracts["BTCUSDT"]
    assert not contract.bids
    assert contract.asks
    market.step(85)
    assert contract.bids
    assert not contract.asks


def a_contract_is_delivered(market: ScenarioMarket) -> None:
    market.step(119)
    assert "BTCUSDT_261225" in market.plant.markets
    market.step(15)
    assert "BTCUSDT_261225" not in market.plant.markets


MOMENTS: dict[str, Callable[[ScenarioMarket], None]] = {
    "flash-crash": a_flash_crash_falls_and_recovers,
    "one-sided-book": nobody_bids_and_then_nobody_asks,
    "delivery-hour": a_contract_is_delivered,
}
"""What is seen while a scenario runs."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.heavy)
        if name in EVERYDAY
        else pytest.param(name, marks=pytest.mark.slow("minutes of a wild market"))
        for name in NAMES
    ],
)
def test_the_market_keeps_its_invariants_and_every_change_happens(name: str) -> None:
    market = started(name)
    if name in MOMENTS:
        MOMENTS[name](market)
    over_ms = START_MS + 2_000 + library_scenario(name).duration_ms
    market.step((over_ms - market.plant.now_ms) / 1_000)
    (state,) = market.scenarios.states()
    assert state.state == "over"
    assert {each.state for each in state.changes} == {"done"}
    assert [line for line in market.log if line.startswith("!")] == []
    market.step(30)  # what goes back slowly is back
    assert (market.levers_on, market.kinds_on) == ([], [])
    assert market.checker.contracts["BTCUSDT"].status == "TRADING"


def digest(name: str, seconds: float, seed: int = 7) -> str:
    market = started(name, seed, hashes=True)
    market.step(seconds)
    return market.digest


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "seconds"), [("exchange-restart", 100), ("delisting", 65)])
def test_the_same_seed_is_the_same_run_to_the_byte(name: str, seconds: float) -> None:
    assert digest(name, seconds) == digest(name, seconds)


def test_another_seed_is_another_run() -> None:
    first, again, other = (digest("flash-crash", 9, seed) for seed in (7, 7, 8))
    assert first == again != other


@pytest.mark.slow("minutes of four wild markets")
@given(
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
    gaps_s=st.lists(st.floats(0, 60), min_size=3, max_size=3),
    seed=st.integers(1, 1_000),
)
@settings(max_examples=4, deadline=None)
def test_scenarios_started_at_any_time_and_stopped_in_the_middle_leave_nothing_behind(
    names: list[str], gaps_s: list[float], seed: int
) -> None:
    market = ScenarioMarket(seed)
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
