"""Candles of published prices cover these prices, and are selected like any others."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from coverage_of import covers
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from request_markets import INVERSE, LINEAR, START_MS, get
from sample_markets import sample_plant
from stage import mark, open_plant, quote

from tickerplant.errors import RequestError
from tickerplant.instrument import Instrument
from tickerplant.market.interval import next_open_time, open_time
from tickerplant.market.markets import Markets
from tickerplant.plant import Plant
from tickerplant.profile import CURRENT, P2026Q1
from tickerplant.units import DAY_MS, MINUTE_MS
from tickerplant.venue import COINM, USDM

ONE = 10**8
MARKS = "/v1/markPriceKlines"
INDICES = "/v1/indexPriceKlines"
PREMIUMS = "/v1/premiumIndexKlines"
CONTINUOUS = "/v1/continuousKlines"

gaps_s = st.integers(1, 5) | st.integers(1, 2000)
tellings = st.lists(
    st.tuples(gaps_s, st.integers(6 * 10**12, 7 * 10**12), st.integers(6 * 10**12, 7 * 10**12)),
    min_size=1,
    max_size=12,
)
intervals = st.sampled_from(["1m", "5m", "1h", "1d", "1w", "1M"])
PricePoint = tuple[int, int, int]
"""Seconds since the previous prices, the mark and the index price."""


class Point(NamedTuple):
    """The prices published at a time."""

    time_ms: int
    mark_price: Fraction
    index_price: Fraction
    premium: Fraction


def markets_with(instrument: Instrument, tape: Sequence[PricePoint]) -> tuple[Markets, list[Point]]:
    """Return a market that received the prices of `tape`, and the prices by time."""
    plant = open_plant([instrument], start_ms=START_MS)
    plant.publish(quote(1, symbol=instrument.symbol))
    now_ms, points = START_MS, []
    for gap_s, mark_price, index_price in tape:
        now_ms += gap_s * 1000
        plant.advance(now_ms)
        event = mark(now_ms, instrument.symbol)
        plant.publish(structs.replace(event, mark_price=mark_price, index_price=index_price))
        prices = (Fraction(mark_price, ONE), Fraction(index_price, ONE))
        points.append(Point(now_ms, *prices, premium(instrument, index_price)))
    return plant.venues[instrument.venue.name], points


def premium(instrument: Instrument, index: int) -> Fraction:
    """Return the premium of the quoted prices over the index."""
    unit = 10 ** (8 - instrument.price.decimals)
    bid, ask = 6_527_990 * unit, 6_528_000 * unit
    return Fraction(max(0, bid - index) - max(0, index - ask), index)


@pytest.mark.heavy
@covers(MARKS, INDICES, PREMIUMS)
@given(tape=tellings, interval=intervals)
def test_every_candle_covers_the_published_prices(
    tape: Sequence[PricePoint], interval: str
) -> None:
    for instrument in (LINEAR, INVERSE):
        markets, points = markets_with(instrument, tape)
        symbol, pair = {"symbol": instrument.symbol}, {"pair": instrument.pair}
        of_price = {
            MARKS: ("mark_price", symbol),
            INDICES: ("index_price", pair),
            PREMIUMS: ("premium", symbol),
        }
        for path, (price, whose) in of_price.items():
            prices = [(point.time_ms, getattr(point, price)) for point in points]
            rows: Any = get(markets, path, **whose, interval=interval, limit=1500)
            assert rows[-1][0] == open_time(interval, markets.now_ms)
            before = prices[0][1]
            for row in rows:
                inside = [value for time_ms, value in prices if row[0] <= time_ms <= row[6]]
                seen = inside or [before]
                expected = (seen[0], max(seen), min(seen), seen[-1])
                for text, exact in zip(row[1:5], expected, strict=True):
                    assert abs(Fraction(text) - exact) <= Fraction(1, 2 * ONE)
                assert row[6] == next_open_time(interval, row[0]) - 1
                assert row[8] == len(inside), "data points, in the place of trades"
                assert {row[5], *row[7:8], *row[9:]} == {"0"}, "nothing was traded"
                before = seen[-1]


def test_a_window_is_cut_by_the_rule_of_the_venue() -> None:
    for instrument, from_the_front in ((LINEAR, True), (INVERSE, False)):
        markets, _ = markets_with(
            instrument, [(60, 65 * 10**11 + n, 65 * 10**11 - n) for n in range(20)]
        )
        for path in (MARKS, INDICES, PREMIUMS):
            whose = {"pair": instrument.pair} if path == INDICES else {"symbol": instrument.symbol}
            window = whose | {"interval": "1m", "startTime": START_MS + 3 * MINUTE_MS}
            every: Any = get(markets, path, **window)
            assert every[0][0] == START_MS + 3 * MINUTE_MS
            some: Any = get(markets, path, **window, limit=4)
            assert some == (every[:4] if from_the_front else every[-4:])
            last: Any = get(markets, path, **whose, interval="1m", limit=4)
            assert last == every[-4:]


@pytest.mark.parametrize("path", ["/v1/klines", MARKS, PREMIUMS, INDICES, CONTINUOUS])
def test_in_the_merged_universe_either_host_serves_both_venues(path: str) -> None:
    requested = {
        USDM.name: {"symbol": "BTCUSDT", "pair": "BTCUSDT"},
        COINM.name: {"symbol": "BTCUSD_PERP", "pair": "BTCUSD"},
    }
    rest: dict[str, object] = {"interval": "1m", "contractType": "PERPETUAL"}

    def response(plant: Plant, host: str, whose: str) -> object:
        return get(plant.venues[host], path, **requested[whose], **rest)

    merged, apart = sample_plant(CURRENT), sample_plant(P2026Q1)
    for home, away in ((USDM.name, COINM.name), (COINM.name, USDM.name)):
        assert response(merged, home, home), "there are candles"
        assert response(merged, away, home) == response(merged, home, home)
        with pytest.raises(RequestError) as refused:
            response(apart, away, home)
        of_pairs = {USDM.name: -4144, COINM.name: -4087}
        expected = of_pairs[away] if path in {INDICES, CONTINUOUS} else -1121
        assert refused.value.code == expected, "not listed on this host"


def test_in_the_merged_universe_the_rule_of_the_windows_is_the_market_s_own() -> None:
    plant = sample_plant(CURRENT)
    wide: dict[str, object] = {
        "interval": "1d",
        "startTime": START_MS - 201 * DAY_MS,
        "endTime": START_MS,
    }
    for host in plant.venues.values():
        assert get(host, "/v1/klines", symbol="BTCUSDT", **wide)
        for path, whose in (
            ("/v1/klines", {"symbol": "BTCUSD_PERP"}),
            (INDICES, {"pair": "BTCUSD"}),
        ):
            with pytest.raises(RequestError, match="Maximum time interval is 200 days") as refused:
                get(host, path, **whose, **wide)
            assert refused.value.code == -4088
