"""Trades, candles, aggregates and the day agree with each other and with the trades themselves."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

from coverage_of import covers
from hypothesis import given
from hypothesis import strategies as st
from request_markets import INVERSE, LINEAR, START_MS, get
from sample_markets import sample_plant
from stage import open_plant

from tickerplant.events import Trade
from tickerplant.instrument import Instrument
from tickerplant.market.interval import next_open_time, open_time
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.profile import CURRENT, PROFILES
from tickerplant.units import DAY_MS, MINUTE_MS

gaps_ms = st.integers(0, 200) | st.integers(0, 3 * MINUTE_MS) | st.integers(0, 40 * MINUTE_MS)
fills = st.tuples(gaps_ms, st.integers(1, 2000), st.integers(1, 500), st.booleans())
runs = st.lists(fills, min_size=1, max_size=10)
breaks = st.tuples(st.integers(0, DAY_MS), st.just(1000), st.just(1), st.booleans())
tapes = st.builds(lambda early, pause, late: [*early, pause, *late], runs, breaks, runs)
"""Two runs of trades with a break between that may move the first out of the day's window."""
intervals = st.sampled_from(["1m", "3m", "15m", "1h", "4h", "1d", "1w", "1M"])
limits = st.integers(1, 1500)


def traded(instrument: Instrument, tape: list[tuple[int, int, int, bool]]) -> Markets:
    """Return a market that received `tape`."""
    plant = open_plant([instrument], start_ms=START_MS)
    now_ms = START_MS
    for number, (gap_ms, price, quantity, sold) in enumerate(tape, start=1):
        now_ms += gap_ms
        plant.advance(now_ms)
        plant.publish(Trade(instrument.symbol, number, price, quantity, sold, now_ms))
    plant.advance(now_ms + 150)
    return plant.venues[instrument.venue.name]


def only(markets: Markets) -> Market:
    return next(iter(markets))


def worth(instrument: Instrument, trades: list[Trade]) -> Fraction:
    """Return the turnover of `trades` in quote or base coin."""
    total = sum(instrument.turnover(trade.price, trade.quantity) for trade in trades)
    return Fraction(total, 10**instrument.turnover_decimals)


def test_the_day_of_all_symbols_has_its_keys_sorted_in_the_current_profile_only() -> None:
    for profile in PROFILES.values():
        for name, markets in sample_plant(profile).venues.items():
            answer: Any = get(markets, "/v1/ticker/24hr")
            is_sorted = [list(row) == sorted(row) for row in answer]
            assert is_sorted
            assert set(is_sorted) == {profile is CURRENT and name == "usdm"}
            one: Any = get(markets, "/v1/ticker/24hr", symbol=answer[0]["symbol"])
            one = one if isinstance(one, dict) else one[0]
            assert next(iter(one)) == "symbol", (
                "one symbol has the documented order in every profile"
            )
            assert one == answer[0], "with the same values"


@covers("/v1/ticker/24hr")
@given(tape=tapes)
def test_the_day_is_what_was_traded_in_its_window(tape: list[tuple[int, int, int, bool]]) -> None:
    for instrument in (LINEAR, INVERSE):
        markets = traded(instrument, tape)
        now_ms = markets.now_ms
        response: Any = get(markets, "/v1/ticker/24hr", symbol=instrument.symbol)
        row = response[0] if isinstance(response, list) else response
        opened_ms = (now_ms - DAY_MS) // MINUTE_MS * MINUTE_MS
        trades = [each for each in only(markets).trades if each.trade_time_ms >= opened_ms]
        price, quantity = 10**instrument.price.decimals, 10**instrument.quantity.decimals
        prices = [Fraction(each.price, price) for each in trades]
        assert (row["openTime"], row["closeTime"]) == (opened_ms, now_ms)
        assert row["count"] == len(trades)
        assert (row["firstId"], row["lastId"]) == (trades[0].trade_id, trades[-1].trade_id)
        assert Fraction(row["openPrice"]) == prices[0]
        assert Fraction(row["lastPrice"]) == prices[-1]
        assert Fraction(row["highPrice"]) == max(prices)
        assert Fraction(row["lowPrice"]) == min(prices)
        assert Fraction(row["priceChange"]) == prices[-1] - prices[0]
        assert Fraction(row["lastQty"]) == Fraction(trades[-1].quantity, quantity)
        assert Fraction(row["volume"]) == Fraction(sum(t.quantity for t in trades), quantity)
        turnover = Fraction(row["baseVolume"] if "baseVolume" in row else row["quoteVolume"])
        assert abs(turnover - worth(instrument, trades)) <= Fraction(1, 2 * price)
        percent = 100 * (prices[-1] - prices[0]) / prices[0]
        assert abs(Fraction(row["priceChangePercent"]) - percent) <= Fraction(1, 2000)


