"""What a consumer sees of faults that change what the exchange says: messages and snapshots.

Whatever can be known from ids, numbers and times is reported; what cannot is tested as such.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from consumers import TRADES, client_of, every, kinds, read
from loopback import Loopback, ask, loopback, looped, until
from test_books import BTC, exchange, inside, kept, until_live
from test_faulty_server import hearing, trade

from tickerplant import ConfigError
from tickerplant.faults.board import FaultOn
from tickerplant.faults.rule import parse_rule
from tickerplant.feed.order_book import BookState
from tickerplant.messages import BookResyncing, DecodeFailed, Gap, Notice
from tickerplant.notices import BookSynced
from tickerplant.truth.truth import Truth

QUOTES = "btcusdt@bookTicker"


def fault(house: Loopback, rule: str) -> FaultOn:
    return house.server.faults.add(parse_rule(rule))


# Messages with ids


@pytest.mark.parametrize(("rule", "backfill"), [("drop", False), ("drop", True), ("chain", False)])
@looped
async def test_a_trade_that_was_left_out_is_reported_or_filled_in(
    rule: str, backfill: bool
) -> None:
    async with loopback() as house, hearing(house, backfill=backfill) as (_, subscription):
        on = fault(house, f"{rule} once=true stream={TRADES}")
        await trade(house, 3)
        gap, *rest = await read(subscription, 4 if backfill else 3)
        reported = (gap.after_id, gap.before_id, gap.missing, gap.backfilled)
        assert reported == (3, 5, 1, int(backfill))
        assert kinds(rest) == (["4", "5", "6"] if backfill else ["5", "6"])
        assert on.hits == 1


@looped
async def test_a_trade_that_comes_twice_is_counted_and_delivered_once() -> None:
    async with loopback() as house, hearing(house) as (market, subscription):
        on = fault(house, "duplicate")
        await trade(house, 3)
        assert kinds(await read(subscription, 3)) == ["4", "5", "6"]
        await until(lambda: market.counters.duplicates == 3)
        assert (on.hits, subscription.pending) == (3, 0)


@pytest.mark.parametrize("backfill", [False, True])
@looped
async def test_of_trades_that_changed_places_one_is_missing_unless_it_is_filled_in(
    backfill: bool,
) -> None:
    async with loopback() as house, hearing(house, backfill=backfill) as (market, subscription):
        fault(house, "reorder once=true")
        await trade(house, 3)
        if backfill:
            assert kinds(await read(subscription, 3)) == ["4", "5", "6"]
        else:
            assert kinds(await read(subscription, 3)) == ["Gap", "5", "6"]
        assert market.counters.out_of_order == (0 if backfill else 1)
        assert subscription.pending == 0


@looped
async def test_a_trade_that_comes_too_late_was_reported_as_missing() -> None:
    async with loopback() as house, hearing(house) as (market, subscription):
        fault(house, "delay=2s once=true")
        await trade(house, 2)
        gap, message = await read(subscription, 2)
        assert (gap.after_id, gap.before_id, gap.missing) == (3, 5, 1)
        assert message.trade_id == 5
        house.clock.now_ms += 2_000
        await until(lambda: market.counters.out_of_order == 1)
        await trade(house, 1)
        assert kinds(await read(subscription, 1)) == ["6"]


# Messages that are not as documented


@pytest.mark.parametrize("rule", ["missing_field=p", "missing_field=E", "numbers"])
@looped
async def test_a_trade_that_cannot_be_read_is_reported_and_missing(rule: str) -> None:
    async with loopback() as house, hearing(house) as (market, subscription):
        fault(house, f"{rule} once=true")
        await trade(house, 2)
        failed, gap, message = await read(subscription, 3)
        assert isinstance(failed, DecodeFailed)
        assert failed.streams == (TRADES,)
        assert failed.reason
        assert (gap.after_id, gap.before_id, gap.missing) == (3, 5, 1)
        assert message.trade_id == 5
        assert market.counters.unreadable == 1


@looped
async def test_a_trade_of_another_scale_cannot_be_known() -> None:
    async with loopback() as house, hearing(house) as (_, subscription):
        fault(house, "scale=1 once=true")
        await trade(house, 2)
        wrong, right = await read(subscription, 2)
        assert (wrong.price, right.price) == ("652801.0", "65280.10")


@pytest.mark.parametrize("by", ["1h", "-1h"])
@looped
async def test_a_clock_that_is_off_and_is_set_right_costs_nothing(by: str) -> None:
    async with loopback() as house, hearing(house) as (market, subscription):
        on = fault(house, f"clock={by}")
        await trade(house, 2)
        house.server.faults.remove(on.id)
        await trade(house, 2)
        messages = await read(subscription, 4)
        assert kinds(messages) == ["4", "5", "6", "7"]
        off = [each.event_time_ms - house.plant.now_ms for each in messages]
        hour = 3_600_000 if by == "1h" else -3_600_000
        assert off == [hour, hour, 0, 0]
        assert (market.counters.gaps, market.counters.out_of_order) == (0, 0)


# Books that follow updates


@pytest.mark.parametrize(
    ("rule", "token", "notices"),
    [
        ("drop once=true", "gap", [Gap, BookResyncing]),
        ("reorder once=true", "gap", [Gap, BookResyncing]),
        ("numbers once=true", "gap", [DecodeFailed, Gap, BookResyncing]),
        ("scale=3 once=true", "crossed", [BookResyncing]),
    ],
)
@looped
async def test_a_book_is_rebuilt_whatever_is_wrong_with_an_update(
    rule: str, token: str, notices: list[type[Notice]]
) -> None:
    seen: list[Any] = []

    def note(_: Any, item: Any) -> None:
        if isinstance(item, Notice):
            seen.append(item)

    async with exchange(BTC) as house, kept(house, on_update=note) as (_, books):
        seen.clear()
        fault(house, f"{rule} stream=btcusdt@depth@100ms")
        await until(lambda: any(isinstance(each, BookResyncing) for each in seen))
        await until_live(books)
        assert [type(each) for each in seen][: len(notices)] == notices
        assert seen[len(notices) - 1].reason == token
        assert [type(each) for each in seen].count(BookSynced) == 1
        assert (await books.audit(BTC)).score == 1.0
        assert inside(books).counters.resyncs == 1


@looped
async def test_a_book_whose_updates_come_twice_stays_live_and_true() -> None:
    async with exchange(BTC) as house, kept(house) as (market, books):
        fault(house, "duplicate stream=btcusdt@depth*")
        await until(lambda: market.counters.duplicates > 5)
        assert inside(books).counters.resyncs == 0
        assert (await books.audit(BTC)).score == 1.0


@looped
async def test_quantities_of_another_scale_are_found_by_an_audit() -> None:
    async with exchange(BTC) as house, kept(house) as (_, books):
        on = fault(house, "scale=1 of=quantity times=5 stream=btcusdt@depth*")
        await until(lambda: on.hits)
        applied = inside(books).counters.applied
        await until(lambda: inside(books).counters.applied > applied)
        result = await books.audit(BTC)
        assert books[BTC].is_live, "no update says so"
        assert result.wrong > 0
        assert result.score is not None
        assert result.score < 1


@looped
async def test_books_do_not_mind_a_clock_that_is_off() -> None:
    async with exchange(BTC) as house:
        fault(house, "clock=-1h")
        async with kept(house) as (_, books):
            house.server.faults.clear()
            applied = inside(books).counters.applied
            await until(lambda: inside(books).counters.applied > applied + 3)
            assert inside(books).counters.resyncs == 0
            assert (await books.audit(BTC)).score == 1.0


# Snapshots


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("crossed_book", "the snapshot cannot be used: crossed: bid "),
        ("empty_book side=bids", "the snapshot cannot be used: it has no bids;"),
        ("stale_snapshot", "the snapshot "),
    ],
)
@looped
async def test_a_book_refuses_a_wrong_snapshot_and_says_why(rule: str, reason: str) -> None:
    async with exchange(BTC) as house:
        on = fault(house, rule)
        house.go_on(1_000)
        async with (
            client_of(house) as market,
            market.books(BTC) as books,
            every(0.02, house.go_on),
        ):
            await until(lambda: on.hits)
            await until(lambda: books[BTC].reason.startswith(reason))
            assert books[BTC].state is BookState.SYNCING
            house.server.faults.clear()
            await until_live(books)
            counters = inside(books).counters
            assert counters.snapshots_failed + counters.snapshots_unused >= 1
            assert (await books.audit(BTC)).score == 1.0


@looped
async def test_in_a_quiet_market_a_stale_snapshot_is_found_out_by_the_next_update() -> None:
    async with exchange(BTC) as house:
        on = fault(house, "stale_snapshot once=true")
        house.go_on(5_000)
        async with client_of(house) as market, market.books(BTC) as books:
            await books.wait_until_live()
            assert on.hits == 1
            stale_id = books[BTC].update_id
            seen = inside(books).counters
            async with every(0.02, house.go_on):
                await until(lambda: seen.gaps)
                await until(lambda: books[BTC].is_live and books[BTC].update_id > stale_id)
                assert (await books.audit(BTC)).score == 1.0


@looped
async def test_an_empty_book_is_believed_the_second_time() -> None:
    async with exchange(BTC) as house:
        fault(house, "empty_book times=2")
        async with client_of(house) as market, market.books(BTC) as books:
            await books.wait_until_live(5)
            assert books[BTC].bids() == []
            assert inside(books).counters.snapshots_failed == 1


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("crossed_book", "the snapshot cannot be used: crossed"),
        ("stale_snapshot", "is older than the journal"),
    ],
)
@looped
async def test_an_audit_with_a_wrong_snapshot_is_skipped_with_the_reason(
    rule: str, reason: str
) -> None:
    async with exchange(BTC) as house:
        house.go_on(1_000)
        async with kept(house) as (_, books):
            fault(house, rule)
            applied = inside(books).counters.applied
            await until(lambda: inside(books).counters.applied > applied + 3)
            result = await books.audit(BTC)
            assert reason in result.skipped_reason
            assert books[BTC].is_live


# Answers over REST and the WebSocket API

DEPTH = "/fapi/v1/depth?symbol=BTCUSDT&limit=20"
EXEMPT = {"X-Tickerplant-Exempt": "1"}


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
