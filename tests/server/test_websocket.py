from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from loopback import START_MS, ask, bare, ending, hear, loopback, looped, say, until
from msgspec.structs import replace
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode

from tickerplant.profile import CURRENT, P2026Q1, Profile
from tickerplant.protocol.limits import LIMITS
from tickerplant.venue import COINM


@looped
async def test_subscribing_and_unsubscribing_over_the_socket() -> None:
    async with loopback() as house, house.connect("/ws", COINM) as client:
        reply = await ask(
            client, {"method": "SUBSCRIBE", "params": ["btcusd_perp@trade"], "id": "a-b"}
        )
        assert reply == {"result": None, "id": "a-b"}
        house.trade("BTCUSD_PERP")
        assert json.loads(await client.recv())["s"] == "BTCUSD_PERP"
        switch = {"method": "SET_PROPERTY", "params": ["combined", True], "id": 2}
        assert await ask(client, switch) == {"result": None, "id": 2}
        house.trade("BTCUSD_PERP")
        assert json.loads(await client.recv())["stream"] == "btcusd_perp@trade"
        house.trade("BTCUSD_PERP")
        leave = {"method": "UNSUBSCRIBE", "params": ["btcusd_perp@trade"], "id": 3}
        assert "stream" in await ask(client, leave), "what was made before the reply precedes it"
        assert json.loads(await client.recv()) == {"result": None, "id": 3}
        house.trade("BTCUSD_PERP")
        listed = await ask(client, {"method": "LIST_SUBSCRIPTIONS", "id": 4})
        assert listed == {"result": [], "id": 4}, "an unsubscribed stream went on"


@pytest.mark.parametrize(
    ("profile", "path", "pong", "lives"),
    [
        (P2026Q1, "/ws", b"", True),
        (P2026Q1, "/public/stream", b"", True),
        (CURRENT, "/ws", b"", False),
        (CURRENT, "/ws", None, True),
        (P2026Q1, "/ws-fapi/v1", b"", False),
        (P2026Q1, "/ws-fapi/v1", None, True),
    ],
)
@looped
async def test_the_server_pings_with_the_time_and_the_profile_says_which_pong_is_life(
    profile: Profile, path: str, pong: bytes | None, lives: bool
) -> None:
    async with loopback(profile=profile) as house, bare(house, path) as sock:
        house.clock.now_ms += LIMITS.ping_interval_ms
        payload = str(house.clock.now_ms).encode()
        expected = Frame(Opcode.PING, payload).serialize(mask=False)
        assert await hear(sock) == expected
        answer = Frame(Opcode.PONG, payload if pong is None else pong)
        await say(sock, answer.serialize(mask=True))
        counters = house.server.endpoints[0].session_counters
        await until(lambda: counters.pongs_received == 1)
        house.clock.now_ms += LIMITS.pong_timeout_ms
        first = (await hear(sock))[0]
        assert first & 0xF == (Opcode.PING if lives else Opcode.CLOSE), "the next ping, or the end"


@looped
async def test_a_half_open_connection_ends_by_the_pong_timeout() -> None:
    limits = replace(LIMITS, close_grace_ms=10)
    async with loopback(limits) as house:
        async with bare(house, "/ws/btcusdt@trade"):
            house.clock.now_ms += LIMITS.ping_interval_ms
            counters = house.server.endpoints[0].session_counters
            await until(lambda: counters.pings_sent == 1)
            house.clock.now_ms += LIMITS.pong_timeout_ms
            await until(lambda: not house.server.endpoints[0].connections)
        counted = await house.metrics()
        closed_by_timeout = (
            'tickerplant_connections_closed_total{reason="pong_timeout",venue="usdm"}'
        )
        assert counted[closed_by_timeout] == 1


@looped
async def test_a_flood_closes_1008_and_another_client_goes_on_undisturbed() -> None:
    async with (
        loopback() as house,
        house.connect("/ws") as flood,
        house.connect("/ws/btcusdt@trade") as quiet,
    ):
        for number in range(40):
            await flood.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        replies = [json.loads(await flood.recv()) for _ in range(15)]
        assert [reply["id"] for reply in replies] == list(range(15))
        assert await ending(flood) == (1008, "Too many requests")
        house.trade()
        assert json.loads(await quiet.recv())["e"] == "trade"


