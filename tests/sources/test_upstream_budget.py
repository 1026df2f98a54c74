"""What an upstream is asked is shared between clients' questions and what the relay needs."""

from __future__ import annotations

import asyncio

from loopback import looped
from relaying import START_MS, serve, upstream
from stage import snapshot

from tickerplant.client.request import wall_clock_ms
from tickerplant.errors import UpstreamError
from tickerplant.feed.weight import LIMIT_PER_MINUTE, SHARE
from tickerplant.queries import find_path
from tickerplant.sources.upstream import REQUESTS_SHARE
from tickerplant.units import MINUTE_MS
from tickerplant.venue import USDM

DAY = find_path(USDM, "/fapi/v1/ticker/24hr")
assert DAY is not None
WEIGHT = DAY.weigh({})


@looped
async def test_clients_cannot_ask_so_much_that_nothing_is_left_for_snapshots() -> None:
    assert DAY is not None
    async with (
        serve() as house,
        upstream(f"ws://{house.server.urls['usdm']}", request_timeout_s=0.5) as found,
    ):
        house.plant.publish(snapshot(100, [(6_528_000, 1)], [(6_528_010, 1)], START_MS))
        began = wall_clock_ms() // MINUTE_MS
        questions = (found.fetch(DAY, {}) for _ in range(LIMIT_PER_MINUTE // WEIGHT))
        answers = await asyncio.gather(*questions, return_exceptions=True)
        answered = sum(isinstance(each, bytes) for each in answers)
        minutes = wall_clock_ms() // MINUTE_MS - began + 1
        assert answered * WEIGHT <= minutes * LIMIT_PER_MINUTE * SHARE * REQUESTS_SHARE
        assert answered == len(answers) - sum(isinstance(each, UpstreamError) for each in answers)
        assert await found.rest.get("depth", symbol="BTCUSDT", limit=1000)
