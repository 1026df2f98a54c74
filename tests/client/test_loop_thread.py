"""The thread with the event loop of a blocking client."""

from __future__ import annotations

import asyncio
import inspect
import threading
from contextlib import nullcontext
from typing import Any, NoReturn

import pytest
from programs import PATIENCE_S

from tickerplant.client.loop_thread import LoopThread


def test_who_asks_while_the_loop_ends_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asks, ends = threading.Event(), threading.Event()
    reported: list[str] = []
    run, close = asyncio.run_coroutine_threadsafe, asyncio.BaseEventLoop.close

    def run_late(coroutine: Any, loop: Any) -> Any:
        if threading.current_thread() is asking:
            asks.set()
            ends.wait(0.05)
        return run(coroutine, loop)

    def close_late(loop: Any) -> None:
        if threading.current_thread().name == "tickerplant":
            ends.set()
            asking.join(0.05)
        close(loop)

    def ask() -> None:
        try:
            thread.wait(asyncio.sleep(60))
        except RuntimeError as error:
            reported.append(str(error))

    thread = LoopThread(nullcontext(), "it is over")
    thread.begin()
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", run_late)
    monkeypatch.setattr(asyncio.BaseEventLoop, "close", close_late)
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asks.wait(PATIENCE_S)
    thread.end()
    asking.join(PATIENCE_S)
    assert reported == ["it is over"]


def test_time_goes_on_in_the_thread_where_a_test_has_stopped_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda _: 1.0)
    thread = LoopThread(nullcontext(), "it is over")
    thread.begin()
    assert thread.call(lambda: asyncio.get_running_loop().time()) != 1.0
    thread.end()


def test_an_interruption_leaves_no_coroutine_that_nothing_awaits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_coroutine: object, _loop: object) -> NoReturn:
        raise KeyboardInterrupt

    thread = LoopThread(nullcontext(), "it is over")
    thread.begin()
    coroutine = asyncio.sleep(0)
    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
        with pytest.raises(KeyboardInterrupt):
            thread.wait(coroutine)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    thread.end()
