"""Loss of an upstream, in part and as a whole: who is told, how often, and what the log says."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
from collections.abc import AsyncIterator, Callable

import pytest
import relaying
from loopback import Loopback, ask, ending, looped, until
from msgspec import structs
from relaying import EAGER, Relay, serve
from tuning import tuned
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tickerplant.feed.connection import FeedConnection, Phase
from tickerplant.feed.hosts import Hosts, hosts_of
from tickerplant.sources.relay import RelayTiming
from tickerplant.sources.upstream import CONTRACTS
from tickerplant.venue import Venue

LOST = (1013, "Upstream lost")
PAUSE_S = 0.3


relay = functools.partial(relaying.relay, timing=RelayTiming(check_s=0, repeat_s=PAUSE_S))


def cut(near: Relay, *names: str) -> dict[str, FeedConnection]:
    """Let streams be lost for long; return what carried them."""
    merged_streams, connections = near.upstream.runner.feed.merged_streams, {}
    for name in names:
        connection = merged_streams[name].primary
        assert isinstance(connection, FeedConnection)
        connections[name] = connection
        merged_streams[name].primary, merged_streams[name].disconnected_ms = None, 0
    return connections


def mend(near: Relay, connections: dict[str, FeedConnection]) -> None:
    for name, connection in connections.items():
        near.upstream.runner.feed.merged_streams[name].mark_delivering(connection)


async def is_lost(near: Relay) -> bool:
    return (await near.metrics())['tickerplant_upstream_lost{venue="usdm"}'] == 1


@looped
async def test_a_client_that_returns_to_a_lost_stream_is_disconnected_again_after_a_pause() -> None:
    loop = asyncio.get_running_loop()
    async with (
        serve() as house,
        relay(house, grace_ms=60_000) as near,
        near.connect("/ws/btcusdt@aggTrade") as other,
        near.connect("/ws/btcusdt@trade") as hearer,
    ):
        await until(lambda: near.carries("btcusdt@trade", "btcusdt@aggTrade"))
        connections = cut(near, "btcusdt@trade")
        assert await ending(hearer) == LOST
        for _ in range(3):
            began_s = loop.time()
            async with near.connect("/ws/btcusdt@trade") as again:
                assert await ending(again) == LOST
            assert PAUSE_S / 2 < loop.time() - began_s < 2 * PAUSE_S, "soon, and in no hot loop"
        mend(near, connections)
        async with near.connect("/ws/btcusdt@trade") as again:
            await until(lambda: near.is_ready)
            house.trade()
            assert json.loads(await again.recv())["e"] == "trade"
        assert (await ask(other, {"method": "LIST_SUBSCRIPTIONS", "id": 1}))["result"]


@looped
async def test_streams_still_lost_when_the_venue_is_back_are_reported() -> None:
    async with (
        serve() as house,
        relay(house) as near,
        near.connect("/ws/btcusdt@trade") as hearer,
    ):
        await until(lambda: near.carries("btcusdt@trade"))
        connections = cut(near, CONTRACTS, "btcusdt@trade")
        assert await ending(hearer) == LOST
        with pytest.raises(InvalidStatus):
            await near.connect("/ws/btcusdt@trade")
        mend(near, {CONTRACTS: connections[CONTRACTS]})
        while await is_lost(near):  # noqa: ASYNC110  # the metrics tell it
            await asyncio.sleep(PAUSE_S / 10)
        async with near.connect("/ws/btcusdt@trade") as again:
            assert await ending(again) == LOST


@looped
async def test_names_that_are_new_do_not_put_off_the_end_of_a_venue() -> None:
    life = contextlib.AsyncExitStack()
    house = await life.enter_async_context(serve())
    async with relay(house, grace_ms=400) as near, near.connect("/ws/ethusdt@trade") as hearer:
        await until(lambda: near.carries("ethusdt@trade"))
        await life.aclose()
        for number in range(30):
            if await is_lost(near):
                break
            with contextlib.suppress(ConnectionClosed, InvalidStatus):
                async with near.connect(f"/ws/new{number}"):
                    await asyncio.sleep(0.1)  # a new name every now and then
        assert await is_lost(near)
        assert await ending(hearer) == LOST


def streams_at(streams: str) -> Callable[[Venue, str], Hosts]:
    """Return the hosts of an upstream whose streams are elsewhere."""
    return lambda venue, url: structs.replace(hosts_of(venue, url), streams=streams)


@contextlib.asynccontextmanager
async def refusing(house: Loopback, refused: set[str]) -> AsyncIterator[str]:
    """The streams of `house` as a server that refuses some names has them; yields where."""

    async def pass_on(near: ServerConnection) -> None:
        assert near.request is not None
        async with house.connect(near.request.path) as far:

            async def back() -> None:
                with contextlib.suppress(ConnectionClosed):
                    async for message in far:
                        await near.send(message)
                await near.close()

            task = asyncio.create_task(back())
            try:
                async for message in near:
                    asked = json.loads(message)
                    if asked["method"] == "SUBSCRIBE" and refused & set(asked["params"]):
                        error = {"code": 2, "msg": "Invalid request: no such stream"}
                        await near.send(json.dumps({"error": error, "id": asked["id"]}))
                    else:
                        await far.send(message)
            finally:
                task.cancel()

    async with serve_websocket(pass_on, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


@looped
async def test_an_upstream_that_refuses_contract_announcements_connects_and_is_lost_as_any_other() -> (
    None
):
    async with serve() as house, contextlib.AsyncExitStack() as life:
        streams = await life.enter_async_context(refusing(house, {CONTRACTS}))
        async with (
            relay(house, hosts=streams_at(streams)) as near,
            near.connect("/ws/btcusdt@trade") as client,
        ):
            await until(lambda: near.carries("btcusdt@trade"))
            assert near.upstream.runner.feed.merged_streams[CONTRACTS].is_rejected
            await until(lambda: near.is_ready)
            house.trade()
            assert json.loads(await client.recv())["e"] == "trade"
            await life.aclose()
            assert await ending(client) == LOST
            assert await is_lost(near)
            assert "lost for 1 of 1 streams" in near.server.readiness.reason


@looped
async def test_an_upstream_that_refuses_every_stream_is_not_lost() -> None:
    async with (
        serve() as house,
        refusing(house, {CONTRACTS}) as streams,
        relay(house, hosts=streams_at(streams), grace_ms=500) as near,
    ):
        contracts = near.upstream.runner.feed.merged_streams[CONTRACTS]
        await until(lambda: contracts.is_rejected)
        await asyncio.sleep(0.7)  # longer than the grace
        assert near.is_ready
        async with near.connect("/ws/btcusdt@trade") as client:
            await until(lambda: near.carries("btcusdt@trade"))
            house.trade()
            assert json.loads(await client.recv())["e"] == "trade"


@looped
async def test_a_stream_that_is_refused_after_an_outage_ends_with_a_reason() -> None:
    refused: set[str] = set()
    async with (
        serve() as house,
        refusing(house, refused) as streams,
        relay(house, hosts=streams_at(streams), grace_ms=60_000) as near,
        near.connect("/ws/btcusdt@bookTicker") as client,
    ):
        await until(lambda: near.carries("btcusdt@bookTicker"))
        refused.add("btcusdt@bookTicker")
        house.server.start_outage("usdm", ["btcusdt@bookTicker"], "a test")
        assert await ending(client) == LOST
        async with near.connect("/ws/btcusdt@bookTicker") as again:
            assert (await ask(again, {"method": "LIST_SUBSCRIPTIONS", "id": 1}))["result"]


@looped
async def test_a_refused_name_costs_no_client_another_stream() -> None:
    async with serve() as house, refusing(house, {"bad@trade"}) as streams:
        reasons = set()
        settings = tuned(EAGER, request_burst=1, requests_per_s=10)
        async with (
            relay(house, hosts=streams_at(streams), settings=settings, grace_ms=500) as near,
            near.connect("/ws/btcusdt@trade") as client,
        ):
            await until(lambda: near.carries("btcusdt@trade"))
            params = [*(f"new{number}@trade" for number in range(20)), "bad@trade"]
            request = {"method": "SUBSCRIBE", "params": params, "id": 1}
            await client.send(json.dumps(request))
            for _ in range(60):  # parts are asked for apart, a second after each refusal
                await asyncio.sleep(0.02)
                reasons.add(near.server.readiness.reason)
            assert len(near.upstream.runner.feed.connections) > 2
            house.trade()
            while "e" not in (reported := json.loads(await client.recv())):
                pass
            assert reported["e"] == "trade"
        assert reasons == {""}


@looped
async def test_a_connection_that_is_new_makes_nothing_lost_until_it_had_its_time() -> None:
    settings = tuned(EAGER, max_streams=1)
    async with serve() as house, relay(house, settings=settings, grace_ms=500) as near:
        found = near.upstream
        async with near.connect("/ws/btcusdt@trade"):
            await until(lambda: "btcusdt@trade" in found.runner.feed.merged_streams)
            merged = found.runner.feed.merged_streams["btcusdt@trade"]
            (connection,) = (
                each for each in found.runner.feed.connections.values() if each.has(merged.name)
            )
            await until(lambda: merged.primary is connection)
            now_ms = found.runner.feed.context.now_ms
            merged.primary, merged.disconnected_ms = None, None
            merged.received_ms = merged.silent_from_ms = now_ms - 3_600_000
            connection.phase, connection.closed_ms = Phase.OPENING, now_ms
            assert found.outages(500) == {}, "an hour of silence on an open connection is no loss"
            connection.closed_ms = now_ms - 500
            assert found.outages(500) == {"btcusdt@trade": 500}
            connection.phase = Phase.OPEN
            assert found.outages(500) == {}
            merged.mark_delivering(connection)


@looped
async def test_subscribers_of_a_stream_that_was_never_delivered_are_disconnected() -> None:
    settings = tuned(EAGER, max_streams=1)
    life = contextlib.AsyncExitStack()
    house = await life.enter_async_context(serve())
    async with relay(house, settings=settings) as near:
        merged = near.upstream.runner.feed.merged_streams[CONTRACTS]
        await life.aclose()
        await until(lambda: merged.primary is None)
        async with near.connect("/ws/btcusdt@trade") as client:
            merged.primary = "another connection"
            assert await ending(client) == LOST
        assert not await is_lost(near)


@looped
async def test_every_loss_and_every_return_is_logged(log: io.StringIO) -> None:
    async with (
        serve() as house,
        relay(house) as near,
        near.connect("/ws/btcusdt@trade"),
    ):
        await until(lambda: near.carries("btcusdt@trade"))
        for _ in range(2):
            connections = cut(near, CONTRACTS, "btcusdt@trade")
            await until(lambda: not near.is_ready)
            mend(near, connections)
            await until(lambda: near.is_ready)
        for _ in range(2):
            connections = cut(near, "btcusdt@trade")
            await until(lambda: not near.is_ready)
            mend(near, connections)
            await until(lambda: near.is_ready)
    text = log.getvalue()
    assert text.count("! the upstream is lost, all of it") == 2
    assert text.count("= the upstream is back") == 2
    assert text.count("! the upstream is lost for some streams") == 2
    assert text.count("= all streams of the upstream are delivered again") == 2
