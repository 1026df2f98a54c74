"""Objects of a market outside of the event loop in which it was opened, and outside of its process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
from memory_loop import MemoryLoop, a_look

import tickerplant
from tickerplant import blocking
from tickerplant.client.loop_thread import LoopThread
from tickerplant.client.market import Market

new_loop = partial(MemoryLoop, a_look)


async def opened() -> dict[str, Callable[[], Any]]:
    """Return calls of the objects of an open market."""
    market = await tickerplant.connect(base_url="ws://127.0.0.1:1")
    stream, books = market.stream("btcusdt@trade"), market.books("BTCUSDT")
    listener = market.on("btcusdt@trade", callback=print)
    return {
        "close": market.close,
        "ask": lambda: market.ask("time"),
        "candles": lambda: market.fetch_candles("BTCUSDT", "1m"),
        "stream": lambda: market.stream("btcusdt@depth"),
        "on": lambda: market.on("btcusdt@depth", callback=print),
        "books": lambda: market.books("ETHUSDT"),
        "enter": market.__aenter__,
        "next": stream.__anext__,
        "batch": lambda: stream.read_batch(timeout_s=1),
        "merge": tickerplant.merge(stream).__anext__,
        "listener": listener.wait,
        "listener in time": lambda: listener.wait(timeout_s=1),
        "unsubscribe": stream.close,
        "stop listening": listener.close,
        "live": books.wait_until_live,
        "add": lambda: books.add("ETHUSDT"),
        "remove": lambda: books.remove("BTCUSDT"),
        "close books": books.close,
        "changes": books.changes().__anext__,
        "audit": lambda: books.audit("BTCUSDT"),
    }


async def caught(call: Callable[[], Any]) -> str:
    with pytest.raises(RuntimeError) as error:  # noqa: PT012  # some raise when they are called
        found = call()
        if isinstance(found, Awaitable):
            async with asyncio.timeout(1):
                await found
    return str(error.value)


def test_every_call_in_another_loop_says_at_once_where_the_market_was_opened() -> None:
    with asyncio.Runner(loop_factory=new_loop) as first:
        calls = first.run(opened())
        with asyncio.Runner(loop_factory=new_loop) as second:
            said = {name: second.run(caught(call)) for name, call in calls.items()}
        first.run(calls["close"]())
    assert {name: text for name, text in said.items() if "another event loop" not in text} == {}
    assert all("loop_scope" in text for text in said.values())


def test_without_a_loop_of_asyncio_a_market_says_what_it_needs() -> None:
    markets: list[Market] = [tickerplant.connect(base_url="ws://127.0.0.1:1")]
    markets += [tickerplant.simulate(), tickerplant.replay("tape")]
    for market in markets:
        with pytest.raises(RuntimeError, match=r"needs an event loop of asyncio.*trio"):
            market.__aenter__().send(None)  # as trio does it


def status_of_child(program: Callable[[], object]) -> int:
    """Return 0 if a program ends well in a process that is forked from this one."""
    child = os.fork()
    if child == 0:
        try:
            program()
        except BaseException:  # noqa: BLE001  # the parent learns it
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.sockets
def test_a_forked_process_has_no_market_of_its_parent() -> None:
    thread = LoopThread(nullcontext(), "over")

    def child() -> None:
        for use in (thread.begin, lambda: thread.call(int), lambda: thread.wait(asyncio.sleep(0))):
            with pytest.raises(RuntimeError, match="belongs to process"):
                use()
        assert not thread.is_running
        thread.end()

    thread.begin()
    try:
        assert status_of_child(child) == 0
        assert thread.call(lambda: 1) == 1
    finally:
        thread.end()


def test_a_market_that_was_not_used_is_one_of_the_process_that_uses_it() -> None:
    market = blocking.connect(base_url="ws://127.0.0.1:1")
    assert status_of_child(market.__enter__) == 0
