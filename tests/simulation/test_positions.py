"""Who holds what in a contract."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tickerplant.events import Positioning
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.holdings import typical_open_interest
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


def test_the_risk_of_deleveraging_grows_with_the_lean() -> None:
    rows = [row for seed in range(4) for row in day("ATOMUSDT", seed)]
    lean: dict[str, list[int]] = {}
    for row in rows:
        lean.setdefault(row.adl_risk, []).append(abs(row.long_accounts - 5_000))
    assert max(lean["low"]) < min(lean["medium"])
    assert max(lean["medium"]) < min(lean.get("high", [5_000]))


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
