"""Open interest before the start agrees with the trades, and leads to the start."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.events import Positioning
from tickerplant.market.bars import OPEN_TIME, VOLUME, Bars
from tickerplant.market.series import POSITIONING_PERIOD_MS
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.history import SimulatedHistory
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.open_interest import (
    EXACT_DAYS,
    RANDOM_SHARE,
    SHARES,
    TARGETED_SHARE,
    next_open_interest,
    past_steps,
)
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

START_MS = 1_780_000_012_345
ROLLED_MS = 1_774_598_400_000
"""2026-03-27 08:00 UTC: dated contracts were listed then."""
SYMBOLS = ("BTCUSDT", "SUIUSDT", "BTCUSDT_260626", "BTCUSD_PERP", "BTCUSD_260925")


def opened(symbol: str, seed: int, start_ms: int) -> tuple[SimulatedHistory, Positioning]:
    """The history of a contract, and its positions at the start."""
    exchange = SimulatedExchange(instruments(start_ms, (symbol,)), seed, start_ms)
    (reported,) = (each for each in exchange.opening(symbol) if isinstance(each, Positioning))
    return exchange.history(symbol), reported


def held(past: SimulatedHistory) -> dict[int, int]:
    """Open interest by time."""
    times_ms = past.positions.times_ms
    return dict(zip(times_ms, past.positions.column("open_interest", times_ms), strict=True))


def volumes(bars: Bars, length_ms: int) -> dict[int, int]:
    """Volumes by the beginning of periods of this length."""
    found: dict[int, int] = {}
    for row in bars.tolist():
        time_ms = row[OPEN_TIME] // length_ms * length_ms
        found[time_ms] = found.get(time_ms, 0) + row[VOLUME]
    return found


def steps_of(rows: dict[int, int], length_ms: int) -> dict[int, int]:
    """Changes of the open interest by the beginning of periods of this length."""
    whole = [row for row in rows.items() if row[0] % length_ms == 0]
    return {ms: abs(after - before) for (ms, before), (_, after) in pairwise(whole)}


@pytest.mark.heavy
@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("seed", [1, 2])
def test_open_interest_never_changed_by_more_than_was_traded(symbol: str, seed: int) -> None:
    past, reported = opened(symbol, seed, START_MS)
    rows = held(past)
    before = past.bars(POSITIONING_PERIOD_MS, next(iter(rows)) // DAY_MS * DAY_MS, past.ends_ms)
    fives = volumes(np.concatenate([before, past.day]), POSITIONING_PERIOD_MS)
    quarters = volumes(np.concatenate([before, past.day]), 15 * MINUTE_MS)
    for time_ms, step in steps_of(rows, 15 * MINUTE_MS).items():
        assert step <= quarters[time_ms]
    exact_ms = (past.ends_ms // DAY_MS - EXACT_DAYS) * DAY_MS
    late = {time_ms: held for time_ms, held in rows.items() if time_ms >= exact_ms}
    steps = steps_of(late, POSITIONING_PERIOD_MS)
    compared = [(step, fives[time_ms]) for time_ms, step in steps.items() if time_ms in fives]
    assert len(compared) == len(steps) > EXACT_DAYS * 288
    assert all(step <= volume for step, volume in compared)
    assert sum(step > 0 for step, _ in compared) > len(compared) / 2, "it changes"
    last_ms = [*rows][-1]
    since = sum(row[VOLUME] for row in past.day.tolist() if row[OPEN_TIME] >= last_ms)
    since += sum(trade.quantity for trade in past.trades)
    assert abs(reported.open_interest - rows[last_ms]) <= since


@pytest.mark.heavy
@given(st.sampled_from(SYMBOLS), st.integers(0, 10**6), st.integers(0, DAY_MS))
@settings(max_examples=8)
def test_the_start_continues_where_history_ended(symbol: str, seed: int, later_ms: int) -> None:
    past, reported = opened(symbol, seed, START_MS + later_ms)
    last = past.positions.times_ms[-1:]
    assert 0 < reported.time_ms - last[0] <= POSITIONING_PERIOD_MS
    assert reported.open_interest == pytest.approx(held(past)[last[0]], rel=0.05)
    for share in SHARES:
        assert abs(getattr(reported, share) - past.positions.column(share, last)[0]) < 100


@pytest.mark.heavy
def test_it_does_not_jump_at_the_start_on_average() -> None:
    steps = []
    for seed in range(6):
        past, reported = opened("BTCUSDT", seed, START_MS)
        last = [*held(past).values()][-1]
        steps.append(reported.open_interest / last - 1)
    assert np.mean(np.abs(steps)) < 0.004


@pytest.mark.parametrize("symbol", ["BTCUSDT_260925", "BTCUSD_260925"])
@pytest.mark.parametrize("after_ms", [0, 20 * MINUTE_MS + 7, 6 * HOUR_MS, 9 * DAY_MS, 29 * DAY_MS])
def test_a_contract_listed_within_the_last_month_began_with_nothing(
    symbol: str, after_ms: int
) -> None:
    past, reported = opened(symbol, 3, ROLLED_MS + after_ms)
    rows = held(past)
    assert past.inputs.instrument.onboard_date_ms == ROLLED_MS
    assert [*rows] == [*range(ROLLED_MS, reported.time_ms, POSITIONING_PERIOD_MS)]
    assert not rows or rows[ROLLED_MS] == 0
    before = past.bars(MINUTE_MS, past.begins_ms, past.ends_ms)
    bars = np.concatenate([before, past.day])
    traded = int(bars[:, VOLUME].sum()) + sum(trade.quantity for trade in past.trades)
    assert reported.open_interest <= (TARGETED_SHARE + RANDOM_SHARE) * traded
    if after_ms == 0:
        assert reported.open_interest == 0
    if after_ms > DAY_MS:
        assert reported.open_interest > 0
        assert 0 < rows[ROLLED_MS + 6 * HOUR_MS] < reported.open_interest / 2, "it grew"


def test_the_past_of_each_contract_is_generated_once_and_kept_in_columns() -> None:
    contracts = instruments(START_MS, symbol_count=12)
    exchange = SimulatedExchange(contracts, 1, START_MS)
    past_steps.cache_clear()
    for each in contracts * 2:
        past = exchange.history(each.symbol)
        latest = past.positions.times_ms[-30:]
        assert len(past.positions.column("open_interest", latest)) == 30
    assert past_steps.cache_info().misses == len(contracts)
    assert past_steps(past.inputs).nbytes < 36_000
    past_steps.cache_clear()
    assert len(past.positions.column("long_accounts", latest)) == 30
    assert past_steps.cache_info().misses == 0, "a share is known without the month"


@given(
    st.integers(0, 10**9),
    st.floats(0, 1e9),
    st.integers(0, 10**7),
    st.floats(-RANDOM_SHARE, RANDOM_SHARE),
)
def test_a_step_is_never_larger_than_what_was_traded(
    open_interest: int, target: float, traded: int, chance: float
) -> None:
    after = next_open_interest(open_interest, target, traded, chance)
    assert after >= 0
    assert abs(after - open_interest) <= (TARGETED_SHARE + RANDOM_SHARE) * traded
