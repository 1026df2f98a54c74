"""Mark prices and funding rates, compared with the formulas computed by hand."""

from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.events import FundingPaid
from tickerplant.instrument import Instrument
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.mark_price import MarkPriceCalculator, paid_ms
from tickerplant.units import HOUR_MS

START_MS = 1_780_000_000_000
FUNDING_MS = 8 * HOUR_MS
PERPETUAL, FOUR_HOURS, DATED = instruments(START_MS, ["BTCUSDT", "SUIUSDT", "BTCUSDT_260626"])
CONTRACTS = pytest.mark.parametrize(
    ("contract", "hours"), [(PERPETUAL, 8), (FOUR_HOURS, 4)], ids=["8 hours", "4 hours"]
)


SECONDS = st.lists(
    st.tuples(st.integers(6_400_000, 6_600_000), st.integers(-3000, 3000), st.integers(-900, 900)),
    min_size=1,
    max_size=80,
)


@CONTRACTS
@given(rows=SECONDS)
def test_the_mark_is_the_median_of_its_three_prices(
    contract: Instrument, hours: int, rows: list[tuple[int, int, int]]
) -> None:
    mark = MarkPriceCalculator(contract, START_MS)
    unit = 10**contract.price.decimals
    basis: list[float] = []
    for second, (bid, premium, last_off) in enumerate(rows, 1):
        now_ms = START_MS + 1000 * second
        index = (bid + premium) / unit
        event = mark.at(now_ms, index, bid, bid + 10, bid + last_off)
        basis.append((bid + 5) / unit - index)
        left = (event.next_funding_time_ms - now_ms) / (hours * HOUR_MS)
        price_1 = index * (1 + 0.0001 * left)
        price_2 = index + sum(basis[-30:]) / len(basis[-30:])
        expected = median([price_1, price_2, (bid + last_off) / unit])
        assert event.mark_price / 1e8 == pytest.approx(expected, abs=2e-8)
        assert event.index_price == round(index * 1e8)


@CONTRACTS
@given(
    before_s=st.integers(0, 60) | st.integers(0, 7200),
    begun_ms=st.integers(0, 999),
    rows=st.lists(
        st.tuples(st.integers(6_300_000, 6_700_000), st.integers(1, 20_000)),
        min_size=1,
        max_size=60,
    ),
)
def test_funding_averages_the_premium_of_the_interval_the_time_before_the_start_as_even(
    contract: Instrument, hours: int, before_s: int, begun_ms: int, rows: list[tuple[int, int]]
) -> None:
    interval_ms, unit = hours * HOUR_MS, 10**contract.price.decimals
    start_ms = START_MS // interval_ms * interval_ms + 1000 * before_s
    mark = MarkPriceCalculator(contract, start_ms + begun_ms)
    index, premiums = 6_500_000 / unit, 0.0
    for reported, (bid, spread) in enumerate(rows, 1):
        ask = bid + spread
        event = mark.at(start_ms + 1000 * (reported - 1), index, bid, ask, bid)
        premiums += (max(bid / unit - index, 0) - max(index - ask / unit, 0)) / index
        average = premiums / (before_s + reported)
        of_eight_hours = average + median([-0.0005, 0.0001 - average, 0.0005])
        expected = median([-0.02, of_eight_hours * hours / 8, 0.02])
        assert event.funding_rate == pytest.approx(expected * 1e8, abs=1), (
            f"average premium {average:.6%} after {before_s} s before and {reported} s told"
        )


def test_a_dated_contract_has_no_funding_and_is_marked_by_its_basis() -> None:
    mark = MarkPriceCalculator(DATED, START_MS)
    event = mark.at(START_MS + 1000, 65_000.0, 655_000, 655_001, 600_000)
    assert (event.funding_rate, event.next_funding_time_ms) == (None, 0)
    assert mark.paid is None
    assert event.mark_price / 1e8 == pytest.approx(65_500.05), "index plus the average basis"


