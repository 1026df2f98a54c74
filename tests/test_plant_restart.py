"""A restarted plant is like a new one, and its subscribers stay."""

from __future__ import annotations

import pytest
from stage import INSTRUMENTS, START_MS, WORLD, happen, listen, name_of, open_plant, sent_to, trade

from tickerplant.plant import Plant
from tickerplant.streams import CATALOGUE
from tickerplant.venue import VENUES


def names_of(plant: Plant, venue: str) -> list[str]:
    found = (
        name_of(plant, row, venue) for row in CATALOGUE if plant.venues[venue].venue in row.venues
    )
    return [name for name in found if name is not None]


def live_a_minute(plant: Plant) -> None:
    for second in range(1, 62):
        plant.advance(plant.timers.now_ms + 1_000)
        if second % 7 == 0:
            happen(plant)


@pytest.mark.parametrize("venue", [venue.name for venue in VENUES])
def test_a_restarted_plant_sends_the_same_as_a_new_one(venue: str) -> None:
    new = open_plant(WORLD)
    names = names_of(new, venue)
    expected = listen(new, names, venue)
    live_a_minute(new)

    used = open_plant(WORLD, start_ms=START_MS + 86_400_000)
    listener = listen(used, names, venue)
    used.start_passthrough(venue, ["btcusdt@trade"])
    live_a_minute(used)
    used.restart(WORLD, start_ms=START_MS)
    assert used.now_ms == START_MS, "market time went back"
    listener.writes.clear()
    live_a_minute(used)
    assert sent_to(used, listener) == sent_to(new, expected)


def test_what_waited_is_sent_before_a_restart_and_nothing_of_before_afterwards() -> None:
    plant = open_plant(INSTRUMENTS)
    listener = listen(plant, ["btcusdt@trade", "btcusdt@miniTicker"])
    plant.publish(trade(7, START_MS))
    plant.restart(INSTRUMENTS, start_ms=START_MS - 10_000)
    assert [each["t"] for each in listener.take()] == [7]
    plant.advance(START_MS + 10_000)
    assert sent_to(plant, listener) == [], "the earlier mini ticker is dropped"


def test_a_muted_plant_sends_nothing_until_it_is_unmuted() -> None:
    plant = open_plant(INSTRUMENTS)
    names = ["btcusdt@trade", "btcusdt@depth@100ms", "btcusdt@miniTicker"]
    listener = listen(plant, names)
    plant.mute()
    plant.restart(INSTRUMENTS, start_ms=START_MS)
    late = listen(plant, names)
    gone = listen(plant, ["ethusdt@trade"])
    plant.hubs["usdm"].remove(gone)
    happen(plant)
    plant.hubs["usdm"].broadcast("btcusdt@trade", b"{}")
    plant.advance(START_MS + 1_000)
    assert sent_to(plant, listener) == []
    plant.unmute()
    plant.publish(trade(9, plant.now_ms))
    for each in (listener, late):
        assert [message["t"] for message in sent_to(plant, each)] == [9]
    assert "ethusdt@trade" not in plant.hubs["usdm"].channels
    plant.hubs["usdm"].unsubscribe(late, names)
    plant.publish(trade(10, plant.now_ms))
    assert sent_to(plant, late) == []