@looped
async def test_a_client_that_never_reads_is_closed_at_the_bound_and_its_memory_returned() -> None:
    limits = replace(LIMITS, max_unsent_bytes=200_000, close_grace_ms=20)
    async with loopback(limits) as house, house.connect("/ws/btcusdt@trade") as reader:
        async with bare(house, "/ws/btcusdt@trade", receive_bytes=4096):
            endpoint = house.server.endpoints[0]
            assert len(endpoint.connections) == 2
            slow = list(endpoint.connections)[1]
            published, unsent = 0, [0]
            while not endpoint.counters.closed:
                if len(house.plant.hubs["usdm"].audience_of) == 2:
                    house.trade(count=50)
                    published += 50
                await asyncio.sleep(0)
                unsent.append(slow.unsent_bytes)
            assert endpoint.counters.closed == {"slow_consumer": 1}
            frame_bytes = 200
            # Not every flush is followed by a check.
            assert max(unsent) <= limits.max_unsent_bytes + 100 * frame_bytes, (
                "the bound was passed"
            )
            assert slow.unsent_bytes == 0, "its memory was not returned"
            for _ in range(published):
                assert b'"e":"trade"' in await reader.recv(decode=False)
            assert not house.server.congestion.congested
        counted = await house.metrics()
        assert counted['tickerplant_slow_consumers_total{venue="usdm"}'] == 1
        assert counted['tickerplant_unsent_bytes{venue="usdm"}'] == 0


@looped
async def test_a_client_that_asks_and_never_reads_is_closed_at_the_bound() -> None:
    limits = replace(LIMITS, max_unsent_bytes=100_000, close_grace_ms=20, enforced=False)
    async with loopback(limits) as house:
        async with bare(house, "/ws-fapi/v1", receive_bytes=4096) as sock:
            question = b'{"id":1,"method":"nothing","params":{}}'
            questions = Frame(Opcode.TEXT, question).serialize(mask=True) * 500
            with contextlib.suppress(ConnectionError):
                while not house.server.endpoints[0].counters.closed:
                    await say(sock, questions)
            await until(lambda: not house.server.endpoints[0].connections)
        assert house.server.endpoints[0].counters.closed == {"slow_consumer": 1}


@looped
async def test_a_client_that_goes_without_a_word_is_forgotten() -> None:
    async with loopback() as house:
        async with bare(house, "/ws/btcusdt@trade"):
            assert house.server.congestion.subscriber_count == 1
        await until(lambda: not house.server.endpoints[0].connections)
        assert house.server.congestion.subscriber_count == 0
        house.trade()
        counted = await house.metrics()
        assert counted['tickerplant_connections_closed_total{reason="lost",venue="usdm"}'] == 1
        assert counted['tickerplant_channels{venue="usdm"}'] == 0


@looped
async def test_connection_attempts_over_the_limit_get_429() -> None:
    limits = replace(LIMITS, connection_attempts=2)
    async with loopback(limits) as house:
        for _ in range(2):
            async with house.connect("/ws"):
                pass
        with pytest.raises(InvalidStatus) as refused:
            async with house.connect("/ws"):
                pass
        response = refused.value.response
        wait_s = LIMITS.connection_window_ms // 1000 - START_MS // 1000 % 300
        assert (response.status_code, response.headers["Retry-After"]) == (429, str(wait_s))


@looped
async def test_the_api_has_a_connection_id_and_answers() -> None:
    async with loopback() as house, house.connect("/ws-fapi/v1") as client:
        assert client.response is not None
        assert client.response.headers["x-mbx-uuid"]
        reply = await ask(client, {"id": "p", "method": "ping"})
        assert reply["status"] == 200
        assert reply["result"] == {}
        assert reply["rateLimits"][0]["count"] == LIMITS.handshake_weight + 1


@looped
async def test_what_is_silent_is_acknowledged_listed_and_counted_by_its_reason() -> None:
    names = ["btcusdt@depth", "btcusdt@aggTrade", "nothing@depth", "nonsense"]
    async with (
        loopback(strict_routing=True, profile=CURRENT) as house,
        house.connect("/public/ws") as client,
    ):
        subscribe = {"method": "SUBSCRIBE", "params": names, "id": 1}
        assert await ask(client, subscribe) == {"result": None, "id": 1}
        listed = await ask(client, {"method": "LIST_SUBSCRIPTIONS", "id": 2})
        assert listed["result"] == names
        opened = house.plant.hubs["usdm"].channels.keys()
        assert opened == {"btcusdt@depth", "nothing@depth"}, "which may be listed later"
        counted = await house.metrics()
    for reason in ("wrong route", "unknown symbol", "unknown stream"):
        silent = f'tickerplant_silent_subscriptions_total{{reason="{reason}",venue="usdm"}}'
        assert counted[silent] == 1
        assert counted[f'tickerplant_complaints_total{{kind="silent: {reason}"}}'] == 1


@looped
async def test_stopping_says_going_away() -> None:
    async with loopback() as house:
        client = await house.connect("/ws/btcusdt@trade")
        await house.server.stop()
        assert await ending(client) == (1001, "Server shutdown")
        assert house.server.urls == {}
