"""The paths, premiums and waves of levers."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.simulation.lever_effects import MOST_ORDERS, path_shares, premium_of_rate, wave
from tickerplant.simulation.mark_price import funding_rate


@given(st.integers(0, 1_000), st.integers(0, 120_000))
def test_a_path_takes_its_time_and_its_shares_add_up(seed: int, over_ms: int) -> None:
    steps = path_shares(Random(seed), over_ms)
    assert sum(share for _, share in steps) == pytest.approx(1.0)
    assert [at_ms for at_ms, _ in steps] == sorted(at_ms for at_ms, _ in steps)
    assert steps[-1][0] == over_ms
    assert all(share >= 0 for _, share in steps)


@given(st.floats(-0.03, 0.03), st.sampled_from([4, 8]))
def test_the_premium_of_a_rate_makes_that_rate(rate: float, interval_hours: int) -> None:
    premium = premium_of_rate(rate, interval_hours)
    assert funding_rate(premium, interval_hours, cap=0.03) == pytest.approx(rate, abs=1e-12)


@given(
    seed=st.integers(0, 100),
    over_ms=st.integers(0, 60_000),
    steps=st.integers(0, 10**9),
    step=st.sampled_from([1, 10, 1_000]),
)
def test_a_wave_adds_up_to_its_quantity_in_whole_steps_within_its_time(
    seed: int, over_ms: int, steps: int, step: int
) -> None:
    orders = wave(Random(seed), over_ms, steps * step, step, most=10**15)
    assert sum(size for _, size in orders) == steps * step
    assert len(orders) <= MOST_ORDERS
    assert all(size > 0 and size % step == 0 for _, size in orders)
    assert all(0 <= at_ms <= over_ms for at_ms, _ in orders)


def test_no_order_of_a_wave_is_larger_than_the_exchange_takes() -> None:
    orders = wave(Random(1), 10_000, 1_000_000, 10, most=3_000)
    assert max(size for _, size in orders) == 3_000
    assert len(orders) <= MOST_ORDERS
