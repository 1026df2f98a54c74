from __future__ import annotations

import pytest
from scenario_market import START_MS, ScenarioMarket, scenario

from tickerplant.errors import ConfigError
from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.market.timers import Timers
from tickerplant.scenarios.board import MOST_OVER, MOST_RUNNING, ScenarioBoard, scenario_of

HALT = 'at = "10s"\nmarket = "halt"\nfor = "20s"'
SILENCE = 'at = "20s"\nfault = "refuse"\nshare = 1'
STALL = 'at = "40s"\nfault = "stall"\nfor = "10s"'


@pytest.fixture
def market() -> ScenarioMarket:
    return ScenarioMarket()


def test_changes_happen_at_their_market_times_and_are_undone_at_the_end(
    market: ScenarioMarket,
) -> None:
    market.step(5)
    assert market.scenarios.start(scenario(HALT, SILENCE, STALL, duration="1m")) == "s1"
    market.step(9.999)
    assert market.levers_on == []
    market.step(0.002)
    assert market.levers_on == ["halt"]
    assert market.checker.contracts["BTCUSDT"].status == "TRADING_HALT"
    market.step(9.998)
    assert market.kinds_on == []
    market.step(0.001)
    assert market.kinds_on == ["refuse"]
    market.step(10.001)
    assert market.levers_on == []
    assert market.checker.contracts["BTCUSDT"].status == "TRADING"
    market.step(15)
    assert market.kinds_on == ["refuse", "stall"]
    market.step(10)
    assert market.kinds_on == ["refuse"]
    market.step(5)
    assert market.kinds_on == []
    assert [state.state for state in market.scenarios.states()] == ["over"]


def test_the_log_says_each_change_in_one_line(market: ScenarioMarket) -> None:
    market.scenarios.start(scenario(HALT, SILENCE, duration="1m"))
    market.step(61)
    assert market.log == [
        "= s1 custom starts: A bad day",
        "= s1 custom change 1 of 2: market halt for=20s",
        "= s1 custom change 2 of 2: fault refuse share=1",
        "= s1 custom is over",
    ]


def test_the_state_has_the_changes_that_are_done_and_to_come(market: ScenarioMarket) -> None:
    start_ms = START_MS + 30_000
    market.scenarios.start(scenario(HALT, SILENCE), at_ms=start_ms)
    (state,) = market.scenarios.states()
    assert (state.state, state.done, state.to_come) == ("waiting", 0, 2)
    assert (state.start_ms, state.end_ms) == (start_ms, start_ms + 120_000)
    market.step(45)
    (state,) = market.scenarios.states()
    assert (state.state, state.done, state.to_come) == ("running", 1, 1)
    assert [(each.time_ms - start_ms, each.state) for each in state.changes] == [
        (10_000, "done"),
        (20_000, "to come"),
    ]
    market.step(110)
    (state,) = market.scenarios.states()
    assert (state.state, state.done, state.to_come, state.stopped) == ("over", 2, 0, False)


def test_a_change_at_the_start_happens_at_once(market: ScenarioMarket) -> None:
    market.step(3)
    market.scenarios.start(
        scenario('at = "0s"\nfault = "refuse"\nshare = 1', 'at = "0s"\nmarket = "halt"')
    )
    assert market.kinds_on == ["refuse"]
    market.step(0.001)
    assert market.levers_on == ["halt"]


def test_to_stop_one_releases_its_levers_removes_its_faults_and_cancels_the_rest(
    market: ScenarioMarket,
) -> None:
    day = scenario(HALT, SILENCE, STALL, 'at = "15s"\nmarket = "activity"\nfactor = 2')
    run_id = market.scenarios.start(day)
    market.step(25)
    assert (market.levers_on, market.kinds_on) == (["halt", "activity"], ["refuse"])
    market.scenarios.stop(run_id)
    assert market.kinds_on == []
    market.step(0.001)
    assert market.levers_on == []
    assert market.checker.contracts["BTCUSDT"].status == "TRADING"
    market.step(120)
    assert (market.levers_on, market.kinds_on) == ([], [])
    (state,) = market.scenarios.states()
    assert (state.state, state.stopped, state.done, state.to_come) == ("over", True, 3, 0)
    assert [each.state for each in state.changes] == ["done", "done", "done", "cancelled"]
    with pytest.raises(KeyError):
        market.scenarios.stop(run_id)


def test_two_at_once_each_undo_what_is_theirs(market: ScenarioMarket) -> None:
    one = market.scenarios.start(scenario('at = "5s"\nmarket = "activity"\nfactor = 2', SILENCE))
    market.step(10)
    other = market.scenarios.start(
        scenario('at = "5s"\nmarket = "volatility"\nfactor = 2', SILENCE)
    )
    market.step(30)
    assert market.levers_on == ["activity", "volatility"]
    assert market.kinds_on == ["refuse", "refuse"]
    market.scenarios.stop(one)
    market.step(1)
    assert (market.levers_on, market.kinds_on) == (["volatility"], ["refuse"])
    assert [state.state for state in market.scenarios.states()] == ["over", "running"]
    market.scenarios.stop(other)
    market.scenarios.clear()
    market.step(1)
    assert (market.levers_on, market.kinds_on) == ([], [])


