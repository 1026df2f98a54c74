"""Prices that are sent every period, changed or not: marks and indices of all kinds."""

from __future__ import annotations

from typing import Any

import pytest
from coverage_of import covers
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from stage import (
    START_MS,
    WORLD,
    Listener,
    asset_index,
    composite,
    listen,
    mark,
    open_plant,
    sent_to,
)

from tickerplant.plant import Plant
from tickerplant.profile import CURRENT, PROFILES, Profile

SYMBOLS = tuple(each.symbol for each in WORLD)
STEPS = st.lists(
    st.tuples(st.sampled_from([0, 1, 500, 999, 1000, 2999, 3500]), st.sampled_from(SYMBOLS)),
    max_size=15,
)


def changes(plant: Plant, steps: list[tuple[int, str]]) -> dict[str, list[tuple[int, int]]]:
    """Let marks change; return the times and prices of each symbol's."""
    reported: dict[str, list[tuple[int, int]]] = {symbol: [] for symbol in SYMBOLS}
    for number, (gap_ms, symbol) in enumerate(steps):
        plant.advance(plant.now_ms + gap_ms)
        price = (number + 1) * 10**8
        plant.publish(
            structs.replace(mark(plant.now_ms, symbol), mark_price=price, index_price=price + 1)
        )
        reported[symbol].append((plant.now_ms, price))
    plant.advance(plant.now_ms + 3500)
    return reported


def at(history: list[tuple[int, int]], now_ms: int) -> int | None:
    """The price before `now_ms`, without the events of that millisecond."""
    return next((price for time_ms, price in reversed(history) if time_ms < now_ms), None)


def expected(
    plant: Plant, reported: dict[str, list[tuple[int, int]]], symbols: list[str], period_ms: int
) -> list[tuple[int, str, int]]:
    ends = range(START_MS // period_ms * period_ms + period_ms, plant.now_ms + 1, period_ms)
    return [
        (end_ms, symbol, price)
        for end_ms in ends
        for symbol in symbols
        if (price := at(reported[symbol], end_ms)) is not None
    ]


def rows(messages: list[Any]) -> list[Any]:
    return [row for each in messages for row in (each if isinstance(each, list) else [each])]


@covers(
    "<symbol>@markPrice",
    "<symbol>@markPrice@1s",
    "<pair>@markPrice",
    "<pair>@markPrice@1s",
    "!markPrice@arr",
    "!markPrice@arr@1s",
)
@pytest.mark.parametrize(("tail", "period_ms"), [("", 3000), ("@1s", 1000)])
@given(STEPS)
def test_marks_are_those_at_the_end_of_the_period(
    tail: str, period_ms: int, steps: list[tuple[int, str]]
) -> None:
    plant = open_plant(WORLD)
    names = {
        "btcusdt@markPrice": ("usdm", ["BTCUSDT"]),
        "!markPrice@arr": ("usdm", [each.symbol for each in WORLD if each.venue.name == "usdm"]),
        "btcusd@markPrice": ("coinm", ["BTCUSD_260626", "BTCUSD_260925", "BTCUSD_PERP"]),
    }
    listeners = {name: listen(plant, name + tail, venue) for name, (venue, _) in names.items()}
    reported = changes(plant, steps)
    for name, (_, symbols) in names.items():
        received = [
            (row["E"], row["s"], round(float(row["p"])) * 10**8)
            for row in rows(sent_to(plant, listeners[name]))
        ]
        assert received == expected(plant, reported, symbols, period_ms)


@covers("<pair>@indexPrice", "<pair>@indexPrice@1s", "<symbol>@indexPrice")
@given(STEPS)
def test_indices_are_those_at_the_end_of_the_period(steps: list[tuple[int, str]]) -> None:
    plant = open_plant(WORLD)
    listeners = {
        ("usdm", "btcusdt@indexPrice"): (3000, "BTCUSDT"),
        ("coinm", "btcusd@indexPrice"): (3000, "BTCUSD_PERP"),
        ("coinm", "btcusd@indexPrice@1s"): (1000, "BTCUSD_PERP"),
    }
    received = {(venue, name): listen(plant, name, venue) for venue, name in listeners}
    reported = changes(plant, steps)
    for each, (period_ms, symbol) in listeners.items():
        assert [
            (row["E"], symbol, round(1e8 * float(row["p"])) - 1)
            for row in sent_to(plant, received[each])
        ] == expected(plant, reported, [symbol], period_ms)


@covers("<symbol>@compositeIndex", "!assetIndex@arr", "<assetSymbol>@assetIndex")
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 999, 1000, 2500]),
            st.sampled_from(["DEFIUSDT", "ADAUSD", "XRPUSD"]),
        ),
        max_size=15,
    )
)
def test_composites_and_asset_indices_are_those_at_the_end_of_the_second(
    steps: list[tuple[int, str]],
) -> None:
    plant = open_plant(WORLD)
    names = ("defiusdt@compositeIndex", "!assetIndex@arr", "adausd@assetIndex")
    listeners = [listen(plant, name) for name in names]
    reported: dict[str, list[tuple[int, int]]] = {"DEFIUSDT": []}
    for number, (gap_ms, symbol) in enumerate(steps):
        plant.advance(plant.now_ms + gap_ms)
        price = (number + 1) * 10**8
        if symbol == "DEFIUSDT":
            plant.publish(structs.replace(composite(plant.now_ms), price=price))
        else:
            plant.publish(structs.replace(asset_index(symbol, plant.now_ms), index=price))
        reported.setdefault(symbol, []).append((plant.now_ms, price))
    plant.advance(plant.now_ms + 3500)
    assets = [symbol for symbol in reported if symbol != "DEFIUSDT"]
    wanted = (["DEFIUSDT"], assets, [each for each in assets if each == "ADAUSD"])
    for listener, symbols, key in zip(listeners, wanted, "pii", strict=True):
        received = [
            (row["E"], row["s"], round(float(row[key])) * 10**8)
            for row in rows(sent_to(plant, listener))
        ]
        assert received == expected(plant, reported, symbols, 1000)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda each: each.name)
def test_assets_that_coin_margined_contracts_settle_in_came_with_the_integration(
    profile: Profile,
) -> None:
    plant = open_plant(WORLD, profile=profile)
    for symbol in ("BTCUSD", "ADAUSD", "SOLUSD"):
        plant.publish(asset_index(symbol))
    every, one = listen(plant, "!assetIndex@arr"), listen(plant, "btcusd@assetIndex")
    plant.advance(START_MS + 1000)
    (frame,) = sent_to(plant, every)
    assert [row["s"] for row in frame] == (
        ["BTCUSD", "ADAUSD", "SOLUSD"] if profile is CURRENT else ["ADAUSD"]
    )
    assert bool(one.messages()) == (profile is CURRENT)


def test_an_asset_index_is_sent_from_its_first_value_on() -> None:
    plant = open_plant(WORLD)
    listeners = [listen(plant, name) for name in ("!assetIndex@arr", "adausd@assetIndex")]
    plant.advance(START_MS + 1500)
    plant.publish(asset_index(time_ms=plant.now_ms))
    plant.advance(START_MS + 2000)
    for listener in listeners:
        assert [row["E"] for row in rows(sent_to(plant, listener))] == [START_MS + 2000]


@pytest.mark.parametrize("name", ["btcusdt@compositeIndex", "btcusd_perp@compositeIndex"])
def test_only_contracts_on_several_assets_have_a_composite_index(name: str) -> None:
    plant = open_plant(WORLD)
    assert plant.hubs["usdm"].subscribe(Listener(), [name]) == {name: "unknown symbol"}
