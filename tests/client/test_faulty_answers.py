"""Order books and clocks that are wrong on demand, over REST and the WebSocket API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from loopback import Loopback, ask, loopback, looped
from test_books import BTC, exchange

from tickerplant import ConfigError
from tickerplant.faults.rule import parse_rule
from tickerplant.truth.truth import Truth

DEPTH = "/fapi/v1/depth?symbol=BTCUSDT&limit=20"
EXEMPT = {"X-Tickerplant-Exempt": "1"}


def fault(house: Loopback, rule: str) -> Any:
    return house.server.faults.add(parse_rule(rule))


async def depth(house: Loopback, **options: Any) -> dict[str, Any]:
    answer = await house.get(DEPTH, **options)
    assert answer.status == 200
    assert answer.headers["content-length"] == str(len(answer.body))
    found: dict[str, Any] = answer.json
    return found


def is_crossed(book: dict[str, Any]) -> bool:
    return float(book["bids"][0][0]) >= float(book["asks"][0][0])


@looped
async def test_books_over_rest_are_wrong_while_a_rule_is_on_and_for_those_not_exempt() -> None:
    async with exchange(BTC) as house:
        right = await depth(house)
        assert not is_crossed(right)
        crossed = fault(house, "crossed_book")
        assert is_crossed(await depth(house))
        assert await depth(house, headers=EXEMPT) == right
        house.server.faults.remove(crossed.id)
        fault(house, "empty_book side=asks once=true")
        assert await depth(house) == {**right, "asks": []}
        assert await depth(house) == right


@looped
async def test_books_over_the_websocket_api_are_wrong_too() -> None:
    request = {"id": 7, "method": "depth", "params": {"symbol": "BTCUSDT", "limit": 20}}
    async with exchange(BTC, "ETHUSDT") as house, house.connect("/ws-fapi/v1") as client:
        right = (await ask(client, request))["result"]
        fault(house, "crossed_book once=true")
        reply = await ask(client, request)
        assert (reply["id"], reply["status"]) == (7, 200)
        assert reply["rateLimits"]
        assert is_crossed(reply["result"])
        assert (await ask(client, request))["result"] == right
        fault(house, "empty_book symbol=ETHUSDT")
        fault(house, "stale_snapshot symbol=BTCUSDT")
        house.go_on(1_000)
        assert (await ask(client, request))["result"] == right, "the book when the rule began"
        error = {"id": 8, "method": "depth", "params": {"symbol": "NOSUCH"}}
        assert (await ask(client, error))["error"]["code"] == -1121


@pytest.mark.parametrize(
    ("rule", "age_ms"), [("stale_snapshot", 10_000), ("stale_snapshot age=3s", 3_000)]
)
@looped
async def test_with_the_truth_a_stale_book_is_a_true_one_of_the_age_that_was_asked_for(
    rule: str, age_ms: int
) -> None:
    truth = Truth()
    async with exchange(BTC, truth=truth, quoting=1) as house:
        house.go_on(2_000)
        then = await depth(house)
        house.go_on(age_ms)
        on = fault(house, rule)
        assert await depth(house) == then
        assert on.hits == 1
        house.go_on(1_000)
        later = await depth(house)
        assert later["lastUpdateId"] > then["lastUpdateId"], "it goes on, and stays behind"
        assert later["E"] == house.plant.now_ms - age_ms
        was = truth.market.book(BTC, later["lastUpdateId"])
        best = was.instrument.price.text[was.book.bids[0][0]]
        assert later["bids"][0][0] == best


@looped
async def test_before_the_first_book_that_is_kept_a_stale_book_is_that_one() -> None:
    truth = Truth()
    async with exchange(BTC, truth=truth) as house:
        first = await depth(house)
        fault(house, "stale_snapshot age=1h")
        assert await depth(house) == first, "it is not stale yet, and no occasion"
        house.go_on(1_000)
        answer = await depth(house)
        assert answer["lastUpdateId"] == first["lastUpdateId"]
        assert answer["bids"] == first["bids"]


@looped
async def test_an_age_is_refused_where_books_of_any_age_are_not_kept() -> None:
    async with loopback() as house:
        with pytest.raises(ConfigError, match="only a test server keeps books of any age"):
            fault(house, "stale_snapshot age=5s")


@looped
async def test_a_clock_that_is_off_is_off_everywhere() -> None:
    async with exchange(BTC) as house:
        on = fault(house, "clock=-5s")
        now_ms = house.plant.now_ms
        assert (await house.get("/fapi/v1/time")).json == {"serverTime": now_ms - 5_000}
        assert (await depth(house))["E"] == now_ms - 5_000
        async with house.connect("/ws/btcusdt@bookTicker") as client:
            house.go_on(1_000)
            quote = json.loads(await client.recv())
            assert now_ms - 5_000 <= quote["E"] < now_ms
        house.server.faults.remove(on.id)
        assert (await house.get("/fapi/v1/time")).json == {"serverTime": house.plant.now_ms}
