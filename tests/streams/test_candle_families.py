"""Candles by contract type, of marks and of indices."""

from __future__ import annotations

from typing import Any

import pytest
from coverage_of import covers
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from stage import (
    BTCUSD_260626,
    BTCUSD_260925,
    START_MS,
    WORLD,
    Listener,
    listen,
    mark,
    open_plant,
    sent_to,
    trade,
)

from tickerplant.events import ContractChanged
from tickerplant.market.interval import open_time
from tickerplant.profile import CURRENT
from tickerplant.units import MINUTE_MS

QUARTER = "btcusd_current_quarter@continuousKline_1m"
STEPS = st.lists(st.tuples(st.integers(0, 40_000), st.integers(90, 110)), max_size=30)


def last_words(messages: list[Any]) -> dict[int, Any]:
    """The last candle that was sent of each opening time; nothing follows a closed one."""
    reported: dict[int, Any] = {}
    for message in messages:
        candle = message["k"]
        assert not reported.get(candle["t"], {"x": False})["x"], "nothing follows a closed candle"
        reported[candle["t"]] = candle
    return reported


@pytest.mark.heavy
@covers(
    "<pair>_<contractType:perpetual|tradifi_perpetual|current_quarter|next_quarter>"
    "@continuousKline_<interval:1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d|3d|1w|1M>"
)
@pytest.mark.parametrize(
    ("venue", "symbol", "of_type"),
    [
        ("usdm", "BTCUSDT", "btcusdt_perpetual"),
        ("usdm", "BTCUSDT_260626", "btcusdt_current_quarter"),
        ("usdm", "TSLAUSDT", "tslausdt_tradifi_perpetual"),
        ("coinm", "BTCUSD_PERP", "btcusd_perpetual"),
        ("coinm", "BTCUSD_260925", "btcusd_next_quarter"),
    ],
)
@given(STEPS)
def test_continuous_candles_are_those_of_the_contract_without_its_symbol(
    venue: str, symbol: str, of_type: str, steps: list[tuple[int, int]]
) -> None:
    plant = open_plant(WORLD)
    by_type = listen(plant, f"{of_type}@continuousKline_3m", venue)
    by_symbol = listen(plant, f"{symbol.lower()}@kline_3m", venue)
    for number, (gap_ms, price) in enumerate(steps):
        plant.advance(plant.now_ms + gap_ms)
        plant.publish(trade(number, plant.now_ms, price, symbol=symbol))
    plant.advance(plant.now_ms // 180_000 * 180_000 + 180_000)
    received = sent_to(plant, by_type)
    assert bool(received) == bool(steps)
    pair, _, contract_type = of_type.upper().partition("_")
    for message, twin in zip(received, by_symbol.messages(), strict=True):
        assert " ".join(message) == "e E ps ct k"
        assert (message["ps"], message["ct"]) == (pair, contract_type)
        assert twin["k"].pop("s") == symbol
        assert (message["E"], message["k"]) == (twin["E"], twin["k"])


def roll(plant: Any) -> None:
    """The current quarter is delivered, the next one takes its place."""
    now_ms = plant.now_ms
    delivered = structs.replace(BTCUSD_260626, status="DELIVERED")
    current = structs.replace(BTCUSD_260925, contract_type="CURRENT_QUARTER")
    plant.publish(ContractChanged("BTCUSD_260626", delivered, (), now_ms))
    plant.publish(ContractChanged("BTCUSD_260925", current, (), now_ms))


def test_after_a_delivery_the_name_means_the_next_contract() -> None:
    plant = open_plant(WORLD)
    listener = listen(plant, QUARTER, "coinm")
    plant.publish(trade(1, START_MS, 100, symbol="BTCUSD_260626"))
    plant.advance(START_MS + 1000)
    (before,) = sent_to(plant, listener)
    plant.publish(trade(2, plant.now_ms, 101, symbol="BTCUSD_260626"))
    roll(plant)
    plant.publish(trade(77, plant.now_ms, 300, symbol="BTCUSD_260925"))
    plant.advance(START_MS + MINUTE_MS)
    received = sent_to(plant, listener)
    assert before["k"]["f"] == 1
    assert {message["k"]["f"] for message in received} == {77}, (
        "nothing is sent about the old contract"
    )
    assert received[-1]["k"]["x"]
    assert {message["ct"] for message in (before, *received)} == {"CURRENT_QUARTER"}


def test_subscribers_before_and_after_a_delivery_receive_the_same() -> None:
    plant = open_plant(WORLD)
    early = listen(plant, [QUARTER, "btcusd_next_quarter@continuousKline_1m"], "coinm")
    roll(plant)
    late = listen(plant, QUARTER, "coinm")
    plant.publish(trade(77, plant.now_ms, 300, symbol="BTCUSD_260925"))
    plant.advance(START_MS + MINUTE_MS)
    received = sent_to(plant, early)
    assert received
    assert late.messages() == received, "and there is no next quarter until one is listed"


def marks(steps: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], dict[str, list[Any]]]:
    """Mark and index prices a few seconds apart; the messages about them, by name."""
    plant = open_plant(WORLD, profile=CURRENT)
    names = ("btcusd@indexPriceKline_1m", "btcusd_perp@markPriceKline_1m")
    listeners = {
        (venue, name): listen(plant, name, venue) for venue in plant.hubs for name in names
    }
    points = []
    for gap_s, price in steps:
        plant.advance(plant.now_ms + 1000 * gap_s)
        event = mark(plant.now_ms, "BTCUSD_PERP")
        plant.publish(structs.replace(event, mark_price=price, index_price=price + 1))
        points.append((plant.now_ms, price))
    plant.advance(plant.now_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS)
    received = {each: sent_to(plant, listener) for each, listener in listeners.items()}
    for name in names:
        assert received["usdm", name] == received["coinm", name], "the same on either host"
    return points, {name: received["coinm", name] for name in names}


