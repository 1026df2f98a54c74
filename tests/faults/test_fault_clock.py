from __future__ import annotations

from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.faults.rule import parse_rule
from tickerplant.market.timers import AGGREGATE_RANK, MESSAGE_RANK, MINUTE_RANK, Timers

START_MS = 1_767_225_600_000


def test_faults_come_after_what_ends_and_before_the_messages_of_their_millisecond() -> None:
    timers = Timers(START_MS)
    clock = MarketClock(timers)
    happened: list[str] = []
    due_ms = START_MS + 5
    timers.at(due_ms, MESSAGE_RANK, lambda _: happened.append("message"))
    clock.at(due_ms, lambda _: happened.append("fault"))
    timers.at(due_ms, AGGREGATE_RANK, lambda _: happened.append("aggregate"))
    timers.at(due_ms, MINUTE_RANK, lambda _: happened.append("minute"))
    timers.advance_before(due_ms)
    assert happened == ["minute", "aggregate", "fault"]
    timers.advance(due_ms)
    assert happened == ["minute", "aggregate", "fault", "message"]
    assert not clock.pending


def test_what_is_due_outlives_a_restart_and_what_was_cancelled_does_not_come() -> None:
    timers = Timers(START_MS)
    clock = MarketClock(timers)
    happened: list[int] = []
    clock.at(START_MS + 20, happened.append)
    clock.at(START_MS + 30, happened.append).cancel()
    timers.advance(START_MS + 10)
    timers.restart(START_MS - 1_000)
    timers.advance(START_MS + 10)
    assert not happened
    timers.advance(START_MS + 40)
    assert happened == [START_MS + 20]


def test_a_window_is_open_where_a_market_is_that_was_sought_back() -> None:
    timers = Timers(START_MS)
    board = FaultBoard(MarketClock(timers))
    stalled = board.add(parse_rule("stall for=10s"))
    timers.advance(START_MS + 5_000)
    timers.restart(START_MS)
    timers.advance(START_MS + 9_999)
    states = [stalled.state]
    timers.advance(START_MS + 10_000)
    states.append(stalled.state)
    assert states == ["on", "over"]


def test_the_time_that_is_left_stays_when_a_market_goes_back_and_ends_when_it_goes_on() -> None:
    timers = Timers(START_MS)
    clock = MarketClock(timers)
    happened: list[int] = []
    clock.after(30, happened.append)
    timers.advance(START_MS + 10)
    timers.restart(START_MS - 1_000)
    assert clock.now_ms + clock.gone_back_ms == START_MS + 10
    timers.advance(START_MS - 981)
    assert not happened
    timers.advance(START_MS - 980)
    assert happened == [START_MS - 980]
    clock.after(30, happened.append)
    timers.restart(START_MS + 5_000)
    timers.advance(START_MS + 5_000)
    assert len(happened) == 2
    assert clock.gone_back_ms == 1_010


def test_a_fault_with_a_mean_time_happens_after_a_market_went_back() -> None:
    timers = Timers(START_MS)
    board = FaultBoard(MarketClock(timers))
    chances = board.chances(board.add(parse_rule("drop mean=1s")), 1)
    timers.advance(START_MS + 3_600_000)
    assert chances.occurs()
    left_ms = chances.left_ms
    timers.restart(START_MS)
    assert chances.left_ms == left_ms
    assert not chances.occurs()
    timers.advance(START_MS + left_ms)
    assert chances.occurs()
