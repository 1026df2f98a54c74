"""Servers that answer as a test says, and a clock that waits without waiting."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from enum import Enum
from http import HTTPStatus
from random import Random
from typing import Any, TypeAlias, TypeVar

from loopback import START_MS, Loopback
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tickerplant.client.api import ApiClient
from tickerplant.client.rest import RestClient
from tickerplant.feed.hosts import Hosts, hosts_of
from tickerplant.feed.weight import WeightBudget
from tickerplant.venue import USDM, Venue


class Fault(Enum):
    """What a server does instead of answering."""

    HANG = "hang"
    CLOSE = "close"
    RESET = "reset"


Answer: TypeAlias = bytes | Fault


def http(status: int, body: bytes = b"{}", /, **headers: str) -> bytes:
    """Return an HTTP response; names of headers with underscores for dashes."""
    sent: Mapping[str, str] = {
        "Content-Length": str(len(body)),
        "Connection": "close",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in sent.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Scripted:
    """A server that gives one answer after the other, the last one for ever."""

    def __init__(self, answers: tuple[Answer, ...]) -> None:
        self._answers = list(answers)
        self.asked: list[bytes] = []
        """The head of every request."""
        self.at_once = 0
        self.most_at_once = 0
        self.base = ""
        self._over = asyncio.Event()

    def hosts(self, venue: Venue = USDM) -> Hosts:
        return hosts_of(venue, self.base)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            await asyncio.sleep(0.001)
            if answer is Fault.HANG:
                await self._over.wait()
            elif answer is Fault.RESET:
                writer.transport.abort()
            elif isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.at_once -= 1

    async def end(self) -> None:
        self._over.set()
        while self.at_once:  # noqa: ASYNC110  # what is waited for is seen from outside
            await asyncio.sleep(0.001)


@asynccontextmanager
async def scripted(*answers: Answer) -> AsyncIterator[Scripted]:
    script = Scripted(answers)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield script
    finally:
        server.close()
        await script.end()
        await server.wait_closed()


def hosts_in(house: Loopback, venue: Venue = USDM) -> Hosts:
    """Return the addresses of the server of a test."""
    return hosts_of(venue, f"http://{house.server.urls[venue.name]}")


C = TypeVar("C", RestClient, ApiClient)


@asynccontextmanager
async def client_in(
    kind: type[C],
    hosts: Hosts,
    moment: TimeSpec,
    budget: WeightBudget | None = None,
    **options: Any,
) -> AsyncIterator[C]:
    """Yield a client of REST or of the WebSocket API that waits on the clock of a test."""
    client = kind(
        hosts,
        budget or WeightBudget(),
        clock=moment,
        sleep=moment.sleep,
        rng=Random(1),
        **options,
    )
    try:
        yield client
    finally:
        await client.close()


class TimeSpec:
    """A clock that moves by what is slept."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms
        self.slept: list[float] = []

    def __call__(self) -> int:
        return self.now_ms

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_ms += math.ceil(seconds * 1000)
        await asyncio.sleep(0)


class SharedMoment(TimeSpec):
    """A clock that moves that of the server, too."""

    def __init__(self, house: Loopback) -> None:
        super().__init__()
        self.house = house

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self.house.clock.now_ms = self.now_ms


Handler: TypeAlias = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def served(handler: Handler, **options: Any) -> AsyncIterator[Hosts]:
    """Serve a WebSocket that behaves as `handler` does."""

    async def patient(connection: ServerConnection) -> None:
        with suppress(ConnectionError, ConnectionClosed):
            await handler(connection)

    async with serve(patient, "127.0.0.1", 0, close_timeout=0.1, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield hosts_of(USDM, f"ws://127.0.0.1:{port}")
