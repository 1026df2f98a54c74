"""The history of simulated contracts is consistent."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from tickerplant.market.bar_arrays import combine, open_times
from tickerplant.market.bars import (
    CLOSE,
    COUNT,
    FIRST_TRADE_ID,
    LAST_TRADE_ID,
    OPEN,
    OPEN_TIME,
    TURNOVER,
    VOLUME,
    Bars,
)
from tickerplant.market.candles import Candles
from tickerplant.market.interval import INTERVALS, LENGTHS_MS, open_time
from tickerplant.market.minutes import Minutes, PriceMinutes
from tickerplant.market.tape import trades
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.history import SimulatedHistory
from tickerplant.simulation.history_bars import day_bars
from tickerplant.simulation.history_pieces import PIECES
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.open_interest import past_steps
from tickerplant.simulation.recent_trades import recent_trades
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

START_MS = 1_780_000_012_345
SYMBOLS = ("BTCUSDT", "APTUSDT", "1000PEPEUSDT", "BTCUSDT_260626", "BTCUSD_PERP", "BTCUSD_260925")
EXCHANGE = SimulatedExchange(instruments(START_MS, SYMBOLS), 5, START_MS)
PRICES = ("trades", "marks", "indices", "premiums")
EVERYTHING = 1 << 30


@pytest.fixture(params=SYMBOLS)
def past(request: pytest.FixtureRequest) -> SimulatedHistory:
    return EXCHANGE.history(request.param)


def candles_of(past: SimulatedHistory, price: str = "trades") -> Candles:
    """Candles of the present minute, as a market has them."""
    if price != "trades":
        candles = Candles(PriceMinutes(START_MS))
        candles.load(getattr(past, price))
        return candles
    minutes = Minutes(past.inputs.instrument.turnover, START_MS)
    minutes.load(past.day)
    for trade in past.trades:
        taker_bought = not trade.buyer_is_maker
        minutes.add(trade.price, trade.quantity, taker_bought, trade.trade_id, trade.trade_id)
    candles = Candles(minutes)
    candles.load(past)
    return candles


def windows(past: SimulatedHistory) -> list[Bars]:
    """Minutes of the listing, of some days, and of the last days before the start; and all days."""
    candles, listed_ms = candles_of(past), past.begins_ms
    somewhere_ms = Random(past.inputs.name).randrange(listed_ms, past.ends_ms - 3 * DAY_MS)
    return [
        candles.rows("1m", listed_ms, None, 3_000),
        candles.rows("1m", somewhere_ms, None, 3_000),
        past.day,
        candles.rows("1m", None, None, 5_000)[:-1],
        candles.rows("1d", None, None, EVERYTHING)[:-1],
    ]


@pytest.mark.parametrize("price", PRICES)
def test_candles_of_every_interval_are_sums_of_minutes_since_the_listing(
    past: SimulatedHistory, price: str
) -> None:
    candles, listed_ms = candles_of(past, price), past.begins_ms
    somewhere_ms = open_time("1d", Random(past.inputs.name).randrange(listed_ms, past.ends_ms))
    for start_ms, count in ((listed_ms, 3_000), (somewhere_ms, 3_000), (None, 5_000)):
        minutes = candles.rows("1m", start_ms, None, count)
        first_ms, end_ms = int(minutes[0, OPEN_TIME]), int(minutes[-1, OPEN_TIME]) + MINUTE_MS
        assert start_ms is None or first_ms == max(start_ms, listed_ms)
        assert (np.diff(minutes[:, OPEN_TIME]) == MINUTE_MS).all(), "no hole"
        assert len(minutes) == min(count, (START_MS - first_ms) // MINUTE_MS + 1)
        for interval in INTERVALS[:-3]:
            summed = combine(minutes, open_times(interval, minutes[:, OPEN_TIME]))
            whole = summed[:, OPEN_TIME] >= (0 if first_ms == listed_ms else first_ms)
            if end_ms < START_MS:
                whole &= summed[:, OPEN_TIME] + LENGTHS_MS[interval] <= end_ms
            summed = summed[whole]
            opened_ms = int(summed[0, OPEN_TIME])
            found = candles.rows(interval, opened_ms, None, len(summed))
            assert (found == summed).all(), f"{interval} from {opened_ms}"
    days = candles.rows("1d", None, None, EVERYTHING)
    assert days[0, OPEN_TIME] == open_time("1d", listed_ms)
    for interval in INTERVALS[-3:]:
        summed = combine(days, open_times(interval, days[:, OPEN_TIME]))
        assert (candles.rows(interval, None, None, EVERYTHING) == summed).all(), interval


def test_prices_are_continuous_up_to_the_last_trades(past: SimulatedHistory) -> None:
    for bars in windows(past):
        single = bars[1:, OPEN_TIME] >= past.inputs.recent_ms - MINUTE_MS
        jumps = (bars[1:, OPEN] != bars[:-1, CLOSE]) & ~single
        assert jumps.sum() <= 1, "prices jump only at the start of the last day, after a quiet bar"
        assert (np.abs(bars[1:, OPEN] / bars[:-1, CLOSE] - 1) < 0.005).all()


def test_trade_ids_count_on_since_the_listing_into_the_trades(past: SimulatedHistory) -> None:
    for bars in windows(past):
        traded, quiet = bars[bars[:, COUNT] > 0], bars[bars[:, COUNT] == 0]
        ids = traded[:, [FIRST_TRADE_ID, LAST_TRADE_ID]]
        assert (ids[:, 1] - ids[:, 0] + 1 == traded[:, COUNT]).all()
        assert (ids[1:, 0] == ids[:-1, 1] + 1).all(), "ids have a hole"
        assert ids[0, 0] > 0
        assert (quiet[:, FIRST_TRADE_ID : LAST_TRADE_ID + 1] == -1).all()
        assert (quiet[:, VOLUME : TURNOVER + 1] == 0).all()
    (last_id,) = past.day[past.day[:, COUNT] > 0][-1:, LAST_TRADE_ID].tolist()
    assert last_id + 1 == past.trades[0].trade_id
    assert 0 < past.first_aggregate_id <= past.trades[0].trade_id


def test_a_day_covers_24_hours_before_the_start(past: SimulatedHistory) -> None:
    day = past.day
    assert day[0, OPEN_TIME] <= START_MS - DAY_MS < day[1, OPEN_TIME]
    assert past.ends_ms == day[0, OPEN_TIME]
    assert day[-1, OPEN_TIME] + MINUTE_MS == START_MS // MINUTE_MS * MINUTE_MS


def test_the_last_trades_lead_to_the_opening_price(past: SimulatedHistory) -> None:
    symbol = past.inputs.instrument.symbol
    older = past.older_trades
    every = [*trades(symbol, older.rows(older.ids.stop - 1000, older.ids.stop)), *past.trades]
    times = [trade.trade_time_ms for trade in every]
    assert times == sorted(times)
    assert times[-1] < START_MS
    first_id = every[0].trade_id
    assert [trade.trade_id for trade in every] == list(range(first_id, first_id + len(every)))
    snapshot = EXCHANGE.opening(symbol)[0]
    assert every[-1] == past.last_trade
    assert past.last_trade.price == snapshot.bids[0][0], "the last price is the best bid"
    steps = [trade.quantity % past.inputs.instrument.step_size for trade in every]
    assert not any(steps)


def test_the_contracts_of_a_coin_have_the_same_path() -> None:
    spot, inverse = (
        candles_of(EXCHANGE.history(symbol)).rows("1d", None, None, 1_500)
        for symbol in ("BTCUSDT", "BTCUSD_PERP")
    )
    difference = spot[:, CLOSE] / inverse[:, CLOSE] / 10 - 1
    assert (np.abs(difference) < 0.02).all(), "they move together"


def test_history_is_the_same_in_whatever_order_it_is_generated(
    past: SimulatedHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = windows(past)
    for cached in (day_bars, recent_trades, past_steps):
        cached.cache_clear()
    PIECES.clear()
    monkeypatch.setattr(PIECES, "max_bytes", 150_000)
    again = EXCHANGE.history(past.inputs.instrument.symbol)
    candles = candles_of(again)
    candles.rows("5m", past.begins_ms, None, 40)
    first_ms = int(known[3][0, OPEN_TIME])
    late = candles.rows("1m", first_ms + 7 * HOUR_MS, None, 99)
    assert (late == known[3][7 * 60 : 7 * 60 + 99]).all()
    assert PIECES.bytes < 150_000
    for rows, wanted in zip(reversed(windows(again)), reversed(known), strict=True):
        assert (rows == wanted).all()
    assert again.trades == past.trades
