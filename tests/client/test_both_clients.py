"""What a client of REST and one of the WebSocket API do alike: weight, refusals, bans, their end."""

from __future__ import annotations

from typing import Any

import pytest
from loopback import START_MS, loopback, looped
from misbehaving import SharedMoment, TimeSpec, client_in, hosts_in
from msgspec.structs import replace

from tickerplant.client.api import HANDSHAKE_WEIGHT, ApiClient
from tickerplant.client.rest import RestClient
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.hosts import hosts_of
from tickerplant.feed.weight import WeightBudget
from tickerplant.protocol.limits import LIMITS
from tickerplant.units import MINUTE_MS
from tickerplant.venue import USDM

REFUSED = "tickerplant_requests_refused_total"
both = pytest.mark.parametrize(
    ("kind", "begin"), [(RestClient, 0), (ApiClient, HANDSHAKE_WEIGHT)], ids=["REST", "API"]
)
"""Each kind of client, and what its first question weighs beyond the others."""


@both
@looped
async def test_more_than_a_minute_has_room_for_takes_several_minutes(kind: Any, begin: int) -> None:
    async with loopback(replace(LIMITS, request_weight_per_minute=20)) as house:
        moment, budget = SharedMoment(house), WeightBudget(20, 0.5)
        async with client_in(kind, hosts_in(house), moment, budget) as client:
            for number in range(25 - begin):
                await client.fetch("ping", {})
                assert moment.now_ms == START_MS + (begin + number) // 10 * MINUTE_MS
        assert (budget.spent, budget.refusals) == (25, 0)
        assert (await house.metrics())[REFUSED] == 0


@both
@looped
async def test_who_is_refused_comes_back_when_the_server_wants_it(kind: Any, begin: int) -> None:
    async with loopback(replace(LIMITS, request_weight_per_minute=begin + 3)) as house:
        moment, budget = SharedMoment(house), WeightBudget()
        async with client_in(kind, hosts_in(house), moment, budget) as client:
            for _ in range(4):
                assert await client.fetch("ping", {}) == b"{}"
        assert (moment.slept, budget.refusals, budget.waited_ms) == ([60.0], 1, 60_000)


@both
@looped
async def test_who_is_banned_does_not_wait_for_the_end_of_it(kind: Any, begin: int) -> None:
    limits = replace(LIMITS, request_weight_per_minute=begin + 1, refusals_before_ban=1)
    async with loopback(limits) as house:
        # The server's minute does not end: one refusal, then the ban.
        async with client_in(kind, hosts_in(house), TimeSpec()) as client:
            await client.fetch("ping", {})
            for words in ("IP banned until", "an earlier request was refused"):
                with pytest.raises(RequestError, match=words) as caught:
                    await client.fetch("ping", {})
                assert (caught.value.code, caught.value.status) == (-1003, 418)
        assert (await house.metrics())[REFUSED] == 2, "the last was not even asked"


@both
@looped
async def test_a_closed_client_asks_nothing(kind: Any, begin: int) -> None:
    async with loopback() as house:
        async with client_in(kind, hosts_in(house), TimeSpec()) as client:
            await client.fetch("ping", {})
        with pytest.raises(UpstreamError, match="the client is closed"):
            await client.fetch("ping", {})
        await client.close()
        async with client_in(kind, hosts_in(house), TimeSpec()):
            pass
        answer = await house.get("/fapi/v1/ping")
        assert int(answer.headers["x-mbx-used-weight-1m"]) == begin + 2


@both
@looped
async def test_a_server_that_is_not_there_is_given_up(kind: Any, begin: int) -> None:
    async with client_in(kind, hosts_of(USDM, "http://127.0.0.1:9"), TimeSpec()) as client:
        with pytest.raises(UpstreamError, match=r"connection refused, 3 times$"):
            await client.fetch("ping", {})
