"""Liquidations: one a symbol and second, the latest or the largest."""

from __future__ import annotations

import pytest
from coverage_of import covers
from hypothesis import given
from hypothesis import strategies as st
from stage import liquidation, listen, open_plant, sent_to

from tickerplant.events import Liquidation
from tickerplant.profile import P2026Q1, PROFILES, Profile

SYMBOLS = {"usdm": ("BTCUSDT", "ETHUSDT"), "coinm": ("BTCUSD_PERP", "BTCUSD_260626")}


@covers("<symbol>@forceOrder", "!forceOrder@arr")
@pytest.mark.parametrize("venue", SYMBOLS)
@given(
    profile=st.sampled_from(list(PROFILES.values())),
    steps=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 300, 999, 1000, 2500]), st.integers(0, 1), st.integers(1, 3)
        ),
        max_size=20,
    ),
)
def test_one_liquidation_a_symbol_and_second_is_sent_at_its_end(
    venue: str, profile: Profile, steps: list[tuple[int, int, int]]
) -> None:
    plant = open_plant(profile=profile)
    every = listen(plant, "!forceOrder@arr", venue)
    single = [listen(plant, f"{symbol.lower()}@forceOrder", venue) for symbol in SYMBOLS[venue]]
    by_window: dict[tuple[int, str], list[Liquidation]] = {}
    for gap_ms, which, quantity in steps:
        plant.advance(plant.now_ms + gap_ms)
        event = liquidation(plant.now_ms, SYMBOLS[venue][which], quantity)
        plant.publish(event)
        by_window.setdefault((plant.now_ms // 1000 * 1000 + 1000, event.symbol), []).append(event)
    plant.advance(plant.now_ms + 1000)
    expected = set()
    for (end_ms, symbol), events in by_window.items():
        chosen = events[-1]
        if profile is not P2026Q1 and venue == "usdm":
            chosen = max(events, key=lambda each: each.quantity)  # the first of equals
        expected.add((end_ms, symbol, chosen.trade_time_ms, chosen.quantity))
    received = sent_to(plant, every)
    assert {key(message, venue) for message in received} == expected
    assert len(received) == len(expected)
    for symbol, listener in zip(SYMBOLS[venue], single, strict=True):
        own = [message for message in received if message["o"]["s"] == symbol]
        assert listener.messages() == own


def key(message: dict[str, object], venue: str) -> tuple[object, ...]:
    order = message["o"]
    assert isinstance(order, dict)
    units = 1000 if venue == "usdm" else 1
    return message["E"], order["s"], order["T"], round(units * float(order["q"]))
