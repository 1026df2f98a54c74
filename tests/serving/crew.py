"""A program with workers, as a user starts it, and clients that listen to it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from connecting import connect
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
        return children_of(self.process.pid)

    @property
    def workers(self) -> dict[int, int]:
        """The process ids of the workers by number."""
        return {
            int(name.split()[1]): pid
            for pid, name in self.children.items()
            if name.startswith("worker")
        }

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

    async def said(self, text: str) -> None:
        """Wait until the log has `text`."""
        await until(lambda: text in self.log)

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


def children_of(parent: int) -> dict[int, str]:
    found = {}
    for folder in Path("/proc").iterdir():
        with suppress(
            OSError, ValueError, IndexError
        ):  # it ends meanwhile, or is not yet a program
            pid = int(folder.name)
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(state[1]) == parent and state[0] != "Z":
                words = (folder / "cmdline").read_bytes().split(b"\0")[:-1]
                is_worker = b"worker" in words
                found[pid] = (
                    f"worker {words[-1].decode()}" if is_worker else Path(words[0].decode()).name
                )
    return found


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def until(condition: Callable[[], object], within_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # other processes do it
            await asyncio.sleep(0.02)


@asynccontextmanager
async def started(
    folder: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    name: str = "log",
    is_ready: bool = True,
    prefix: Sequence[str] = (),
) -> AsyncIterator[Crew]:
    """Start the program on free ports; with `is_ready`, wait until it serves.

    Args:
        prefix: What to write before the command.
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
            venue = (await crew.line())["venues"]["usdm"]
            crew.streams, crew.rest = venue["streams"], venue["rest"]
        yield crew
    finally:
        if process.returncode is None:
            children = crew.children
            process.kill()
        await process.wait()
        if children:
            await until(lambda: not any(map(is_running, children)))


class Listener:
    """A client that keeps all that it hears of depth updates, and how its connection ended."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.last_id = 0
        self.count = 0
        self.holes = 0
        self.code = 0
        """The close code; 1006 if the connection broke without one."""
        self.reason = ""
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            async for text in self.connection:
                message = json.loads(text)
                if self.last_id and message["pu"] != self.last_id:
                    self.holes += 1
                self.last_id = message["u"]
                self.count += 1
        except ConnectionClosed as closed:
            self.code = closed.rcvd.code if closed.rcvd else 1006
            self.reason = closed.rcvd.reason if closed.rcvd else ""
        else:
            self.code, self.reason = (
                self.connection.close_code or 0,
                self.connection.close_reason or "",
            )

    async def hears_more(self, count: int = 3) -> None:
        before = self.count
        await until(lambda: self.count >= before + count or self.task.done())
        assert not self.task.done(), (self.code, self.reason)


async def all_hear_more(listeners: Iterable[Listener], count: int = 3) -> None:
    await asyncio.gather(*(each.hears_more(count) for each in listeners))


async def all_closed(listeners: Iterable[Listener], within_s: float) -> None:
    """Wait until all are told that the bus is lost; none has missed a message before."""
    ends = list(listeners)
    await until(lambda: all(each.task.done() for each in ends), within_s)
    assert {(each.code, each.reason, each.holes) for each in ends} == {(*LOST, 0)}


def readiness(at: str) -> tuple[int, str]:
    """Return the status of `/readyz`, and why the server is not ready."""
    connection = http.client.HTTPConnection(urlsplit(at).netloc, timeout=PATIENCE_S)
    connection.request("GET", "/readyz")
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, json.loads(text).get("reason", "")


async def accepts_clients(streams: str) -> None:
    """Wait until every process does; one of a few attempts meets each."""
    accepted = 0
    async with asyncio.timeout(PATIENCE_S):
        while accepted < 12:
            try:
                async with connect(f"{streams}/ws"):
                    accepted += 1
            except InvalidStatus:
                accepted = 0
                await asyncio.sleep(0.1)


@asynccontextmanager
async def listening(url: str, count: int) -> AsyncIterator[list[Listener]]:
    """Clients that listen to the book of BTCUSDT."""
    listeners = [Listener(await connect(f"{url}/ws/btcusdt@depth@100ms")) for _ in range(count)]
    try:
        yield listeners
    finally:
        for each in listeners:
            each.task.cancel()
            await each.connection.close()
