"""A program with workers, as a user starts it, and clients that listen to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from connecting import connect
from loopback import ask_http
from programs import PATIENCE_S, hear_hangups
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

MARKET = ("simulate", "--seed", "7", "--symbols", "BTCUSDT")
LOST = (1013, "Bus lost: messages may be missing")
FREE_PORTS = ("--usdm-port", "0", "--coinm-port", "0")


class Crew:
    """A running program."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.streams, self.rest = "", ""
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def children(self) -> dict[int, str]:
        """The processes that it has started: by their ids, `worker 1` or `nats-server`."""
        found = {}
        for folder in Path("/proc").iterdir():
            with suppress(OSError, ValueError, IndexError):  # it ends, or is not yet a program
                state = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(state[1]) == self.process.pid and state[0] != "Z":
                    words = (folder / "cmdline").read_text().split("\0")[:-1]
                    name = f"worker {words[-1]}" if "worker" in words else Path(words[0]).name
                    found[int(folder.name)] = name
        return found

    @property
    def workers(self) -> dict[int, int]:
        """The process ids of the workers by number."""
        return {int(name[7:]): pid for pid, name in self.children.items() if name[:6] == "worker"}

    @property
    def bus(self) -> int:
        """The process id of nats-server."""
        return next(pid for pid, name in self.children.items() if name == "nats-server")

    async def line(self) -> dict[str, Any]:
        """The next line of JSON."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            text = await self.process.stdout.readline()
        assert text, self.log
        line: dict[str, Any] = json.loads(text)
        return line

    async def serves(self) -> None:
        """Wait until it does."""
        venue = (await self.line())["venues"]["usdm"]
        self.streams, self.rest = venue["streams"], venue["rest"]

    async def said(self, text: str, times: int = 1) -> None:
        """Wait until the log has `text`."""
        await until(lambda: self.log.count(text) >= times)

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def until(condition: Callable[[], object], within_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # other processes do it
            await asyncio.sleep(0.02)


@asynccontextmanager
async def standing(process: int) -> AsyncIterator[None]:
    """Let a process stand still until the end of the block."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@asynccontextmanager
async def started(
    folder: Path,
    *arguments: str,
    name: str = "log",
    is_ready: bool = True,
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Crew]:
    """Start the program on free ports; with `is_ready`, wait until it serves.

    Args:
        prefix: What to write before the command.
        env: Further variables of its environment.
    """
    path = folder / f"{name}.txt"
    inherited = {key: text for key, text in os.environ.items() if not key.startswith("TICKERPLANT")}
    with path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(*prefix, sys.executable, "-m", "tickerplant", *arguments, *FREE_PORTS, "--json"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=inherited | dict(env or {}),
            preexec_fn=hear_hangups,
        )
    crew = Crew(process, path)
    children: dict[int, str] = {}
    try:
        if is_ready:
            await crew.serves()
        yield crew
    finally:
        if process.returncode is None:
            children = crew.children
            process.kill()
        await process.wait()
        await until(lambda: not any(map(is_running, children)))


class Listener:
    """A client of the depth updates of BTCUSDT: how many it has heard, and how it ended."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.last_id = self.count = self.holes = 0
        self.end = (0, "")
        """The close code and the reason; 1006 if the connection broke without one."""
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        with suppress(ConnectionClosed):
            async for text in self.connection:
                message = json.loads(text)
                self.holes += self.last_id not in (0, message["pu"])
                self.last_id = message["u"]
                self.count += 1
        self.end = self.connection.close_code or 1006, self.connection.close_reason or ""


async def all_hear_more(listeners: Iterable[Listener], count: int = 3) -> None:
    """Wait until each has heard more, without a hole."""
    wanted = {each: each.count + count for each in listeners}
    await until(
        lambda: all(each.count >= count or each.task.done() for each, count in wanted.items())
    )
    assert not [each.end for each in wanted if each.task.done()]
    assert not any(each.holes for each in wanted)


async def all_closed(
    listeners: Iterable[Listener], within_s: float = PATIENCE_S, end: tuple[int, str] = LOST
) -> None:
    """Wait until all are closed so; none has missed a message before."""
    ends = list(listeners)
    await until(lambda: all(each.task.done() for each in ends), within_s)
    assert {(each.end, each.holes) for each in ends} == {(end, 0)}


async def readiness(at: str) -> tuple[int, str]:
    """Return the status of `/readyz`, and why the server is not ready."""
    answer = await ask_http(urlsplit(at).netloc, "GET", "/readyz")
    return answer.status, answer.json["reason"]


async def accepts_clients(streams: str) -> None:
    """Wait until every process does, and serves; one of a few attempts meets each."""
    accepted = 0
    async with asyncio.timeout(PATIENCE_S):
        while accepted < 12:
            try:
                async with connect(f"{streams}/ws"):
                    accepted += 1
            except InvalidStatus:
                accepted = 0
                await asyncio.sleep(0.1)
    async with listening(streams, 4) as clients:
        await all_hear_more(clients)


@asynccontextmanager
async def listening(url: str, count: int, **options: Any) -> AsyncIterator[list[Listener]]:
    """Clients that listen to the book of BTCUSDT, and have heard some messages."""
    path = f"{url}/ws/btcusdt@depth@100ms"
    listeners = [Listener(await connect(path, **options)) for _ in range(count)]
    try:
        await all_hear_more(listeners)
        yield listeners
    finally:
        for each in listeners:
            each.task.cancel()
            await each.connection.close()
