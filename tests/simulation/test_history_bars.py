"""The history of published prices agrees with trades and with the present."""

from __future__ import annotations

import numpy as np
import pytest

from tickerplant.instrument import RATE_DECIMALS
from tickerplant.market.bars import (
    CLOSE,
    COUNT,
    FIRST_TRADE_ID,
    HIGH,
    LAST_TRADE_ID,
    LOW,
    OPEN,
    OPEN_TIME,
    VOLUME,
)
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.history import SimulatedHistory
from tickerplant.simulation.instruments import instruments
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

START_MS = 1_780_000_012_345
PRESENT_MS = START_MS // MINUTE_MS * MINUTE_MS
SYMBOLS = ("BTCUSDT", "SUIUSDT", "1000PEPEUSDT", "BTCUSDT_260626", "BTCUSD_PERP", "BTCUSD_260925")
EXCHANGE = SimulatedExchange(instruments(START_MS, SYMBOLS), 5, START_MS)
LENGTHS_MS = (DAY_MS, 2 * HOUR_MS, 15 * MINUTE_MS, 5 * MINUTE_MS, MINUTE_MS)
PRICES = ("marks", "indices", "premiums")
END_MS = START_MS // DAY_MS * DAY_MS - DAY_MS
"""When the last whole day before the last 24 hours ended."""


@pytest.fixture(params=SYMBOLS)
def past(request: pytest.FixtureRequest) -> SimulatedHistory:
    return EXCHANGE.history(request.param)


@pytest.mark.parametrize("price", PRICES)
def test_a_bar_contains_its_open_and_close_and_counts_its_seconds(
    past: SimulatedHistory, price: str
) -> None:
    history = getattr(past, price)
    for length_ms in LENGTHS_MS:
        bars = history.bars(length_ms, history.begins_ms, END_MS)[-3000:]
        assert (bars[:, HIGH] >= np.maximum(bars[:, OPEN], bars[:, CLOSE])).all()
        assert (bars[:, LOW] <= np.minimum(bars[:, OPEN], bars[:, CLOSE])).all()
        assert (bars[1:, OPEN] == bars[:-1, CLOSE]).all()
        assert (np.diff(bars[:, OPEN_TIME]) == bars[:-1, COUNT] * 1000).all()
        assert (bars[-9:, COUNT] == length_ms // 1000).all()
        assert (bars[:, VOLUME] == 0).all()
        assert (bars[:, FIRST_TRADE_ID] == bars[:, OPEN_TIME]).all()
        assert (bars[:, LAST_TRADE_ID] == bars[:, OPEN_TIME] + bars[:, COUNT] * 1000 - 1000).all()
    last = history.bars(MINUTE_MS, END_MS, history.ends_ms)
    assert last[-1, OPEN_TIME] + MINUTE_MS == history.ends_ms == PRESENT_MS
    assert (np.diff(last[:, OPEN_TIME]) == MINUTE_MS).all()
    assert (last[1:, OPEN] == last[:-1, CLOSE]).all()


def test_the_contracts_of_a_pair_have_the_same_index() -> None:
    for one, other in (("BTCUSDT", "BTCUSDT_260626"), ("BTCUSD_PERP", "BTCUSD_260925")):
        rows = [
            EXCHANGE.history(symbol).indices.bars(MINUTE_MS, END_MS - 3 * DAY_MS, PRESENT_MS)
            for symbol in (one, other)
        ]
        assert (rows[0] == rows[1]).all()


def test_index_and_mark_stay_close_to_what_is_traded(past: SimulatedHistory) -> None:
    unit = 10 ** (RATE_DECIMALS - past.inputs.instrument.price.decimals)
    perpetual = past.inputs.instrument.perpetual
    tick = past.inputs.instrument.tick_size * unit
    for length_ms in LENGTHS_MS[1:]:
        traded = past.bars(length_ms, END_MS - 9 * DAY_MS, END_MS)
        activity_level = traded[:, COUNT] > 3  # otherwise prices are older
        for price, most in (("marks", 0.002), ("indices", 0.003 if perpetual else 0.035)):
            reported = getattr(past, price).bars(length_ms, END_MS - 9 * DAY_MS, END_MS)
            assert (reported[:, OPEN_TIME] == traded[:, OPEN_TIME]).all()
            for column in (OPEN, CLOSE):
                off = np.abs(reported[:, column] - traded[:, column] * unit) - 2 * tick
                assert (off / reported[:, column] < most)[activity_level].all(), price


def test_the_premium_is_what_the_contract_costs_above_its_index(past: SimulatedHistory) -> None:
    one = 10**RATE_DECIMALS
    unit = 10 ** (RATE_DECIMALS - past.inputs.instrument.price.decimals)
    window = (2 * HOUR_MS, past.premiums.begins_ms, END_MS)
    traded, index, premium = (
        each.bars(*window)[-3000:] for each in (past, past.indices, past.premiums)
    )
    relative = traded[:, CLOSE] * unit / index[:, CLOSE] - 1
    tick = past.inputs.instrument.tick_size * unit / index[:, CLOSE]
    activity_level = traded[:, COUNT] > 3
    near = (np.abs(relative - premium[:, CLOSE] / one) < tick + 1e-6)[activity_level]
    assert near.mean() > 0.95, "but where a day's low or high keeps them apart"
    if past.inputs.instrument.perpetual:
        assert (np.abs(premium[:, CLOSE]) < 0.003 * one).all(), "small"
        assert (premium[:, LOW] < 0).any(), "now and then it is cheaper than the index"
    else:
        assert (premium[:, CLOSE] > 0).mean() > 0.9, "dated contracts cost more"


def test_the_mark_follows_most_of_the_ups_and_downs_of_the_premium(past: SimulatedHistory) -> None:
    window = (DAY_MS, past.marks.begins_ms, END_MS)
    marks, indices, premiums = (
        getattr(past, price).bars(*window)[:, CLOSE].astype(float) for price in PRICES
    )
    premiums /= 10**RATE_DECIMALS
    if past.inputs.instrument.perpetual:  # the basis of dated contracts is no fluctuation
        followed, _ = np.polyfit(premiums, marks / indices - 1, 1)
        assert followed == pytest.approx(0.8, abs=0.02)


def test_the_history_of_prices_meets_the_first_published_one(past: SimulatedHistory) -> None:
    symbol = past.inputs.instrument.symbol
    mark = EXCHANGE.opening(symbol)[1]
    for history, price in ((past.indices, mark.index_price), (past.marks, mark.mark_price)):
        last = history.bars(MINUTE_MS, PRESENT_MS - MINUTE_MS, PRESENT_MS)
        assert abs(last[0, CLOSE] / price - 1) < 0.004
