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
