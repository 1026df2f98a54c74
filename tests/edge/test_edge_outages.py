from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from bus_stage import until
from edge_stage import whole
from loopback import UPGRADE, ending, looped_on_sockets
from msgspec.structs import replace
from websockets.exceptions import InvalidStatus

from tickerplant.edge.backend import MAX_WAITING
from tickerplant.errors import BusError
from tickerplant.frames import text_frame
from tickerplant.protocol.close_reasons import ENDED
from tickerplant.queries.query import Query
from tickerplant.venue import USDM


@looped_on_sockets
async def test_without_the_bus_every_question_gets_a_clear_answer_in_bounded_time() -> None:
    async with whole(1, grace_ms=200, is_wired=True) as many:
        (edge,) = many.edges
        async with edge.connect("/ws-fapi/v1") as api, edge.connect("/ws/btcusdt@trade") as client:
            many.wire.cut()
            await api.send('{"id":"x","method":"ticker.price"}')
            reply = json.loads(await api.recv())
            assert (reply["id"], reply["status"], reply["error"]["code"]) == ("x", 503, -1001)
            assert await ending(client) == (1013, "Bus lost: messages may be missing")
            answer = await edge.get("/fapi/v1/ping")
            assert (answer.status, answer.json["code"]) == (503, -1001)
            assert "the market cannot be reached: " in answer.json["msg"]
            assert answer.headers["retry-after"] == "5"
            answer = await edge.get("/readyz")
            assert (answer.status, answer.json["ready"]) == (503, False)
            assert answer.json["reason"]
            assert (await edge.get("/plant/v1/nodes")).status == 503
            assert (await edge.get("/healthz")).status == 200
            with pytest.raises(InvalidStatus) as refused:
                await edge.connect("/ws").__aenter__()
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["Retry-After"] == "5"


@looped_on_sockets
async def test_an_edge_that_waits_for_its_plant_is_not_ready_and_says_why() -> None:
    async with whole(1, grace_ms=60_000, is_wired=True) as many:
        many.server.readiness.ready(True)
        assert (await many.edges[0].get("/readyz")).status == 200
        many.wire.cut()
        await until(lambda: many.nodes[0].trouble, "the edge has noticed")
        answer = await many.edges[0].get("/readyz")
        assert (answer.status, answer.json["ready"]) == (503, False)
        assert answer.json["reason"] == "no plant answers: the bus is lost"


@looped_on_sockets
async def test_frames_that_follow_an_upgrade_at_once_are_not_lost() -> None:
    async with whole(1) as many:
        host, _, port = many.edges[0].server.urls[USDM.name].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        text = b'{"method":"LIST_SUBSCRIPTIONS","id":1}'
        frame = bytes([0x81, 0x80 | len(text)]) + bytes(4) + text
        writer.write(UPGRADE.format(path="/ws/btcusdt@trade").encode() + frame[:7])
        await asyncio.sleep(0)
        writer.write(frame[7:] + frame)
        expected = text_frame(b'{"result":["btcusdt@trade"],"id":1}')
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(2 * len(expected)) == 2 * expected
        writer.close()


@looped_on_sockets
async def test_a_client_that_leaves_before_it_is_admitted_is_not_counted_as_open() -> None:
    async with whole(1) as many:
        host, _, port = many.edges[0].server.urls[USDM.name].rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(UPGRADE.format(path="/ws").encode())
        writer.transport.abort()
        async with many.edges[0].connect("/ws"):
            await until(lambda: len(many.servers[0].endpoints[0].connections) == 1)
        assert (await many.edges[0].get("/healthz")).status == 200


