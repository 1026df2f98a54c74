from __future__ import annotations

import asyncio
import json

import pytest
from loopback import looped
from relaying import serve, upstream

from tickerplant.errors import RequestError, UpstreamError
from tickerplant.queries import find_method, find_path
from tickerplant.queries.query import Query
from tickerplant.venue import USDM

TIMEOUT_S = 0.3


def known(query: Query | None) -> Query:
    assert query is not None
    return query


PRICE = known(find_path(USDM, "/fapi/v1/ticker/price"))
BEST = known(find_method(USDM, "ticker.book"))


@pytest.mark.parametrize("faults", ["http_429=1", "http_418=1", "http_503=1", "http_hang=1"])
@looped
async def test_a_request_is_answered_in_time_whatever_the_upstream_does(faults: str) -> None:
    loop = asyncio.get_running_loop()
    async with (
        serve(faults=faults) as house,
        upstream(f"ws://{house.server.urls['usdm']}", request_timeout_s=TIMEOUT_S) as found,
    ):
        began_s = loop.time()
        with pytest.raises((UpstreamError, RequestError)):
            await found.fetch(PRICE, {"symbol": "BTCUSDT"})
        assert loop.time() - began_s < TIMEOUT_S + 1, "and a pause between attempts at most"


@looped
async def test_a_method_without_a_path_is_sent_over_the_websocket_api() -> None:
    async with serve() as house, upstream(f"ws://{house.server.urls['usdm']}") as found:
        assert json.loads(await found.fetch(BEST, {})) == []
        with pytest.raises(RequestError, match="-1121"):
            await found.fetch(BEST, {"symbol": "NONESUCH"})


@looped
async def test_before_the_start_every_request_is_forwarded() -> None:
    async with serve() as house, upstream(f"ws://{house.server.urls['usdm']}") as found:
        assert found.forwards(PRICE, {"symbol": "BTCUSDT"})
