from __future__ import annotations

import pytest
from stage import START_MS, WORLD, happen, name_of, open_plant, quote, trade
from world import World

from tickerplant.messages.message import Message
from tickerplant.messages.trade import Trade
from tickerplant.plant import Plant
from tickerplant.profile import CURRENT
from tickerplant.streams import CATALOGUE
from tickerplant.venue import USDM, VENUES, Venue


def begin() -> Plant:
    plant = open_plant(WORLD, profile=CURRENT, strict_routing=True)
    happen(plant)
    return plant


@pytest.mark.heavy
@pytest.mark.parametrize("venue", VENUES, ids=lambda each: each.name)
def test_every_stream_of_the_catalogue_is_delivered_completely_on_its_path(venue: Venue) -> None:
    """A real market, a server that splits its paths, renewals, and the loss of one copy."""
    world = World(venue=venue, begin=begin, copies=2, max_connection_age_ms=24_000)
    rows = [row for row in CATALOGUE if venue in row.venues]
    names = [name for row in rows if (name := name_of(world.plant, row, venue.name))]
    assert len(names) == len(rows)
    consumer = world.attach(*names)
    world.watch(*names)
    for step in range(1, 240):
        time_ms = START_MS + 250 * step
        world.plant.advance(time_ms)
        for instrument in WORLD:
            world.plant.publish(trade(1_000 + step, time_ms, symbol=instrument.symbol))
            world.plant.publish(quote(1_000 + step, time_ms=time_ms, symbol=instrument.symbol))
        world.hub.flush()
        world.run(250)
        if step == 120:
            world.primary(names[0]).cut()
    world.run(10_000)
    for name in names:
        received: dict[bytes, Message] = {each.payload: each for each in consumer.messages(name)}
        assert list(received) == list(dict.fromkeys(world.published(name)))
    assert world.feed.counters.renewed > 4
    assert {type(each).__name__ for each in consumer.notices()} <= {"Stale", "Recovered"}
    assert sum(len(world.published(name)) > 25 for name in names) > len(names) / 2


def test_a_typed_stream_name_is_the_same_stream_as_its_text() -> None:
    world = World(venue=USDM, begin=begin)
    typed, plain = world.attach(Trade.of("BTCUSDT")), world.attach("btcusdt@trade")
    world.plant.publish(trade(1_001, START_MS))
    world.hub.flush()
    world.run(1_000)
    (message,) = typed.messages()
    assert [message] == plain.messages()
    assert type(message.stream) is str
