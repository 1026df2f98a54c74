from __future__ import annotations

import json

import pytest
from loopback import ask, ending, loopback, looped
from websockets.exceptions import InvalidStatus

from tickerplant.profile import CURRENT
from tickerplant.venue import COINM

LOST = (1013, "Upstream lost")


@looped
async def test_only_subscribers_of_a_lost_stream_are_disconnected() -> None:
    async with (
        loopback() as house,
        house.connect("/ws/btcusdt@trade/btcusdt@depth") as hearer,
        house.connect("/stream?streams=ethusdt@trade") as waiting,
        house.connect("/ws/btcusdt@kline_1m") as other,
        house.connect("/ws-fapi/v1") as asker,
        house.connect("/ws/btcusdt@trade", COINM) as elsewhere,
    ):
        house.server.start_outage(
            "usdm", iter(["btcusdt@trade", "ethusdt@trade"]), "a gap after t=7"
        )
        assert await ending(hearer) == LOST
        assert await ending(waiting) == LOST, "who was to hear a silent one too"
        for client in (other, elsewhere):
            listed = await ask(client, {"method": "LIST_SUBSCRIPTIONS", "id": 1})
            assert len(listed["result"]) == 1
        assert (await ask(asker, {"method": "ping", "id": 1}))["status"] == 200
        async with house.connect("/ws/btcusdt@trade") as again:
            house.trade()
            assert json.loads(await again.recv())["e"] == "trade", "who comes back is taken"
        counted = await house.metrics()
    assert counted['tickerplant_connections_closed_total{reason="upstream_lost",venue="usdm"}'] == 2
    assert counted['tickerplant_upstream_lost{venue="usdm"}'] == 0


@looped
async def test_while_a_venue_is_lost_its_streams_are_not_served() -> None:
    async with (
        loopback(profile=CURRENT) as house,
        house.connect("/public/ws/btcusdt@depth") as hearer,
        house.connect("/ws") as empty,
        house.connect("/ws/btcusd_perp@trade", COINM) as elsewhere,
    ):
        house.server.start_outage("usdm", None, "no connection for 10 s")
        assert await ending(hearer) == LOST
        assert await ending(empty) == LOST, "it may subscribe any time"
        for path in ("/ws", "/stream?streams=btcusdt@trade", "/market/ws/btcusdt@aggTrade"):
            with pytest.raises(InvalidStatus) as refused:
                async with house.connect(path):
                    pass
            response = refused.value.response
            assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
            assert response.body == b"Upstream lost: no connection for 10 s.\n"
        async with house.connect("/ws-fapi/v1") as asker:
            assert (await ask(asker, {"method": "ping", "id": 1}))["status"] == 200
        assert (await ask(elsewhere, {"method": "LIST_SUBSCRIPTIONS", "id": 1}))["result"]
        counted = await house.metrics()
        assert counted['tickerplant_upstream_lost{venue="usdm"}'] == 1
        assert counted['tickerplant_upstream_lost{venue="coinm"}'] == 0
        assert counted['tickerplant_handshakes_refused_total{code="503",venue="usdm"}'] == 3
        house.server.end_outage("usdm")
        async with house.connect("/ws/btcusdt@trade") as client:
            house.trade()
            assert json.loads(await client.recv())["e"] == "trade"
