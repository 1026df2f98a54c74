"""Open interest and long/short positions."""

from __future__ import annotations

from itertools import accumulate, pairwise, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.events import Positioning, Trade
from tickerplant.market.series import POSITIONING_PERIOD_MS
from tickerplant.simulation.contract_profile import contract_profile
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.history_inputs import HistoryInputs
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.open_interest import (
    ADL_RISKS,
    OPEN_INTEREST_DAYS,
    RANDOM_SHARE,
    SHARE_KEEP,
    TARGETED_SHARE,
    Positions,
    adl_risk,
    usual_open_interest,
)
from tickerplant.units import MINUTE_MS

START_MS = 1_780_000_000_250
TOLD_MS = START_MS // 1000 * 1000
LISTED = {each.symbol: each for each in instruments(START_MS)}
DAY_STEPS = 17_280
"""Publications of positions in a day."""
DELIVERY_MS = 1_782_460_800_000
"""2026-06-26 08:00 UTC."""


def holders_of(symbol: str, seed: int = 1, activity: float = 1.0) -> Positions:
    contract = LISTED[symbol]
    profile = contract_profile(contract)
    price = int(profile.price * 10**contract.price.decimals)
    return Positions(HistoryInputs(contract, profile, seed, START_MS, price), lambda: activity)


def ordinary(symbol: str) -> int:
    """The quantity traded between two publications on an ordinary day."""
    contract = LISTED[symbol]
    day = usual_open_interest(contract, contract_profile(contract)) / OPEN_INTEREST_DAYS
    return max(int(day / DAY_STEPS / contract.step_size), 1) * contract.step_size


def day(symbol: str, seed: int = 1, steps: int = DAY_STEPS) -> list[Positioning]:
    """The positions of a contract on an ordinary day, published every five seconds."""
    positions, traded = holders_of(symbol, seed), ordinary(symbol)
    return [positions.at(TOLD_MS + 5_000 * step, traded * step) for step in range(steps)]


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ATOMUSDT", "ETHUSD_PERP", "TSLAUSDT"])
def test_positions_wander_but_stay_plausible(symbol: str) -> None:
    contract = LISTED[symbol]
    typical = usual_open_interest(contract, contract_profile(contract))
    rows = day(symbol, steps=6_000)
    interests = [row.open_interest for row in rows]
    assert all(each % contract.step_size == 0 for each in interests)
    assert typical / 2 < min(interests) < max(interests) < typical * 2
    assert len(set(interests)) > 100, "it changes"
    for row in rows:
        assert 2_000 < row.long_accounts < 8_500
        assert 2_000 < row.top_long_accounts < 8_500
        assert 2_000 < row.top_long_positions < 8_500
        assert row.adl_risk in ADL_RISKS
    assert len({row.long_accounts for row in rows}) > 100, "it changes"
    steps = [abs(a.long_accounts - b.long_accounts) for a, b in pairwise(rows)]
    assert max(steps) < 20, "nobody changes his mind all at once"


@given(
    st.sampled_from(["BTCUSDT", "TSLAUSDT", "ETHUSD_PERP", "BTCUSDT_260925"]),
    st.integers(0, 1000),
    st.lists(st.integers(0, 10**6) | st.integers(0, 40) | st.just(0), min_size=1, max_size=50),
)
def test_no_step_is_larger_than_what_was_traded(symbol: str, seed: int, traded: list[int]) -> None:
    positions, step = holders_of(symbol, seed), LISTED[symbol].step_size
    volumes = [0, *accumulate(each * step for each in traded)]
    rows = [positions.at(TOLD_MS + 5_000 * n, volume) for n, volume in enumerate(volumes)]
    for (before, after), quantity in zip(pairwise(rows), traded, strict=True):
        change = abs(after.open_interest - before.open_interest)
        assert change <= (TARGETED_SHARE + RANDOM_SHARE) * quantity * step
        if not quantity:
            assert shares(before) == shares(after), "who does not trade does not change sides"


def shares(row: Positioning) -> tuple[int, int, int]:
    return row.long_accounts, row.top_long_accounts, row.top_long_positions


@pytest.mark.heavy
@given(st.sampled_from(["BTCUSDT", "TSLAUSDT", "ETHUSD_PERP"]), st.integers(0, 1000))
@settings(max_examples=5)
def test_each_share_returns_to_its_usual_value_where_nothing_disturbs_it(
    symbol: str, seed: int
) -> None:
    positions, step, number = holders_of(symbol, seed, 0.0), LISTED[symbol].step_size, 3_000
    before, *_, after = (positions.at(TOLD_MS, step * n) for n in range(number + 1))
    for usual, first, last in zip((5800, 5600, 5200), shares(before), shares(after), strict=True):
        expected = usual + (first - usual) * SHARE_KEEP**number
        assert last == pytest.approx(expected, abs=0.6), f"{first} returns to {usual}"


