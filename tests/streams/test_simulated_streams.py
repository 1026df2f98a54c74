"""Every stream in a simulated market, over the minute in which dated contracts are delivered."""

from __future__ import annotations

from typing import Any

import pytest
from stage import listen, name_of, sent_to

from tickerplant.plant import Plant
from tickerplant.profile import CURRENT
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.streams import CATALOGUE

DELIVERY_MS = 1_782_460_800_000
"""2026-06-26 08:00 UTC."""
SYMBOLS = ["BTCUSDT", "AAVEUSDT", "DEFIUSDT", "TSLAUSDT", "BTCUSD_PERP"]
DATED = ["BTCUSD_260626", "BTCUSD_260925"]
QUARTER = "btcusd_current_quarter@continuousKline_1m"
RARE = "forceOrder"
"""Nobody need be liquidated within half a minute."""


@pytest.fixture(scope="module")
def received() -> dict[tuple[str, str], list[Any]]:
    """The messages of every stream on both venues, by venue and name."""
    start_ms = DELIVERY_MS - 8_000
    listed = instruments(start_ms, SYMBOLS + DATED)
    exchange = SimulatedExchange(listed, 5, start_ms, quoting=0.25)
    plant = Plant(listed, start_ms=start_ms, profile=CURRENT, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    names = {(venue, name_of(plant, row, venue)) for venue in plant.hubs for row in CATALOGUE}
    names.add(("coinm", QUARTER))
    listeners = {
        (venue, name): listen(plant, name, venue) for venue, name in names if name is not None
    }
    end_ms = DELIVERY_MS + 12_000
    while exchange.next_time_ms <= end_ms:
        time_ms, events = exchange.step()
        plant.advance(time_ms)
        for event in events:
            plant.publish(event)
    plant.advance(end_ms)
    return {each: sent_to(plant, listener) for each, listener in listeners.items()}


@pytest.mark.heavy
def test_every_stream_sends_messages_in_a_simulated_market(
    received: dict[tuple[str, str], list[Any]],
) -> None:
    silent = {name for (_, name), messages in received.items() if not messages}
    assert {name for name in silent if RARE not in name} == set()


@pytest.mark.heavy
def test_the_name_of_the_current_quarter_continues_with_the_next_contract(
    received: dict[tuple[str, str], list[Any]],
) -> None:
    changes = [row for row in received["coinm", "!contractInfo"] if row["ps"] == "BTCUSD"]
    rolled = next(
        row for row in changes if (row["s"], row["ct"]) == ("BTCUSD_260925", "CURRENT_QUARTER")
    )
    candles = received["coinm", QUARTER]
    before = [row["k"] for row in candles if row["E"] < DELIVERY_MS]
    after = [row["k"] for row in candles if row["E"] > rolled["E"]]
    assert before
    assert after
    assert not {each["f"] for each in before} & {each["f"] for each in after}
    assert any(row["cs"] == "DELIVERED" for row in changes)
