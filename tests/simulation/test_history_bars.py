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
    Bars,
)
from tickerplant.market.history import BarHistory
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.history import SimulatedHistory
from tickerplant.simulation.instruments import instruments
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

START_MS = 1_780_000_012_345
PRESENT_MS = START_MS // MINUTE_MS * MINUTE_MS
SYMBOLS = ("BTCUSDT", "SUIUSDT", "1000PEPEUSDT", "BTCUSDT_260626", "BTCUSD_PERP", "BTCUSD_260925")
EXCHANGE = SimulatedExchange(instruments(START_MS, SYMBOLS), 5, START_MS)
LENGTHS = {"days": DAY_MS, "hours": HOUR_MS, "minutes": MINUTE_MS}
PRICES = ("marks", "indices", "premiums")


@pytest.fixture(params=SYMBOLS)
def past(request: pytest.FixtureRequest) -> SimulatedHistory:
    return EXCHANGE.history(request.param)


def tiers(past: BarHistory) -> dict[str, Bars]:
    return {"days": past.days(), "hours": past.hours(), "minutes": past.minutes()}


@pytest.mark.parametrize("price", PRICES)
def test_bars_have_no_gaps_up_to_the_current_minute(past: SimulatedHistory, price: str) -> None:
    ends_ms = None
    for name, bars in tiers(getattr(past, price)).items():
        assert (bars[:, OPEN_TIME] % LENGTHS[name] == 0).all()
        assert (np.diff(bars[:, OPEN_TIME]) == LENGTHS[name]).all()
        if len(bars):
            assert ends_ms in {None, bars[0, OPEN_TIME]}, f"{name} begin where the longer end"
            ends_ms = bars[-1, OPEN_TIME] + LENGTHS[name]
    assert ends_ms == PRESENT_MS


@pytest.mark.parametrize("price", PRICES)
def test_a_bar_contains_its_open_and_close_and_counts_its_seconds(
    past: SimulatedHistory, price: str
) -> None:
    before = None
    for name, bars in tiers(getattr(past, price)).items():
        assert (bars[:, HIGH] >= np.maximum(bars[:, OPEN], bars[:, CLOSE])).all()
        assert (bars[:, LOW] <= np.minimum(bars[:, OPEN], bars[:, CLOSE])).all()
        assert (bars[1:, OPEN] == bars[:-1, CLOSE]).all()
        assert before is None or not len(bars) or abs(bars[0, OPEN] - before) <= 1, "a seam"
        before = bars[-1, CLOSE] if len(bars) else None
        assert (bars[:, COUNT] == LENGTHS[name] // 1000).all()
        assert (bars[:, VOLUME] == 0).all()
        assert (bars[:, FIRST_TRADE_ID] == bars[:, OPEN_TIME]).all()
        assert (bars[:, LAST_TRADE_ID] == bars[:, OPEN_TIME] + LENGTHS[name] - 1000).all()


def test_the_contracts_of_a_pair_have_the_same_index() -> None:
    for one, other in (("BTCUSDT", "BTCUSDT_260626"), ("BTCUSD_PERP", "BTCUSD_260925")):
        rows = [EXCHANGE.history(symbol).indices.minutes() for symbol in (one, other)]
        assert (rows[0] == rows[1]).all()


def test_index_and_mark_stay_close_to_what_is_traded(past: SimulatedHistory) -> None:
    unit = 10 ** (RATE_DECIMALS - past.inputs.instrument.price.decimals)
    perpetual = past.inputs.instrument.perpetual
    tick = past.inputs.instrument.tick_size * unit
    for name in ("hours", "minutes"):
        traded = getattr(past, name)()
        if name == "minutes":
            traded = np.concatenate([traded, past.day])
        for price, most in (("marks", 0.002), ("indices", 0.003 if perpetual else 0.035)):
            reported = getattr(getattr(past, price), name)()
            assert (reported[:, OPEN_TIME] == traded[:, OPEN_TIME]).all()
            for column in (OPEN, CLOSE):
                off = np.abs(reported[:, column] - traded[:, column] * unit) - 2 * tick
                activity_level = traded[:, COUNT] > 3  # otherwise prices are older
                assert (off / reported[:, column] < most)[activity_level].all(), (
                    f"{name} of {price}"
                )


def test_the_premium_is_what_the_contract_costs_above_its_index(past: SimulatedHistory) -> None:
    one = 10**RATE_DECIMALS
    unit = 10 ** (RATE_DECIMALS - past.inputs.instrument.price.decimals)
    traded, index = past.hours(), past.indices.hours()
    premium = past.premiums.hours()
    relative = traded[:, CLOSE] * unit / index[:, CLOSE] - 1
    tick = past.inputs.instrument.tick_size * unit / index[:, CLOSE]
    activity_level = traded[:, COUNT] > 3
    assert (np.abs(relative - premium[:, CLOSE] / one) < tick + 1e-6)[activity_level].all()
    if past.inputs.instrument.perpetual:
        assert (np.abs(premium[:, CLOSE]) < 0.003 * one).all(), "small"
        assert (premium[:, LOW] < 0).any(), "now and then it is cheaper than the index"
    else:
        assert (premium[:, CLOSE] > 0).mean() > 0.9, "dated contracts cost more"


def test_the_mark_follows_most_of_the_ups_and_downs_of_the_premium(past: SimulatedHistory) -> None:
    marks, indices = past.marks.hours()[:, CLOSE], past.indices.hours()[:, CLOSE]
    premiums = past.premiums.hours()[:, CLOSE] / 10**RATE_DECIMALS
    if past.inputs.instrument.perpetual:  # the basis of dated contracts is no fluctuation
        followed, _ = np.polyfit(premiums, marks / indices - 1, 1)
        assert followed == pytest.approx(0.8, abs=0.02)


def test_the_history_of_prices_meets_the_first_published_one(past: SimulatedHistory) -> None:
    symbol = past.inputs.instrument.symbol
    mark = EXCHANGE.opening(symbol)[1]
    assert abs(past.indices.minutes()[-1, CLOSE] / mark.index_price - 1) < 0.004
    assert abs(past.marks.minutes()[-1, CLOSE] / mark.mark_price - 1) < 0.004
