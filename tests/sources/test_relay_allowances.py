"""Questions that have an allowance of their own upstream."""

from __future__ import annotations

import pytest
from loopback import Clock, looped
from relaying import relay, serve

from tickerplant.feed.weight import Allowances
from tickerplant.profile import CURRENT, P2026Q1, Profile
from tickerplant.protocol.limits import LIMITS
from tickerplant.venue import COINM, USDM

BASIS = "/futures/data/basis?pair={pair}&contractType=PERPETUAL&period=5m&limit={limit}"
FUNDING = "/fapi/v1/fundingRate?symbol=BTCUSDT&limit={limit}"


@looped
async def test_what_the_upstream_allows_of_a_kind_is_not_overrun_by_local_clients() -> None:
    clock = Clock()
    async with serve() as house, relay(house, clock=clock) as near:
        near.upstream.allowances = Allowances(2 / LIMITS.funding_requests)
        for limit in (1, 2):
            assert (await near.get(FUNDING.format(limit=limit))).status == 200
        for limit in (3, 4):
            answer = await near.get(FUNDING.format(limit=limit))
            assert (answer.status, answer.json["code"]) == (429, -1003)
            assert "500 requests per 5 minutes" in answer.json["msg"]
            assert answer.headers["retry-after"] == str(LIMITS.allowance_window_ms // 1_000)
        assert await near.questions() == 2
        assert await near.questions("refused") == 2
        assert await near.questions("failed") == 0
        path = BASIS.format(pair="BTCUSDT", limit=1)
        assert (await near.get(path)).status == 200, "another kind"
        assert (await near.get("/fapi/v1/ticker/price")).status == 200, "no kind"
        clock.now_ms += LIMITS.allowance_window_ms
        assert (await near.get(FUNDING.format(limit=3))).status == 200


@pytest.mark.parametrize("profile", [P2026Q1, CURRENT])
@looped
async def test_venues_share_allowances_where_they_count_together(profile: Profile) -> None:
    async with serve(profile=profile) as house, relay(house, USDM, COINM) as near:
        one, other = (each.allowances for each in near.upstreams.values())
        assert (one is other) is profile.shared_budget
