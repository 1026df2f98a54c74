"""The pages of a plant at its edges: metrics, nodes, connections, limits, faults."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec
import pytest
from loopback import Loopback, ask, ending, loopback, looped, until
from msgspec.structs import replace
from whole import whole

from tickerplant.events import BookSnapshot
from tickerplant.profile import CURRENT
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.rate_limiter import MESSAGES
from tickerplant.server.window import window
from tickerplant.venue import COINM, VENUES


@looped
async def test_metrics_and_nodes_at_any_edge_are_those_of_the_plant_and_of_all_edges() -> None:
    async with whole(2) as many:
        path = "/ws/btcusdt@trade/btcusdt@bookTicker"
        async with many.edges[0].connect(path) as client:
            await many.heard()
            many.edges[0].trade()
            await client.recv()
            await many.edges[1].get("/fapi/v1/ping")
            await many.reported()
            seen = await many.edges[1].metrics()
            page = (await many.edges[1].get("/plant/v1/nodes")).json
        opened = 'tickerplant_connections_opened_total{venue="usdm",worker="%s"}'
        assert [seen[opened % worker] for worker in ("plant", "1", "2")] == [0, 1, 0]
        sent = 'tickerplant_messages_sent_total{venue="usdm",worker="%s"}'
        assert [seen[sent % worker] for worker in ("plant", "1", "2")] == [0, 1, 0]
        request = (
            'tickerplant_http_requests_total{code="200",method="GET",path="/fapi/v1/ping",'
            'venue="usdm",worker="%s"}'
        )
        assert seen[request % "2"] == 1
        assert request % "plant" not in seen, "a request is counted once"
        assert seen['tickerplant_http_weight_total{venue="usdm",worker="plant"}'] == 1
        assert seen['tickerplant_source_ready{worker="plant"}'] == 0
        assert seen['tickerplant_edge_questions_total{worker="2"}'] >= 1
        resident = 'process_resident_memory_bytes{worker="%s"}'
        assert all(seen[resident % worker] > 0 for worker in ("plant", "1", "2"))
        assert (page["plant"]["id"], page["plant"]["address"]) == ("plant", {})
        assert (page["bus"]["connected"], page["bus"]["plant"]) == (True, "main")
        keys = ("id", "connections", "streams", "messages")
        assert [[row[key] for key in keys] for row in page["edges"]] == [
            ["1", 1, 2, 1],
            ["2", 0, 0, 0],
        ]
        assert page["edges"][0]["address"] == many.served[0].server.urls


@looped
async def test_what_an_edge_has_served_counts_after_its_end_and_once_over_its_sessions() -> None:
    async with whole(2) as many:
        for session in range(1, 3):
            async with many.edges[0].connect("/ws/btcusdt@trade") as client:
                await many.heard()
                many.edges[0].trade()
                await client.recv()
            await many.reported()
            assert many.answers.totals.messages == session
            many.bus.kill()
            await asyncio.sleep(3)
        assert many.answers.totals.connections == 2
        async with many.edges[1].connect("/ws/btcusdt@trade"):
            assert (await many.edges[1].get("/plant/v1/limits")).status == 200
            (usage,) = many.server.endpoints[0].rate_limiter.clients.values()
            assert usage.tallies["connections"].used == 1
            await many.served[1].stop()
        await many.served[0].stop()
        await many.heard()
        assert many.answers.totals.messages == 2
        assert many.answers.rows() == []
        assert usage.tallies["connections"].used == 0, "they are closed"


@looped
async def test_edges_that_are_called_the_same_are_told_apart_and_a_successor_replaces_one() -> None:
    async with whole(1) as many:
        await many.add_edge(worker="1")
        names = [row.id for row in many.answers.rows()]
        assert names == ["1", f"1 {os.getpid()}"], "they have ports of their own"
        assert [worker for worker, _ in await many.answers.metrics()] == names
        first, second = many.node.edges.values()
        row, successor = first.report.row, second.report.row
        assert row is not None
        assert successor is not None
        successor = replace(successor, address=row.address)
        second.report = replace(second.report, row=successor)
        many.answers._on_report(second)
        assert [row.id for row in many.answers.rows()] == ["1"]
        assert many.answers.rows()[0].address == row.address


@looped
async def test_one_process_has_itself_as_its_only_node() -> None:
    async with loopback() as one, one.connect("/ws/btcusdt@trade"):
        page = (await one.get("/plant/v1/nodes")).json
        assert page["plant"]["address"] == one.server.urls
        assert (page["plant"]["connections"], page["plant"]["streams"]) == (1, 1)
        assert (page["edges"], page["bus"]) == ([], None)


@looped
async def test_the_page_of_limits_counts_connections_streams_and_messages_of_all_edges() -> None:
    limits = replace(LIMITS, max_streams=1)
    async with (
        whole(2, limits) as many,
        many.edges[0].connect("/ws/a@trade") as first,
        many.edges[1].connect("/ws/a@trade"),
    ):
        await ask(first, {"method": "LIST_SUBSCRIPTIONS", "id": 1})
        assert (await many.edges[1].get("/plant/v1/limits")).status == 200
        await first.send('{"method":"SUBSCRIBE","params":["b@trade"],"id":2}')
        assert (await ending(first))[0] == 1008
        await until(lambda: not many.served[0].server.endpoints[0].connections)
        await many.reported()
        page = (await many.edges[1].get("/plant/v1/limits")).json
        uses = page["addresses"]["127.0.0.1"]["limits"]
        assert uses["connections"] == {"limit": None, "used": 1, "highest": 2, "exceeded": 0}
        assert uses["streams"] == {"limit": 1, "highest": 2, "exceeded": 1}
        assert uses["messages"]["highest"] == 2
        seen = await many.edges[1].metrics()
        assert seen['tickerplant_limits_exceeded_total{limit="streams",worker="plant"}'] == 1


@looped
async def test_the_page_of_connections_is_that_of_all_edges_and_closes_each() -> None:
    async with (
        whole(2) as many,
        many.edges[0].connect("/ws/btcusdt@trade"),
        many.edges[1].connect("/stream?streams=btcusdt@trade") as closed,
        many.edges[1].connect("/ws-fapi/v1") as api,
    ):
        edge = many.edges[0]
        await api.send('{"id":1,"method":"ping"}')
        await api.recv()
        await many.reported()
        for each in many.edges:
            page = (await each.get("/plant/v1/connections")).json
            assert (page["total"], page["deliveries"]) == (3, {"every": 2})
            keys = ("worker", "kind", "stream_count", "messages")
            rows = {tuple(row[key] for key in keys): row for row in page["connections"]}
            raw, combined, asks = ("1", "raw", 1, 0), ("2", "combined", 1, 0), ("2", "api", 0, 1)
            assert rows.keys() == {raw, combined, asks}
            assert rows[raw]["limits"]["streams"] == {"used": 1, "limit": 1024}
            assert rows[asks]["limits"]["streams"] is None
        page = (await edge.get("/plant/v1/connections?limit=1")).json
        assert (page["total"], len(page["connections"])) == (3, 1)
        path = f"/plant/v1/connections/{rows[combined]['id']}"
        answer = await edge.get(path, method="DELETE")
        assert (answer.status, answer.json["worker"]) == (200, "2")
        assert await ending(closed) == (1001, "Closed by the operator")
        await many.reported()
        page = (await edge.get("/plant/v1/connections")).json
        assert {row["kind"] for row in page["connections"]} == {"raw", "api"}
        assert [row["reason"] for row in page["closed"]] == ["control_plane"]
        other = await edge.get(f"{path}?worker=1", method="DELETE")
        there = f"there is no connection {rows[combined]['id']} of worker 1 now"
        assert other.json["error"] == there


@looped
async def test_both_venues_share_one_budget_at_edges_if_the_profile_says_so() -> None:
    async with whole(2, profile=CURRENT) as many, loopback(profile=CURRENT) as one:
        for house in (many.edges[0], one):
            await house.get("/fapi/v1/ping")
        seen = await many.edges[1].get("/dapi/v1/ping", COINM)
        assert seen == await one.get("/dapi/v1/ping", COINM)
        assert seen.headers["x-mbx-used-weight-1m"] == "2"
        for path, venue in (("/fapi/v1/exchangeInfo", None), ("/dapi/v1/exchangeInfo", COINM)):
            options: dict[str, Any] = {} if venue is None else {"venue": venue}
            assert await many.edges[0].get(path, **options) == await one.get(path, **options)


@looped
async def test_ready_means_that_the_source_runs_and_that_an_edge_has_joined() -> None:
    async with whole(0) as many:
        many.server.readiness.ready(True)
        assert many.server.ready_state().reason == "no edge has joined yet"
        edge = await many.add_edge()
        answer = await edge.get("/readyz")
        assert answer.status == 200
        assert answer.json == {
            "ready": True,
            "reason": "",
            "warnings": [],
            "edges": 1,
            "bus": "connected",
        }
        many.server.readiness.ready(False, "the upstream is lost")
        answer = await edge.get("/readyz")
        assert (answer.status, answer.json["reason"]) == (503, "the upstream is lost")


SECRET = {"control_token": "open sesame"}
RIGHT = {"Authorization": "Bearer open sesame"}
PROXY = {"trusted_proxies": ["127.0.0.1"]}
THERE, HERE = ({"X-Forwarded-For": each} for each in ("203.0.113.7", "127.0.0.1"))
AFAR = {"is_beside_plant": False}
MAY: tuple[tuple[dict[str, Any], str, dict[str, str], int], ...] = (
    (SECRET, "GET plant/v1/nodes", {}, 401),
    (SECRET, "GET plant/v1/nodes", {"Authorization": "Bearer open"}, 401),
    (SECRET, "GET plant/v1/profile", {}, 200),  # it is public, as /healthz is
    (SECRET, "GET plant/v1/nodes", RIGHT, 200),
    (SECRET, "GET %70lant/v1/nodes", RIGHT, 404),
    (SECRET, "GET healthz", {}, 200),
    (SECRET, "GET plant/v1/openapi.json", RIGHT, 200),
    (PROXY, "GET plant/v1/nodes", {}, 403),  # the proxy does not say for whom
    (PROXY, "DELETE plant/v1/faults", THERE, 403),
    (PROXY, "GET plant/v1/nodes", THERE, 403),
    (PROXY, "GET plant/v1/server", THERE, 200),
    (PROXY, "DELETE plant/v1/faults", HERE, 200),
    (AFAR, "DELETE plant/v1/faults", {}, 403),
    (AFAR, "GET plant/v1/connections", {}, 403),
    (AFAR, "GET plant/v1/server", {}, 200),
    ({}, "GET plant/v1/connections", {"Host": "evil.example"}, 403),
)
"""What a request meets at an edge."""


@looped
async def test_an_edge_knows_its_own_machine_and_whoever_has_the_token_of_the_plant() -> None:
    for options in (SECRET, PROXY, AFAR, {}):
        async with whole(1, **options) as many:
            for given, request, headers, status in MAY:
                if given is options:
                    method, path = request.split()
                    answer = await many.edges[0].get(f"/{path}", method=method, headers=headers)
                    assert answer.status == status, (request, headers)


@looped
async def test_weights_and_connections_are_those_of_clients_behind_a_proxy_and_of_web_pages() -> (
    None
):
    async with whole(1, trusted_proxies=["127.0.0.1"]) as many:
        (edge,) = many.edges
        page = {"Origin": "http://evil.example"}
        for headers, used in ((THERE, "1"), (THERE, "2"), ({}, "1"), (page, "1"), (page, "2")):
            answer = await edge.get("/fapi/v1/time", headers=headers)
            assert answer.headers["x-mbx-used-weight-1m"] == used
        async with edge.connect("/ws/btcusdt@trade", additional_headers=THERE):
            await many.reported()
            rows = (await edge.get("/plant/v1/connections", headers=HERE)).json["connections"]
            assert [each["address"] for each in rows] == ["203.0.113.7"]


async def change(edge: Loopback, method: str, path: str, **fields: Any) -> Any:
    headers = {"Content-Type": "application/json"} if fields else {}
    body = msgspec.json.encode(fields) if fields else None
    answer = await edge.get(f"/plant/v1/{path}", method=method, headers=headers, body=body)
    assert answer.status == 200, answer.body
    return answer.json


@looped
async def test_a_fault_that_is_added_at_any_worker_happens_at_all_and_is_counted() -> None:
    async with whole(2, faults="http_503=1") as many:
        first, second = many.edges
        assert (await first.get("/fapi/v1/ping")).json["code"] == -1008
        exempt = await first.get("/fapi/v1/ping", headers={"X-Tickerplant-Exempt": "1"})
        assert exempt.status == 200
        added = await change(first, "POST", "faults", kind="refuse", times=1)
        await until(lambda: all(len(each.server.faults) for each in many.served))
        late = await many.add_edge()
        assert len(many.served[-1].server.faults) == 1, "one that joins later knows it too"
        with pytest.raises(Exception, match="503"):
            await late.connect("/ws").__aenter__()
        for edge in (first, second, late):
            async with edge.connect("/ws"):
                pass  # once is once, whichever worker it meets
        page = (await second.get("/plant/v1/faults")).json
        assert (page["seed"], page["counts"]) == (1, {"refuse": 1, "http_503": 1})
        assert page["rules"][1]["hits"] == 1
        assert {each.server.faults.seed for each in many.served} == {1}
        await change(second, "DELETE", f"faults/{added['id']}")
        await until(lambda: not any(len(each.server.faults) for each in many.served))
        path = "/ws/btcusdt@trade"
        async with first.connect(path) as one, second.connect(path) as other:
            added = await change(first, "POST", "faults", kind="close", code=4002)
            assert added["state"] == "over", "it acts at once, on all"
            assert (await ending(one))[0] == (await ending(other))[0] == 4002
        async with first.connect(path):
            pass


@looped
async def test_snapshots_and_times_are_wrong_once_over_an_edge() -> None:
    request = {"id": 7, "method": "depth", "params": {"symbol": "BTCUSDT", "limit": 5}}
    async with whole(1) as many:
        (edge,) = many.edges
        now_ms = many.plant.now_ms
        bids, asks = [(6_528_000, 1_000)], [(6_528_010, 1_000)]
        many.plant.publish(BookSnapshot("BTCUSDT", 100, bids, asks, now_ms))
        crossed = await change(edge, "POST", "faults", kind="crossed_book")
        await until(lambda: len(many.served[0].server.faults))
        book = (await edge.get("/fapi/v1/depth?symbol=BTCUSDT&limit=5")).json
        assert (book["bids"][0][0], book["asks"][0][0]) == ("65280.10", "65280.00")
        async with edge.connect("/ws-fapi/v1") as client:
            book = (await ask(client, request))["result"]
            assert (book["bids"][0][0], book["asks"][0][0]) == ("65280.10", "65280.00")
            await change(edge, "DELETE", f"faults/{crossed['id']}")
            await until(lambda: not len(many.served[0].server.faults))
            assert (await ask(client, request))["result"]["bids"][0][0] == "65280.00"
            await change(edge, "POST", "faults", kind="clock", by="-5s")
            await until(lambda: len(many.served[0].server.faults))
            assert (await ask(client, request))["result"]["E"] == now_ms - 5_000
        assert (await edge.get("/fapi/v1/time")).json == {"serverTime": now_ms - 5_000}


@looped
async def test_an_edge_has_the_window_and_says_what_its_plant_is() -> None:
    assert window().build, "the window is not built: run `make window`"
    browser = {"Accept": "text/html"}
    async with whole(1) as many:
        (edge,) = many.edges
        for venue in VENUES:
            page = await edge.get("/", venue, headers=browser)
            assert "content-security-policy" in page.headers
            assert f"app-{window().build}.js" in page.body.decode()
            script = await edge.get(f"/window/app-{window().build}.js", venue)
            assert (script.status, len(script.body) > 1_000) == (200, True)
            server = (await edge.get("/plant/v1/server", venue)).json
            assert (server["venue"], server["build"]) == (venue.name, window().build)
            assert server["addresses"] == edge.server.urls, "those of the edge: the plant has none"


@looped
async def test_what_an_edge_has_counted_is_told_when_it_ends() -> None:
    async with whole(1) as many:
        address = "192.0.2.9"
        many.served[0].server.endpoint("usdm").rate_limiter.note(address, MESSAGES, 0, 5, 2)
        await many.heard()
        await many.served[-1].stop()
        await many.heard()
        counted = many.server.endpoint("usdm").rate_limiter.clients[address].tallies[MESSAGES]
        assert (counted.highest, counted.exceeded) == (5, 2)
