"""Bars of the past are split from days without losing anything, and can be drawn at any place."""

from __future__ import annotations

from functools import partial
from random import Random

import numpy as np
import pytest

from tickerplant.market.bars import CLOSE, HIGH, LOW, OPEN, OPEN_TIME
from tickerplant.simulation.bar_splits import (
    FILLS,
    FIRST_IDS,
    SIDED_COLUMNS,
    STEPS,
    TRADES,
    TURNOVERS,
    numbers_of_trades,
)
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.history_pieces import (
    LEVELS_MS,
    MINUTES,
    PIECES,
    Ints,
    Pieces,
    draws,
    spread_out,
)
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.past_series import TradedSeries
from tickerplant.units import DAY_MS, MINUTE_MS

START_MS = 1_780_000_012_345
SYMBOLS = ("BTCUSDT", "APTUSDT", "1000PEPEUSDT", "BTCUSDT_260626", "BTCUSD_PERP", "ETHUSD_260626")
EXCHANGE = SimulatedExchange(instruments(START_MS, SYMBOLS), 5, START_MS)
SUMS = slice(FILLS.start, TURNOVERS.stop)


@pytest.fixture(params=SYMBOLS)
def series(request: pytest.FixtureRequest) -> TradedSeries:
    return TradedSeries(EXCHANGE.history(request.param).inputs)


def check_split(series: TradedSeries, parents: Ints, children: Ints) -> None:
    """Parents are the sums of their children and reach what they reach; these join."""
    rows = children.reshape(len(parents), -1, SIDED_COLUMNS)
    assert (rows[..., SUMS].sum(axis=1) == parents[:, SUMS]).all()
    for column in (OPEN_TIME, OPEN, FIRST_IDS):
        assert (rows[:, 0, column] == parents[:, column]).all()
    assert (rows[:, -1, CLOSE] == parents[:, CLOSE]).all()
    traded = rows[..., FILLS].sum(axis=-1) > 0
    some, never = traded.any(axis=1), 1 << 60
    assert (np.where(traded, rows[..., HIGH], -1).max(axis=1) == parents[:, HIGH])[some].all()
    assert (np.where(traded, rows[..., LOW], never).min(axis=1) == parents[:, LOW])[some].all()
    check_bars(series, children)


def check_bars(series: TradedSeries, bars: Ints) -> None:
    """Bars have trades for their prices, and sides whose average prices lie between low and high."""
    assert (np.diff(bars[:, FIRST_IDS], axis=0) == numbers_of_trades(bars)[:-1]).all()
    assert (bars[1:, OPEN] == bars[:-1, CLOSE]).all()
    assert (bars[:, HIGH] >= bars[:, (OPEN, CLOSE)].max(axis=1)).all()
    assert (bars[:, LOW] <= bars[:, (OPEN, CLOSE)].min(axis=1)).all()
    assert (bars[:, LOW] > 0).all()
    lead = bars[:, FILLS].max(axis=1)
    assert (bars[lead < 2, HIGH] == bars[lead < 2, LOW]).all()
    inverse = series.inverse
    for side in (0, 1):
        fills, trades, steps, turnovers = (
            bars[:, pair][:, side] for pair in (FILLS, TRADES, STEPS, TURNOVERS)
        )
        assert ((fills <= trades) & (trades <= steps)).all()
        assert ((fills == 0) == (steps == 0)).all()
        prices = bars[:, (LOW, HIGH)] if inverse is None else inverse / bars[:, (HIGH, LOW)]
        rounding = 0 if inverse is None else 4
        assert (steps * prices[:, 0] - rounding <= turnovers).all()
        assert (turnovers <= steps * prices[:, 1] + rounding).all()


def test_every_bar_is_the_sum_of_those_that_it_is_split_into(series: TradedSeries) -> None:
    random, count = Random(series.inputs.name), min(10, len(series.days))
    last_day = series.days.stop - count
    for day in (series.days.start, last_day, random.randint(series.days.start, last_day)):
        parents = series.rows(0, day, day + count)
        check_bars(series, parents)
        for level in range(1, MINUTES + 1):
            scale = DAY_MS // LEVELS_MS[level]
            children = series.rows(level, day * scale, (day + count) * scale)
            check_split(series, parents, children)
            parents = children
    for span in series.spans:
        if span not in (series.whole_days, series.known):
            check_split(series, series.part(span), series.minutes_of(span))
    until_ms = series.known.start
    check_bars(series, series.between(MINUTE_MS, until_ms - 3 * DAY_MS, until_ms))


def test_the_kept_pieces_take_no_more_than_their_room() -> None:
    pieces, drawn = Pieces(4_000), []

    def draw(low: int, high: int) -> Ints:
        drawn.append((low, high))
        return np.arange(low * 3, high * 3)[:, None]

    for first, stop in ((0, 90), (250, 700), (95, 97), (250, 700)):
        found = pieces.children("x", first, stop, range(300), 3, draw)
        assert found[:, 0].tolist() == list(range(first, stop))
        assert pieces.bytes <= 4_000
    assert drawn == [(0, 32), (80, 240), (24, 40), (80, 96)], "only what is not kept"
    for key in (1, 2, 2, 1):
        pieces.whole(key, partial(draw, key, key + 150))
        assert pieces.bytes <= 4_000
    assert drawn[4:] == [(1, 151), (2, 152), (1, 151)]


def test_numbers_are_drawn_at_any_place_and_totals_are_spread_exactly() -> None:
    every = draws("any", -40, 100)
    assert (draws("any", 3, 20) == every[43:63]).all()
    assert ((every > 0) & (every < 1)).all()
    assert abs(every.mean() - 0.5) < 0.05
    totals = np.array([0, 1, 7, 10**15 + 1])
    for weights in (every[:4], np.zeros((4, 8))):
        assert (spread_out(totals, weights).sum(axis=1) == totals).all()
    assert PIECES.max_bytes <= 14_000_000
