from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from io import StringIO
from pathlib import Path

import pytest
from loopback import has_ipv6, looped_on_sockets
from programs import PATIENCE_S

from tickerplant import logs
from tickerplant.cluster.options import BusSettings
from tickerplant.cluster.workers import SharedPorts, Workers
from tickerplant.errors import ConfigError, TickerplantError
from tickerplant.server.ports import listening_sockets
from tickerplant.venue import USDM, VENUES

WORKER = [sys.executable, "-I", "-S", str(Path(__file__).with_name("answering_worker.py"))]
PAUSES_S = (0.0, 0.1, 0.2)


@asynccontextmanager
async def working(folder: Path, count: int) -> AsyncIterator[tuple[Workers, SharedPorts]]:
    ports = SharedPorts("127.0.0.1", {"usdm": 0}, [USDM])
    settings = {"folder": str(folder)}
    workers = Workers(
        *(WORKER, settings, BusSettings(servers=()), "", ports, count),
        stop_timeout_s=PATIENCE_S,
        pauses_s=PAUSES_S,
    )
    await workers.start()
    try:
        yield workers, ports
    finally:
        await workers.stop()


async def answered_by(ports: SharedPorts) -> int:
    """Connect, and return the process id of the worker that answers; 0 if none does."""
    host, _, port = ports.urls["usdm"].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        return int(await reader.read() or 0)
    finally:
        writer.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # other processes do it
            await asyncio.sleep(0.01)


@looped_on_sockets
async def test_a_worker_that_dies_again_and_again_is_tried_ever_more_rarely(tmp_path: Path) -> None:
    output = StringIO()
    logs.configure("text", "info", output)
    async with working(tmp_path, 2) as (workers, ports):
        (tmp_path / "fails-2").touch()
        os.kill(workers.pids[2], signal.SIGKILL)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while output.getvalue().count("! worker 2 ended") < 3:
            with suppress(ConnectionResetError):  # it waited for the worker that is given up
                await answered_by(ports)
        assert loop.time() - began_s > PAUSES_S[1]
        assert await answered_by(ports) == workers.pids[1]
        assert re.findall("! .*", output.getvalue())[:3] == [
            "! worker 2 ended (killed by SIGKILL); it is replaced at once",
            "! worker 2 ended (exit status 1); it is replaced in 0.1 s",
            "! worker 2 ended (exit status 1); it is replaced in 0.2 s",
        ]
        (tmp_path / "fails-2").unlink()
        await until(lambda: len(workers.pids) == 2)
        pids = set(workers.pids.values())
        assert {await answered_by(ports) for _ in range(40)} == pids
    assert workers.totals.messages == 2 * 5, "they are told to stop, and counted"
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(ConnectionRefusedError):
        await answered_by(ports)


@looped_on_sockets
async def test_workers_that_cannot_serve_end_the_start_with_their_reason(tmp_path: Path) -> None:
    output = StringIO()
    logs.configure("text", "info", output)
    for number in (1, 2):
        (tmp_path / f"fails-{number}").write_text("no memory")
    with pytest.raises(TickerplantError, match=r"^worker \d cannot serve: no memory$"):
        async with working(tmp_path, 2):
            pass
    assert not output.getvalue(), "none is replaced"


@pytest.mark.sockets
def test_a_port_that_other_workers_share_is_not_free() -> None:
    ports = SharedPorts("127.0.0.1", {"usdm": 0, "coinm": 0}, VENUES)
    ports.open()
    number = ports.numbers["usdm"]
    (worker,) = listening_sockets(USDM, "127.0.0.1", number, is_shared=True)
    try:
        expected = f"invalid value {number} for --usdm-port: expected a free port; another program"
        with pytest.raises(ConfigError, match=expected):
            SharedPorts("127.0.0.1", {"usdm": number, "coinm": 0}, VENUES).open()
        with pytest.raises(ConfigError, match="for --coinm-port: expected a port of its own"):
            SharedPorts("127.0.0.1", {"usdm": number, "coinm": number}, VENUES).open()
    finally:
        worker.close()
        ports.close()


@pytest.mark.sockets
@pytest.mark.skipif(not has_ipv6(), reason="needs IPv6")
def test_workers_share_one_port_at_every_address() -> None:
    ports = SharedPorts(["127.0.0.1", "::1"], {"usdm": 0}, [USDM])
    ports.open()
    try:
        for host in ("127.0.0.1", "::1"):
            (sock,) = listening_sockets(USDM, host, ports.numbers["usdm"], is_shared=True)
            sock.close()
    finally:
        ports.close()
