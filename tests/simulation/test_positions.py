"""Who holds what in a contract."""

from __future__ import annotations

from itertools import pairwise
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.events import Positioning
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.holdings import adl_risk, typical_open_interest
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.positions import Holders
from tickerplant.simulation.temper import temper

START_MS = 1_780_000_000_250
LISTED = {each.symbol: each for each in instruments(START_MS)}


def day(symbol: str, seed: int = 1) -> list[Positioning]:
    """A day of a contract's positions, on an ordinary day, told every five seconds."""
    contract = LISTED[symbol]
    holders = Holders(contract, temper(contract), lambda: 1.0, seed)
    return [holders.at(5_000 * step) for step in range(17_280)]


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ATOMUSDT", "ETHUSD_PERP", "TSLAUSDT"])
def test_positions_wander_but_stay_plausible(symbol: str) -> None:
    contract = LISTED[symbol]
    typical = typical_open_interest(contract, temper(contract))
    rows = day(symbol)
    interests = [row.open_interest for row in rows]
    assert all(each % contract.step_size == 0 for each in interests)
    assert typical / 2 < min(interests) < max(interests) < typical * 2
    assert len(set(interests)) > 100, "it changes"
    for row in rows:
        assert 2_000 < row.long_accounts < 8_500
        assert 2_000 < row.top_long_accounts < 8_500
        assert 2_000 < row.top_long_positions < 8_500
        assert row.adl_risk in {"low", "medium", "high"}
    steps = [abs(a.long_accounts - b.long_accounts) for a, b in pairwise(rows)]
    assert max(steps) < 150, "nobody changes his mind all at once"


def moved(activity: float, seed: int) -> tuple[float, ...]:
    """How far the positions of a contract moved, all in all, while trading was so lively."""
    contract = LISTED["BTCUSDT"]
    holders = Holders(contract, temper(contract), lambda: activity, seed)
    rows = [holders.at(5_000 * step) for step in range(300)]
    told = [
        (log(row.open_interest), row.long_accounts, row.top_long_accounts, row.top_long_positions)
        for row in rows
    ]
    return tuple(
        sum(abs(later - earlier) for earlier, later in pairwise(numbers))
        for numbers in zip(*told, strict=True)
    )


@given(activity=st.floats(0.2, 8), seed=st.integers(0, 1000))
@settings(max_examples=15)
def test_the_livelier_the_trading_the_more_positions_move(activity: float, seed: int) -> None:
    usual, lively = moved(1.0, seed), moved(activity, seed)
    for before, now in zip(usual, lively, strict=True):
        assert now / before == pytest.approx(activity**0.5, rel=0.1), "with the square root"


@pytest.mark.parametrize(
    ("lean", "risk"),
    [
        *((0, "low"), (1, "low"), (899, "low"), (900, "medium"), (901, "medium")),
        *((1499, "medium"), (1500, "high"), (4000, "high")),
    ],
)
def test_the_risk_of_deleveraging_grows_with_the_lean(lean: int, risk: str) -> None:
    assert adl_risk(5000 + lean) == adl_risk(5000 - lean) == risk


def test_the_risk_that_is_told_is_that_of_the_accounts() -> None:
    rows = [row for seed in range(4) for row in day("ATOMUSDT", seed)]
    assert {row.adl_risk for row in rows} == {"low", "medium", "high"}
    assert all(row.adl_risk == adl_risk(row.long_accounts) for row in rows)


def test_every_contract_is_told_once_in_five_seconds_not_all_at_once() -> None:
    symbols = [symbol for symbol in LISTED if symbol.endswith("USDT")][:12]
    exchange = SimulatedExchange(instruments(START_MS, symbols), 2, START_MS)
    seconds: dict[str, list[int]] = {}
    while exchange.next_time_ms < START_MS + 16_000:
        for event in exchange.step()[1]:
            if isinstance(event, Positioning):
                seconds.setdefault(event.symbol, []).append(event.time_ms // 1000)
    assert set(seconds) == set(symbols)
    for told in seconds.values():
        assert [later - earlier for earlier, later in pairwise(told)] in (
            [5, 5],
            [5, 5, 5],
        )
    assert len({told[0] for told in seconds.values()}) > 2, "staggered"