@covers("/v1/klines")
@given(tape=tapes, interval=intervals)
def test_every_candle_is_what_was_traded_in_it(
    tape: list[tuple[int, int, int, bool]], interval: str
) -> None:
    for instrument in (LINEAR, INVERSE):
        markets = traded(instrument, tape)
        trades = list(only(markets).trades)
        rows: Any = get(
            markets, "/v1/klines", symbol=instrument.symbol, interval=interval, limit=1500
        )
        price, quantity = 10**instrument.price.decimals, 10**instrument.quantity.decimals
        last_ms = open_time(interval, markets.now_ms)
        assert rows[-1][0] == last_ms, "the candle that is open now comes last"
        for before, after in pairwise(rows):
            assert after[0] == next_open_time(interval, before[0]), "no candle is missing"
        for row in rows:
            inside = [each for each in trades if row[0] <= each.trade_time_ms <= row[6]]
            bought = [each for each in inside if not each.buyer_is_maker]
            assert row[6] == next_open_time(interval, row[0]) - 1
            assert row[8] == len(inside)
            assert Fraction(row[5]) == Fraction(sum(t.quantity for t in inside), quantity)
            assert Fraction(row[7]) == worth(instrument, inside), "candles are exact"
            assert Fraction(row[9]) == Fraction(sum(t.quantity for t in bought), quantity)
            assert Fraction(row[10]) == worth(instrument, bought)
            earlier = [each for each in trades if each.trade_time_ms < row[0]]
            seen = [each.price for each in inside] or [earlier[-1].price]
            expected = (seen[0], max(seen), min(seen), seen[-1])
            assert tuple(Fraction(text) * price for text in row[1:5]) == expected


@given(
    tape=tapes,
    interval=intervals,
    limit=limits,
    start=st.none() | st.integers(-DAY_MS, 3 * DAY_MS),
    length=st.none() | st.integers(0, 3 * DAY_MS),
)
def test_a_window_of_candles_is_cut_from_all_of_them(
    tape: list[tuple[int, int, int, bool]],
    interval: str,
    limit: int,
    start: int | None,
    length: int | None,
) -> None:
    start_ms = None if start is None else START_MS + start
    end_ms = None if length is None else (start_ms or START_MS) + length
    window = {"startTime": start_ms, "endTime": end_ms, "limit": limit, "interval": interval}
    for instrument in (LINEAR, INVERSE):
        markets = traded(instrument, tape)
        every = only(markets).candles.rows(interval, None, None, 10**6)[:, 0].tolist()
        inside = [
            opened_ms
            for opened_ms in every
            if (start_ms is None or opened_ms >= start_ms)
            and (end_ms is None or opened_ms <= end_ms)
        ]
        from_the_front = start_ms is not None and instrument is LINEAR
        expected = inside[:limit] if from_the_front else inside[-limit:]
        rows: Any = get(markets, "/v1/klines", symbol=instrument.symbol, **window)
        assert [row[0] for row in rows] == expected


@covers("/v1/trades", "/v1/aggTrades")
@given(tape=tapes)
def test_aggregates_cover_the_trades_exactly(tape: list[tuple[int, int, int, bool]]) -> None:
    markets = traded(LINEAR, tape)
    trades: Any = get(markets, "/v1/trades", symbol="BTCUSDT", limit=1000)
    aggregates: Any = get(markets, "/v1/aggTrades", symbol="BTCUSDT", limit=1000, fromId=0)
    covered = [n for each in aggregates for n in range(each["f"], each["l"] + 1)]
    assert covered == [trade["id"] for trade in trades], "every trade once, in order"
    by_id = {trade["id"]: trade for trade in trades}
    for each in aggregates:
        fills = [by_id[n] for n in range(each["f"], each["l"] + 1)]
        assert {fill["price"] for fill in fills} == {each["p"]}
        assert {fill["isBuyerMaker"] for fill in fills} == {each["m"]}
        assert sum(Fraction(fill["qty"]) for fill in fills) == Fraction(each["q"])
        assert each["T"] == fills[0]["time"]
