from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

from loopback import START_MS, ending, loopback, looped, until
from msgspec.structs import replace
from stage import trade

from tickerplant.events import BookSnapshot
from tickerplant.frames import HEADERS
from tickerplant.profile import CURRENT
from tickerplant.protocol.close_reasons import CONTROL_PLANE
from tickerplant.protocol.limits import LIMITS
from tickerplant.raw_events import RawDepth, RawQuote
from tickerplant.readiness import Readiness, Sample
from tickerplant.server.metrics import MAX_SAMPLES
from tickerplant.server.welcome import LIMITS_OFF
from tickerplant.venue import COINM, VENUES

LIMITS_PATH = "/plant/v1/limits"


@looped
async def test_the_first_page_lists_the_addresses_of_both_venues() -> None:
    async with loopback() as house:
        text = (await house.get("/")).body.decode()
        for venue in VENUES:
            assert f"ws://{house.server.urls[venue.name]}{venue.api_path}" in text


@looped
async def test_healthz_is_alive_on_both_ports() -> None:
    async with loopback() as house:
        for venue in VENUES:
            assert (await house.get("/healthz", venue)).status == 200


@looped
async def test_readyz_follows_the_source_and_lists_what_is_incomplete() -> None:
    async with loopback() as house:
        answer = await house.get("/readyz")
        assert answer.status == 503
        assert answer.json == {"ready": False, "reason": "starting", "warnings": []}
        house.server.readiness.ready(True)
        assert house.server.readiness.warn("BTCUSDT", "BTCUSDT: no snapshot yet")
        assert house.server.readiness.warn("BTCUSDT", "BTCUSDT: a gap after u=7"), "it replaces"
        assert not house.server.readiness.warn("BTCUSDT", "BTCUSDT: a gap after u=7"), "no news"
        answer = await house.get("/readyz", COINM)
        assert answer.status == 200
        assert answer.json["warnings"] == ["BTCUSDT: a gap after u=7"]
        assert house.server.readiness.clear("BTCUSDT")
        answer = await house.get("/readyz")
        assert answer.json["warnings"] == []
        house.server.readiness.ready(False, "the recording is over")
        answer = await house.get("/readyz")
        assert (answer.status, answer.json["reason"]) == (503, "the recording is over")


@looped
async def test_metrics_count_what_clients_and_the_market_do() -> None:
    async with loopback() as house:
        async with house.connect("/stream?streams=btcusdt@trade/none") as client:
            await client.send(json.dumps({"method": "GET_PROPERTY", "params": [1], "id": 1}))
            assert "error" in json.loads(await client.recv())
        async with house.connect("/ws/btcusdt@trade") as client:
            house.trade()
            await client.recv()
            await house.get("/fapi/v1/ping")
            await house.get("/somewhere/else")
            counted = await house.metrics()
    usdm = 'venue="usdm"'
    expected = {
        f"tickerplant_connections_open{{{usdm}}}": 1,
        f"tickerplant_connections_opened_total{{{usdm}}}": 2,
        f"tickerplant_channels{{{usdm}}}": 1,
        f"tickerplant_subscriptions{{{usdm}}}": 1,
        f'tickerplant_silent_subscriptions_total{{reason="unknown stream",{usdm}}}': 1,
        f'tickerplant_control_errors_total{{code="2",{usdm}}}': 1,
        f"tickerplant_messages_sent_total{{{usdm}}}": 1,
        f'tickerplant_http_requests_total{{code="200",method="GET",path="/fapi/v1/ping",{usdm}}}': 1,
        f'tickerplant_http_requests_total{{code="404",method="GET",path="other",{usdm}}}': 1,
        f"tickerplant_http_weight_total{{{usdm}}}": 2,
        'tickerplant_market_events_total{kind="Trade"}': 1,
        "tickerplant_source_ready": 0,
        "tickerplant_source_lag_seconds": 0,
        "tickerplant_requests_refused_total": 0,
        "tickerplant_bans_total": 0,
        'tickerplant_complaints_total{kind="reply 2"}': 1,
        "tickerplant_addresses_forgotten_total": 0,
    }
    assert {name: counted.get(name) for name in expected} == expected
    assert counted[f"tickerplant_sent_bytes_total{{{usdm}}}"] > 100
    assert "process_cpu_seconds_total" in counted


def depth(first_id: int, price: str = "65280.00") -> RawDepth:
    """A recorded update that continues the one before it, with one bid."""
    levels = [(price, "1.000")]
    return RawDepth(START_MS, START_MS, "BTCUSDT", first_id, first_id, first_id - 1, levels, [])


