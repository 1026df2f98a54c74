"""What clients of an edge get that asked for another delivery."""

from __future__ import annotations

import asyncio
import json
import time

from bus_stage import until
from edge_stage import whole
from loopback import looped_on_sockets
from stage import quote

QUOTES = "btcusdt@bookTicker"


@looped_on_sockets
async def test_a_client_of_an_edge_that_was_behind_gets_the_newest_quote() -> None:
    async with whole(1) as many:
        edge = many.edges[0]
        async with edge.connect(f"/ws/{QUOTES}?delivery=latest") as client:
            await many.bus_knows(QUOTES)
            (connection,) = many.servers[0].endpoints[0].connections
            hub = many.servers[0].endpoints[0].hub
            hub.hold(connection)
            for number in range(1, 51):
                many.plant.publish(quote(number))
                await asyncio.sleep(0)
            await until(lambda: hub.delivery_counters.conflated == 49, "all quotes are there")
            hub.release(connection)
            assert json.loads(await client.recv())["u"] == 50


@looped_on_sockets
async def test_stamps_at_an_edge_tell_when_the_plant_published() -> None:
    async with whole(1) as many:
        path = f"/stream?streams={QUOTES}&stamps=1"
        async with many.edges[0].connect(path) as client:
            await many.bus_knows(QUOTES)
            before_ns = time.time_ns()
            many.plant.publish(quote(1))
            stamps = json.loads(await client.recv())["stamps"]
            assert before_ns <= stamps["publish_ns"] <= stamps["write_ns"] <= time.time_ns()
            assert stamps["event_ns"] is None, "only the plant knows"