def movement(activity: float, seed: int) -> tuple[int, ...]:
    """How far the positions of a contract moved in total at such a trading activity."""
    positions, traded = holders_of("BTCUSDT", seed, activity), int(ordinary("BTCUSDT") * activity)
    step, seconds = LISTED["BTCUSDT"].step_size, 5_000
    rows = [positions.at(TOLD_MS + seconds * n, traded // step * step * n) for n in range(3_000)]
    positioning_of = [(row.open_interest, *shares(row)) for row in rows]
    return tuple(
        sum(abs(later - earlier) for earlier, later in pairwise(numbers))
        for numbers in zip(*positioning_of, strict=True)
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("activity", [4.0, 9.0])
def test_the_livelier_the_trading_the_more_positions_move(activity: float, seed: int) -> None:
    (interest, *usual), (lively_interest, *lively) = (
        movement(1.0, seed),
        movement(activity, seed),
    )
    assert 0.3 * activity < lively_interest / interest < 1.7 * activity, "as what is traded"
    for before, now in zip(usual, lively, strict=True):
        assert now / before == pytest.approx(activity**0.5, rel=0.15), "as a price would move"


@pytest.mark.parametrize(
    ("lean", "risk"),
    [
        *((0, "LOW"), (1, "LOW"), (899, "LOW"), (900, "MIDDLE"), (901, "MIDDLE")),
        *((1499, "MIDDLE"), (1500, "HIGH"), (1699, "HIGH")),
        *((1700, "EXTREMELY_HIGH"), (4000, "EXTREMELY_HIGH")),
    ],
)
def test_the_risk_of_deleveraging_grows_with_the_lean(lean: int, risk: str) -> None:
    assert adl_risk(5000 + lean) == adl_risk(5000 - lean) == risk


def test_the_published_risk_follows_the_accounts() -> None:
    traded = ordinary("ATOMUSDT")
    rows = [
        positions.at(TOLD_MS + 5_000 * step, traded * step)
        for positions in map(holders_of, repeat("ATOMUSDT"), range(100))
        for step in range(3)
    ]
    assert {row.adl_risk for row in rows} == set(ADL_RISKS)
    assert all(row.adl_risk == adl_risk(row.long_accounts) for row in rows)


def test_positions_of_each_contract_are_published_every_five_seconds_staggered() -> None:
    symbols = [symbol for symbol in LISTED if symbol.endswith("USDT")][:12]
    exchange = SimulatedExchange(instruments(START_MS, symbols), 2, START_MS, 0.1, quoting=0.1)
    seconds: dict[str, list[int]] = {}
    while exchange.next_time_ms < START_MS + 16_000:
        for event in exchange.step()[1]:
            if isinstance(event, Positioning):
                seconds.setdefault(event.symbol, []).append(event.time_ms // 1000)
    assert set(seconds) == set(symbols)
    for positioning_of in seconds.values():
        assert [later - earlier for earlier, later in pairwise(positioning_of)] in (
            [5, 5],
            [5, 5, 5],
        )
    assert len({positioning_of[0] for positioning_of in seconds.values()}) > 2, "staggered"


def positioning_of(
    exchange: SimulatedExchange, until_ms: int
) -> dict[str, list[tuple[Positioning, int]]]:
    """Every positioning until then with the quantity traded since the previous one, opening first."""
    found: dict[str, list[tuple[Positioning, int]]] = {}
    for instrument in exchange.instruments:
        for event in exchange.opening(instrument.symbol):
            if isinstance(event, Positioning):
                found[event.symbol] = [(event, 0)]
    traded: dict[str, int] = {}
    while exchange.next_time_ms <= until_ms:
        for event in exchange.step()[1]:
            symbol = event.symbol
            if isinstance(event, Trade) and event.origin == "MARKET":
                traded[symbol] = traded.get(symbol, 0) + event.quantity
            if isinstance(event, Positioning):
                found.setdefault(symbol, []).append((event, traded.pop(symbol, 0)))
    return found


@pytest.mark.heavy
def test_the_open_interest_of_the_exchange_moves_by_what_is_traded() -> None:
    symbols = ("BTCUSDT", "SUIUSDT", "BTCUSD_PERP", "BTCUSDT_260626")
    exchange = SimulatedExchange(instruments(START_MS, symbols), 1, START_MS, quoting=0.25)
    found = positioning_of(exchange, START_MS + MINUTE_MS // 2)
    assert set(found) == set(symbols)
    for symbol, rows in found.items():
        for (before, _), (after, traded) in pairwise(rows):
            assert abs(after.open_interest - before.open_interest) <= traded
        if symbol == "BTCUSDT":
            assert len({row.open_interest for row, _ in rows}) > len(rows) / 2, "it changes"


@pytest.mark.heavy
def test_positions_are_published_at_every_five_minutes() -> None:
    start_ms = (
        START_MS // POSITIONING_PERIOD_MS * POSITIONING_PERIOD_MS + POSITIONING_PERIOD_MS - 3_000
    )
    symbols = [symbol for symbol in LISTED if symbol.endswith("USDT")][:6]
    exchange = SimulatedExchange(instruments(start_ms, symbols), 2, start_ms, 0.2, quoting=0.1)
    found = positioning_of(exchange, start_ms + 4_000)
    assert all(start_ms + 3_000 in [row.time_ms for row, _ in rows] for rows in found.values())


def test_a_contract_that_is_just_listed_begins_with_nothing_and_grows_with_what_is_traded() -> None:
    start_ms = DELIVERY_MS - 2_000
    symbols = ("BTCUSDT_260626", "BTCUSDT_260925")
    exchange = SimulatedExchange(instruments(start_ms, symbols), 4, start_ms, 3.0, quoting=0.1)
    rows = positioning_of(exchange, DELIVERY_MS + 2 * MINUTE_MS)["BTCUSDT_261225"]
    first, _ = rows[0]
    assert (first.open_interest, first.time_ms) == (0, DELIVERY_MS)
    assert all(0 < share < 10_000 for share in shares(first))
    for (before, _), (after, traded) in pairwise(rows):
        assert 0 <= after.open_interest - before.open_interest <= traded
    assert rows[-1][0].open_interest > 0


def test_the_same_seed_gives_the_same_positions() -> None:
    first, again, other = (day("TSLAUSDT", seed, 2_000) for seed in (5, 5, 6))
    assert first == again != other