@looped
async def test_metrics_count_what_is_incomplete_and_what_was_left_out() -> None:
    async with loopback() as house:
        publish = house.plant.publish
        publish(BookSnapshot("BTCUSDT", 10, [(6_528_000, 1)], [(6_528_010, 1)], START_MS))
        publish(BookSnapshot("BTCUSD_PERP", 10, [(6_528_000, 1)], [(6_528_010, 1)], START_MS))
        for update in (depth(11), depth(11), depth(12, "65280.001"), depth(20), depth(21)):
            publish(update)
        market = house.plant.markets["BTCUSDT"]
        best = market.book.best_bid
        publish(RawQuote(30, "BTCUSDT", "1.001", "1.000", "2.00", "1.000"))
        quote = market.book_ticker
        house.server.readiness.skipped = lambda: {"no message": 3}
        counted = await house.metrics()
    assert (best, quote) == ((6_528_000, 1_000), None)
    expected = {
        'books_live{venue="usdm"}': 0,
        'books_live{venue="coinm"}': 1,
        'book_gaps_total{venue="usdm"}': 1,
        'depth_updates_stale_total{venue="usdm"}': 1,
        'depth_updates_forgotten_total{venue="usdm"}': 0,
        'levels_unreadable_total{venue="usdm"}': 1,
        'quotes_unreadable_total{venue="usdm"}': 1,
        'source_skipped_total{reason="no message"}': 3,
        "source_warnings_dropped_total": 0,
    }
    assert {name: counted.get(f"tickerplant_{name}") for name in expected} == expected


@looped
async def test_metrics_print_what_the_source_measures() -> None:
    connections = {"public": 1, "market": 2}

    def of_connections() -> Iterator[Sample]:
        for route, number in connections.items():
            yield Sample(
                name="upstream_connections",
                value=number,
                doc="Connections to the upstream.",
                labels={"route": route},
            )

    def of_gaps() -> list[Sample]:
        gaps = Sample(name="upstream_gaps", value=3, doc="Gaps.", type="counter")
        return [gaps, Sample(name="source_ready", value=7, doc="Somebody else's.")]

    async with loopback() as house:
        status: Readiness = house.server.readiness
        status.measure(of_connections)
        status.measure(of_gaps)
        connections["market"] = 5
        text = (await house.get("/metrics")).body.decode()
        counted = await house.metrics()
    assert counted['tickerplant_upstream_connections{route="public"}'] == 1
    assert counted['tickerplant_upstream_connections{route="market"}'] == 5, "as of now"
    assert counted["tickerplant_upstream_gaps_total"] == 3
    assert counted["tickerplant_source_ready"] == 0, "a name of ours is not taken"
    assert "# HELP tickerplant_upstream_connections Connections to the upstream.\n" in text
    assert "# TYPE tickerplant_upstream_gaps_total counter\n" in text
    assert text.count("# TYPE tickerplant_upstream_connections gauge\n") == 1


@looped
async def test_a_source_that_measures_without_end_is_cut_short() -> None:
    async with loopback() as house:
        house.server.readiness.measure(
            lambda: (
                Sample(name="streams", value=1, doc="Streams.", labels={"stream": str(number)})
                for number in count()
            )
        )
        await house.metrics()
        counted = await house.metrics()
    assert sum(name.startswith("tickerplant_streams{") for name in counted) == MAX_SAMPLES
    assert counted['tickerplant_complaints_total{kind="too many samples"}'] == 1


@looped
async def test_the_page_of_limits_reports_the_clients_of_its_port() -> None:
    async with loopback(replace(LIMITS, connection_attempts=9)) as house:
        async with house.connect("/ws/a/b/c") as client:
            house.clock.now_ms += 7
            await house.get("/fapi/v1/ticker/bookTicker")
            house.clock.now_ms += 2
            page = (await house.get(LIMITS_PATH)).json
            await client.close()
        await until(lambda: not house.server.endpoints[0].connections)
        after = (await house.get(LIMITS_PATH)).json
        other = (await house.get(LIMITS_PATH, COINM)).json
    assert (page["venue"], page["enforced"], page["sharedBudget"]) == ("usdm", True, False)
    use = page["addresses"]["127.0.0.1"]
    assert (use["lastSeen"], page["serverTime"]) == (START_MS + 7, START_MS + 9)
    limits = use["limits"]
    assert limits["requestWeight"]["used"] == 5
    assert limits["connectionAttempts"]["used"] == 1
    assert limits["streams"]["highest"] == 3
    assert limits["connections"]["used"] == 1
    assert after["addresses"]["127.0.0.1"]["limits"]["connections"]["used"] == 0
    assert (other["venue"], other["addresses"]) == ("coinm", {})


