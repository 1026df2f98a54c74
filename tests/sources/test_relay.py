from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

import pytest
from loopback import Clock, Loopback, ask, ending, looped, until
from msgspec import structs
from relaying import (
    BTCUSDT,
    EAGER,
    ETHUSDT,
    START_MS,
    Relay,
    messages,
    quote,
    received,
    relay,
    relayed,
    serve,
    simulation,
    subscribe,
)
from stage import happen, mark, snapshot, trade, update
from tuning import tuned
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tickerplant.events import ContractChanged
from tickerplant.feed.local_book import LocalBook
from tickerplant.feed.order_book import BookState
from tickerplant.instrument import Scale
from tickerplant.market.market import Market
from tickerplant.market.timers import MAX_CONTINUOUS_MS
from tickerplant.messages.book import DepthUpdate
from tickerplant.messages.readers import reader
from tickerplant.profile import CURRENT, P2026Q1
from tickerplant.sources.relay import RelayTiming
from tickerplant.sources.upstream_clock import CONFIRMATIONS
from tickerplant.venue import COINM, USDM

LOST = (1013, "Upstream lost")
LAST = 987_654_321
"""Id of a trade that ends what is compared."""

# What is passed on

AS_THEY_ARE = (
    *("btcusdt@trade", "btcusdt@aggTrade", "btcusdt@bookTicker", "!bookTicker"),
    *("btcusdt@kline_1m", "btcusdt@ticker", "btcusdt@miniTicker", "!ticker@arr", "!miniTicker@arr"),
    *("btcusdt@markPrice@1s", "!markPrice@arr@1s", "btcusdt@depth@100ms", "btcusdt@rpiDepth@500ms"),
    *("btcusdt@forceOrder", "!forceOrder@arr", "btcusdt_perpetual@continuousKline_5m"),
    *("!contractInfo", "!assetIndex@arr", "ethusdt@trade", "nonsense", "BTCUSDT@depth@100ms"),
)


def much_happens(house: Loopback) -> None:
    """Everything that streams tell of, and a trade that ends it."""
    plant = house.plant
    for number in range(3):
        plant.advance_before(plant.now_ms + 1_700)
        happen(plant)
        plant.publish(trade(50 + number, plant.now_ms))
    plant.advance(plant.now_ms + 6_000)
    plant.publish(trade(LAST, plant.now_ms))
    for hub in plant.hubs.values():
        hub.flush()


@looped
async def test_clients_receive_the_messages_of_the_upstream_byte_for_byte() -> None:
    path = f"/stream?streams={'/'.join(AS_THEY_ARE)}"
    async with serve() as house, relay(house) as near:
        async with near.connect(path) as through, house.connect(path) as direct:
            await until(lambda: near.carries(*AS_THEY_ARE))
            much_happens(house)
            expected = await received(direct, str(LAST))
            got = await messages(through, len(expected))
        by_stream = [
            {
                name: [text for text in texts if f'{{"stream":"{name}"' in text]
                for name in AS_THEY_ARE
            }
            for texts in (expected, got)
        ]
        assert by_stream[0] == by_stream[1], "each stream in its order"
        silent = {name for name, texts in by_stream[0].items() if not texts}
        assert silent == {"ethusdt@trade", "nonsense", "BTCUSDT@depth@100ms"}
        assert near.server.readiness.skipped() == {}


@pytest.mark.parametrize("name", ["btcusdt@trade", "!miniTicker@arr", "btcusdt@depth@100ms"])
@looped
async def test_a_raw_connection_receives_the_same(name: str) -> None:
    async with (
        serve() as house,
        relay(house) as near,
        near.connect(f"/ws/{name}") as through,
        house.connect(f"/ws/{name}") as direct,
    ):
        await until(lambda: near.carries(name))
        much_happens(house)
        first = await direct.recv()
        assert await through.recv() == first


@looped
async def test_one_upstream_connection_set_serves_everybody() -> None:
    async with serve() as house, relay(house) as near, contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(near.connect("/ws/btcusdt@trade")) for _ in range(10)
        ]
        await until(lambda: near.carries("btcusdt@trade"))
        house.trade()
        assert len({await client.recv() for client in clients}) == 1
        assert near.upstream.runner.feed.counters.opened == 2, "one for each traffic class"
        assert near.upstream.subscriptions.names == ["!contractInfo", "btcusdt@trade"]


