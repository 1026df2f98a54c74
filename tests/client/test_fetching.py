"""Typed REST: pages are put together, in order, without a row twice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from loopback import START_MS, Loopback, loopback, looped
from misbehaving import Fault, TimeSpec, http, scripted

from tickerplant.client.fetching import MAX_ROWS, Fetcher
from tickerplant.client.rest import RestClient
from tickerplant.errors import ConfigError, RateLimitError, RequestError, UpstreamError
from tickerplant.events import FundingPaid
from tickerplant.feed.hosts import hosts_of
from tickerplant.feed.weight import WeightBudget
from tickerplant.units import HOUR_MS, MINUTE_MS, NS_PER_MS
from tickerplant.venue import COINM, USDM, Venue

SYMBOLS = {USDM: "BTCUSDT", COINM: "BTCUSD_PERP"}


@asynccontextmanager
async def fetcher_at(
    url: str, venue: Venue = USDM, api_key: str | None = None
) -> AsyncIterator[Fetcher]:
    budget = WeightBudget(limit_per_minute=100_000)
    rest = RestClient(hosts_of(venue, url), budget, api_key=api_key)
    try:
        yield Fetcher(rest, venue, api_key)
    finally:
        await rest.close()


def fetcher_of(house: Loopback, venue: Venue = USDM, api_key: str | None = None) -> Any:
    return fetcher_at(f"http://{house.server.urls[venue.name]}", venue, api_key)


def at(minute: float) -> int:
    """Return a time in ns."""
    return int(START_MS + minute * MINUTE_MS) * NS_PER_MS


async def minutes(house: Loopback, count: int, symbol: str) -> None:
    """Let a trade happen in each minute, and end in the middle of the one after."""
    for number in range(count + 1):
        house.plant.advance(START_MS + number * MINUTE_MS)
        house.trade(symbol)
    house.plant.advance(START_MS + count * MINUTE_MS + 30_000)


def opened(candles: Any) -> list[int]:
    return [(each.open_time_ms - START_MS) // MINUTE_MS for each in candles]


@pytest.mark.parametrize("venue", [USDM, COINM], ids=lambda venue: venue.name)
@looped
async def test_candles_are_fetched_in_pages_and_the_last_one_is_open(venue: Venue) -> None:
    async with loopback() as house, fetcher_of(house, venue) as fetcher:
        symbol = SYMBOLS[venue]
        await minutes(house, 1_700, symbol)
        last = await fetcher.candles(symbol.lower(), "1m", None, None, 1_600, None)
        assert opened(last) == list(range(101, 1_701))
        assert [each.is_closed for each in last] == [True] * 1_599 + [False]
        assert (last[0].interval, last[0].symbol) == ("1m", symbol)
        by_default = await fetcher.candles(symbol, "1m", None, None, None, None)
        assert opened(by_default) == list(range(1_201, 1_701))
        everything = await fetcher.candles(symbol, "1m", at(0), at(1_700), None, None)
        assert opened(everything) == list(range(1_700))
        assert all(each.is_closed for each in everything)
        first = await fetcher.candles(symbol, "1m", at(0.5), None, 1_600, None)
        assert opened(first) == list(range(1, 1_601))
        until = await fetcher.candles(symbol, "1m", None, at(1_601), 1_550, None)
        assert opened(until) == list(range(51, 1_601))
        assert not await fetcher.candles(symbol, "1m", at(1_800), at(1_900), None, None)
        one = datetime.fromtimestamp(START_MS / 1000, UTC) + timedelta(hours=1)
        (candle,) = await fetcher.candles(symbol, "1h", one, "+1h", None, None)
        assert candle.open_time_ms == START_MS + HOUR_MS


@looped
async def test_trades_need_a_key_beyond_a_thousand() -> None:
    async with loopback() as house:
        house.trade(count=2_400)
        async with fetcher_of(house) as fetcher:
            last = await fetcher.trades("btcusdt", None, 1_000, None)
            assert [each.trade_id for each in last] == list(range(1_401, 2_401))
            with pytest.raises(ConfigError, match=r"1001.*at most 1000 without an API key \(conn"):
                await fetcher.trades("BTCUSDT", None, 1_001, None)
            with pytest.raises(ConfigError, match=r"from_id.*an API key"):
                await fetcher.trades("BTCUSDT", 5, 10, None)
        async with fetcher_of(house, api_key="k") as fetcher:
            last = await fetcher.trades("BTCUSDT", None, 2_150, None)
            assert [each.trade_id for each in last] == list(range(251, 2_401))
            every = await fetcher.trades("BTCUSDT", None, 5_000, None)
            assert [each.trade_id for each in every] == list(range(1, 2_401))
            some = await fetcher.trades("BTCUSDT", 7, 1_200, None)
            assert [each.trade_id for each in some] == list(range(7, 1_207))


@looped
async def test_aggregate_trades_are_fetched_by_time_and_by_id() -> None:
    async with loopback() as house, fetcher_of(house) as fetcher:
        for number in range(2_500):
            house.plant.advance(START_MS + number * 1_000)
            house.trade()
        house.plant.advance(START_MS + 2_500_000)

        async def ids(*args: Any, limit: int | None = None) -> list[int]:
            rows = await fetcher.aggregate_trades("BTCUSDT", *args, limit, None)
            return [row.aggregate_id for row in rows]

        assert await ids(None, None, None) == list(range(2_001, 2_501))
        assert await ids(None, None, None, limit=2_300) == list(range(201, 2_501))
        assert await ids(None, None, 100, limit=1_500) == list(range(100, 1_600))
        second = NS_PER_MS * 1_000
        begin = START_MS * NS_PER_MS
        assert await ids(begin + 9 * second, None, None, limit=1_500) == list(range(10, 1_510))
        assert await ids(begin, begin + 1_200 * second, None) == list(range(1, 1_201))
        assert await ids(None, begin + 1_200 * second, None, limit=1_100) == list(range(101, 1_201))
        with pytest.raises(ConfigError, match="from_id"):
            await ids(begin, None, 5)


def funding(hours: range, *symbols: str) -> bytes:
    """Return a page of funding rates, paid by the hour."""
    rows = [
        {"symbol": each, "fundingTime": START_MS + hour * HOUR_MS, "fundingRate": "0.0001"}
        for hour in hours
        for each in symbols
    ]
    return http(200, msgspec.json.encode(rows))


def paid(rates: list[Any]) -> list[tuple[str, int]]:
    return [(each.symbol, (each.funding_time_ms - START_MS) // HOUR_MS) for each in rates]


@looped
async def test_funding_rates_are_fetched_back_from_the_last_and_on_from_a_start() -> None:
    pages = funding(range(300, 1_300), "A"), funding(range(301), "A")
    async with scripted(*pages) as script, fetcher_at(script.base) as fetcher:
        rates = await fetcher.funding_rates("a", None, None, 1_250, None)
        assert paid(rates) == [("A", hour) for hour in range(50, 1_300)]
        assert b"endTime=%d&" % (START_MS + 300 * HOUR_MS) in script.asked[1]
    pages = funding(range(500), "A", "B"), funding(range(499, 600), "A", "B")
    async with scripted(*pages) as script, fetcher_at(script.base) as fetcher:
        rates = await fetcher.funding_rates(None, START_MS * NS_PER_MS, None, 1_100, None)
        assert paid(rates) == [(each, hour) for hour in range(550) for each in "AB"]
        assert b"startTime=%d&" % (START_MS + 499 * HOUR_MS) in script.asked[1]
        assert b"symbol" not in script.asked[0]


@looped
async def test_funding_rates_on_coin_m_need_a_symbol() -> None:
    async with loopback() as house, fetcher_of(house, COINM) as fetcher:
        rate = FundingPaid("BTCUSD_PERP", 10_000, 6_500_000_000_000, START_MS)
        house.plant.publish(rate)
        (last,) = await fetcher.funding_rates("BTCUSD_PERP", None, None, 1, None)
        assert (last.funding_time_ms, last.funding_rate) == (START_MS, "0.00010000")
        with pytest.raises(ConfigError, match="symbol is missing: expected a symbol on COIN-M"):
            await fetcher.funding_rates(None, None, None, None, None)


@pytest.mark.parametrize("venue", [USDM, COINM], ids=lambda venue: venue.name)
@looped
async def test_instruments_have_their_rules(venue: Venue) -> None:
    async with loopback() as house, fetcher_of(house, venue) as fetcher:
        (found,) = [
            each for each in await fetcher.instruments(None) if each.symbol == SYMBOLS[venue]
        ]
        assert (found.tick_size, found.step_size, found.is_trading) == ("0.10", "0.001", True)
        assert (found.contract_size is None) == (venue is USDM)


@looped
async def test_a_snapshot_has_the_symbol_that_was_asked_for() -> None:
    answer = http(200, b'{"lastUpdateId":5,"E":1,"T":1,"bids":[["1.0","2"]],"asks":[]}')
    async with scripted(answer) as script, fetcher_at(script.base) as fetcher:
        snapshot = await fetcher.depth("btcusdt", 5, None)
        assert (snapshot.symbol, snapshot.bids) == ("BTCUSDT", [("1.0", "2")])
        assert b"depth?symbol=BTCUSDT&limit=5" in script.asked[0]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda it: it.candles("", "1m", None, None, 1, None), "for symbol: expected"),
        (lambda it: it.candles("BTCUSDT", "7m", None, None, 1, None), "'7m' for interval"),
        (lambda it: it.candles("BTCUSDT", "1m", None, None, 0, None), "0 for limit: .* from 1 to"),
        (lambda it: it.candles("BTCUSDT", "1m", None, None, True, None), "True for limit"),
        (lambda it: it.candles("BTCUSDT", "1m", "noon", None, 1, None), "'noon' for start"),
        (lambda it: it.candles("BTCUSDT", "1m", at(5), at(4), 1, None), "for end: .* after the"),
        (
            lambda it: it.candles("BTCUSDT", "1m", "2020-01-01", "2021-01-01", None, None),
            "'2020-01-01' for start: .* at most 100,000 candles",
        ),
        (lambda it: it.candles("BTCUSDT", "1m", at(5), at(5), 1, None), "for end: .* after the"),
        (lambda it: it.candles("BTCUSDT", "1m", None, "+1h", 1, None), "'.1h' for end: .* without"),
        (
            lambda it: it.candles("BTCUSDT", "1m", at(5), "+1x", 1, None),
            "'.1x' for end: .* such as",
        ),
        (lambda it: it.depth("BTCUSDT", 7, None), "7 for limit: expected one of 5, 10"),
        (lambda it: it.trades(5, None, 5, None), "5 for symbol: expected a symbol"),
        (lambda it: it.trades("A", None, MAX_ROWS + 1, None), "for limit: .* from 1 to 100,000"),
        (lambda it: it.aggregate_trades("A", None, None, -1, 5, None), "-1 for from_id"),
    ],
)
@looped
async def test_an_invalid_argument_is_reported_before_anything_is_sent(
    call: Any, expected: str
) -> None:
    async with fetcher_at("http://127.0.0.1:9") as fetcher:
        with pytest.raises(ConfigError, match=expected):
            await call(fetcher)


@looped
async def test_errors_of_the_server_say_which_request_it_was() -> None:
    async with loopback() as house, fetcher_of(house) as fetcher:
        with pytest.raises(RequestError, match=r"klines symbol=NOSUCH interval=1m: -1121 Invalid"):
            await fetcher.candles("nosuch", "1m", None, None, 5, None)
    async with (
        scripted(http(200, b'{"no":"rows"}')) as script,
        fetcher_at(script.base) as fetcher,
    ):
        with pytest.raises(UpstreamError, match="the response cannot be decoded: Expected `array`"):
            await fetcher.trades("BTCUSDT", None, 5, None)


def candle_page(minutes: Iterable[int]) -> bytes:
    """Return a page of candles that open at minutes after the start."""
    rows = []
    for minute in minutes:
        open_ms = START_MS + minute * MINUTE_MS
        prices = ["1.0"] * 4
        rows.append([open_ms, *prices, "0", open_ms + MINUTE_MS - 1, "0", 0, "0", "0", "0"])
    return http(200, msgspec.json.encode(rows))


def trade_page(ids: Iterable[int]) -> bytes:
    row = {"price": "1.0", "qty": "1", "quoteQty": "1.0", "isBuyerMaker": False}
    return http(200, msgspec.json.encode([{"id": n, "time": START_MS + n, **row} for n in ids]))


def aggregate_page(ids: Iterable[int]) -> bytes:
    row = {"p": "1.0", "q": "1", "m": False}
    rows = [{"a": n, "f": n, "l": n, "T": START_MS + n, **row} for n in ids]
    return http(200, msgspec.json.encode(rows))


NOT_IN_ORDER = "rows that repeat, or are not in order"
A_DAY = (START_MS * NS_PER_MS, (START_MS + 1_440 * MINUTE_MS) * NS_PER_MS)
NOW = http(200, b'{"serverTime":%d}' % (START_MS + 3_000 * MINUTE_MS))


def candles_of_a_day(it: Fetcher) -> Any:
    return it.candles("BTCUSDT", "1m", *A_DAY, None, None)


def last_candles(it: Fetcher) -> Any:
    return it.candles("BTCUSDT", "1m", None, None, 10, None)


def trades_from(first_id: int | None) -> Any:
    return lambda it: it.trades("BTCUSDT", first_id, 10, None)


def aggregates_from(first_id: int | None = None, start: int | None = None) -> Any:
    return lambda it: it.aggregate_trades("BTCUSDT", start, None, first_id, 10, None)


def rates_of_a_day(it: Fetcher) -> Any:
    return it.funding_rates("A", *A_DAY, None, None)


def endless(page: bytes) -> bytes:
    """Return a page of candles that end before they begin."""
    rows = msgspec.json.decode(page.partition(b"\r\n\r\n")[2])
    return http(200, msgspec.json.encode([[*row[:6], 0, *row[7:]] for row in rows]))


BEFORE, AFTER = "before .* from which rows were asked for", "after .* until which rows were asked"


@pytest.mark.parametrize(
    ("ask", "pages", "problem"),
    [
        (candles_of_a_day, [NOW, candle_page([*range(10), 9])], NOT_IN_ORDER),
        (candles_of_a_day, [NOW, candle_page([0, 2, 1])], NOT_IN_ORDER),
        (candles_of_a_day, [NOW, candle_page(range(5)), candle_page(range(5))], BEFORE),
        (candles_of_a_day, [NOW, candle_page(range(-1, 5))], BEFORE),
        (candles_of_a_day, [NOW, candle_page(range(1_435, 1_441))], AFTER),
        (
            candles_of_a_day,
            [NOW, candle_page(range(1_600))],
            "1,600 rows, and 1,500 were asked for",
        ),
        (candles_of_a_day, [NOW, endless(candle_page([3]))], BEFORE),
        (last_candles, [NOW, candle_page([7, 7])], NOT_IN_ORDER),
        (trades_from(5), [trade_page([5, 6, 6])], NOT_IN_ORDER),
        (trades_from(5), [trade_page([4, 5])], "a row of 4, before 5"),
        (trades_from(5), [trade_page(range(5, 20))], "15 rows, and 10 were asked for"),
        (trades_from(None), [trade_page([7, 6])], NOT_IN_ORDER),
        (aggregates_from(5), [aggregate_page([5, 5])], NOT_IN_ORDER),
        (aggregates_from(5), [aggregate_page([4, 5])], "a row of 4, before 5"),
        (aggregates_from(start=A_DAY[0] + 5 * NS_PER_MS), [aggregate_page([4, 5])], BEFORE),
        (aggregates_from(), [aggregate_page(range(11))], "11 rows, and 10 were asked for"),
        (rates_of_a_day, [funding(range(-1, 3), "A")], BEFORE),
        (rates_of_a_day, [funding(range(3, 30), "A")], AFTER),
    ],
    ids=range(18),
)
@looped
async def test_pages_have_the_rows_that_were_asked_for_in_order(
    ask: Any, pages: list[bytes], problem: str
) -> None:
    async with scripted(*pages) as script, fetcher_at(script.base, api_key="k") as fetcher:
        with pytest.raises(UpstreamError, match=f"not what was asked for: it has .*{problem}"):
            await ask(fetcher)
        assert len(script.asked) <= 3, "a page like the last one does not keep it going"


@looped
async def test_the_error_text_of_a_server_is_shown_printable_and_cut() -> None:
    text = "\x1b[2J\x07 gone \n" + "x" * 160_000
    bodies = [
        http(400, msgspec.json.encode({"code": -1100, "msg": text})),
        http(500, msgspec.json.encode({"code": -1000, "msg": text})),
        http(429, msgspec.json.encode({"code": -1003, "msg": text})),
    ]
    for body in bodies:
        async with scripted(body) as script, fetcher_at(script.base) as fetcher:
            with pytest.raises((RequestError, UpstreamError)) as caught:
                await fetcher.depth("BTCUSDT", 5, 1.0)
            said = str(caught.value)
            assert "gone" in said
            assert said.isprintable()
            assert len(said) < 1_500
            if isinstance(caught.value, RequestError):
                assert caught.value.message.isprintable()


@pytest.mark.parametrize(("fault", "is_ban"), [("http_429", False), ("http_418", True)])
@looped
async def test_a_refusal_is_raised_at_once(fault: str, is_ban: bool) -> None:
    async with loopback(faults=f"{fault}=1") as house, fetcher_of(house) as fetcher:
        for _ in range(2):
            for fetching in (
                fetcher.depth("BTCUSDT", 5, None),
                fetcher.candles("BTCUSDT", "1m", None, None, 5, None),
                fetcher.instruments(None),
            ):
                with pytest.raises(RateLimitError) as caught:
                    await asyncio.wait_for(fetching, 1)
                assert (caught.value.banned_until_ms is not None) == is_ban


@looped
async def test_a_page_waits_for_the_weight_of_the_next_minute_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    page, moment = http(200, b'{"symbols":[]}'), TimeSpec()
    budget = WeightBudget(limit_per_minute=1, share=1)
    async with scripted(page, page, Fault.HANG) as script:
        hosts = hosts_of(USDM, script.base)
        rest = RestClient(hosts, budget, clock=moment, sleep=moment.sleep)
        fetcher = Fetcher(rest, USDM)
        try:
            for _ in range(2):
                assert await fetcher.instruments(None) == []
            (waited,) = moment.slept
            assert 0 < waited <= 60, "which does not count towards the timeout"
            (record,) = (each for each in caplog.records if each.name.startswith("tickerplant"))
            assert re.search(r"exchangeInfo waits \d+ s: the request weight", record.getMessage())
            rest._timeout_s = 0.3
            with pytest.raises(UpstreamError, match=r"no response within 0\.3 s"):
                await fetcher.instruments(None)
        finally:
            await rest.close()


@looped
async def test_a_page_does_not_wait_for_weight_without_end() -> None:
    moment = TimeSpec()
    budget = WeightBudget(limit_per_minute=2, share=1)

    async def others(seconds: float) -> None:
        """Let somebody else use the weight of the next minute first."""
        await moment.sleep(seconds)
        budget.reserve(2, moment.now_ms)

    async with scripted(http(200, b'{"symbols":[]}')) as script:
        hosts = hosts_of(USDM, script.base)
        rest = RestClient(hosts, budget, clock=moment, sleep=others)
        budget.reserve(2, moment.now_ms)
        try:
            with pytest.raises(RateLimitError, match="weight of this minute is spent"):
                await Fetcher(rest, USDM).instruments(None)
        finally:
            await rest.close()
        assert sum(moment.slept) <= 120
        assert not script.asked


@looped
async def test_a_timeout_is_for_all_pages_together() -> None:
    page = http(200, b'{"serverTime":%d}' % START_MS)
    async with scripted(page, Fault.HANG) as script, fetcher_at(script.base) as fetcher:
        with pytest.raises(UpstreamError, match=r"klines.*no response within 0\.\d+ s"):
            await fetcher.candles("BTCUSDT", "1m", None, None, 5, 0.2)