@looped
async def test_limits_that_both_venues_share_are_reported_on_both_ports() -> None:
    async with loopback(profile=CURRENT) as house:
        await house.get("/fapi/v1/ping")
        pages = [(await house.get(LIMITS_PATH, venue)).json for venue in VENUES]
    assert [page["sharedBudget"] for page in pages] == [True, True]
    assert pages[0]["addresses"] == pages[1]["addresses"]


@looped
async def test_limits_that_are_off_are_said_to_be_and_counted_in_the_metrics() -> None:
    limits = replace(LIMITS, request_weight_per_minute=1, enforced=False)
    async with loopback(limits) as house:
        statuses = [(await house.get("/fapi/v1/ping")).status for _ in range(3)]
        page = (await house.get(LIMITS_PATH)).json
        counted = await house.metrics()
        welcome = (await house.get("/")).body.decode()
    assert statuses == [200, 200, 200]
    assert page["enforced"] is False
    assert counted['tickerplant_limits_exceeded_total{limit="requestWeight"}'] == 2
    assert counted["tickerplant_requests_refused_total"] == 0
    assert LIMITS_OFF in welcome


@looped
async def test_a_connection_tells_what_it_was_sent_and_how_near_its_limits_it_is() -> None:
    async with loopback() as house:
        asked = '{"method":"LIST_SUBSCRIPTIONS","id":%d}'
        async with (
            house.connect("/ws/btcusdt@trade") as asking,
            house.connect("/stream?streams=btcusdt@trade/ethusdt@trade") as quiet,
            house.connect("/ws-fapi/v1") as api,
        ):
            for number in range(3):
                await asking.send(asked % number)
            replies = [await asking.recv() for _ in range(3)]
            for number in range(4):
                house.plant.publish(trade(number, START_MS))
            received = [await asking.recv() for _ in range(4)]
            wrapped = [await quiet.recv() for _ in range(4)]
            await api.send('{"id":1,"method":"ping"}')
            answered = await api.recv()
            house.clock.now_ms += 150
            page = (await house.get("/plant/v1/connections")).json["connections"]
    rows = {row["kind"]: row for row in page}
    counted = {kind: (row["messages"], row["bytes"]) for kind, row in rows.items()}
    assert counted == {
        "raw": (7, framed_bytes([*replies, *received])),
        "combined": (4, framed_bytes(wrapped)),
        "api": (1, framed_bytes([answered])),
    }
    day_ms = LIMITS.lifetime_ms
    assert rows["raw"]["limits"] == {
        "messages": {"used": 2, "limit": 15},
        "streams": {"used": 1, "limit": 1024},
        "age_ms": {"used": 150, "limit": day_ms},
    }, "of three messages at once, 150 ms made up for one and a half"
    assert rows["combined"]["limits"]["streams"]["used"] == 2
    assert rows["api"]["limits"] == {
        "messages": {"used": 0, "limit": 5},
        "streams": None,
        "age_ms": {"used": 150, "limit": day_ms},
    }


def framed_bytes(texts: list[Any]) -> int:
    return sum(len(HEADERS[len(text)]) + len(text) for text in texts)


@looped
async def test_connections_tell_what_they_are_and_the_last_ones_why_they_ended() -> None:
    async with loopback() as house:
        house.plant.advance(START_MS + 7_000)
        async with (
            house.connect("/ws/btcusdt@trade", user_agent_header="bot/1") as kept,
            house.connect("/stream?streams=btcusdt@trade") as closed,
        ):
            page = (await house.get("/plant/v1/connections")).json
            row = next(each for each in page["connections"] if each["kind"] == "raw")
            assert (row["path"], row["user_agent"]) == ("/ws/btcusdt@trade", "bot/1")
            assert (row["opened_ms"], row["opened_market_ms"]) == (START_MS, START_MS + 7_000)
            assert page["closed"] == []
            other = next(each["id"] for each in page["connections"] if each["kind"] != "raw")
            answer = await house.get(f"/plant/v1/connections/{other}", method="DELETE")
            assert (answer.status, answer.json["id"]) == (200, other)
            assert await ending(closed) == (1001, "Closed by the operator")
            again = await house.get(f"/plant/v1/connections/{other}", method="DELETE")
            assert again.status == 404
            assert again.json == {"error": f"there is no connection {other} now"}
            await kept.close()
        await until(lambda: not house.server.connections)
        ended = (await house.get("/plant/v1/connections")).json["closed"]
        assert [each["reason"] for each in ended] == ["client", "control_plane"]
        assert ended[0]["explanation"] == "The client closed it properly."
        assert ended[1]["explanation"] == CONTROL_PLANE.doc
        assert ended[1]["path"] == "/stream?streams=btcusdt@trade"
        assert ended[1]["closed_market_ms"] == START_MS + 7_000
