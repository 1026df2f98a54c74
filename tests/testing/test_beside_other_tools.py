"""The test kit beside what replaces clocks, sockets and files, in forks, under trio, behind a proxy."""

from __future__ import annotations

import os
import socket
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from suites import outcome, run_suite
from test_plugin import wait_until_none_runs_in

from tickerplant.client.proxies import proxies
from tickerplant.originals import Original
from tickerplant.testing.proxies import HOST, Exemption
from tickerplant.testing.waiting import check_no_loop, until


def refuse(*_: object, **__: object) -> Any:
    raise AssertionError("not in this test")


def test_what_was_kept_stays_when_modules_and_classes_are_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(HTTPConnection, "request", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert Original.HTTPConnection.request is not refuse
    with Original.Socket() as kept, pytest.raises(TypeError):
        kept.connect("no address of this family")


def test_a_wait_ends_although_every_module_has_a_clock_that_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = time.monotonic  # noqa: TID251  # no clock is asked
    for module in list(sys.modules.values()):
        for name in [name for name, value in vars(module).items() if value is real]:
            monkeypatch.setattr(module, name, lambda: 1.0)
    with pytest.raises(TimeoutError, match="no book"):
        list(until(lambda: False, 0.001, lambda: "no book"))


def test_a_blocking_call_says_what_to_write_under_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    lowlevel = SimpleNamespace(current_task=object)
    monkeypatch.setitem(sys.modules, "trio", SimpleNamespace(lowlevel=lowlevel))
    with pytest.raises(RuntimeError, match=r"await trio\.to_thread\.run_sync\(exchange\.step, …\)"):
        check_no_loop("exchange.step()", "…")


@pytest.mark.parametrize(
    "given", [{}, {"NO_PROXY": "a.example"}, {"no_proxy": "", "NO_PROXY": "b"}]
)
def test_no_proxy_takes_requests_for_loopback_while_an_exchange_is_open(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    exemption, names = Exemption(), ("no_proxy", "NO_PROXY")
    exemption.begin()
    assert not any(name in os.environ for name in names), "there is no proxy"
    exemption.end()
    for name, value in {"All_Proxy": "http://127.0.0.1:9", **given}.items():
        monkeypatch.setenv(name, value)
    assert proxies(HOST) == ["All_Proxy"]
    exemption.begin()
    exemption.begin()
    exemption.end()
    assert proxies(HOST) == []
    others = given.get("NO_PROXY", "")
    for name in names:
        assert os.environ[name] == f"{others},127.0.0.1,localhost,::1".removeprefix(",")
    exemption.end()
    assert {name: os.environ[name] for name in names if name in os.environ} == given


SUITE = """
import asyncio, builtins, http.client, io, json, os, socket, sys, time, urllib.request
import pytest

pytestmark = pytest.mark.exchange(symbols=["BTCUSDT"])

def refuse(*_, **__):
    pytest.fail("not in this test")

@pytest.fixture
def replaced(monkeypatch):
    for holder, names in (
        (json, "loads dumps"), (http.client, "HTTPConnection"), (time, "sleep"),
        (http.client.HTTPConnection, "request getresponse connect"),
        (socket, "socket create_connection getaddrinfo socketpair"), (socket.socket, "connect"),
        (os, "open read pipe pread"), (io, "open"), (builtins, "open"),
        (os.environ, "get"), (asyncio, "get_running_loop"),
    ):
        for name in names.split():
            monkeypatch.setattr(holder, name, refuse)
    yield
    monkeypatch.undo()

@pytest.fixture
def broken(monkeypatch):
    yield lambda: monkeypatch.setattr(http.client.HTTPResponse, "read", refuse)

def test_replaced_before_and_fails(replaced, exchange, monkeypatch):
    exchange.step("1s")
    monkeypatch.undo()
    assert not "replaced before"

def test_not_to_be_asked(exchange, broken):
    broken()
    assert not "asked"

@pytest.mark.exchange(faults=[{"kind": "reset", "at": "+1h"}])
def test_not_to_be_asked_at_the_end(broken, exchange):
    broken()

def test_a_loop_whose_sleep_is_replaced(exchange, monkeypatch):
    async def no_sleep(*_): ...
    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    seen = []
    async def program():
        asyncio.get_running_loop().call_later(0.01, seen.append, 1)
        await exchange.await_until(lambda: seen)
    asyncio.run(program())

def test_a_loop_whose_clock_stands_still(exchange, monkeypatch):
    monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda _: 1.0)
    with pytest.raises(TimeoutError, match="the clock of the event loop stands still"):
        asyncio.run(exchange.await_until(lambda: False, timeout_s=0.01))

def test_a_child_leaves_the_exchange_to_its_parent(exchange):
    child = os.fork()
    if child == 0:
        try:
            assert not exchange.is_running
            with pytest.raises(RuntimeError, match="belongs to process"):
                exchange.step("1s")
            exchange.close()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    exchange.step("1s")

def test_a_proxy_is_not_asked(exchange):
    assert urllib.request.urlopen(f"{exchange.usdm_url}/fapi/v1/ping", timeout=5).status == 200

def test_a_proxy_of_the_test_is_named(exchange, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(TimeoutError, match="a proxy takes requests for 127.0.0.1 .*http_proxy"):
        exchange.wait_until(lambda: False, timeout_s=0.01)
"""


@pytest.mark.slow("a run of pytest, in a process of its own")
def test_only_the_test_fails_that_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    printed = run_suite(tmp_path, SUITE)
    assert outcome(printed) == {"failed": 2, "passed": 6}, printed
    assert "INTERNALERROR" not in printed
    assert "market time  2026-01-01T00:00:01.000Z, stands still" in printed
    assert (
        printed.count(
            "it does not answer, or what it says cannot be read: Failed: not in this test"
        )
        == 2
    )
    wait_until_none_runs_in(tmp_path)