@covers(
    "<pair>@indexPriceKline_<interval:1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d|3d|1w|1M>",
    "<symbol>@markPriceKline_<interval:1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d|3d|1w|1M>",
)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(90, 110)), min_size=1, max_size=20))
def test_price_candles_count_the_data_points(steps: list[tuple[int, int]]) -> None:
    points, received = marks(steps)
    for name, off in (("btcusd@indexPriceKline_1m", 1), ("btcusd_perp@markPriceKline_1m", 0)):
        reported = last_words(received[name])
        assert {message["ps"] for message in received[name]} == {"BTCUSD"}
        assert {candle["s"] for candle in reported.values()} == {"0" if off else "BTCUSD_PERP"}
        for opened_ms, candle in reported.items():
            inside = [
                (time_ms, price + off)
                for time_ms, price in points
                if open_time("1m", time_ms) == opened_ms
            ]
            assert candle["x"], "every candle that was sent is closed in the end"
            assert (candle["n"], candle["f"]) == (len(inside), opened_ms)
            assert "".join(candle[key] for key in "vqVQB") == "00000"
            if inside:
                prices = [price for _, price in inside]
                wanted = (prices[0], max(prices), min(prices), prices[-1])
                assert [round(1e8 * float(candle[key])) for key in "ohlc"] == [*wanted]
                assert candle["L"] == inside[-1][0]
        assert sum(candle["n"] for candle in reported.values()) == len(points)


def test_price_candles_are_sent_every_250_ms_at_most_and_when_they_close() -> None:
    plant = open_plant(WORLD)
    listener = listen(plant, "btcusd_260626@markPriceKline_1m", "coinm")
    plant.publish(mark(START_MS, "BTCUSD_260626"))
    plant.publish(mark(START_MS, "BTCUSD_PERP"))
    plant.advance(START_MS + MINUTE_MS)
    received = sent_to(plant, listener)
    assert [message["E"] - START_MS for message in received] == [250, MINUTE_MS]
    assert [message["k"]["x"] for message in received] == [False, True]
    assert received[0]["k"]["o"] == "65275.40000000"


@pytest.mark.parametrize(
    ("venue", "name"),
    [
        ("usdm", "btcusdt@markPriceKline_1m"),
        ("usdm", "btcusdt@indexPriceKline_1m"),
        ("usdm", "btcusdt_next_quarter@continuousKline_1m"),
        ("coinm", "btcusd_tradifi_perpetual@continuousKline_1m"),
        ("usdm", "btcusd@indexPriceKline_1m"),
        ("usdm", "btcusd@markPrice"),
        ("usdm", QUARTER),
    ],
)
def test_what_there_is_no_contract_for_stays_silent(venue: str, name: str) -> None:
    plant = open_plant(WORLD)
    assert plant.hubs[venue].subscribe(Listener(), [name]) == {name: "unknown symbol"}