def test_funding_times_are_at_0_8_and_16_hours_and_the_rate_then_counts() -> None:
    midnight = START_MS // 86_400_000 * 86_400_000
    mark = MarkPriceCalculator(PERPETUAL, midnight + FUNDING_MS - 1500)
    before = mark.at(midnight + FUNDING_MS - 1000, 65_000.0, 6_700_000, 6_700_010, 6_700_000)
    after = mark.at(midnight + FUNDING_MS, 65_000.0, 6_500_000, 6_500_010, 6_500_000)
    assert before.next_funding_time_ms == midnight + FUNDING_MS
    assert after.next_funding_time_ms == midnight + 2 * FUNDING_MS
    assert before.funding_rate is not None
    assert after.funding_rate is not None
    assert after.funding_rate == 10_000, "the average of the new interval begins anew: 0.01 %"


def test_what_was_due_is_paid_at_the_funding_time_and_only_then() -> None:
    midnight = START_MS // 86_400_000 * 86_400_000
    mark = MarkPriceCalculator(PERPETUAL, midnight)
    reported, paid = [], []
    for second, bid in ((-1, 6_700_000), (0, 6_500_000), (1, 6_500_000)):
        now_ms = midnight + FUNDING_MS + 1000 * second
        reported.append(mark.at(now_ms, 65_000.0, bid, bid + 10, bid))
        paid.append(mark.paid)
    due = FundingPaid(
        symbol="BTCUSDT",
        rate=reported[0].funding_rate or 0,
        mark_price=reported[1].mark_price,
        time_ms=paid_ms("BTCUSDT", midnight + FUNDING_MS),
    )
    assert due.rate == 2_000_000, "three per cent above the index is beyond the cap"
    assert paid == [None, due, None], "the rate that was told last"


@pytest.mark.parametrize(("symbol", "interval_hours", "cap"), [("1000PEPEUSDT", 4, 3_000_000)])
def test_a_contract_is_funded_at_its_own_times_up_to_its_own_cap(
    symbol: str, interval_hours: int, cap: int
) -> None:
    (contract,) = instruments(START_MS, [symbol])
    now_ms = START_MS // (interval_hours * HOUR_MS) * interval_hours * HOUR_MS
    event = MarkPriceCalculator(contract, now_ms).at(now_ms, 0.01, 150_000, 150_001, 150_000)
    assert event.next_funding_time_ms == now_ms + interval_hours * HOUR_MS
    assert event.funding_rate == cap, "half above the index is far beyond the cap"


@given(st.lists(st.integers(6_000_000, 7_000_000), min_size=1, max_size=90))
def test_the_estimated_settlement_tends_to_the_average_so_far(cents: list[int]) -> None:
    delivery_ms = DATED.delivery_date_ms
    mark = MarkPriceCalculator(DATED, delivery_ms - 1000 * len(cents) - 500)
    indices = [each / 100 for each in cents]
    for left_s, index in zip(range(len(indices), 0, -1), indices, strict=True):
        event = mark.at(delivery_ms - 1000 * left_s, index, 655_000, 655_001, 655_000)
        done = indices[: len(indices) - left_s + 1]
        expected = (sum(done) + index * (left_s - 1)) / len(indices)
        assert event.estimated_settle_price / 1e8 == pytest.approx(expected, abs=2e-8)
    assert event.estimated_settle_price == mark.settlement, "at last it is the settlement"


@settings(max_examples=6)
@given(
    st.dictionaries(
        st.integers(1, 5400) | st.integers(3590, 3610),
        st.integers(6_000_000, 7_000_000),
        max_size=8,
    )
)
def test_a_contract_is_settled_at_the_average_index_of_its_last_hour(
    prices: dict[int, int],
) -> None:
    delivery_ms = DATED.delivery_date_ms
    mark = MarkPriceCalculator(DATED, delivery_ms - 5400 * 1000 - 500)
    cents, last_hour = 6_500_000, []
    for left_s in range(5400, 0, -1):
        cents = prices.get(left_s, cents)
        event = mark.at(delivery_ms - 1000 * left_s, cents / 100, 655_000, 655_001, 655_000)
        if left_s > 3600:
            assert event.estimated_settle_price == event.index_price, "nothing is averaged yet"
        else:
            last_hour.append(cents)
    assert len(last_hour) == 3600
    assert mark.settlement / 1e6 == pytest.approx(sum(last_hour) / 3600, abs=1e-6)
