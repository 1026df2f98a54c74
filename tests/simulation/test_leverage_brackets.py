"""Leverage brackets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.instrument import Instrument
from tickerplant.simulation.contract_profile import contract_profile
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.leverage import brackets

LISTED = instruments(1_780_000_000_000, symbol_count=80)


@given(st.sampled_from(LISTED), st.sampled_from([0.5, 0.8, 1.0, 1.25, 2.0]))
def test_brackets_follow_each_other_and_the_margin_has_no_step(
    contract: Instrument, scale: float
) -> None:
    rows = brackets(contract, contract_profile(contract), scale)
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert (rows[0].notional_floor, rows[0].cumulative) == (0, 0.0)
    assert (rows[-1].min_leverage, rows[-1].max_leverage) == (1, 1)
    for row in rows:
        assert row.notional_floor < row.notional_cap, f"{contract.symbol} {row}"
        assert row.min_leverage <= row.max_leverage
        assert row.maintenance_margin_rate < 1 / row.max_leverage, "less than the initial margin"
    for before, row in pairwise(rows):
        assert row.notional_floor == before.notional_cap
        assert row.max_leverage == before.min_leverage - 1
        assert row.maintenance_margin_rate > before.maintenance_margin_rate
        at = row.notional_floor
        below = at * before.maintenance_margin_rate - before.cumulative
        above = at * row.maintenance_margin_rate - row.cumulative
        assert above == pytest.approx(below, abs=1e-6 * at), "no step of the margin"
        step = row.maintenance_margin_rate - before.maintenance_margin_rate
        assert row.cumulative == pytest.approx(before.cumulative + at * step)


def test_deep_markets_allow_more_and_coins_are_counted_in_coins() -> None:
    rows = {each.symbol: brackets(each, contract_profile(each)) for each in LISTED}
    deep, shallow, coin = rows["BTCUSDT"], rows["ATOMUSDT"], rows["BTCUSD_PERP"]
    assert deep[0].max_leverage == 125 > shallow[0].max_leverage
    assert deep[0].notional_cap > shallow[0].notional_cap > 1000
    assert coin[0].notional_cap < 100, "COIN-M notionals are coins"


def test_another_scale_gives_other_brackets() -> None:
    for contract in LISTED:
        profile = contract_profile(contract)
        doubled = brackets(contract, profile, 2.0)
        assert doubled != brackets(contract, profile), contract.symbol
        assert doubled[-1].notional_cap > brackets(contract, profile)[-1].notional_cap
