"""Statistics follow from the market's trades, prices and positions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from coverage_of import covers
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs
from request_markets import INVERSE, LINEAR, START_MS, get, linear_markets, markets_of
from sample_markets import sample_markets
from stage import BTCUSD_260626, BTCUSDT_260626, mark, open_plant

from tickerplant.errors import RequestError
from tickerplant.events import MarkPrice, Positioning, Trade
from tickerplant.instrument import Instrument
from tickerplant.market.interval import LENGTHS_MS, open_time
from tickerplant.market.markets import Markets
from tickerplant.queries import QUERIES
from tickerplant.queries.statistics import PERIODS
from tickerplant.units import DAY_MS, MINUTE_MS
from tickerplant.venue import COINM, USDM, Venue

TAKERS, COIN_TAKERS = "/futures/data/takerlongshortRatio", "/futures/data/takerBuySellVol"
BASIS, OPEN_INTEREST = "/futures/data/basis", "/futures/data/openInterestHist"
ALL_ACCOUNTS = "/futures/data/globalLongShortAccountRatio"
TOP_ACCOUNTS = "/futures/data/topLongShortAccountRatio"
TOP_POSITIONS = "/futures/data/topLongShortPositionRatio"
SHARES = (ALL_ACCOUNTS, TOP_ACCOUNTS, TOP_POSITIONS)
ONE = 10**8

gaps_ms = st.integers(0, 20_000) | st.integers(0, 9 * MINUTE_MS)
fills = st.lists(
    st.tuples(gaps_ms, st.integers(600_000, 700_000), st.integers(1, 500), st.booleans()),
    min_size=1,
    max_size=15,
)
periods = st.sampled_from(["5m", "15m", "1h"])
Fill = tuple[int, int, int, bool]
HOUR: list[Fill] = [
    (4 * MINUTE_MS, 600_000 + 7001 * number, 1 + number, number % 3 == 0) for number in range(15)
]
"""A tape of many short periods; drawn tapes often end before a period does."""


def traded(instruments: Sequence[Instrument], tape: Sequence[Fill]) -> tuple[Markets, list[Trade]]:
    """Return markets that took turns in trading `tape`, each trade with prices, and the trades."""
    plant = open_plant(instruments, start_ms=START_MS)
    now_ms, trades = START_MS, []
    for number, (gap_ms, price, quantity, sold) in enumerate(tape, start=1):
        now_ms += gap_ms
        symbol = instruments[number % len(instruments)].symbol
        plant.advance(now_ms)
        trades.append(Trade(symbol, number, price, quantity, sold, now_ms))
        plant.publish(trades[-1])
        plant.publish(told_price(symbol, now_ms, price))
    plant.advance(now_ms + 5 * MINUTE_MS)
    return plant.venues[instruments[0].venue.name], trades


def told_price(symbol: str, now_ms: int, price: int) -> MarkPrice:
    """Return prices near a traded one."""
    event = mark(now_ms, symbol)
    index = price * ONE - 7 * ONE + price
    return structs.replace(event, mark_price=price * ONE + price % 1000, index_price=index)


def begun(length: str, now_ms: int, trades: Sequence[Trade]) -> list[int]:
    """Return the closed periods, from that of the first trade on."""
    first, last = open_time(length, trades[0].trade_time_ms), open_time(length, now_ms)
    return list(range(first, last, LENGTHS_MS[length]))


def inside(trades: Sequence[Trade], start_ms: int, length: str) -> list[Trade]:
    end_ms = start_ms + LENGTHS_MS[length]
    return [trade for trade in trades if start_ms <= trade.trade_time_ms < end_ms]


@covers(TAKERS)
@given(tape=fills, length=periods)
@example(tape=HOUR, length="5m")
def test_what_takers_did_is_counted_from_the_trades(tape: list[Fill], length: str) -> None:
    markets, trades = traded([LINEAR], tape)
    rows: Any = get(markets, TAKERS, symbol="BTCUSDT", period=length, limit=500)
    assert [row["timestamp"] for row in rows] == begun(length, markets.now_ms, trades)
    for row in rows:
        fills = inside(trades, row["timestamp"], length)
        bought = sum(trade.quantity for trade in fills if not trade.buyer_is_maker)
        sold = sum(trade.quantity for trade in fills if trade.buyer_is_maker)
        assert Fraction(row["buyVol"]) == Fraction(bought, 1000)
        assert Fraction(row["sellVol"]) == Fraction(sold, 1000)
        ratio = Fraction(bought, sold or 1)
        assert abs(Fraction(row["buySellRatio"]) - ratio) <= Fraction(1, 20_000)


@covers(COIN_TAKERS)
@given(tape=fills, length=periods)
@example(tape=HOUR, length="5m")
def test_all_contracts_of_a_pair_are_counted_together(tape: list[Fill], length: str) -> None:
    markets, trades = traded([INVERSE, BTCUSD_260626], tape)
    for contract_type, symbols in (
        ("ALL", {"BTCUSD_PERP", "BTCUSD_260626"}),
        ("PERPETUAL", {"BTCUSD_PERP"}),
        ("NEXT_QUARTER", set()),
    ):
        rows: Any = get(
            markets,
            COIN_TAKERS,
            pair="BTCUSD",
            contractType=contract_type,
            period=length,
            limit=500,
        )
        of_these = [trade for trade in trades if trade.symbol in symbols]
        begins = begun(length, markets.now_ms, of_these) if of_these else []
        assert [row["timestamp"] for row in rows] == begins
        for row in rows:
            fills = inside(of_these, row["timestamp"], length)
            bought = [trade for trade in fills if not trade.buyer_is_maker]
            sold = [trade for trade in fills if trade.buyer_is_maker]
            for some, volume, value in (
                (bought, "takerBuyVol", "takerBuyVolValue"),
                (sold, "takerSellVol", "takerSellVolValue"),
            ):
                assert row[volume] == str(sum(trade.quantity for trade in some))
                worth = sum(INVERSE.turnover(trade.price, trade.quantity) for trade in some)
                assert abs(Fraction(row[value]) - Fraction(worth, ONE)) <= Fraction(1, 20_000)


@covers(BASIS)
@given(tape=fills, length=periods)
@example(tape=HOUR, length="5m")
def test_the_basis_is_the_difference_of_the_last_prices(tape: list[Fill], length: str) -> None:
    for instrument in (LINEAR, BTCUSDT_260626, INVERSE, BTCUSD_260626):
        markets, trades = traded([instrument], tape)
        kind = instrument.contract_type
        pair: dict[str, object] = {"pair": instrument.pair}
        rows: Any = get(markets, BASIS, **pair, contractType=kind, period=length, limit=500)
        whose = {"symbol": instrument.symbol, "interval": length}
        futures: Any = get(markets, "/v1/klines", **whose, limit=1500)
        index: Any = get(markets, "/v1/indexPriceKlines", **pair, interval=length, limit=1500)
        assert [row["timestamp"] for row in rows] == begun(length, markets.now_ms, trades)
        over = slice(len(rows))
        for row, future, reported in zip(rows, futures[over], index[over], strict=True):
            assert row["contractType"] == kind
            assert row["timestamp"] == future[0] == reported[0]
            assert (row["futuresPrice"], row["indexPrice"]) == (future[4], reported[4])
            difference = Fraction(future[4]) - Fraction(reported[4])
            assert Fraction(row["basis"]) == difference
            rate = Fraction(row["basisRate"])
            assert abs(rate - difference / Fraction(reported[4])) <= Fraction(1, 20_000)
            if instrument.perpetual:
                assert row["annualizedBasisRate"] == ""
            else:
                left = Fraction(instrument.delivery_date_ms - row["timestamp"], DAY_MS)
                annual = Fraction(row["annualizedBasisRate"])
                assert abs(annual - rate * 365 / left) <= Fraction(1, 20_000)


def held(instrument: Instrument, points: Sequence[tuple[int, int]]) -> Markets:
    """Return a market with positions and prices at `points`: times and counts."""
    plant = open_plant([instrument], start_ms=START_MS)
    for time_ms, number in points:
        plant.advance(time_ms)
        plant.publish(told_price(instrument.symbol, time_ms, 600_000 + number))
        plant.publish(
            Positioning(
                symbol=instrument.symbol,
                open_interest=10_000 + number,
                long_accounts=4000 + number,
                top_long_accounts=5000 + number,
                top_long_positions=6000 + number,
                adl_risk="low",
                time_ms=time_ms,
            )
        )
    return plant.venues[instrument.venue.name]


minutes_held = st.lists(st.integers(0, 240), min_size=1, max_size=30, unique=True).map(sorted)


@covers(OPEN_INTEREST, "/v1/openInterest", *SHARES)
@given(minutes=minutes_held, length=periods)
def test_positions_are_those_at_the_beginning_of_each_period(
    minutes: list[int], length: str
) -> None:
    points = [(START_MS + minute * MINUTE_MS, number) for number, minute in enumerate(minutes)]
    length_ms = LENGTHS_MS[length]
    first: dict[int, int] = {}
    for time_ms, number in points:
        first.setdefault(time_ms // length_ms * length_ms, number)
    first_ms = -(-points[0][0] // length_ms) * length_ms
    known = {
        time_ms: max(number for told_ms, number in points if told_ms <= time_ms)
        for time_ms in range(first_ms, points[-1][0] + 1, length_ms)
    }
    for instrument in (LINEAR, INVERSE):
        markets = held(instrument, points)
        pair: dict[str, object] = {"pair": instrument.pair}
        one: dict[str, object] = {"symbol": instrument.symbol}
        whose = one if instrument is LINEAR else pair
        present: Any = get(markets, "/v1/openInterest", **one)
        assert Fraction(present["openInterest"]) == Fraction(
            10_000 + len(points) - 1, 10**instrument.quantity.decimals
        )
        assert present["time"] == points[-1][0]
        choice = whose if instrument is LINEAR else pair | {"contractType": "ALL"}
        rows: Any = get(markets, OPEN_INTEREST, **choice, period=length, limit=500)
        assert [row["timestamp"] for row in rows] == list(known)
        for row in rows:
            number = known[row["timestamp"]]
            opened = first.get(row["timestamp"], number)
            price = Fraction(told_price("", 0, 600_000 + opened).mark_price, ONE)
            quantity = Fraction(10_000 + number, 10**instrument.quantity.decimals)
            worth = quantity * price if instrument is LINEAR else quantity * 100 / price
            assert Fraction(row["sumOpenInterest"]) == quantity
            assert abs(Fraction(row["sumOpenInterestValue"]) - worth) <= Fraction(1, 2 * ONE)
        for path, first_share in zip(SHARES, (4000, 5000, 6000), strict=True):
            of = "Position" if instrument is INVERSE and path == TOP_POSITIONS else "Account"
            shares: Any = get(markets, path, **whose, period=length, limit=500)
            assert [row["timestamp"] for row in shares] == list(known)
            for row in shares:
                long = Fraction(first_share + known[row["timestamp"]], 10_000)
                assert Fraction(row[f"long{of}"]) == long
                assert Fraction(row[f"short{of}"]) == 1 - long
                ratio = long / (1 - long)
                assert abs(Fraction(row["longShortRatio"]) - ratio) <= Fraction(1, 20_000)


def test_every_row_is_at_the_price_of_its_time_when_positions_have_stopped() -> None:
    markets = held(LINEAR, [(START_MS + 5 * MINUTE_MS * each, 100 * each) for each in range(8)])
    marks, later_ms = markets.by_symbol["BTCUSDT"].marks, START_MS + 60 * MINUTE_MS
    marks.close_minutes(later_ms)
    marks.add(1, later_ms)
    requested: dict[str, object] = {"symbol": "BTCUSDT", "period": "5m"}
    every: Any = get(markets, OPEN_INTEREST, **requested)
    assert get(markets, OPEN_INTEREST, **requested, limit=3) == every[-3:]


class Past:
    """Positions that were always the same."""

    def __init__(self, first_ms: int, end_ms: int) -> None:
        self.times_ms = range(first_ms, end_ms, 5 * MINUTE_MS)

    def column(self, _field: str, times_ms: range) -> list[int]:
        return [5000 for _ in times_ms]


@pytest.mark.parametrize("path", [OPEN_INTEREST, *SHARES], ids=lambda path: path.rpartition("/")[2])
def test_no_row_is_older_than_the_available_days(path: str) -> None:
    markets = held(LINEAR, [(START_MS + day * DAY_MS, day) for day in range(20)])
    today_ms = START_MS // DAY_MS * DAY_MS
    markets.by_symbol["BTCUSDT"].positions.load_history(Past(today_ms - 30 * DAY_MS, START_MS))
    requested: dict[str, object] = {"symbol": "BTCUSDT", "period": "1d"}
    rows: Any = get(markets, path, **requested, limit=500)
    oldest_ms = (markets.now_ms // DAY_MS - 30) * DAY_MS
    assert [row["timestamp"] for row in rows] == list(range(oldest_ms, markets.now_ms + 1, DAY_MS))
    assert get(markets, path, **requested, startTime=rows[0]["timestamp"], limit=1) == rows[:1]


def test_contracts_that_lived_at_different_times_are_listed_together() -> None:
    plant = open_plant([INVERSE, BTCUSD_260626], start_ms=START_MS)
    step_ms = 5 * MINUTE_MS
    for step in range(8):
        symbol = "BTCUSD_260626" if step in {0, 1, 5} else "BTCUSD_PERP"
        plant.advance(START_MS + step * step_ms)
        plant.publish(told_price(symbol, plant.now_ms, 650_000))
        plant.publish(Trade(symbol, step + 1, 650_000, 10 + step, False, plant.now_ms))
        plant.publish(Positioning(symbol, 100 + step, 5000, 5000, 5000, "low", plant.now_ms))
    plant.advance(START_MS + 8 * step_ms)
    requested: dict[str, object] = {"pair": "BTCUSD", "contractType": "ALL", "period": "5m"}
    for path in (OPEN_INTEREST, COIN_TAKERS):
        every: Any = get(plant.venues["coinm"], path, **requested)
        assert [row["timestamp"] for row in every] == [START_MS + n * step_ms for n in range(8)]
        for limit in (1, 3, 5):
            last: Any = get(plant.venues["coinm"], path, **requested, limit=limit)
            assert last == every[-limit:]
            window = requested | {"startTime": START_MS + step_ms, "limit": limit}
            assert get(plant.venues["coinm"], path, **window) == every[1 : 1 + limit]


def test_where_nobody_is_short_there_is_a_ratio_still() -> None:
    markets = markets_of(LINEAR)
    every = Positioning("BTCUSDT", 1, 10_000, 0, 5000, "high", START_MS)
    markets.by_symbol["BTCUSDT"].apply(every)
    rows: Any = get(markets, ALL_ACCOUNTS, symbol="BTCUSDT", period="5m")
    assert rows[0] == {
        "symbol": "BTCUSDT",
        "longShortRatio": "10000.0000",
        "longAccount": "1.0000",
        "shortAccount": "0.0000",
        "timestamp": START_MS,
    }


def whole(venue: Venue, path: str) -> dict[str, object]:
    """Return the required parameters of a statistic."""
    query = next(each for each in QUERIES if each.path == path and venue in each.venues)
    every: dict[str, object] = {
        "symbol": "BTCUSDT",
        "pair": "BTCUSDT" if venue is USDM else "BTCUSD",
        "contractType": "PERPETUAL",
        "period": "5m",
    }
    return {name: every[name] for name in (param.name for param in query.params if param.required)}


STATISTICS = [
    (venue, query.path)
    for query in QUERIES
    for venue in query.venues
    if query.path and any(param.name == "period" for param in query.params)
]


def id_of(part: object) -> str:
    return part.name if isinstance(part, Venue) else str(part).rpartition("/")[2]


@pytest.mark.parametrize(("venue", "path"), STATISTICS, ids=id_of)
def test_a_month_of_every_period_is_available_and_nothing_else(venue: Venue, path: str) -> None:
    markets = sample_markets(venue)
    requested = whole(venue, path)
    for length in PERIODS:
        assert isinstance(get(markets, path, **requested | {"period": length}), list)
    month_ms = markets.now_ms - 30 * DAY_MS
    assert get(markets, path, **requested, startTime=month_ms) == get(markets, path, **requested)
    for raw, code, message in (
        ({"period": "1m"}, -1130, "parameter 'period' is invalid."),
        ({"period": "8h"}, -1130, "parameter 'period' is invalid."),
        ({"limit": "501"}, -1130, "parameter 'limit' is invalid."),
        ({"limit": "0"}, -1130, "parameter 'limit' is invalid."),
        ({"startTime": month_ms - DAY_MS}, -1130, "parameter 'startTime' is invalid."),
        ({"endTime": "1"}, -1130, "parameter 'endTime' is invalid."),
        (
            {"startTime": markets.now_ms, "endTime": markets.now_ms - 1},
            -1023,
            "Start time is greater than end time.",
        ),
        (
            {"period": None},
            -1102,
            "Mandatory parameter 'period' was not sent, was empty/null, or malformed.",
        ),
    ):
        with pytest.raises(RequestError) as refused:
            get(markets, path, **requested | raw)
        assert (refused.value.code, refused.value.message) == (code, message)


@pytest.mark.parametrize(("venue", "path"), STATISTICS, ids=id_of)
def test_a_window_of_a_statistic_is_cut_from_all_of_it(venue: Venue, path: str) -> None:
    markets = sample_markets(venue)
    requested = whole(venue, path)
    every: Any = get(markets, path, **requested)
    times = [row["timestamp"] for row in every]
    assert len(times) >= 2
    assert times == sorted(set(times)), "oldest first, each once"
    for start, end in product((None, *times), (None, *times)):
        if start is not None and end is not None and start > end:
            continue
        chosen = [
            row
            for row in every
            if (start is None or row["timestamp"] >= start)
            and (end is None or row["timestamp"] <= end)
        ]
        window = {"startTime": start, "endTime": end}
        assert get(markets, path, **requested, **window) == chosen
        one = chosen[:1] if start is not None else chosen[-1:]
        assert get(markets, path, **requested, **window, limit=1) == one


@pytest.mark.parametrize("path", ["/v1/openInterest", OPEN_INTEREST, *SHARES, "/v1/symbolAdlRisk"])
def test_who_holds_what_may_be_unknown(path: str) -> None:
    with pytest.raises(RequestError, match="The open interest of BTCUSDT is not known") as refused:
        get(linear_markets(), path, symbol="BTCUSDT", period="5m")
    assert refused.value.status == 503


@pytest.mark.parametrize("contract_type", ["CURRENT_QUARTERS", "perpetual", "ALL"])
def test_the_types_of_contracts_are_spelled_as_the_exchange_does(contract_type: str) -> None:
    for path in ("/v1/continuousKlines", BASIS):
        requested = {"pair": "BTCUSD", "period": "5m", "interval": "5m"}
        with pytest.raises(RequestError) as refused:
            get(sample_markets(COINM), path, **requested, contractType=contract_type)
        assert refused.value.message == "Data sent for parameter 'contractType' is not valid."
