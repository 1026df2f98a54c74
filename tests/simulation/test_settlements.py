"""Funding payments, deliveries and positions before the start."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from windows import window

from tickerplant.events import Delivered, FundingPaid
from tickerplant.instrument import RATE_DECIMALS
from tickerplant.market.bars import CLOSE, HIGH, LOW, OPEN_TIME, VOLUME
from tickerplant.market.candles import Candles
from tickerplant.market.history import BarHistory
from tickerplant.market.minutes import PriceMinutes
from tickerplant.market.series import MARKED_SINCE_MS, POSITIONING_PERIOD_MS, RETAINED_ROWS
from tickerplant.quarters import delivery_code
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.history import SimulatedHistory
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.mark_price import LATEST_MS, funding_rate
from tickerplant.simulation.open_interest import SHARES
from tickerplant.units import DAY_MS, HOUR_MS

START_MS = 1_780_000_012_345
SYMBOLS = ("BTCUSDT", "SUIUSDT", "XRPUSDT", "BTCUSDT_260626", "BTCUSD_PERP")
EXCHANGE = SimulatedExchange(instruments(START_MS, SYMBOLS), 5, START_MS)


def candles_of(prices: BarHistory, interval: str, limit: int) -> list[list[int]]:
    """The last candles of a price before the start."""
    candles = Candles(PriceMinutes(START_MS))
    candles.load(prices)
    rows: list[list[int]] = candles.rows(interval, None, None, limit).tolist()
    return rows


EVERY_FUNDING = EXCHANGE.history("XRPUSDT").fundings()


@pytest.mark.parametrize("symbol", ["BTCUSDT", "SUIUSDT", "BTCUSD_PERP"])
def test_funding_was_paid_at_every_funding_time_since_the_listing(symbol: str) -> None:
    past = EXCHANGE.history(symbol)
    instrument = past.inputs.instrument
    interval_ms = instrument.funding_interval_hours * HOUR_MS
    late = [each.time_ms % interval_ms for each in past.fundings()]
    times = [each.time_ms // interval_ms * interval_ms for each in past.fundings()]
    first_ms = (instrument.onboard_date_ms // interval_ms + 1) * interval_ms
    assert times == list(range(first_ms, START_MS + 1, interval_ms))
    assert set(late) == set(range(LATEST_MS + 1)), "0 to 20 ms after the hour"


def test_what_is_due_at_the_start_is_listed_when_it_is_paid() -> None:
    start_ms = START_MS // DAY_MS * DAY_MS
    exchange = SimulatedExchange(instruments(start_ms, SYMBOLS), 5, start_ms)
    times_ms: dict[str, list[int]] = {
        symbol: [each.time_ms for each in exchange.history(symbol).fundings()]
        for symbol in SYMBOLS
        if symbol != "BTCUSDT_260626"
    }
    assert max(map(max, times_ms.values())) < start_ms
    while exchange.next_time_ms <= start_ms + LATEST_MS:
        time_ms, events = exchange.step()
        for paid in events:
            if isinstance(paid, FundingPaid):
                assert paid.time_ms == time_ms
                times_ms[paid.symbol].append(time_ms)
    for known_ms in times_ms.values():
        hours = [each // HOUR_MS for each in known_ms[-2:]]
        assert hours in [[start_ms // HOUR_MS - each, start_ms // HOUR_MS] for each in (4, 8)]


def test_a_window_begins_and_ends_at_the_time_of_a_payment() -> None:
    past = EXCHANGE.history("XRPUSDT")
    for paid in EVERY_FUNDING[-50:]:
        for start_ms, end_ms, found in ((0, 0, [paid]), (1, 2, []), (-2, -1, [])):
            window = past.fundings(paid.time_ms + start_ms, paid.time_ms + end_ms, 5)
            assert list(window) == found
        assert past.fundings(None, paid.time_ms, 1) == (paid,)
        assert past.fundings(None, paid.time_ms - 1, 1) != (paid,)


def test_the_amount_of_no_funding_rate_is_above_the_cap_of_the_contract() -> None:
    inputs = EXCHANGE.history("BTCUSDT").inputs
    capped = structs.replace(inputs.instrument, funding_cap=5_000)
    past = SimulatedHistory(structs.replace(inputs, instrument=capped))
    rates = [each.rate for each in past.fundings()]
    assert max(map(abs, rates)) == 5_000, "half of the usual rate of 0.0001"


@pytest.mark.parametrize("symbol", ["BTCUSDT", "SUIUSDT", "BTCUSD_PERP"])
def test_funding_agrees_with_the_candles_of_premium_and_mark(symbol: str) -> None:
    past = EXCHANGE.history(symbol)
    hours = past.inputs.instrument.funding_interval_hours
    one = 10**RATE_DECIMALS
    premiums, marks = (
        {row[OPEN_TIME]: row for row in candles_of(prices, "1h", 250 * 24)}
        for prices in (past.premiums, past.marks)
    )
    checked = 0
    for paid in past.fundings():
        due_ms = paid.time_ms // HOUR_MS * HOUR_MS
        before = [premiums.get(due_ms - n * HOUR_MS) for n in range(hours, 0, -1)]
        inside = [row for row in before if row is not None]
        if len(inside) < hours or due_ms not in marks:
            continue
        average = sum(row[CLOSE] for row in inside) / len(inside) / one
        assert paid.rate / one == pytest.approx(funding_rate(average, hours), abs=2e-4)
        assert paid.mark_price == pytest.approx(marks[due_ms][1], abs=2)
        checked += 1
    assert checked > 500
    assert len({paid.rate for paid in past.fundings()}) > 20, "rates differ"


@given(st.none() | st.integers(0, 3000), st.none() | st.integers(0, 3000), st.integers(1, 1000))
@settings(max_examples=20)
def test_a_window_of_fundings_is_cut_from_all_of_them(
    start: int | None, end: int | None, limit: int
) -> None:
    past = EXCHANGE.history("XRPUSDT")
    start_ms = None if start is None else START_MS - start * 8 * HOUR_MS
    end_ms = None if end is None else START_MS - end * 8 * HOUR_MS
    expected = window(EVERY_FUNDING, lambda paid: paid.time_ms, start_ms, end_ms, limit)
    assert list(past.fundings(start_ms, end_ms, limit)) == expected


def test_funding_marks_of_years_ago_lie_in_the_days_of_the_mark_price() -> None:
    past = EXCHANGE.history("XRPUSDT")
    days = {row[OPEN_TIME]: row for row in candles_of(past.marks, "1d", 3_000)}
    old = [paid for paid in past.fundings() if paid.time_ms >= MARKED_SINCE_MS]
    assert len(old) > 2000
    assert not any(paid.mark_price for paid in past.fundings(None, MARKED_SINCE_MS - 1, 9))
    for paid in old:
        day = days[paid.time_ms // DAY_MS * DAY_MS]
        assert day[LOW] * 0.997 <= paid.mark_price <= day[HIGH] * 1.003


def test_dated_contracts_never_paid_funding() -> None:
    assert EXCHANGE.history("BTCUSDT_260626").fundings() == ()


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSD_PERP"])
def test_a_pair_with_dated_contracts_was_settled_every_quarter(symbol: str) -> None:
    past = EXCHANGE.history(symbol)
    settled = past.deliveries()
    times = [each.time_ms for each in settled]
    assert len(settled) > 20
    assert times == sorted(times)
    assert all(80 * DAY_MS < after - before < 100 * DAY_MS for before, after in pairwise(times))
    assert 0 < START_MS - times[-1] < 100 * DAY_MS
    pair = past.inputs.instrument.pair
    assert {each.pair for each in settled} == {pair}
    assert settled[-1].symbol == f"{pair}_{delivery_code(times[-1])}"
    hours = {row[OPEN_TIME]: row for row in candles_of(past.indices, "1h", 100 * 24)}
    assert settled[-1].price == pytest.approx(hours[times[-1]][1], abs=2), "at the index of then"


def test_a_pair_without_dated_contracts_was_never_settled() -> None:
    assert EXCHANGE.history("XRPUSDT").deliveries() == ()


def test_a_contract_is_settled_as_of_its_delivery_even_if_published_later() -> None:
    delivery_ms, symbols = 1_782_460_800_000, ("BTCUSDT_260626", "BTCUSD_260626")
    start_ms = delivery_ms - 1_000
    exchange = SimulatedExchange(instruments(start_ms, symbols), 5, start_ms)
    settled: list[Delivered] = []
    while exchange.next_time_ms <= delivery_ms + 10_000:
        now_ms, events = exchange.step()
        settled += (event for event in events if isinstance(event, Delivered))
        assert not settled or now_ms == delivery_ms + 10_000
    assert sorted(each.symbol for each in settled) == sorted(symbols)
    assert {each.time_ms for each in settled} == {delivery_ms}


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_positions_are_known_every_five_minutes_of_a_month(symbol: str) -> None:
    past = EXCHANGE.history(symbol)
    times = past.positions.times_ms
    assert list(times) == list(range(times[0], START_MS, POSITIONING_PERIOD_MS))
    assert len(times) <= RETAINED_ROWS
    assert times[0] >= past.inputs.instrument.onboard_date_ms
    days = past.bars(DAY_MS, past.ends_ms // DAY_MS * DAY_MS - 7 * DAY_MS, past.ends_ms)
    traded = days[:7, VOLUME].sum() / 7
    rows = past.positions.column("open_interest", times)
    for held in rows[::500]:
        assert 0.2 * traded < held < 1.5 * traded, "comparable to what is traded in a day"
        assert held % past.inputs.instrument.step_size == 0
    assert len(set(rows)) > len(rows) // 3, "it changes"
    for field in SHARES:
        assert all(1000 <= share <= 9000 for share in past.positions.column(field, times[::500]))
