"""A simulated market has complete, consistent responses from the first second."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from golden_requests import REQUESTS, golden_response
from json_shape import shape
from request_markets import START_MS, get

from tickerplant.market.interval import INTERVALS
from tickerplant.market.markets import Markets
from tickerplant.plant import Plant
from tickerplant.profile import CURRENT, P2026Q1, Profile
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.venue import COINM

SYMBOLS = ("BTCUSDT", "BTCUSD_PERP")
OPENED_MS = START_MS + 58_456
"""In the middle of a minute that ends while the market is played."""
PLAYED_MS = 3_000
CHECKED = 30
"""The latest candles of an interval that are computed again from minutes."""


def opened(exchange: SimulatedExchange, profile: Profile = P2026Q1) -> Plant:
    """A plant at the opening of the exchange."""
    plant = Plant(
        exchange.instruments, start_ms=OPENED_MS, profile=profile, reserved_snapshot_ids=True
    )
    open_market(plant, exchange)
    return plant


def play(exchange: SimulatedExchange, *plants: Plant) -> None:
    """Play some seconds of the exchange on `plants`."""
    end_ms = OPENED_MS + PLAYED_MS
    while exchange.next_time_ms <= end_ms:
        time_ms, events = exchange.step()
        for plant in plants:
            plant.advance(time_ms)
            for event in events:
                plant.publish(event)
    for plant in plants:
        plant.advance(end_ms)


@pytest.fixture(scope="module")
def moments() -> list[Markets]:
    """The markets of both venues at the opening and after some seconds of trading."""
    exchange = SimulatedExchange(
        instruments(OPENED_MS, SYMBOLS), seed=5, start_ms=OPENED_MS, quoting=0.25
    )
    before, after = opened(exchange), opened(exchange)
    play(exchange, after)
    return [*before.venues.values(), *after.venues.values()]


@pytest.fixture(scope="module")
def full() -> dict[str, Plant]:
    """A plant of every listed contract after some seconds of trading, for each profile."""
    listed = instruments(OPENED_MS)
    exchange = SimulatedExchange(listed, seed=5, start_ms=OPENED_MS, quoting=0.25)
    plants = {profile.name: opened(exchange, profile) for profile in (P2026Q1, CURRENT)}
    play(exchange, *plants.values())
    return plants


@pytest.mark.heavy
def test_every_response_is_complete_and_agrees_with_the_others(moments: list[Markets]) -> None:
    for markets in moments:
        symbol = next(iter(markets.by_symbol))
        day = only(get(markets, "/v1/ticker/24hr", symbol=symbol))
        minutes = candles(markets, symbol, "1m")
        window = [row for row in minutes if row[0] >= day["openTime"]]
        traded = [row for row in window if row[8]]
        assert len(window) == 24 * 60 + 1, "every minute of the window"
        assert sum(row[8] for row in window) == day["count"]
        assert sum(Fraction(row[5]) for row in window) == Fraction(day["volume"])
        assert Fraction(traded[0][1]) == Fraction(day["openPrice"])
        assert max(Fraction(row[2]) for row in traded) == Fraction(day["highPrice"])
        assert min(Fraction(row[3]) for row in traded) == Fraction(day["lowPrice"])
        price = only(get(markets, "/v1/ticker/price", symbol=symbol))
        assert price["price"] == day["lastPrice"] == minutes[-1][4]
        best = only(get(markets, "/v1/ticker/bookTicker", symbol=symbol))
        depth: Any = get(markets, "/v1/depth", symbol=symbol, limit=5)
        assert depth["bids"][0] == [best["bidPrice"], best["bidQty"]]
        assert depth["asks"][0] == [best["askPrice"], best["askQty"]]
        trades: Any = get(markets, "/v1/trades", symbol=symbol)
        assert trades[-1]["id"] == day["lastId"]
        assert only(get(markets, "/v1/premiumIndex", symbol=symbol))["interestRate"]


@pytest.mark.heavy
def test_candles_of_every_interval_are_made_of_the_minutes(moments: list[Markets]) -> None:
    for markets in moments:
        symbol = next(iter(markets.by_symbol))
        minutes = candles(markets, symbol, "1m")
        opened_ms = [each[0] for each in minutes]
        sums = [(0, Fraction(0), Fraction(0))]
        for each in minutes:
            count, volume, turnover = sums[-1]
            sums.append((count + each[8], volume + Fraction(each[5]), turnover + Fraction(each[7])))
        for interval in INTERVALS:
            rows = candles(markets, symbol, interval)
            assert rows, f"there are {interval} candles"
            for row in rows[-CHECKED:]:
                first, stop = bisect_left(opened_ms, row[0]), bisect_right(opened_ms, row[6])
                if row[0] < opened_ms[0] or first == stop:
                    continue
                before, after = sums[first], sums[stop]
                assert after[0] - before[0] == row[8], "trades"
                assert after[1] - before[1] == Fraction(row[5]), "volume"
                assert after[2] - before[2] == Fraction(row[7]), "turnover"
                assert minutes[stop - 1][4] == row[4], "close"


@pytest.mark.heavy
@pytest.mark.parametrize("profile", [P2026Q1, CURRENT], ids=lambda profile: profile.name)
def test_a_simulated_exchange_serves_every_request(
    full: dict[str, Plant], profile: Profile
) -> None:
    plant = full[profile.name]
    for golden_request in REQUESTS:
        response = golden_request.query.respond(
            plant.venues[golden_request.venue.name], golden_request.raw
        )
        ours: Any = msgspec.json.decode(msgspec.json.encode(response))
        golden: Any = golden_response(golden_request, profile)
        if ours == [] and (golden_request.venue, golden_request.name) == (
            COINM,
            "rest.fundingInfo",
        ):
            continue  # no simulated COIN-M contract has unusual funding
        assert shape(ours, golden_request.name) == shape(golden, golden_request.name), (
            golden_request
        )


def candles(markets: Markets, symbol: str, interval: str) -> list[Any]:
    """Return as many candles as one response may have."""
    rows: Any = get(markets, "/v1/klines", symbol=symbol, interval=interval, limit=1500)
    return list(rows)


def only(response: Any) -> Any:
    """Return the row of an object, or of an array of one."""
    return response[0] if isinstance(response, list) else response