@looped
async def test_both_venues_are_relayed_at_once() -> None:
    async with serve() as house, relay(house, USDM, COINM) as near:
        for venue, symbol in ((USDM, "BTCUSDT"), (COINM, "BTCUSD_PERP")):
            name = f"{symbol.lower()}@trade"
            async with near.connect(f"/ws/{name}", venue) as client:
                await until(lambda name=name, venue=venue: near.carries(name, venue=venue))  # type: ignore[misc]
                house.trade(symbol)
                assert json.loads(await client.recv())["s"] == symbol
        assert (await near.get("/dapi/v1/ticker/price", COINM)).json[0]["symbol"] == "BTCUSD_PERP"


@looped
async def test_what_is_not_in_a_known_form_is_passed_on_and_counted_and_breaks_nothing() -> None:
    odd = [b'{"e":"trade","t":"seven"}', b'{"e":"trade","t":[]}', b"[1,2]", b"7", b"{}"]
    async with serve() as house, relay(house) as near:
        async with near.connect("/ws/btcusdt@trade") as client:
            await until(lambda: near.carries("btcusdt@trade"))
            hub = house.plant.hubs["usdm"]
            for payload in odd:
                hub.broadcast("btcusdt@trade", payload)
            hub.broadcast(
                "btcusdt@trade",
                b'{"e":"trade","E":1,"T":1,"s":"WHAT","t":1,"p":"1","q":"1","m":true}',
            )
            hub.broadcast("btcusdt@trade", b'{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":2}')
            house.trade()
            got = [text.encode() for text in await received(client, '"p":"65280.10"')]
        assert got[: len(odd)] == odd, "each once"
        assert len(got) == len(odd) + 3
        left_out = near.server.readiness.skipped()
        assert left_out["unknown form"] + left_out["unknown symbol"] == len(odd) + 2
        counted = await near.metrics()
        assert counted['tickerplant_source_skipped_total{reason="unknown form"}'] == len(odd) + 1
        assert near.upstream.runner.feed.counters.lost == 0


@looped
async def test_a_fault_of_ours_in_one_message_costs_that_message_alone() -> None:
    async with relayed("/stream?streams=btcusdt@trade/btcusdt@depth@100ms") as (
        house,
        near,
        client,
    ):
        await until(lambda: near.carries("btcusdt@trade", "btcusdt@depth@100ms"))
        publish, near.plant.publish = near.plant.publish, broken  # type: ignore[method-assign]
        house.plant.publish(snapshot(100, [(6_528_000, 1)], [(6_528_010, 1)], START_MS))
        house.plant.publish(update(100, 102, [(6_528_000, 2)], [], START_MS))
        house.trade()
        house.plant.advance(START_MS + 100)
        assert "depthUpdate" in (await messages(client, 2))[1]
        await until(lambda: near.server.readiness.skipped().get("fault", 0) >= 2)
        near.plant.publish = publish  # type: ignore[method-assign]
        house.trade()
        await client.recv()
        assert near.plant.markets["BTCUSDT"].trades


def broken(event: object) -> None:
    raise ZeroDivisionError(event)


# Depth is made here


