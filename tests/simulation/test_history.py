"""The history of simulated contracts is consistent."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from tickerplant.events import Trade
from tickerplant.market.aggregate import TradeAggregator
from tickerplant.market.bars import (
    CLOSE,
    COUNT,
    FIRST_TRADE_ID,
    HIGH,
    LAST_TRADE_ID,
    LOW,
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
from tickerplant.simulation.history_bars import first_id, price_bars, traded_bars
from tickerplant.simulation.history_inputs import RECENT_TRADES
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.open_interest import past_columns
from tickerplant.simulation.price_paths import path_segment, segment_end
from tickerplant.simulation.recent_trades import older_aggregates, recent_trades
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

START_MS = 1_780_000_012_345
SYMBOLS = ("BTCUSDT", "APTUSDT", "1000PEPEUSDT", "BTCUSDT_260626", "BTCUSD_PERP", "BTCUSD_260925")
EXCHANGE = SimulatedExchange(instruments(START_MS, SYMBOLS), 5, START_MS)
LENGTHS = {"days": DAY_MS, "hours": HOUR_MS, "minutes": MINUTE_MS}


@pytest.fixture(params=SYMBOLS)
def past(request: pytest.FixtureRequest) -> SimulatedHistory:
    return EXCHANGE.history(request.param)


def tiers(past: SimulatedHistory) -> dict[str, Bars]:
    minutes = np.concatenate([past.minutes(), past.day])
    return {"days": past.days(), "hours": past.hours(), "minutes": minutes}


def test_bars_have_no_gaps_and_start_on_their_boundaries(past: SimulatedHistory) -> None:
    for name, bars in tiers(past).items():
        assert (bars[:, OPEN_TIME] % LENGTHS[name] == 0).all(), f"{name} are not aligned"
        assert (np.diff(bars[:, OPEN_TIME]) == LENGTHS[name]).all(), f"{name} have a hole"


def test_each_tier_begins_where_the_longer_one_ends(past: SimulatedHistory) -> None:
    days, hours, minutes = tiers(past).values()
    if len(days):  # none if the contract was listed recently
        assert days[-1, OPEN_TIME] + DAY_MS == hours[0, OPEN_TIME]
    assert hours[-1, OPEN_TIME] + HOUR_MS == minutes[0, OPEN_TIME]
    assert minutes[-1, OPEN_TIME] + MINUTE_MS == START_MS // MINUTE_MS * MINUTE_MS
    assert all(trade.trade_time_ms >= minutes[-1, OPEN_TIME] + MINUTE_MS for trade in past.trades)


def test_prices_are_continuous_up_to_the_last_trades(past: SimulatedHistory) -> None:
    opens = np.concatenate([bars[:, OPEN] for bars in tiers(past).values()])
    closes = np.concatenate([bars[:, CLOSE] for bars in tiers(past).values()])
    single = (START_MS - past.inputs.recent_ms) // MINUTE_MS
    jumps = np.flatnonzero(opens[1:] != closes[:-1])
    jumps = jumps[jumps < len(opens) - single - 2]
    assert len(jumps) <= 3, "prices jump only where tiers meet after a bar without trades"
    assert (np.abs(opens[1:] / closes[:-1] - 1) < 0.005).all(), "single trades hop by ticks"


def test_prices_lie_within_their_bar_and_on_ticks(past: SimulatedHistory) -> None:
    tick = past.inputs.instrument.tick_size
    for bars in tiers(past).values():
        assert (bars[:, LOW] <= np.minimum(bars[:, OPEN], bars[:, CLOSE])).all()
        assert (bars[:, HIGH] >= np.maximum(bars[:, OPEN], bars[:, CLOSE])).all()
        assert (bars[:, LOW : CLOSE + 1] % tick == 0).all()
        assert (bars[:, LOW] > 0).all()


def test_the_average_price_lies_between_low_and_high(past: SimulatedHistory) -> None:
    instrument = past.inputs.instrument
    for bars in tiers(past).values():
        traded = bars[bars[:, COUNT] > 0]
        volume, turnover = traded[:, VOLUME].astype(float), traded[:, TURNOVER].astype(float)
        if instrument.venue.inverse:
            scale = instrument.contract_size * 10.0 ** (8 + instrument.price.decimals)
            average = volume * scale / turnover
        else:
            average = turnover / volume
        rounding = 0.5 * traded[:, COUNT] / turnover  # COIN-M: of every trade
        assert (average >= traded[:, LOW] * (1 - 1e-6 - rounding)).all()
        assert (average <= traded[:, HIGH] * (1 + 1e-6 + rounding)).all()


def test_takers_bought_no_more_than_was_traded(past: SimulatedHistory) -> None:
    for bars in tiers(past).values():
        assert (bars[:, TAKER_BUY_VOLUME] <= bars[:, VOLUME]).all()
        assert (bars[:, TAKER_BUY_TURNOVER] <= bars[:, TURNOVER]).all()
        assert (bars[:, VOLUME] % past.inputs.instrument.step_size == 0).all()


def test_trade_ids_count_on_through_all_tiers_into_the_trades(past: SimulatedHistory) -> None:
    bars = np.concatenate(list(tiers(past).values()))
    traded, quiet = bars[bars[:, COUNT] > 0], bars[bars[:, COUNT] == 0]
    ids = traded[:, [FIRST_TRADE_ID, LAST_TRADE_ID]]
    assert (ids[:, 1] - ids[:, 0] + 1 == traded[:, COUNT]).all()
    assert (ids[1:, 0] == ids[:-1, 1] + 1).all(), "ids have a hole"
    assert ids[0, 0] > 0
    assert ids[-1, 1] + 1 == past.trades[0].trade_id == past.older_trades()["trade_id"][-1] + 1
    assert (quiet[:, FIRST_TRADE_ID : LAST_TRADE_ID + 1] == -1).all()
    assert (quiet[:, VOLUME : TURNOVER + 1] == 0).all()
    assert 0 < past.first_aggregate_id <= past.trades[0].trade_id


def test_a_day_covers_24_hours_before_the_start_and_follows_the_minutes(
    past: SimulatedHistory,
) -> None:
    day = past.day
    assert day[0, OPEN_TIME] <= START_MS - DAY_MS < day[1, OPEN_TIME]
    assert past.minutes()[-1, OPEN_TIME] + MINUTE_MS == day[0, OPEN_TIME]


def test_the_last_trades_lead_to_the_opening_price(past: SimulatedHistory) -> None:
    symbol = past.inputs.instrument.symbol
    every = [*trades(symbol, past.older_trades()), *past.trades]
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


def test_the_minutes_of_the_last_hour_are_those_of_its_trades(past: SimulatedHistory) -> None:
    instrument = past.inputs.instrument
    tape = trades(instrument.symbol, past.older_trades())
    first_ms, present_ms = past.inputs.recent_ms, START_MS // MINUTE_MS * MINUTE_MS
    inside: dict[int, list[Trade]] = {ms: [] for ms in range(first_ms, present_ms, MINUTE_MS)}
    for trade in tape:
        inside[trade.trade_time_ms // MINUTE_MS * MINUTE_MS].append(trade)
    rows = {row[OPEN_TIME]: row for row in past.day.tolist()}
    for open_ms, some in inside.items():
        row = rows[open_ms]
        assert row[COUNT] == len(some)
        if not some:
            continue
        prices = [trade.price for trade in some]
        assert row[HIGH] == max(prices)
        assert row[LOW] == min(prices)
        assert row[CLOSE] == prices[-1]
        assert row[VOLUME] == sum(trade.quantity for trade in some)
        assert row[TURNOVER] == sum(instrument.turnover(t.price, t.quantity) for t in some)
        bought = [trade for trade in some if not trade.buyer_is_maker]
        assert row[TAKER_BUY_VOLUME] == sum(trade.quantity for trade in bought)
        assert row[TAKER_BUY_TURNOVER] == sum(
            instrument.turnover(t.price, t.quantity) for t in bought
        )
        assert row[FIRST_TRADE_ID : LAST_TRADE_ID + 1] == [some[0].trade_id, some[-1].trade_id]


def test_the_aggregates_are_those_that_the_trades_make(past: SimulatedHistory) -> None:
    symbol = past.inputs.instrument.symbol
    rows = past.older_aggregates()
    aggregator = TradeAggregator(symbol, int(rows["aggregate_id"][0]))
    closed = [aggregator.add(trade) for trade in trades(symbol, past.older_trades())]
    closed.append(aggregator.close())
    expected = [structs.astuple(each)[1:] for each in closed if each is not None]
    assert rows.tolist() == expected
    assert past.first_aggregate_id == expected[-1][0] + 1


def test_an_hour_of_a_busy_contract_is_known_trade_by_trade() -> None:
    past = EXCHANGE.history("APTUSDT")
    rows = past.older_trades()
    assert rows["trade_time_ms"][0] < START_MS - HOUR_MS + 5 * MINUTE_MS
    assert len(rows) > 3000
    assert 50_000 < len(EXCHANGE.history("BTCUSDT").older_trades()) < 1.5 * RECENT_TRADES


def test_there_are_hundreds_of_bars_of_each_length() -> None:
    past = EXCHANGE.history("BTCUSDT")
    assert len(past.minutes()) > 8_000
    assert len(past.hours()) > 1_500
    assert len(past.days()) > 1_500


def test_the_contracts_of_a_coin_have_the_same_path() -> None:
    spot, inverse = (EXCHANGE.history(symbol).days() for symbol in ("BTCUSDT", "BTCUSD_PERP"))
    difference = spot[:, CLOSE] / inverse[:, CLOSE] / 10 - 1
    assert (np.abs(difference) < 0.02).all(), "they move together"


def test_history_is_the_same_each_time_it_is_generated(past: SimulatedHistory) -> None:
    known, again = tiers(past), EXCHANGE.history(past.inputs.instrument.symbol)
    trades_before, day = past.older_trades(), past.day
    for cached in (path_segment, segment_end, traded_bars, first_id, price_bars, recent_trades):
        cached.cache_clear()
    older_aggregates.cache_clear()
    past_columns.cache_clear()
    assert (again.hours() == known["hours"]).all(), "in whatever order"
    assert (again.older_trades() == trades_before).all()
    assert (again.day == day).all()
    assert (again.days() == known["days"]).all()
    assert again.trades == past.trades
    assert (again.minutes() == known["minutes"][: len(again.minutes())]).all()
