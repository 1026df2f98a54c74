from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import threading
import unittest
import urllib.request
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from connecting import connect as connect_async
from connecting import connect_blocking as connect
from loopback import looped_on_sockets
from programs import PATIENCE_S
from websockets.exceptions import ConnectionClosed

from tickerplant import blocking, testing
from tickerplant.errors import ConfigError, RequestError, UpstreamError
from tickerplant.testing import Exchange, ExchangeTestCase

pytestmark = [pytest.mark.sockets, pytest.mark.heavy]

START_MS = 1_767_225_600_000
"""2026-01-01."""


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with small_exchange() as opened:
        yield opened


def small_exchange() -> Exchange:
    return testing.exchange(seed=7, symbols=["BTCUSDT", "BTCUSD_PERP"], quoting=0.05)


def rest(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:  # noqa: S310  # our own server
        return json.load(answer)


def test_the_market_stands_still_but_for_steps(exchange: Exchange) -> None:
    assert exchange.time_ms == START_MS
    exchange.step("10s")
    exchange.step(timedelta(milliseconds=250))
    assert exchange.now.isoformat() == "2026-01-01T00:00:10.250000+00:00"
    assert rest(f"{exchange.usdm_url}/fapi/v1/depth?symbol=BTCUSDT&limit=5")["bids"]
    assert rest(f"{exchange.coinm_url}/dapi/v1/depth?symbol=BTCUSD_PERP&limit=5")["bids"]
    with connect(f"{exchange.coinm_ws_url}/ws/btcusd_perp@depth@0ms") as socket:
        (connection,) = exchange.connections()
        assert connection["venue"] == "coinm"
        exchange.step("20s")
        assert json.loads(socket.recv(PATIENCE_S))["s"] == "BTCUSD_PERP"
    assert exchange.limits("coinm")["venue"] == "coinm"


def test_two_exchanges_of_the_same_arguments_publish_the_same(exchange: Exchange) -> None:
    with small_exchange() as other:
        exchange.step("30s")
        for _ in range(3):
            other.step("10s")
        assert exchange.usdm_url != other.usdm_url
        assert exchange.truth.trades("BTCUSDT") == other.truth.trades("BTCUSDT") != []
        assert exchange.truth.book("BTCUSDT") == other.truth.book("BTCUSDT")


def test_market_time_may_run_and_stand_still_again(exchange: Exchange) -> None:
    exchange.set_speed(100)
    exchange.wait_until(lambda: exchange.time_ms > START_MS + 1_000)
    with pytest.raises(RequestError, match="not paused"):
        exchange.step("1s")
    exchange.pause()
    stopped_ms = exchange.time_ms
    exchange.step("1s")
    assert exchange.time_ms == stopped_ms + 1_000


def test_the_truth_is_what_rest_says_and_finds_what_differs(exchange: Exchange) -> None:
    exchange.step("20s")
    book = rest(f"{exchange.usdm_url}/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
    exchange.truth.assert_book(book, "BTCUSDT")
    exchange.truth.assert_book((dict(book["bids"]), dict(book["asks"])), "BTCUSDT")
    exchange.truth.assert_book(exchange.truth.book("BTCUSDT"), "BTCUSDT", max_behind_ms=0)
    exchange.step("20s")
    exchange.truth.assert_book(book, "BTCUSDT")
    with pytest.raises(
        AssertionError, match=r"my book is [\d,]+ ms behind, more than 100: its last"
    ):
        exchange.truth.assert_book(book, "BTCUSDT", max_behind_ms=100)
    with pytest.raises(AssertionError, match="it was compared with the present book"):
        exchange.truth.assert_book((dict(book["bids"]), dict(book["asks"])), "BTCUSDT")
    price, quantity = book["bids"][2]
    book["bids"][2] = [price, "77"]
    with pytest.raises(AssertionError, match=f"bid {price}: 77, the exchange has {quantity}"):
        exchange.truth.assert_book(book, "BTCUSDT")
    trades = rest(f"{exchange.usdm_url}/fapi/v1/trades?symbol=BTCUSDT&limit=5")
    exchange.truth.assert_complete(trades, "BTCUSDT")
    exchange.truth.assert_trades(trades[:3], "BTCUSDT")
    with pytest.raises(AssertionError, match="are missing"):
        exchange.truth.assert_complete(trades[:3], "BTCUSDT")
    with pytest.raises(AssertionError, match="was counted 2 times"):
        exchange.truth.assert_trades([*trades, trades[-1]], "BTCUSDT")
    for ask in (exchange.truth.book, exchange.truth.trades):
        with pytest.raises(ConfigError, match="'NOSUCH' for symbol"):
            ask("NOSUCH")


def test_a_claim_about_nothing_is_an_error(exchange: Exchange) -> None:
    exchange.step("10s")
    count = len(exchange.truth.trades("BTCUSDT"))
    nothing = (
        f"BTCUSDT: my trades are empty, so that nothing was compared; the exchange has {count} "
    )
    nones: list[Iterable[object]] = [[], iter(()), {}]
    for none in nones:
        with pytest.raises(AssertionError, match=nothing):
            exchange.truth.assert_trades(none, "BTCUSDT")
        with pytest.raises(AssertionError, match="my trades are empty"):
            exchange.truth.assert_complete(none, "BTCUSDT")
    newest = exchange.truth.trades("BTCUSDT")[-1]["id"]
    with pytest.raises(AssertionError, match="the exchange has 0 trades"):
        exchange.truth.assert_complete([], "BTCUSDT", from_id=newest + 1)
    book = rest(f"{exchange.usdm_url}/fapi/v1/depth?symbol=BTCUSDT&limit=5")
    empties: list[object] = [
        {"bids": [], "asks": []},
        {"bids": [], "asks": book["asks"]},
        {"bids": book["bids"], "asks": {}},
        ({"1": "0"}, {"2": 0}),
    ]
    for empty in empties:
        for depth in (None, 5):
            with pytest.raises(AssertionError, match="missing, the exchange has"):
                exchange.truth.assert_book(empty, "BTCUSDT", depth=depth)


def test_a_fault_of_new_subscriptions_says_so_at_one_that_runs(exchange: Exchange) -> None:
    url = f"{exchange.usdm_ws_url}/ws/btcusdt@trade"
    with connect(url), exchange.fault("silent") as silent:
        exchange.step("5s")
        assert silent.hits == 0
        assert silent.hint == (
            "it acts when a client subscribes, and not on subscriptions that run; `drop` withholds the "
            "messages of those"
        )
        assert exchange.never_happened() == [f"the fault silent never happened: {silent.hint}"]
        with connect(url):
            exchange.wait_until(lambda: silent.hits == 1)
        assert (silent.hint, exchange.never_happened()) == ("", [])


def test_our_own_book_is_that_of_the_exchange(exchange: Exchange) -> None:
    exchange.set_speed(20)
    with blocking.connect("usdm", base_url=exchange.usdm_url) as market:
        books = market.books("BTCUSDT")
        books.wait_until_live()
        exchange.pause()
        exchange.truth.assert_book(books["BTCUSDT"], "BTCUSDT")


@looped_on_sockets
async def test_a_coroutine_steps_and_waits_while_its_clients_read() -> None:
    async with testing.exchange(seed=7, symbols=["BTCUSDT"]) as exchange:
        url = f"{exchange.usdm_ws_url}/ws/btcusdt@trade"
        seen: list[int] = []

        async def read() -> None:
            async with connect_async(url) as socket:
                while True:
                    seen.append(json.loads(await socket.recv())["t"])

        reader = asyncio.create_task(read())
        await exchange.await_until(exchange.connections)
        await exchange.astep("30s")
        last = exchange.truth.trades("BTCUSDT")[-1]["id"]
        await exchange.await_until(lambda: last in seen)
        exchange.truth.assert_complete(seen, "BTCUSDT")
        with pytest.raises(RuntimeError, match=r"test_exchanges\.py:\d+: .* `await exchange.astep"):
            exchange.step("1s")
        with pytest.raises(RuntimeError, match=r"`await exchange\.await_until"):
            exchange.wait_until(exchange.connections)
        reader.cancel()


def test_an_open_exchange_stays_in_its_process(exchange: Exchange) -> None:
    with pytest.raises(TypeError, match="give others its addresses"):
        pickle.dumps(exchange)
    assert not pickle.loads(pickle.dumps(testing.exchange(seed=7))).is_open  # noqa: S301  # our own


def test_several_threads_may_ask_while_one_steps(exchange: Exchange) -> None:
    stepping = threading.Thread(target=lambda: exchange.step("2m"))
    stepping.start()
    while stepping.is_alive():
        assert exchange.limits()["venue"] == "usdm"
    assert exchange.time_ms == START_MS + 120_000


@pytest.mark.slow("a process is killed")
def test_an_exchange_that_dies_says_how(exchange: Exchange) -> None:
    assert exchange.pid is not None
    os.kill(exchange.pid, signal.SIGKILL)
    pause = threading.Event()
    while exchange.is_running:
        pause.wait(0.001)
    with pytest.raises(UpstreamError, match=r"ended unexpectedly \(killed by SIGKILL\)"):
        exchange.step("1s")
    assert "does not answer" in exchange.report()


def test_a_failure_in_a_with_block_has_the_report_as_a_note() -> None:
    with pytest.raises(ZeroDivisionError) as caught, testing.exchange(symbols=["BTCUSDT"]):
        _ = 1 / 0
    (note,) = caught.value.__notes__
    assert "market time  2026-01-01T00:00:00.000Z, stands still" in note


def test_what_cannot_be_served_is_said_when_it_is_opened() -> None:
    with pytest.raises(
        ConfigError, match=r"'BTCUSTD' for symbols.*did you mean BTCUSDT or BTCUSDC\?"
    ):
        testing.exchange(symbols=["BTCUSTD"]).open()
    with pytest.raises(ConfigError, match="max_streem"):
        testing.exchange(limits={"max_streem": 1}).open()


class OfTests(ExchangeTestCase):
    exchange_settings = {"seed": 7, "symbols": ["BTCUSDT"]}  # noqa: RUF012  # as users write it

    def test_a_step(self) -> None:
        self.exchange.step("1s")
        assert self.exchange.time_ms == START_MS + 1_000

    def test_another_one_begins_anew(self) -> None:
        assert self.exchange.time_ms == START_MS

    def test_a_failure(self) -> None:
        assert self.exchange.time_ms == 0


class OfCoroutines(ExchangeTestCase, unittest.IsolatedAsyncioTestCase):
    async def test_a_step(self) -> None:
        await self.exchange.astep("1s")
        assert self.exchange.time_ms == START_MS + 1_000


OfTests.__test__ = OfCoroutines.__test__ = False  # type: ignore[attr-defined]  # run by the test below


def test_unittest_gives_each_test_an_exchange_and_ends_it() -> None:
    loader = unittest.TestLoader()
    result = unittest.TestResult()
    for case in (OfTests, OfCoroutines):
        loader.loadTestsFromTestCase(case).run(result)
    assert result.testsRun == 4
    assert not result.errors, result.errors
    ((_, text),) = result.failures
    assert "market time  2026-01-01T00:00:00.000Z, stands still" in text


def test_unittest_names_a_mistake_in_the_settings() -> None:
    class Case(ExchangeTestCase):
        exchange_settings = {"sed": 7}  # noqa: RUF012  # as users write it

    with pytest.raises(ConfigError, match=r"'sed' for exchange_settings: .*did you mean seed\?"):
        _ = Case().exchange


FALL = """
title = "A fall"
duration = "20s"
[[change]]
at = "1s"
market = "shock"
move = -0.1
over = "5s"
"""


def test_a_scenario_and_a_lever_change_the_market_until_they_end(exchange: Exchange) -> None:
    before = exchange.truth.book("BTCUSDT").mid
    assert before is not None
    with exchange.scenario(FALL) as fall:
        exchange.step("10s")
        assert fall.state == "running"
        assert "scenario  custom  (running)" in exchange.report()
    assert fall.state == "over"
    fallen = exchange.truth.book("BTCUSDT").mid
    assert fallen is not None
    assert fallen < before * 0.95
    with exchange.lever("shock", symbols=["BTCUSDT"], move=0.1, over="5s"):
        exchange.step("10s")
    risen = exchange.truth.book("BTCUSDT").mid
    assert risen is not None
    assert risen > fallen * 1.05


def test_what_a_scenario_switches_on_is_part_of_it(exchange: Exchange) -> None:
    with exchange.scenario("mass-disconnect"), exchange.fault("reset", at="+1h"):
        exchange.step("2m")
        assert sorted(exchange.rules().values()) == [
            "the fault reset at=+1h",
            "the scenario mass-disconnect",
        ]
    assert exchange.rules() == {}


def test_a_fault_is_a_handle(exchange: Exchange) -> None:
    with connect(f"{exchange.usdm_ws_url}/ws/btcusdt@trade") as socket:
        with exchange.fault("close", code=1001, once=True) as closed:
            with pytest.raises(ConnectionClosed):
                socket.recv(PATIENCE_S)
            assert closed.hits == 1
        assert closed.state == "removed"
        closed.remove()
    once = exchange.fault("stall=20s@1m stream=btcusdt@trade")
    assert once.text == "stall=20s@1m stream=btcusdt@trade"
    assert repr(exchange.fault({"kind": "reset", "for": "30s"})).startswith("<Fault f3 reset")
    exchange.clear()
    assert exchange.rules() == {}
    assert once.state == "removed"
    with pytest.raises(ConfigError, match="did you mean drop"):
        exchange.fault("drp")
    with pytest.raises(ConfigError, match="'btcusdt@dept'"):
        exchange.fault("drop", stream="btcusdt@dept")


def test_a_mistake_in_a_scenario_a_lever_or_a_fault_is_named(
    exchange: Exchange, tmp_path: Path
) -> None:
    halt = tmp_path / "worst-day.toml"
    halt.write_text('title = "T"\nduration = "1m"\n[[change]]\nat = "1s"\nmarket = "hault"\n')
    with pytest.raises(ConfigError, match=r"change 1 \(at 1s\) of worst-day.toml.* mean halt"):
        exchange.scenario(halt)
    with pytest.raises(ConfigError, match="did you mean flash-crash"):
        exchange.scenario("flash-crush")
    with pytest.raises(ConfigError, match="did you mean shock"):
        exchange.lever("shok")
    with pytest.raises(ConfigError, match="the name of a fault, because parameters follow"):
        exchange.fault("drop=0.1", stream="btcusdt@depth*")
    with pytest.raises(RequestError, match="c9"):
        exchange.disconnect("c9")
    with pytest.raises(ConfigError, match="'spot' for venue: expected one of usdm, coinm"):
        exchange.limits("spot")  # type: ignore[arg-type]
    for by in ("10 parsecs", "-1s", "0s", 10, timedelta(0)):
        with pytest.raises(ConfigError, match="for by: expected market time of 1ms or more"):
            exchange.step(by)  # type: ignore[arg-type]
    exchange.set_speed(1)
    with pytest.raises(RequestError, match="pause it first"):
        exchange.step("1s")


def test_a_connection_can_be_closed(exchange: Exchange) -> None:
    with connect(f"{exchange.usdm_ws_url}/ws/btcusdt@trade") as socket:
        (connection,) = exchange.connections()
        exchange.disconnect(connection["id"])
        with pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE_S)
    assert exchange.connections() == []


@pytest.mark.slow("a process is killed")
def test_a_server_that_dies_in_a_step_is_said_to_be_killed(exchange: Exchange) -> None:
    assert exchange.pid is not None
    threading.Timer(0.1, os.kill, (exchange.pid, signal.SIGKILL)).start()
    with pytest.raises(UpstreamError, match=r"ended unexpectedly \(killed by SIGKILL\)"):
        exchange.step("1h")


@pytest.mark.slow("it is cancelled after a time of the machine")
def test_a_step_that_is_cancelled_ends_where_it_is(exchange: Exchange) -> None:
    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(exchange.astep("24h"), 0.2)

    asyncio.run(cancelled())
    stopped_ms = exchange.time_ms
    assert stopped_ms < START_MS + 24 * 3_600_000, "the end of the loop does not wait for the step"
    exchange.step("1s")
    assert exchange.time_ms == stopped_ms + 1_000


def test_a_step_under_way_is_ended_before_another_test_has_the_exchange(
    exchange: Exchange,
) -> None:
    ended: list[str] = []

    def step() -> None:
        exchange.step("24h")
        ended.append("ended")

    stepping = threading.Thread(target=step)
    stepping.start()
    exchange.wait_until(lambda: exchange.time_ms > START_MS)
    assert "Z, in a step" in exchange.report()
    assert exchange.put_back({}) == ["left a step under way; it was ended"]
    stepping.join(30)
    assert ended
    exchange.step("1s")
    assert exchange.put_back({}) == []
