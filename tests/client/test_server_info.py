"""Unknown streams: what a program and its log are told, and what a server says about itself."""

from __future__ import annotations

import pytest
from consumers import client_of, quick, url_of
from loopback import loopback, looped, until
from misbehaving import TimeSpec, http, scripted

import tickerplant
from tickerplant.client.rest import RestClient
from tickerplant.client.runner import FeedLog
from tickerplant.client.server_info import Listing
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.hosts import hosts_of
from tickerplant.feed.weight import WeightBudget
from tickerplant.messages import UnknownStream
from tickerplant.venue import COINM, USDM

IMPATIENT = quick(unknown_after_ms=0)


@looped
async def test_a_name_that_no_stream_has_is_warned_of_once_whatever_notices_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with loopback() as house, client_of(house) as market:
        for _ in range(2):
            market.on("btcusdt@trades", callback=print, on_notice=print)
        market.stream("btcusdt@trades", on_notice=print).close()
        (record,) = caplog.records
    assert (record.name, record.levelname) == ("tickerplant.client.runner", "WARNING")
    assert record.getMessage() == (
        "Unknown stream btcusdt@trades: no stream has this name; did you mean btcusdt@trade?"
    )


@looped
async def test_a_symbol_that_is_not_listed_is_warned_of_when_it_stays_silent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with loopback() as house, client_of(house, settings=IMPATIENT) as market:
        market.on(
            "btcusd@trade", "btcusdx@trade", "btcusdt@forceOrder", callback=print, on_notice=print
        )
        reader = market.stream("btcusdx@trade")
        notice = await anext(reader)
        base = url_of(house).replace("ws", "http", 1)
    assert isinstance(notice, UnknownStream)
    reason = f"USDⓈ-M at {base} does not list BTCUSDX; did you mean btcusdt@trade?"
    assert (notice.streams, notice.reason) == (("btcusdx@trade",), reason)
    first, second = (record.getMessage() for record in caplog.records)
    assert "its symbol has the form of one of COIN-M" in first
    assert second == f"Unknown stream btcusdx@trade: {reason}"


@looped
async def test_the_port_of_the_other_venue_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async with loopback() as house:
        base = url_of(house, COINM)
        async with tickerplant.connect("usdm", base_url=base, settings=IMPATIENT) as market:
            market.on("btcusdt@trade", callback=print, on_notice=print)
            await until(lambda: caplog.records)
    (record,) = caplog.records
    assert record.getMessage().endswith(f"{base} serves COIN-M, not USDⓈ-M")


@looped
async def test_a_request_to_the_port_of_the_other_venue_fails_with_that_reason() -> None:
    async with loopback() as house:
        base = url_of(house, USDM)
        async with tickerplant.connect("coinm", base_url=base) as market:
            for response in (market.ask("/dapi/v1/time"), market.fetch_instruments()):
                with pytest.raises(UpstreamError, match="the server serves USDⓈ-M, not COIN-M"):
                    await response
        async with tickerplant.connect("usdm", base_url=base) as market:
            with pytest.raises(RequestError, match="/fapi/v1/nonsense: -5000"):
                await market.ask("/fapi/v1/nonsense")


@pytest.mark.sockets
def test_what_is_logged_is_plain(caplog: pytest.LogCaptureFixture) -> None:
    FeedLog().unknown("a\x1b[2J@trade", "why")
    assert caplog.records[0].getMessage().isprintable()


CONTRACTS = b'{"symbols":[{"symbol":"BTCUSDT","pair":"BTCUSDT"},{"symbol":"BTCUSDT_260626","pair":"BTCUSDT"}]}'


@looped
async def test_the_contracts_are_asked_for_once_and_remembered_for_ten_minutes() -> None:
    moment = TimeSpec()
    async with scripted(http(200, CONTRACTS)) as server:
        budget = WeightBudget()
        rest = RestClient(server.hosts(), budget, clock=moment, sleep=moment.sleep)
        listing = Listing(server.hosts(), rest, budget)
        for name, is_doubtful in (
            ("btcusdt@trade", False),
            ("btcusdt_260626@depth@100ms", False),
            ("ethusdt@kline_1m", True),
            ("btcusdt_perpetual@continuousKline_1m", False),
            ("ethusdt_perpetual@continuousKline_1m", True),
            ("defiusdt@compositeIndex", False),
            ("btcusd@assetIndex", False),
            ("!miniTicker@arr", False),
            ("nonsense", False),
        ):
            assert (name in (await listing.unavailable([name]) or {})) == is_doubtful, name
        assert len(server.asked) == 1
        moment.now_ms += 600_000
        await listing.unavailable(["btcusdt@trade"])
        assert len(server.asked) == 2
        await rest.close()


@pytest.mark.parametrize(
    "answer", [http(503), http(429), http(404, b"<html>"), http(200, b"[]"), http(403)]
)
@looped
async def test_a_server_that_does_not_report_raises_no_doubt(answer: bytes) -> None:
    moment = TimeSpec()
    async with scripted(answer) as server:
        budget = WeightBudget()
        rest = RestClient(server.hosts(), budget, clock=moment, sleep=moment.sleep)
        assert await Listing(server.hosts(), rest, budget).unavailable(["btcusdt@trade"]) is None
        await rest.close()


@looped
async def test_who_cannot_be_reached_raises_no_doubt() -> None:
    hosts, budget = hosts_of(USDM, "ws://127.0.0.1:9"), WeightBudget()
    rest = RestClient(hosts, budget, sleep=TimeSpec().sleep)
    assert await Listing(hosts, rest, budget).unavailable(["btcusdt@trade"]) is None
    await rest.close()


@looped
async def test_a_host_of_the_exchange_says_by_its_name_whose_it_is() -> None:
    hosts, budget = hosts_of(USDM, "wss://dstream.binance.com"), WeightBudget()
    listing = Listing(hosts, RestClient(hosts, budget), budget)
    doubts_of_it = await listing.unavailable(["btcusdt@trade"])
    assert doubts_of_it == {"btcusdt@trade": "wss://dstream.binance.com serves COIN-M, not USDⓈ-M"}
    assert budget.spent == 0, "nothing is asked"