@looped_on_sockets
async def test_the_end_of_the_market_and_an_outage_reach_the_clients_of_an_edge() -> None:
    async with whole(1) as many:
        (edge,) = many.edges
        async with edge.connect("/ws/btcusdt@trade") as client:
            many.node.start_outage("usdm", None, "no upstream")
            assert await ending(client) == (1013, "Upstream lost")
        with pytest.raises(InvalidStatus) as refused:
            await edge.connect("/ws").__aenter__()
        assert refused.value.response.body == b"Upstream lost: no upstream.\n"
        many.node.end_outage("usdm")
        await until(lambda: many.servers[0].endpoints[0].outage is None, "the outage is over")
        async with edge.connect("/ws/btcusdt@trade") as client:
            many.node.end_streams(ENDED)
            assert await ending(client) == (1000, "The market is over")
        async with edge.connect("/ws") as client:
            assert await ending(client) == (1000, "The market is over")


@looped_on_sockets
async def test_an_edge_does_not_serve_another_run_of_its_plant_that_has_other_settings() -> None:
    async with whole(1) as many, many.edges[0].connect("/ws/btcusdt@trade") as client:
        server, node = many.servers[0], many.nodes[0]
        running = many.running.pop(node.identity)
        node.description = replace(node.description, epoch="2")
        server.begin_streams()
        await asyncio.sleep(0.01)
        assert not running.done(), "the settings are the same"
        node.description = replace(node.description, profile="current")
        server.begin_streams()
        assert await ending(client) == (1013, "Bus lost: messages may be missing")
        with pytest.raises(
            BusError, match=r"main was started again with other settings \(profile\)"
        ):
            await running
        server._outdated = asyncio.get_running_loop().create_future()


class Slow:
    """A forwarder that answers when the test says so."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked = 0

    @property
    def counts(self) -> Mapping[str, int]:
        return {}

    def forwards(self, query: Query, params: Mapping[str, object]) -> bool:
        del params
        return query.method == "ticker.price"

    async def answer(self, query: Query, params: Mapping[str, object]) -> bytes:
        del query, params
        self.asked += 1
        await self.go.wait()
        return b'"forwarded"'


@looped_on_sockets
async def test_a_connection_with_too_many_waiting_requests_is_not_read_until_some_are_answered() -> (
    None
):
    slow = Slow()
    async with whole(1, forwarder=slow) as many, many.edges[0].connect("/ws-fapi/v1") as client:
        for number in range(MAX_WAITING + 8):
            await client.send(json.dumps({"id": number, "method": "ticker.price"}))
        await until(lambda: slow.asked == MAX_WAITING, "the plant has as many as may wait")
        await asyncio.sleep(0.05)
        assert slow.asked == MAX_WAITING
        assert many.servers[0].waiting.number == MAX_WAITING
        assert many.servers[0].waiting.pause_count == 1
        slow.go.set()
        replies = [json.loads(await client.recv()) for _ in range(MAX_WAITING + 8)]
        assert [reply["id"] for reply in replies] == list(range(MAX_WAITING + 8))
        assert {reply["result"] for reply in replies} == {"forwarded"}
        assert many.servers[0].waiting.number == 0


@looped_on_sockets
async def test_a_quick_request_overtakes_a_forwarded_one_as_in_one_process() -> None:
    slow = Slow()
    async with whole(1, forwarder=slow) as many, many.edges[0].connect("/ws-fapi/v1") as client:
        await client.send('{"id":1,"method":"ticker.price"}')
        await client.send('{"id":2,"method":"session.status"}')
        assert json.loads(await client.recv())["id"] == 2
        slow.go.set()
        assert json.loads(await client.recv())["id"] == 1


@looped_on_sockets
async def test_what_follows_a_bad_id_is_neither_answered_nor_charged() -> None:
    async with whole(1) as many, many.edges[0].connect("/ws-fapi/v1") as client:
        for message in ('{"id":1.5}', '{"id":2,"method":"session.status"}', '{"id":3}'):
            await client.send(message)
        assert json.loads(await client.recv())["error"]["code"] == -1135
        assert await ending(client) == (1008, "disconnected")
        answer = await many.edges[0].get("/fapi/v1/ping")
        assert answer.headers["x-mbx-used-weight-1m"] == str(5 + 1 + 1)