class Reader:
    """A client of depth streams, and the books that it makes of them."""

    def __init__(self, near: Relay, client: ClientConnection) -> None:
        self.books = {name: LocalBook("BTCUSDT", limit=1000) for name in DIFFS}
        self.last: dict[str, Any] = {}
        """The last message of each stream."""
        self._near = near
        self._client = client

    async def begin(self) -> None:
        """Make the books live, with snapshots of the relay."""
        await until(lambda: self._near.plant.markets["BTCUSDT"].book_live)
        while not all(book.state is BookState.LIVE for book in self.books.values()):
            await self.read(20)
            answer = await self._near.get("/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
            for book in self.books.values():
                if book.state is not BookState.LIVE:
                    book.snapshot_requested(0)
                    book.load(answer.body, 0)

    async def read(self, count: int) -> None:
        for _ in range(count):
            message = json.loads(await self._client.recv())
            name = message["stream"]
            self.last[name] = message["data"]
            if name in self.books:
                change = reader(name).decode(json.dumps(message["data"]).encode())
                assert isinstance(change, DepthUpdate)
                self.books[name].offer(change, 0)

    async def drain(self, final_id: int) -> None:
        """Read on until all is told."""
        while not all(self.last.get(name, {}).get("u") == final_id for name in (*DIFFS, *TOPS)):
            await self.read(1)


DIFFS = ("btcusdt@depth", "btcusdt@depth@100ms", "btcusdt@depth@500ms")
TOPS = tuple(f"btcusdt@depth{levels}@{speed}ms" for levels in (5, 10, 20) for speed in (100, 500))


@looped
async def test_every_speed_and_depth_rebuilds_the_book_of_the_upstream_from_one_stream() -> None:
    async with simulation(("BTCUSDT",), speed=4.0) as house, relay(house, grace_ms=60_000) as near:
        path = f"/stream?streams={'/'.join((*DIFFS, *TOPS))}"
        async with near.connect(path) as client:
            clients = Reader(near, client)
            await clients.begin()
            await clients.read(60)
            assert all(book.counters.gaps == 0 for book in clients.books.values())
            house.server.start_outage(
                "usdm", ["!contractInfo", DIFFS[1]], "a test"
            )  # cuts the relay off
            assert await ending(client) == LOST, "nobody is misled"
        async with near.connect(path) as client:
            clients = Reader(near, client)
            await clients.begin()
            await clients.read(60)
            assert all(book.counters.gaps == 0 for book in clients.books.values())
            await house.freeze()
            await clients.drain(house.plant.markets["BTCUSDT"].book.last_update_id)
        assert near.upstream.subscriptions.names == ["!contractInfo", "btcusdt@depth@100ms"]
        market = house.plant.markets["BTCUSDT"]
        bids, asks = printed(market, 1000)
        for name, book in clients.books.items():
            assert book.bids(500) == bids[:500], name
            assert book.asks(500) == asks[:500], name
        for name in TOPS:
            levels = int(name.partition("@depth")[2].partition("@")[0])
            assert clients.last[name]["b"] == list(map(list, bids[:levels])), name
            assert clients.last[name]["a"] == list(map(list, asks[:levels])), name
        count = await near.questions()
        answer = (await near.get("/fapi/v1/depth?symbol=BTCUSDT&limit=500")).json
        assert answer["bids"] == list(map(list, bids[:500]))
        assert await near.questions() == count, "it is answered here"


def printed(market: Market, count: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    prices, quantities = market.instrument.price.text, market.instrument.quantity.text
    bids, asks = market.book.top(count)
    return (
        [(prices[price], quantities[quantity]) for price, quantity in bids],
        [(prices[price], quantities[quantity]) for price, quantity in asks],
    )


@looped
async def test_mark_prices_every_three_seconds_are_made_of_those_of_every_second() -> None:
    async with serve() as house, relay(house) as near:
        async with near.connect("/stream?streams=btcusdt@markPrice/!markPrice@arr") as client:
            bases = ("btcusdt@markPrice@1s", "!markPrice@arr@1s")
            await until(lambda: near.carries(*bases))
            assert near.upstream.subscriptions.names == ["!contractInfo", *sorted(bases)]
            house.plant.publish(mark(START_MS))
            for second in range(1, 5):
                house.plant.advance(START_MS + second * 1_000)
            first, second_ = sorted(await messages(client, 2))
        for message in (json.loads(first)["data"][0], json.loads(second_)["data"]):
            assert (message["E"], message["p"]) == (START_MS + 3_000, "65275.40000000")


@looped
async def test_how_late_a_relay_is_counts_from_when_it_received_a_message() -> None:
    async with relayed("/stream?streams=btcusdt@bookTicker&stamps=1", grace_ms=60_000) as (
        house,
        near,
        client,
    ):
        await until(lambda: near.carries("btcusdt@bookTicker"))
        before_ns = time.time_ns()
        house.plant.publish(quote(7, START_MS))
        stamps = json.loads(await client.recv())["stamps"]
        assert before_ns <= stamps["event_ns"] <= stamps["publish_ns"] <= stamps["write_ns"]
        histogram = near.server.readiness.event_to_publish
        assert histogram.count >= 1
        assert 0 < histogram.sum_s < 60


@looped
async def test_no_mark_price_is_sent_that_is_not_received_any_more() -> None:
    async with relayed("/stream?streams=btcusdt@markPrice/btcusdt@bookTicker", grace_ms=60_000) as (
        house,
        near,
        client,
    ):
        await until(lambda: near.carries("btcusdt@markPrice@1s", "btcusdt@bookTicker"))
        house.plant.publish(mark(START_MS))
        house.plant.advance(START_MS + 1_000)
        await until(lambda: near.plant.markets["BTCUSDT"].mark_price)
        house.server.start_outage("usdm", ["btcusdt@markPrice@1s"], "a test")
        await until(lambda: not near.carries("btcusdt@markPrice@1s"))
        assert near.carries("btcusdt@bookTicker"), "over another connection"
        for number in range(5):
            near.upstream.on_time(START_MS + 1_000 * number, time.time_ns())
        house.plant.publish(quote(7, START_MS))
        assert json.loads(await client.recv())["stream"] == "btcusdt@bookTicker"
        assert near.plant.now_ms > START_MS + 3_000


@looped
async def test_a_pair_of_coin_m_is_made_here_too() -> None:
    async with serve() as house, relay(house, COINM) as near:
        async with near.connect("/ws/btcusd@markPrice", COINM) as client:
            await until(lambda: near.carries("btcusd@markPrice@1s", venue=COINM))
            house.plant.publish(mark(START_MS, "BTCUSD_PERP"))
            for second in range(1, 5):
                house.plant.advance(START_MS + second * 1_000)
            (message,) = json.loads(await client.recv())
        assert (message["s"], message["E"]) == ("BTCUSD_PERP", START_MS + 3_000)


@looped
async def test_what_is_about_contracts_that_are_not_known_here_is_passed_on() -> None:
    names = ["btcusd@markPrice", "!markPrice@arr", "btcusd_perp@markPrice", "ethusdt@depth5"]
    async with serve(profile=CURRENT) as house, relay(house) as near:
        assert near.plant.profile is CURRENT, "as the upstream says"
        async with near.connect(f"/stream?streams={'/'.join(names)}") as client:
            await until(lambda: near.carries(*names))
            house.plant.publish(mark(START_MS))
            house.plant.publish(mark(START_MS, "BTCUSD_PERP"))
            house.plant.advance(START_MS + 3_000)
            got = {json.loads(text)["stream"] for text in await messages(client, 3)}
        assert got == set(names[:3])


@looped
async def test_the_profile_can_be_another_than_that_of_the_upstream() -> None:
    async with serve(profile=CURRENT) as house, relay(house, profile=P2026Q1.name) as near:
        assert near.plant.profile is P2026Q1


# Time


@pytest.mark.parametrize("start_ms", [1_577_836_800_000, 2_208_988_800_000])
@looped
async def test_market_time_is_that_of_the_upstream_in_any_year_at_any_speed(start_ms: int) -> None:
    async with (
        simulation(("BTCUSDT",), start_ms=start_ms, speed=10.0) as house,
        relay(house) as near,
        near.connect("/stream?streams=btcusdt@depth@500ms/btcusdt@bookTicker") as client,
    ):
        await until(lambda: near.carries("btcusdt@bookTicker"))
        began_ms = house.plant.now_ms
        await messages(client, 50)
        await until(lambda: house.plant.now_ms > began_ms + 5_000)
        assert abs(near.plant.now_ms - house.plant.now_ms) < 3_000
        assert (await near.get("/fapi/v1/time")).json["serverTime"] >= began_ms
        assert near.server.readiness.warnings == []


def trade_payload(time_ms: int, trade_id: int) -> bytes:
    return b'{"e":"trade","E":%d,"T":1,"s":"BTCUSDT","t":%d,"p":"1","q":"1","m":true}' % (
        time_ms,
        trade_id,
    )


@pytest.mark.parametrize("ahead_ms", [50 * 60_000, 100 * 365 * 86_400_000])
@looped
async def test_a_clock_that_leaps_is_followed_without_holding_anything_up(
    ahead_ms: int,
) -> None:
    timing = RelayTiming(check_s=0, slice_s=0)  # a quick machine has caught up sooner
    far_ms = START_MS + ahead_ms
    async with relayed("/ws/btcusdt@trade", timing=timing) as (house, near, client):
        await until(lambda: near.carries("btcusdt@trade"))
        hub = house.plant.hubs["usdm"]
        hub.broadcast("btcusdt@trade", trade_payload(far_ms, 1))
        hub.broadcast("btcusdt@trade", trade_payload(START_MS + 10, 2))
        await messages(client, 2)
        assert near.plant.now_ms < START_MS + 2_000, "one message is not believed"
        for number in range(CONFIRMATIONS):
            hub.broadcast("btcusdt@trade", trade_payload(far_ms + number, 3 + number))
        await messages(client, CONFIRMATIONS)
        if ahead_ms < MAX_CONTINUOUS_MS:  # else there is nothing on the way
            while "catching up" not in near.server.readiness.reason:  # noqa: ASYNC110  # at every turn
                await asyncio.sleep(0)
        await until(lambda: near.plant.now_ms >= far_ms)
        await until(lambda: near.is_ready)
        hub.broadcast("btcusdt@trade", trade_payload(START_MS, 20))
        await client.recv()
        assert near.plant.now_ms >= far_ms, "never back"


# Questions


@looped
async def test_a_book_is_requested_upstream_until_it_is_maintained_here() -> None:
    clock = Clock()
    async with serve() as house, relay(house, clock=clock) as near:
        house.plant.publish(snapshot(100, [(6_528_000, 1)], [(6_528_010, 1)], START_MS))
        path = "/fapi/v1/depth?symbol=BTCUSDT&limit=5"
        first = await near.get(path)
        assert (first.status, first.json["bids"]) == (200, [["65280.00", "0.001"]])
        assert await near.questions() == 1
        assert near.upstream.subscriptions.names == ["!contractInfo"], "one question is no interest"
        await near.get(f"{path}&else=1")
        assert "btcusdt@depth@100ms" in near.upstream.subscriptions.names
        await until(lambda: near.plant.markets["BTCUSDT"].book_live)
        count = await near.questions()
        house.plant.publish(update(100, 102, [(6_528_000, 9)], [], START_MS))
        house.plant.advance(START_MS + 100)
        await until(lambda: near.plant.markets["BTCUSDT"].book.last_update_id == 102)
        third = await near.get(path)
        assert third.json["bids"] == [["65280.00", "0.009"]]
        assert (await near.get(path.replace("limit=5", "limit=7"))).json["code"] == -4021
        assert (await near.get(path.replace("5", "9" * 5_000))).json["code"] == -1100
        assert await near.questions() == count, "answered here"
        clock.now_ms += 2_000
        await until(lambda: near.upstream.subscriptions.names == ["!contractInfo"])
        assert not near.plant.markets["BTCUSDT"].book_live
        await near.get(path.replace("5", "10"))  # answers are kept for a moment
        assert await near.questions() == count + 1, "nobody asked for long"


@looped
async def test_the_best_prices_are_those_received_since_the_subscription() -> None:
    path = "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT"
    clock = Clock()
    async with serve() as house, relay(house, clock=clock) as near:
        house.plant.publish(quote(7, START_MS))
        asked = 0
        for round_ in range(2):
            async with near.connect("/ws/btcusdt@bookTicker") as client:
                await until(lambda: near.carries("btcusdt@bookTicker"))
                assert (await near.get(path)).status == 200
                asked += 1
                assert await near.questions() == asked, "it may be old"
                house.plant.publish(quote(8 + round_, START_MS))
                await client.recv()
                assert (await near.get(path)).json["bidQty"] == "0.004"
                request = {"id": 1, "method": "ticker.book", "params": {"symbol": "BTCUSDT"}}
                async with near.connect("/ws-fapi/v1") as asker:
                    assert (await ask(asker, request))["result"]["lastUpdateId"] == 8 + round_
                assert await near.questions() == asked, "answered here"
            clock.now_ms += 2_000
            await until(lambda: not near.carries("btcusdt@bookTicker"))
            await asyncio.sleep(0.3)  # what was answered is kept for so long


QUESTIONS = (
    *("exchangeInfo", "trades?symbol=BTCUSDT", "aggTrades?symbol=BTCUSDT", "depth?symbol=BTCUSDT"),
    *("klines?symbol=BTCUSDT&interval=1m", "premiumIndex", "fundingRate", "ticker/price"),
    *(
        "ticker/24hr?symbol=BTCUSDT",
        "ticker/24hr",
        "ticker/bookTicker",
        "fundingRate?symbol=BTCUSDT",
    ),
    *("rpiDepth?symbol=BTCUSDT", "premiumIndexKlines?symbol=BTCUSDT&interval=1m", "indexInfo"),
    *(
        "continuousKlines?pair=BTCUSDT&contractType=PERPETUAL&interval=5m",
        "assetIndex",
        "fundingInfo",
    ),
    *("klines?symbol=BTCUSDT", "trades?symbol=NONESUCH", "ticker/price?symbol=nonesuch", "trades"),
    *(
        "depth",
        "depth?symbol=BTCUSDT&limit=7",
        "klines?symbol=BTCUSDT&interval=7m",
        "trades?limit=x",
    ),
)


@looped
async def test_every_other_request_gets_the_response_of_the_upstream() -> None:
    async with serve() as house, relay(house) as near:
        happen(house.plant)
        for question in QUESTIONS:
            path = f"/fapi/v1/{question}"
            expected, got = await house.get(path), await near.get(path)
            assert (got.status, got.body) == (expected.status, expected.body), question
        for path in (
            "/fapi/v1/ping",
            "/futures/data/basis?pair=BTCUSDT&contractType=PERPETUAL&period=5m",
        ):
            assert (await near.get(path)).body == (await house.get(path)).body
        assert await near.questions() > len(QUESTIONS) - 3


@looped
async def test_the_time_is_requested_while_no_message_carries_it() -> None:
    async with serve() as house, relay(house) as near:
        house.plant.advance(START_MS + 3_600_000)
        assert (await near.get("/fapi/v1/time")).json["serverTime"] == START_MS + 3_600_000
        assert await near.questions() == 1
        async with near.connect("/ws/btcusdt@trade") as client:
            await until(lambda: near.carries("btcusdt@trade"))
            house.trade()
            await client.recv()
            assert (await near.get("/fapi/v1/ping")).status == 200
            assert (await near.get("/fapi/v1/time")).status == 200
            assert await near.questions() == 1, "it is told"


@looped
async def test_the_web_socket_api_answers_as_that_of_the_upstream() -> None:
    async with (
        serve() as house,
        relay(house) as near,
        house.connect("/ws-fapi/v1") as direct,
        near.connect("/ws-fapi/v1") as through,
    ):
        happen(house.plant)
        for number, (method, params) in enumerate(
            [
                ("depth", {"symbol": "BTCUSDT", "limit": 5}),
                ("ticker.price", {"symbol": "BTCUSDT"}),
                ("ticker.price", {}),
                ("ticker.book", {"symbol": "BTCUSDT"}),
                ("ticker.book", {}),
                ("ticker.book", {"symbol": "NONESUCH"}),
                ("depth", {"symbol": "BTCUSDT", "limit": "x"}),
                ("nonsense", {}),
            ]
        ):
            request = {"id": number, "method": method, "params": params}
            expected, got = await ask(direct, request), await ask(through, request)
            for reply in (expected, got):
                reply.pop("rateLimits", None)
            assert got == expected, request


@looped
async def test_equal_requests_at_once_are_answered_with_one() -> None:
    async with serve() as house, relay(house) as near:
        happen(house.plant)
        path = "/fapi/v1/ticker/24hr"
        answers = await asyncio.gather(*(near.get(path) for _ in range(10)))
        assert len({answer.body for answer in answers}) == 1
        assert await near.questions() == 1
        assert await near.questions("coalesced") + await near.questions("cached") == 9


# What is wanted


@looped
async def test_a_stream_is_kept_for_a_while_after_its_last_listener() -> None:
    clock = Clock()
    async with serve() as house, relay(house, clock=clock) as near:
        async with near.connect("/ws/btcusdt@trade"):
            await until(lambda: near.carries("btcusdt@trade"))
        await until(lambda: not near.plant.hubs["usdm"].channels)
        clock.now_ms += 999
        await asyncio.sleep(0.6)
        assert near.carries("btcusdt@trade")
        async with near.connect("/ws/btcusdt@trade") as client:
            house.trade()
            await client.recv()
        clock.now_ms += 1_000
        await until(lambda: "btcusdt@trade" not in near.upstream.runner.feed.merged_streams)
        await until(lambda: house.plant.hubs["usdm"].channels.keys() == {"!contractInfo"})
        async with near.connect("/ws/btcusdt@trade") as client:
            await until(lambda: near.carries("btcusdt@trade"))
            house.trade()
            assert json.loads(await client.recv())["e"] == "trade"


@looped
async def test_there_is_a_bound_on_what_clients_can_make_the_relay_ask_for() -> None:
    async with serve() as house, relay(house, max_streams=4) as near:
        names = [f"nonsense{number}" for number in range(3)]
        async with near.connect("/ws") as greedy, near.connect("/ws") as client:
            await subscribe(greedy, *names)
            await subscribe(client, "btcusdt@trade")
            await until(lambda: near.server.readiness.warnings)
            assert "1 stream is not subscribed to upstream" in near.server.readiness.warnings[0]
            counted = await near.metrics()
            assert counted['tickerplant_upstream_streams{venue="usdm"}'] == 4
            assert counted['tickerplant_upstream_unsubscribed_streams{venue="usdm"}'] == 1
            assert counted['tickerplant_upstream_streams_rejected_total{venue="usdm"}'] == 1
            assert counted["tickerplant_source_ready"] == 1
            await greedy.close()
            await until(lambda: near.carries("btcusdt@trade"))
            house.trade()
            assert json.loads(await client.recv())["e"] == "trade", "there is room"
            await until(lambda: not near.server.readiness.warnings)


@looped
async def test_what_can_be_no_stream_costs_nobody_the_upstream() -> None:
    async with serve() as house, relay(house) as near:
        async with near.connect("/ws") as client:
            odd = ["a" * 200, "no stream", 'a"b', "\u0000", "\u202e", "btcusdt@trade"]
            await subscribe(client, *odd)
            await until(lambda: near.carries("btcusdt@trade"))
            house.trade()
            await client.recv()
            assert set(near.upstream.subscriptions.unsubscribed) == set(odd[:-1])
            assert near.upstream.runner.feed.counters.lost == 0
        await until(lambda: not near.upstream.subscriptions.unsubscribed)


# Contracts


@looped
async def test_contracts_come_and_go_as_they_do_upstream() -> None:
    async with relayed(
        "/stream?streams=!contractInfo/ethusdt@depth5/ethusdt@depth@100ms",
        timing=RelayTiming(check_s=0, relist_delay_s=0.02),
    ) as (house, near, client):
        await until(lambda: near.carries("ethusdt@depth@100ms", "ethusdt@depth5"))
        house.plant.publish(ContractChanged("ETHUSDT", ETHUSDT, (), START_MS))
        assert json.loads(await client.recv())["data"]["s"] == "ETHUSDT"
        await until(lambda: "ETHUSDT" in near.plant.markets)
        assert near.plant.markets["ETHUSDT"].instrument.symbol == "ETHUSDT"
        house.plant.publish(
            snapshot(100, [(6_528_000, 1)], [(6_528_010, 1)], START_MS, symbol="ETHUSDT")
        )
        await until(lambda: near.plant.markets["ETHUSDT"].book_live)
        gone = structs.replace(ETHUSDT, status="CLOSE")
        house.plant.publish(ContractChanged("ETHUSDT", gone, (), START_MS))
        await until(lambda: "ETHUSDT" not in near.plant.markets)
        assert (await near.get("/fapi/v1/depth?symbol=ETHUSDT")).json["code"] == -1121


@looped
async def test_a_contract_with_new_scales_is_relisted() -> None:
    async with relayed("/ws/btcusdt@depth5@100ms") as (house, near, client):
        house.plant.publish(snapshot(100, [(6_528_000, 1)], [(6_528_010, 1)], START_MS))
        await until(lambda: near.plant.markets["BTCUSDT"].book_live)
        finer = structs.replace(BTCUSDT, price=Scale(3))
        near.upstream.update_contracts([finer])
        market = near.plant.markets["BTCUSDT"]
        assert market.book_live
        assert market.book.best_bid == (65_280_000, 1)
        later_ms = START_MS + 2_000  # time goes on here for a second when nothing is told
        house.plant.advance(later_ms)
        house.plant.publish(update(100, 102, [(6_528_000, 9)], [], later_ms))
        house.plant.advance(later_ms + 100)
        assert json.loads(await client.recv())["b"] == [["65280.000", "0.009"]]


# Loss


@looped
async def test_clients_are_disconnected_when_the_upstream_is_lost_and_accepted_when_it_is_back() -> (
    None
):
    async with contextlib.AsyncExitStack() as stack:
        life = contextlib.AsyncExitStack()
        house = await life.enter_async_context(simulation(("BTCUSDT",), speed=4.0))
        port = int(house.server.urls["usdm"].rpartition(":")[2])
        near = await stack.enter_async_context(relay(house))
        client = await stack.enter_async_context(near.connect("/ws/btcusdt@depth5@500ms"))
        asker = await stack.enter_async_context(near.connect("/ws-fapi/v1"))
        await messages(client, 2)
        ids = json.loads(await client.recv())["u"]
        await life.aclose()
        assert await ending(client) == LOST
        assert not near.is_ready
        ready = await near.get("/readyz")
        assert (ready.status, "upstream is lost" in ready.json["reason"]) == (503, True)
        counted = await near.metrics()
        assert counted['tickerplant_upstream_lost{venue="usdm"}'] == 1
        assert counted['tickerplant_upstream_connections{venue="usdm"}'] == 0
        with pytest.raises(InvalidStatus) as refused:
            await near.connect("/ws/btcusdt@trade")
        assert refused.value.response.status_code == 503
        assert (await ask(asker, {"id": 1, "method": "ping"}))["status"] == 200
        answer = await near.get("/fapi/v1/ticker/price?symbol=BTCUSDT")
        assert (answer.status, answer.json["code"]) == (503, -1001)
        # The same market from the beginning: its ids and its time are lower.
        await stack.enter_async_context(
            simulation(("BTCUSDT",), speed=4.0, port=port, start_ms=START_MS - 86_400_000)
        )
        await until(lambda: near.is_ready)
        again = await stack.enter_async_context(near.connect("/ws/btcusdt@depth5@500ms"))
        message = json.loads(await again.recv())
        assert message["u"] < ids, "the ids began anew"
        assert (await near.get("/fapi/v1/ticker/price?symbol=BTCUSDT")).status == 200


@looped
async def test_when_one_of_several_connections_is_lost_only_its_subscribers_are_disconnected() -> (
    None
):
    settings = tuned(EAGER, max_streams=1)
    async with (
        serve() as house,
        relay(house, settings=settings) as near,
        near.connect("/ws/btcusdt@trade") as hearer,
        near.connect("/ws/btcusdt@aggTrade") as other,
    ):
        await until(lambda: near.carries("btcusdt@trade", "btcusdt@aggTrade"))
        near.upstream.runner.feed.merged_streams["btcusdt@trade"].primary = None
        near.upstream.runner.feed.merged_streams["btcusdt@trade"].disconnected_ms = 0
        assert await ending(hearer) == LOST
        assert (await ask(other, {"method": "LIST_SUBSCRIPTIONS", "id": 1}))["result"]
        async with near.connect("/ws/btcusdt@aggTrade"):
            pass


# An upstream with faults

IMPATIENT = tuned(EAGER, idle_ms=100, pong_timeout_ms=100, ack_timeout_ms=300)


@pytest.mark.parametrize(
    "faults",
    [
        "reset=200ms",
        "close=1001@200ms",
        "garbage=10ms",
        "invalid_utf8=200ms",
        "chain=100ms",
        "refuse=0.5,reset=300ms",
        "stall=300ms@300ms",
        "fields=0.5",
        "words=0.5",
        "no_ack=0.5",
        "http_503=0.5",
        "http_garbage=0.5",
    ],
)
@looped
async def test_streams_flow_from_an_upstream_with_faults(faults: str) -> None:
    seen: list[str] = []
    async with (
        simulation(("BTCUSDT",), speed=4.0, faults=faults) as house,
        relay(house, grace_ms=60_000, settings=IMPATIENT, received=False) as near,
    ):
        while len(set(seen)) < 3 or len(seen) < 300:
            path = "/stream?streams=btcusdt@trade/btcusdt@depth@500ms/btcusdt@bookTicker"
            async with near.connect(path) as client:
                with contextlib.suppress(ConnectionClosed):  # it is told of each loss
                    while len(set(seen)) < 3 or len(seen) < 300:
                        seen.append(json.loads(await client.recv())["stream"])
        assert near.server.readiness.skipped().get("fault", 0) == 0


# A relay of a relay


@looped
async def test_a_relay_can_be_relayed() -> None:
    names = ("btcusdt@trade", "btcusdt@depth@500ms", "btcusdt@kline_1m", "!miniTicker@arr")
    path = f"/stream?streams={'/'.join(names)}"
    async with (
        simulation(("BTCUSDT",), speed=4.0) as house,
        relay(house) as near,
        relay(near) as far,
    ):
        async with far.connect(path) as client:
            streams: set[str] = set()
            while len(streams) < len(names):
                streams.add(json.loads(await client.recv())["stream"])
            async with house.connect("/ws/btcusdt@trade", max_queue=None) as direct:
                expected = json.loads(await direct.recv())
                text = json.dumps(expected, separators=(",", ":"))
                assert await received(client, text)
        await until(lambda: far.plant.markets["BTCUSDT"].book_live)
        assert (await far.get("/fapi/v1/depth?symbol=BTCUSDT&limit=5")).status == 200
        assert (await far.get("/fapi/v1/ticker/24hr?symbol=BTCUSDT")).json["symbol"] == "BTCUSDT"
        assert far.plant.markets.keys() == house.plant.markets.keys()
