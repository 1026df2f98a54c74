from __future__ import annotations

import json

from loopback import loopback, looped

from tickerplant.venue import COINM, VENUES


@looped
async def test_the_first_page_tells_the_addresses_of_both_venues() -> None:
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
        f"tickerplant_http_weight_total{{{usdm}}}": 1,
        'tickerplant_market_events_total{kind="Trade"}': 1,
        "tickerplant_source_ready": 0,
        "tickerplant_source_lag_seconds": 0,
        "tickerplant_requests_refused_total": 0,
        "tickerplant_bans_total": 0,
        'tickerplant_complaints_total{kind="reply 2"}': 1,
    }
    assert {name: counted.get(name) for name in expected} == expected
    assert counted[f"tickerplant_sent_bytes_total{{{usdm}}}"] > 100
    assert "process_cpu_seconds_total" in counted
