"""Outages of an upstream that are shorter than the grace, and who is told of them."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from itertools import pairwise
from random import Random

import pytest
from loopback import Loopback, ending, looped, until
from relaying import EAGER, START_MS, Relay, quote, relay, relayed, serve
from stage import snapshot, trade, update
from tuning import tuned
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tickerplant.sources.upstream import CONTRACTS

LOST = (1013, "Upstream lost")
LONG_MS = 60_000
"""A grace that no outage here outlasts."""
UNPROVED = {
    "btcusdt@bookTicker": "btcusdt@bookTicker",
    "!bookTicker": "!bookTicker",
    "btcusdt@markPrice@1s": "btcusdt@markPrice@1s",
    "btcusdt@markPrice": "btcusdt@markPrice@1s",
    "!miniTicker@arr": "!miniTicker@arr",
    "btcusdt@kline_1m": "btcusdt@kline_1m",
    "btcusdt@forceOrder": "btcusdt@forceOrder",
    "btcusdt@trade": "btcusdt@trade",  # no id has come before the outage
    "nonsense": "nonsense",
}
"""Streams of which no id shows what is missing, each with the one that it is made from."""


async def cut(house: Loopback, near: Relay, *names: str) -> None:
    """Let the relay lose streams; return while it has lost them."""
    house.server.start_outage("usdm", None, "a test")
    await until(lambda: not any(near.carries(name) for name in names))


async def mend(house: Loopback, near: Relay, *names: str) -> None:
    house.server.end_outage("usdm")
    await until(lambda: near.carries(CONTRACTS, *names))


@pytest.mark.parametrize("name", UNPROVED)
@looped
async def test_what_no_id_proves_whole_is_closed_after_the_shortest_outage(name: str) -> None:
    async with relayed(f"/ws/{name}", grace_ms=LONG_MS) as (house, near, client):
        await until(lambda: near.carries(UNPROVED[name]))
        await cut(house, near, UNPROVED[name])
        async with near.connect(f"/ws/{name}") as late:  # while it is lost
            await mend(house, near, UNPROVED[name])
            assert await ending(client) == await ending(late) == LOST


@looped
async def test_a_stream_that_is_new_while_it_cannot_be_delivered_is_closed_when_it_can() -> None:
    settings = tuned(EAGER, retry_base_ms=5_000, retry_max_ms=5_000)
    async with relayed("/ws/btcusdt@bookTicker", grace_ms=LONG_MS, settings=settings) as (
        house,
        near,
        _,
    ):
        await until(lambda: near.carries("btcusdt@bookTicker"))
        await cut(house, near, "btcusdt@bookTicker")
        await asyncio.sleep(1)
        house.server.end_outage("usdm")  # the next attempt will succeed
        async with near.connect("/ws/!bookTicker") as client:
            assert await ending(client) == LOST


@pytest.mark.parametrize("missing", [0, 1])
@looped
async def test_trades_go_on_after_an_outage_if_their_ids_do(missing: int) -> None:
    async with relayed("/ws/btcusdt@trade", grace_ms=LONG_MS) as (house, near, client):
        await until(lambda: near.carries("btcusdt@trade"))
        house.plant.publish(trade(7, START_MS))
        await client.recv()
        await cut(house, near, "btcusdt@trade")
        await mend(house, near, "btcusdt@trade")
        house.plant.publish(trade(8 + missing, START_MS))
        if missing:
            assert await ending(client) == LOST
            async with near.connect("/ws/btcusdt@trade") as again:
                house.plant.publish(trade(11, START_MS))  # no outage has caused this gap
                assert json.loads(await again.recv())["t"] == 11
                house.plant.publish(trade(13, START_MS))
                assert json.loads(await again.recv())["t"] == 13
        else:
            assert json.loads(await client.recv())["t"] == 8


@pytest.mark.parametrize("missing", [0, 1])
@looped
async def test_all_depth_goes_on_after_an_outage_if_the_ids_of_its_source_do(missing: int) -> None:
    names = ("btcusdt@depth@100ms", "btcusdt@depth@500ms", "btcusdt@depth5@100ms")
    async with relayed(f"/stream?streams={'/'.join(names)}", grace_ms=LONG_MS) as (
        house,
        near,
        client,
    ):
        plant, market = house.plant, near.plant.markets["BTCUSDT"]
        plant.publish(snapshot(100, [(6_528_000, 1)], [(6_528_010, 1)], START_MS))
        await until(lambda: near.carries(names[0]) and market.book_live)

        def change(before: int, after: int, time_ms: int) -> None:
            plant.publish(update(before, after, [(6_528_000, after)], [], START_MS + time_ms))
            plant.advance(START_MS + time_ms + 100)

        change(100, 102, 0)
        await until(lambda: market.book.last_update_id == 102)
        await cut(house, near, names[0])
        if missing:
            change(102, 103, 500)
        await mend(house, near, names[0])
        change(102 + missing, 104, 1_000)
        if missing:
            assert await ending(client) == LOST
            return
        last: dict[str, dict[str, int]] = {}
        while any(last.get(name, {}).get("u") != 104 for name in names):
            message = json.loads(await client.recv())
            name, data = message["stream"], message["data"]
            before = last.get(name, data)
            assert data["pu"] == before["u"] or before is data, "no chain is broken"
            last[name] = data


@looped
async def test_connections_that_are_renewed_in_time_lose_nothing_and_close_nobody() -> None:
    settings = tuned(EAGER, max_connection_age_ms=1_000, overlap_ms=50)
    async with relayed("/ws/btcusdt@bookTicker", grace_ms=LONG_MS, settings=settings) as (
        house,
        near,
        client,
    ):
        await until(lambda: near.carries("btcusdt@bookTicker"))
        number = 0
        while near.upstream.runner.feed.counters.renewed < 6:
            number += 1
            house.plant.publish(quote(number, START_MS))
            assert json.loads(await client.recv())["u"] == number
            await asyncio.sleep(0.01)


class Hearer:
    """A client that comes back whenever its connection is closed."""

    def __init__(self, near: Relay, name: str, key: str) -> None:
        self.heard: list[int] = []
        """The ids that came, and 0 for each time that it was told of a loss."""
        self._near, self._path, self._key = near, f"/ws/{name}", key

    async def run(self) -> None:
        while True:
            with suppress(ConnectionClosed, InvalidStatus):
                async with self._near.connect(self._path) as client:
                    async for message in client:
                        self.heard.append(json.loads(message)[self._key])
            self.heard.append(0)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", range(5))
@looped
async def test_nothing_is_missing_of_which_a_client_was_not_told(seed: int) -> None:
    """Outages of every length, of all streams and of some, around the grace."""
    rng, keys = Random(seed), {"btcusdt@bookTicker": "u", "btcusdt@trade": "t"}
    async with serve() as house, relay(house, grace_ms=300) as near:
        hearers = [Hearer(near, name, key) for name, key in keys.items()]
        tasks = [asyncio.create_task(each.run()) for each in hearers]
        await until(lambda: near.carries(*keys))
        number = 0

        async def publish(count: int) -> None:
            nonlocal number
            for _ in range(count):
                number += 1
                house.plant.publish(quote(number, START_MS))
                house.plant.publish(trade(number, START_MS))
                await asyncio.sleep(0.01)

        for _ in range(20):
            await publish(rng.randrange(20))
            if rng.random() < 0.5:
                house.server.start_outage("usdm", [rng.choice([*keys, CONTRACTS])], "a test")
            else:
                house.server.start_outage("usdm", None, "a test")
                await publish(rng.choice([0, 1, 10, 60]))
                house.server.end_outage("usdm")
        while not all(each.heard and each.heard[-1] == number for each in hearers):
            await publish(1)
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
    for each in hearers:
        first = next(place for place, heard in enumerate(each.heard) if heard)
        told = each.heard[first:]
        holes = [pair for pair in pairwise(told) if all(pair) and pair[1] != pair[0] + 1]
        assert holes == []
        assert 0 in told
