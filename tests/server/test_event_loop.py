from __future__ import annotations

import asyncio
import io
import logging
import os
import runpy
import select
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable

import pytest
import structlog
from programs import PATIENCE_S

from tickerplant import logs
from tickerplant.logs import Complaints
from tickerplant.server import event_loop

needs_epoll = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll here")


def test_work_is_run_to_its_end() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    assert event_loop.run(work()) == "done"


def test_what_fails_says_so() -> None:
    async def work() -> None:
        await asyncio.sleep(0.001)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        event_loop.run(work())


@pytest.mark.parametrize("select_below", [0, event_loop.MAX_SELECT_DESCRIPTOR])
def test_timers_fire_in_order_and_never_early(select_below: int) -> None:
    delays_s = [0.0105, 0.0003, 0.0101, 0.0, 0.0042]

    async def work() -> list[tuple[float, float]]:
        loop = asyncio.get_running_loop()
        fired: list[tuple[float, float]] = []

        async def fire(delay_s: float) -> None:
            due_s = loop.time() + delay_s
            await asyncio.sleep(delay_s)
            fired.append((due_s, loop.time()))

        await asyncio.gather(*map(fire, delays_s))
        return fired

    fired = event_loop.run(work(), select_below=select_below)
    assert fired == sorted(fired), "expected them in the order in which they were due"
    assert all(at_s >= due_s for due_s, at_s in fired), f"expected none before its time: {fired}"


@pytest.mark.sockets
@needs_epoll
def test_a_sleep_ends_when_something_is_there_to_read() -> None:
    ours, theirs = socket.socketpair()

    async def work() -> bytes:
        reader, writer = await asyncio.open_connection(sock=ours)
        threading.Timer(0.01, theirs.sendall, [b"here\n"]).start()
        line = await asyncio.wait_for(reader.readline(), PATIENCE_S)
        writer.close()
        return line

    with theirs:
        assert event_loop.run(work()) == b"here\n"


@pytest.mark.parametrize(
    "wake",
    [
        lambda loop, event: loop.call_soon_threadsafe(event.set),
        lambda _loop, _event: os.kill(os.getpid(), signal.SIGUSR1),
    ],
    ids=["a thread", "a signal"],
)
def test_a_sleep_ends_when_somebody_wakes_it(
    wake: Callable[[asyncio.AbstractEventLoop, asyncio.Event], object],
) -> None:
    async def work() -> bool:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, event.set)
        threading.Timer(0.01, wake, [loop, event]).start()
        return await asyncio.wait_for(event.wait(), PATIENCE_S)

    assert event_loop.run(work())


@pytest.mark.sockets
@needs_epoll
def test_what_is_ready_is_reported_at_once_and_nothing_is_after_the_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, event_loop.ExactSelector() as selector:
        key = selector.register(ours, 1)
        assert selector.select(0.0005) == [], "nothing came"
        theirs.send(b"x")
        for timeout_s in (30, None, 0, -1):
            assert selector.select(timeout_s) == [(key, 1)]


def test_what_fails_again_and_again_is_logged_once_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # without those of pytest
    output = io.StringIO()
    logs.configure("text", "info", output)
    complaints = Complaints()

    async def work() -> None:
        event_loop.report_faults(complaints)
        loop = asyncio.get_running_loop()
        for number in range(100):
            loop.call_soon(divmod, number, 0)
            logging.getLogger("uvicorn.error").error("Exception in connection %d", number)
        await asyncio.sleep(0)

    try:
        event_loop.run(work())
        written = output.getvalue()
        assert complaints.counts == {
            "fault: ZeroDivisionError": 100,
            "uvicorn.error: Exception in connection %d": 100,
        }
        assert written.count("ZeroDivisionError: ") == 1, "with its traceback"
        assert written.count("uvicorn.error: Exception in connection 0\n") == 1
        assert len(written) < 2_000
    finally:
        structlog.reset_defaults()


def test_a_system_without_epoll_runs_work_with_its_own_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(selectors, "EpollSelector")
    there = runpy.run_path(event_loop.__file__)

    async def work() -> type[asyncio.AbstractEventLoop]:
        await asyncio.sleep(0)
        return type(asyncio.get_running_loop())

    assert there["run"](work()).__module__.startswith("asyncio.")
    assert "ExactSelector" not in there
