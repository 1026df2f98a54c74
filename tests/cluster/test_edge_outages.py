"""What clients of an edge see when the bus is lost, when the plant is slow, and when the market ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from loopback import UPGRADE, ending, looped, until
from msgspec.structs import replace
from websockets.exceptions import InvalidStatus
from whole import whole

from tickerplant.cluster.remote import MAX_WAITING
from tickerplant.errors import BusError
from tickerplant.frames import text_frame
from tickerplant.protocol.close_reasons import ENDED
from tickerplant.queries.query import Query
from tickerplant.venue import USDM

LOST = (1013, "Bus lost: messages may be missing")


@looped
async def test_without_the_bus_every_question_gets_a_clear_answer_at_once() -> None:
    async with whole(1) as many:
        (edge,) = many.edges
        async with edge.connect("/ws-fapi/v1") as api, edge.connect("/ws/btcusdt@trade") as client:
            many.bus.is_down = True
            many.bus.kill()
            assert await ending(client) == LOST
            await api.send('{"id":"x","method":"ticker.price"}')
            reply = json.loads(await api.recv())
            assert (reply["id"], reply["status"], reply["error"]["code"]) == ("x", 503, -1001)
            answer = await edge.get("/fapi/v1/ping")
            assert (answer.status, answer.json["code"]) == (503, -1001)
            assert "the market cannot be reached: " in answer.json["msg"]
            assert answer.headers["retry-after"] == "5"
            answer = await edge.get("/readyz")
            assert (answer.status, answer.json["ready"]) == (503, False)
            assert answer.json["reason"].startswith("no plant answers: ")
            assert (await edge.get("/plant/v1/nodes")).status == 503
            assert (await edge.get("/healthz")).status == 200
            with pytest.raises(InvalidStatus) as refused:
                await edge.connect("/ws").__aenter__()
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["Retry-After"] == "5"
            await asyncio.sleep(2)
            edge.trade()  # the market goes on
            many.bus.is_down = False
            await asyncio.sleep(3)
            assert many.node.run_count == 2
            assert (await edge.get("/fapi/v1/ping")).status == 200
            async with edge.connect("/ws/btcusdt@trade") as again:
                await many.heard()
                edge.trade()
                assert json.loads(await again.recv())["t"] == 2


@looped
async def test_while_the_plant_is_silent_an_edge_is_not_ready_and_questions_wait_for_the_grace() -> (
    None
):
    async with whole(1) as many:
        many.server.readiness.ready(True)
        (edge,) = many.edges
        assert (await edge.get("/readyz")).status == 200
        async with edge.connect("/ws/btcusdt@trade") as client:
            many.bus.is_standing = True
            asking = asyncio.create_task(edge.get("/fapi/v1/ping"))
            await asyncio.sleep(2)
            answer = await edge.get("/readyz")
            assert (answer.status, answer.json["ready"]) == (503, False)
            assert answer.json["reason"] == "no plant answers: the plant is silent"
            assert not asking.done()
            many.bus.is_standing = False
            assert (await asking).status == 200
            await asyncio.sleep(1)
            assert (await edge.get("/readyz")).status == 200
            many.bus.is_standing = True
            asking = asyncio.create_task(edge.get("/fapi/v1/ping"))
            assert await ending(client) == LOST
            assert (await asking).status == 503


@looped
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


@looped
async def test_a_client_that_leaves_before_it_is_admitted_is_not_counted_as_open() -> None:
    async with whole(1) as many:
        host, _, port = many.edges[0].server.urls[USDM.name].rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(UPGRADE.format(path="/ws").encode())
        writer.transport.abort()
        async with many.edges[0].connect("/ws"):
            await until(lambda: len(many.served[0].server.endpoints[0].connections) == 1)
        assert (await many.edges[0].get("/healthz")).status == 200


@looped
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
        await until(lambda: many.served[0].server.endpoints[0].outage is None)
        async with edge.connect("/ws/btcusdt@trade") as client:
            many.node.end_streams(ENDED)
            assert await ending(client) == (1000, "The market is over")
        async with edge.connect("/ws") as client:
            assert await ending(client) == (1000, "The market is over")
        many.node.description = replace(many.node.description, ended="")
        many.bus.kill()
        await asyncio.sleep(3)
        async with edge.connect("/ws/btcusdt@trade") as client:  # what comes next is served
            await many.heard()
            edge.trade()
            assert json.loads(await client.recv())["t"] == 1


@looped
async def test_an_edge_serves_another_run_of_its_plant_unless_that_has_other_settings() -> None:
    async with whole(2) as many, many.edges[0].connect("/ws/btcusdt@trade") as client:
        many.bus.kill()
        assert await ending(client) == LOST
        await asyncio.sleep(3)
        assert not any(served.running.done() for served in many.served)
        async with many.edges[0].connect("/ws/btcusdt@trade") as again:
            many.node.description = replace(many.node.description, profile="current", fault_seed=7)
            many.bus.kill()
            assert await ending(again) == LOST
            expected = r"main was started again with other settings \(profile, fault_seed\)"
            for served in many.served:
                with pytest.raises(BusError, match=expected):
                    await served.running


@looped
async def test_an_edge_of_another_version_does_not_start() -> None:
    async with whole(0) as many:
        strange: list[dict[str, Any]] = [{"profile": "2031"}, {"limits": {"nothing": 3}}]
        for changed in (*strange, {"faults": {"f": {}}}):
            many.node.description = replace(many.node.description, **changed)
            with pytest.raises(BusError, match="main is not of this version of the program"):
                await many.add_edge()


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


@looped
async def test_a_connection_with_too_many_waiting_requests_is_not_read_until_some_are_answered() -> (
    None
):
    slow = Slow()
    async with whole(1, forwarder=slow) as many, many.edges[0].connect("/ws-fapi/v1") as client:
        for number in range(MAX_WAITING + 8):
            await client.send(json.dumps({"id": number, "method": "ticker.price"}))
        await until(lambda: slow.asked == MAX_WAITING)
        await asyncio.sleep(0.05)
        assert slow.asked == MAX_WAITING
        assert many.served[0]._waiting.number == MAX_WAITING
        assert many.served[0]._node.pause_count == 1
        slow.go.set()
        replies = [json.loads(await client.recv()) for _ in range(MAX_WAITING + 8)]
        assert [reply["id"] for reply in replies] == list(range(MAX_WAITING + 8))
        assert {reply["result"] for reply in replies} == {"forwarded"}
        assert many.served[0]._waiting.number == 0


@looped
async def test_a_quick_request_overtakes_a_forwarded_one_as_in_one_process() -> None:
    slow = Slow()
    async with whole(1, forwarder=slow) as many, many.edges[0].connect("/ws-fapi/v1") as client:
        await client.send('{"id":1,"method":"ticker.price"}')
        await client.send('{"id":2,"method":"session.status"}')
        assert json.loads(await client.recv())["id"] == 2
        slow.go.set()
        assert json.loads(await client.recv())["id"] == 1
