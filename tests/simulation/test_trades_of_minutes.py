"""The trades before the start agree with the candles, at any time since the listing."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from msgspec import structs

from tickerplant.market.aggregate import TradeAggregator
from tickerplant.market.bars import (
    CLOSE,
    COUNT,
    FIRST_TRADE_ID,
    LAST_TRADE_ID,
    OPEN,
    OPEN_TIME,
    TAKER_BUY_TURNOVER,
    TAKER_BUY_VOLUME,
    TURNOVER,
    VOLUME,
    Bars,
)
from tickerplant.market.tape import trades
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.history import SimulatedHistory
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.past_trades import TRADES
from tickerplant.simulation.recent_trades import recent_trades
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

START_MS = 1_780_000_012_345
SYMBOLS = ("BTCUSDT", "1000PEPEUSDT", "1000BONKUSDC", "BTCUSDT_260626", "BTCUSD_PERP")
EXCHANGE = SimulatedExchange(instruments(START_MS, SYMBOLS), 5, START_MS)


@pytest.fixture(params=SYMBOLS)
def past(request: pytest.FixtureRequest) -> SimulatedHistory:
    return EXCHANGE.history(request.param)


def minutes(past: SimulatedHistory, from_ms: int, count: int) -> Bars:
    """Return some minutes before the current one."""
    until_ms = from_ms + count * MINUTE_MS
    before = past.bars(MINUTE_MS, from_ms, min(until_ms, past.ends_ms))
    inside = (past.day[:, OPEN_TIME] >= from_ms) & (past.day[:, OPEN_TIME] < until_ms)
    return np.concatenate((before, past.day[inside]))


def test_the_trades_of_any_minute_agree_with_its_candle(past: SimulatedHistory) -> None:
    instrument, random = past.inputs.instrument, Random(past.inputs.name)
    of_trades, of_aggregates = past.older_trades, past.older_aggregates
    long_ago_ms = random.randrange(past.begins_ms, past.ends_ms) // MINUTE_MS * MINUTE_MS
    for from_ms, count in (
        (past.begins_ms, 40),
        (long_ago_ms, 40),
        (past.ends_ms - DAY_MS, 40),
        (past.ends_ms - 20 * MINUTE_MS, 40),
        (past.inputs.recent_ms - 200 * MINUTE_MS, 220),
    ):
        bars = minutes(past, from_ms, count)
        until_ms = from_ms + count * MINUTE_MS
        ids = of_trades.id_at(from_ms), of_trades.id_at(until_ms)
        rows = of_trades.rows(*ids)
        assert rows["trade_id"].tolist() == list(range(*ids))
        opened_ms = rows["trade_time_ms"] // MINUTE_MS * MINUTE_MS
        for bar in bars:
            some = rows[opened_ms == bar[OPEN_TIME]]
            assert len(some) == bar[COUNT]
            if not len(some):
                continue
            prices, quantities, bought = some["price"], some["quantity"], ~some["buyer_is_maker"]
            found = [prices[0], prices.max(), prices.min(), prices[-1]]
            assert found == bar[OPEN : CLOSE + 1].tolist()
            assert quantities.sum() == bar[VOLUME]
            assert quantities[bought].sum() == bar[TAKER_BUY_VOLUME]
            assert not (prices % instrument.tick_size).any()
            assert not (quantities % instrument.step_size).any()
            edges = some["trade_id"][[0, -1]].tolist()
            assert edges == bar[[FIRST_TRADE_ID, LAST_TRADE_ID]].tolist()
            pairs = zip(prices.tolist(), quantities.tolist(), strict=True)
            values = np.array([instrument.turnover(*pair) for pair in pairs])
            inexact = instrument.venue.inverse or bar[OPEN_TIME] >= past.ends_ms
            near = 0.001 if inexact else 0.0
            assert abs(values.sum() - bar[TURNOVER]) <= near * bar[TURNOVER]
            assert abs(values[bought].sum() - bar[TAKER_BUY_TURNOVER]) <= near * bar[TURNOVER]
        first, stop = of_aggregates.id_at(from_ms), of_aggregates.id_at(until_ms)
        aggregator = TradeAggregator(instrument.symbol, first)
        closed = [aggregator.add(trade) for trade in trades(instrument.symbol, rows)]
        closed.append(aggregator.close())
        expected = [structs.astuple(each)[1:] for each in closed if each is not None]
        assert of_aggregates.rows(first, stop).tolist() == expected
    assert (of_trades.ids.stop, of_aggregates.ids.stop) == (
        past.last_trade.trade_id + 1 - len(past.trades),
        past.first_aggregate_id,
    )


def test_trades_are_the_same_in_whatever_order_they_are_drawn(
    past: SimulatedHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = past.older_aggregates
    known = older.rows(older.ids.stop - 9_000, older.ids.stop)
    TRADES.clear()
    recent_trades.cache_clear()
    monkeypatch.setattr(TRADES, "max_bytes", 200_000)
    random, again = Random(1), EXCHANGE.history(past.inputs.instrument.symbol).older_aggregates
    for _ in range(20):
        first = random.randrange(len(known) - 50)
        time_ms = int(known["trade_time_ms"][first])
        same = int(np.searchsorted(known["trade_time_ms"], time_ms))
        assert again.id_at(time_ms) == known["aggregate_id"][same]
        first_id = int(known["aggregate_id"][first])
        assert (again.rows(first_id, first_id + 50) == known[first : first + 50]).all()
        assert TRADES.bytes < 200_000


def test_the_trades_that_are_kept_are_bounded() -> None:
    assert TRADES.max_bytes <= 52_000_000


def test_there_are_no_trades_before_the_listing() -> None:
    known = EXCHANGE.history("1000PEPEUSDT")
    for listed_ms in (known.begins_ms, START_MS - 2 * HOUR_MS, START_MS - 9 * MINUTE_MS, START_MS):
        inputs = known.inputs
        instrument = structs.replace(inputs.instrument, onboard_date_ms=listed_ms)
        past = SimulatedHistory(structs.replace(inputs, instrument=instrument))
        for older in (past.older_trades, past.older_aggregates):
            assert older.id_at(0) == older.ids.start
            assert older.id_at(START_MS) == older.ids.stop
            rows = older.rows(older.ids.start, min(older.ids.start + 1, older.ids.stop))
            assert listed_ms == START_MS or rows["trade_time_ms"][0] >= listed_ms
            assert bool(len(older.ids)) == (listed_ms < START_MS)
