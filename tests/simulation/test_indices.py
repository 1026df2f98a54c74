"""Composite indices, and the indices of margin assets."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.events import CompositeIndex, MarkPrice
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.indices import (
    COIN_BUFFERS,
    STABLE,
    AssetIndices,
    Composite,
    asset_index,
    index_weights,
)
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.underlyings import UNDERLYINGS
from tickerplant.simulation.valuation import FairValue

START_MS = 1_780_000_000_250
ONE = 10**8


@given(st.lists(st.floats(1e-4, 1e5), min_size=5, max_size=5))
def test_a_composite_index_is_the_sum_of_its_parts(prices: list[float]) -> None:
    parts = [
        (name, weight, FairValue(price, 0.04, 0.8))
        for (name, weight), price in zip(index_weights(), prices, strict=True)
    ]
    reported = Composite("DEFIUSDT", parts).at(START_MS)
    worths = [part.weight_in_quantity * part.index_price for part in reported.parts]
    assert abs(reported.price * ONE - sum(worths)) <= ONE // 2, "to the nearest 10^-8"
    assert sum(part.weight_in_percentage for part in reported.parts) == ONE
    for part, worth in zip(reported.parts, worths, strict=True):
        assert part.weight_in_percentage == pytest.approx(worth * ONE / sum(worths), abs=3)


def test_the_contract_on_a_composite_index_is_marked_by_it_and_follows_it() -> None:
    listed = instruments(START_MS, ["DEFIUSDT", "UNIUSDT"])
    exchange = SimulatedExchange(listed, 5, START_MS)
    composites: dict[int, int] = {}
    marks: dict[int, MarkPrice] = {}
    while exchange.next_time_ms < START_MS + 60_000:
        for event in exchange.step()[1]:
            if isinstance(event, CompositeIndex):
                composites[event.time_ms] = event.price
            elif isinstance(event, MarkPrice) and event.symbol == "DEFIUSDT":
                assert event.time_ms in composites, "the index is told first"
                marks[event.time_ms] = event
    assert len(marks) == 60
    assert {time_ms: mark.index_price for time_ms, mark in marks.items()} == composites
    assert len(set(composites.values())) > 30, "coins that are not listed move it too"
    for mark in marks.values():
        assert mark.mark_price == pytest.approx(mark.index_price, rel=3e-3)


def test_a_move_of_the_parts_takes_the_contract_along() -> None:
    exchange = SimulatedExchange(instruments(START_MS, ["DEFIUSDT"]), 5, START_MS)
    underlyings = exchange.registry.news.underlyings
    before = underlyings["DEFI"].value.price
    for name, _ in index_weights():
        underlyings[name].value.move(0.05)
    while exchange.next_time_ms < START_MS + 20_000:
        exchange.step()
    best = exchange.contracts["DEFIUSDT"].market.engine.bids.best
    assert best is not None
    assert best[0] / 10 == pytest.approx(before * 1.051, rel=0.01)


@given(st.integers(1, 10**13), st.integers(0, ONE // 2), st.integers(0, ONE // 4))
def test_rates_of_an_asset_are_its_index_less_and_plus_the_buffers(
    index: int, buffer: int, automatic: int
) -> None:
    reported = asset_index("ADA", index, buffer, automatic, START_MS)
    assert reported.symbol == "ADAUSD"
    for rate, factor in (
        (reported.bid_rate, ONE - reported.bid_buffer),
        (reported.ask_rate, ONE + reported.ask_buffer),
        (reported.auto_exchange_bid_rate, ONE - reported.auto_exchange_bid_buffer),
        (reported.auto_exchange_ask_rate, ONE + reported.auto_exchange_ask_buffer),
    ):
        assert abs(rate * ONE - index * factor) <= ONE // 2


def test_the_rates_of_a_stable_asset_round_as_the_exchange_rounds_them() -> None:
    reported = asset_index("USDT", 99_990_000, 10_000, 5_000, START_MS)
    assert (reported.bid_rate, reported.ask_rate) == (99_980_001, 99_999_999)
    assert (reported.auto_exchange_bid_rate, reported.auto_exchange_ask_rate) == (
        99_985_000,
        99_995_000,
    )


VALUES = {name: FairValue(UNDERLYINGS[name].price, 0.03, 0.8) for name, _, _ in COIN_BUFFERS}


def test_margin_assets_are_coins_and_stable_ones() -> None:
    rows = {row.symbol: row for row in AssetIndices(VALUES, Random(1)).at(START_MS)}
    assert list(rows) == [
        f"{name}USD" for name in (*(name for name, _, _ in COIN_BUFFERS), *STABLE)
    ]
    for name, buffer, automatic in COIN_BUFFERS:
        row = rows[f"{name}USD"]
        assert row.index == round(VALUES[name].index * ONE)
        assert (row.bid_buffer, row.auto_exchange_ask_buffer) == (buffer, automatic)


@pytest.mark.heavy
def test_stable_assets_move_but_stay_within_a_tenth_of_a_per_cent_of_one_usd() -> None:
    indices = AssetIndices(VALUES, Random(1))
    reported: dict[str, list[int]] = {f"{name}USD": [] for name in STABLE}
    for second in range(10_000):
        for row in indices.at(1000 * second):
            if row.symbol in reported:
                reported[row.symbol].append(row.index)
    for prices in reported.values():
        assert max(abs(price - ONE) for price in prices) < ONE // 1000
        assert len(set(prices)) > 1000, "it moves"
        assert min(prices) < ONE < max(prices), "to both sides"
        assert max(abs(a - b) for a, b in pairwise(prices)) < ONE // 30_000, "and slowly"


def test_a_stable_asset_that_has_left_its_peg_returns_to_it() -> None:
    indices = AssetIndices(VALUES, Random(2))
    indices.pegs["USDT"] = -0.02
    for second in range(4000):
        rows = indices.at(1000 * second)
    (price,) = (row.index for row in rows if row.symbol == "USDTUSD")
    assert abs(price - ONE) < ONE // 1000
