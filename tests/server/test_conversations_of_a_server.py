"""The scripted conversations again, with the real server and a connection between.

What the hub is asked to do (lines that begin with `*`) cannot be seen from outside; everything
else has to be exactly what the bare sessions say.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from conversation import SCRIPTS, START_MS, Player, hold, little_exchange, venue_of
from loopback import Loopback, hear, loopback, looped, looped_on_sockets, say, shake_hands, until
from msgspec.structs import replace
from programs import PATIENCE_S
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from tickerplant.protocol.keepalive import NEVER_MS
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.server.backend import LocalBackend
from tickerplant.server.endpoint import Endpoint


def answer_here(endpoint: Endpoint) -> None:
    """Let new connections be answered with what the endpoint has now."""
    endpoint.backend = LocalBackend(
        endpoint.queries, endpoint.rate_limiter, endpoint.limits, endpoint.session_counters
    )


class ServerPlayer(Player):
    """The client's side: it says what the script says and nothing by itself, not even a pong."""

    def __init__(self, house: Loopback) -> None:
        super().__init__()
        self._house = house
        self._endpoints = house.server.endpoints
        for endpoint in self._endpoints:
            endpoint.queries = little_exchange(endpoint.venue)
            answer_here(endpoint)
        self._endpoint = self._endpoints[0]
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._pongs = 0
        self._listening: asyncio.Task[None] | None = None
        house.clock.now_ms = START_MS

    def limit(self, name: str, value: int) -> None:
        limits = replace(self._endpoint.limits, **{name: value})
        rate_limiter = RateLimiter(limits)
        for endpoint in self._endpoints:
            endpoint.limits, endpoint.rate_limiter = limits, rate_limiter
            answer_here(endpoint)

    async def connect(self, path: str) -> None:
        await self.leave()
        venue = venue_of(path)
        self._endpoint = next(each for each in self._endpoints if each.venue is venue)
        self._socket = self._house.socket(venue)
        first = await shake_hands(self._socket, path)
        self._client = ClientProtocol(parse_uri("ws://test/"), state=State.OPEN)
        self._listening = asyncio.create_task(self._listen(first))

    async def leave(self) -> None:
        """End the connection; whatever was said before and not expected is an error."""
        if self._listening is None:
            return
        await self._send(Frame(Opcode.CLOSE, Close(1000, "").serialize()))
        await self._listening
        self._listening = None
        self._socket.close()
        await until(lambda: not self._endpoint.connections)
        if "! 1000 " in self.seen:
            self.seen.remove("! 1000 ")
        assert not self.seen, f"nothing more was expected, but saw {self.seen[0]}"

    async def ask(self, path: str) -> None:
        answer = await self._house.get(path, venue_of(path))
        self.seen.append(f"< {answer.status} {answer.body.decode()}")

    async def send_text(self, text: str) -> None:
        await self._send(Frame(Opcode.TEXT, text.encode()))

    async def send_frame(self, kind: str, payload: bytes) -> None:
        """Send a frame; those that get no reply of the session have arrived on return."""
        counters, pongs = self._endpoint.session_counters, self._pongs
        received = counters.pongs_received
        opcode = {"ping": Opcode.PING, "pong": Opcode.PONG, "binary": Opcode.BINARY}[kind]
        await self._send(Frame(opcode, payload))
        if kind == "ping":
            await until(lambda: self._pongs > pongs)
        elif kind == "pong":
            await until(lambda: counters.pongs_received > received)

    async def wait(self, duration_ms: int) -> None:
        """Let time pass as it does: no deadline is passed over."""
        clock = self._house.clock
        end_ms = clock.now_ms + duration_ms
        while (deadline_ms := self._next_deadline_ms()) <= end_ms:
            clock.now_ms = deadline_ms
            for _ in self._endpoint.tick():
                pass
        clock.now_ms = end_ms

    def _next_deadline_ms(self) -> int:
        open_now = self._endpoint.connections
        dues_ms = ((each.next_deadline_ms, each.machine_deadline_ms) for each in open_now)
        return min((due_ms for each in dues_ms for due_ms in each), default=NEVER_MS)

    async def next_line(self) -> str:
        """Return the next thing that is seen."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while not self.seen:
                    self._arrived.clear()
                    await self._arrived.wait()
        return await super().next_line()

    async def _send(self, frame: Frame) -> None:
        with contextlib.suppress(ConnectionError):
            await say(self._socket, frame.serialize(mask=True))

    async def _listen(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                self._client.receive_data(data)
                self._client.data_to_send()
                for frame in self._client.events_received():
                    assert isinstance(frame, Frame)
                    self._see(frame)
                    self._arrived.set()
                    if frame.opcode is Opcode.CLOSE:
                        await self._send(frame)
                data = await hear(self._socket)
                if not data:
                    return

    def _see(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT:
                self.seen.append(f"< {bytes(frame.data).decode()}")
            case Opcode.PING:
                self.seen.append(f"<< ping {bytes(frame.data).decode()}")
            case Opcode.PONG:
                self._pongs += 1
            case Opcode.CLOSE:
                close = Close.parse(bytes(frame.data))
                self.seen.append(f"! {close.code} {close.reason}")


async def hold_with_a_server(script: Path) -> None:
    async with loopback() as house:
        await hold(script, ServerPlayer(house))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
@looped
async def test_the_conversation_goes_as_written_with_a_server(script: Path) -> None:
    await hold_with_a_server(script)


@pytest.mark.parametrize("name", ["rest_errors", "keepalive"])
@looped_on_sockets
async def test_the_conversation_goes_as_written_over_a_socket(name: str) -> None:
    await hold_with_a_server(SCRIPTS[0].with_name(f"{name}.txt"))