def test_a_change_that_has_become_impossible_is_reported_and_the_rest_goes_on(
    market: ScenarioMarket,
) -> None:
    gone = 'at = "60s"\nmarket = "halt"\nsymbols = "BTCUSDT_261225"'
    first = 'at = "1s"\nmarket = "deliver"\nnotice = "10s"'
    market.scenarios.start(scenario(first, gone, 'at = "70s"\nfault = "refuse"\nshare = 1'))
    market.step(90)
    (state,) = market.scenarios.states()
    assert [each.state for each in state.changes] == ["done", "failed", "done"]
    assert "BTCUSDT_261225" in state.changes[1].reason
    assert [line for line in market.log if line.startswith("! s1 custom change 2 of 3: ")]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            'at = "1s"\nmarket = "halt"\nsymbols = "BTCUST"',
            ["'BTCUST' for symbols in change 1 (at 1s) of day.toml", "mean BTCUSDT"],
        ),
        (
            'at = "1s"\nmarket = "list"\nsymbols = "BTCUSDT"',
            ["'BTCUSDT' for symbols in change 1 (at 1s) of day.toml", "not listed yet"],
        ),
        (
            'at = "1s"\nmarket = "deliver"\nsymbols = "BTCUSDT"',
            ["symbols in change 1 (at 1s) of day.toml", "a dated contract", "BTCUSDT_261225"],
        ),
    ],
)
def test_what_the_market_lacks_is_refused_before_anything_starts(
    changes: str, words: list[str], market: ScenarioMarket
) -> None:
    with pytest.raises(ConfigError) as caught:
        market.scenarios.start(scenario(SILENCE, changes))
    assert not [
        each for each in words if each not in str(caught.value).replace("change 2", "change 1")
    ]
    assert (market.scenarios.states(), market.log) == ([], [])


def test_a_contract_that_the_scenario_lists_may_be_named_later(market: ScenarioMarket) -> None:
    listed = 'at = "1s"\nmarket = "list"\nsymbols = "NEWUSDT"\nnotice = "10s"'
    market.scenarios.start(
        scenario(listed, 'at = "20s"\nmarket = "shock"\nmove = 0.2\nsymbols = "NEWUSDT"')
    )
    market.step(30)
    (state,) = market.scenarios.states()
    assert (state.done, state.to_come) == (2, 0)


def test_without_levers_only_scenarios_of_faults_run() -> None:
    timers = Timers(START_MS)
    faults = FaultBoard(MarketClock(timers))
    board = ScenarioBoard(faults.clock, faults, None)
    with pytest.raises(
        ConfigError, match=r"tickerplant simulate.*change 1 \(at 10s\) of day\.toml"
    ):
        board.start(scenario(HALT, SILENCE))
    board.start(scenario(SILENCE, duration="1m"))
    timers.advance(START_MS + 20_000)
    assert [on.rule.kind for on in faults] == ["refuse"]
    timers.advance(START_MS + 60_000)
    assert [on.rule.kind for on in faults] == []
    assert [state.state for state in board.states()] == ["over"]


def test_too_many_at_a_time_are_refused_and_the_oldest_that_are_over_are_forgotten(
    market: ScenarioMarket,
) -> None:
    day = scenario(SILENCE)
    for _ in range(MOST_RUNNING):
        market.scenarios.start(day)
    with pytest.raises(ConfigError, match=f"at most {MOST_RUNNING} at a time; stop one first"):
        market.scenarios.start(day)
    for _ in range(6):
        market.scenarios.clear()
        for _ in range(MOST_RUNNING):
            market.scenarios.start(day)
    states = market.scenarios.states()
    assert len(states) == MOST_OVER + MOST_RUNNING
    assert states[-1].id == f"s{7 * MOST_RUNNING}"


def test_a_past_start_is_refused(market: ScenarioMarket) -> None:
    market.step(1)
    with pytest.raises(ConfigError, match="a market time that is not past"):
        market.scenarios.start(scenario(SILENCE), at_ms=START_MS)


def test_a_request_has_a_name_or_the_text_of_a_scenario() -> None:
    assert scenario_of({"scenario": "flash-crash"}).name == "flash-crash"
    text = f'title = "Mine"\nduration = "1m"\n[[change]]\n{SILENCE}'
    assert scenario_of({"toml": text}).name == "custom"
    assert scenario_of({"toml": text, "name": "mine.toml"}).name == "mine"
    with pytest.raises(ConfigError, match=r"at in change 1 of mine\.toml is missing"):
        scenario_of({"toml": text.replace("at =", "for ="), "name": "mine.toml"})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "scenario is missing"),
        ({"scenario": "flash-crahs"}, "did you mean flash-crash?"),
        ({"scenario": 3}, "invalid value 3 for scenario"),
        ({"scenaro": "flash-crash"}, "did you mean scenario?"),
        ({"scenario": "flash-crash", "toml": ""}, "scenario and toml"),
        ({"toml": "x"}, "the scenario that was sent"),
        ({"name": "mine.toml"}, "scenario is missing"),
        ({"scenario": "flash-crash", "name": "mine.toml"}, "'mine.toml' for name"),
        ({"toml": "x", "name": ".toml"}, "1 to 100 printable characters"),
        ({"toml": "x", "name": "a\nb"}, "1 to 100 printable characters"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        scenario_of(given)
    assert words in str(caught.value)
