"""A connection of a port without a socket: bytes in, bytes out, in one turn of the loop or more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

from conversation import little_exchange
from loopback import START_MS, instrument
from msgspec.structs import replace

from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.server.congestion import Congestion
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.http import Http
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.rest import Rest
from tickerplant.venue import USDM

CALM = replace(LIMITS, enforced=False, max_frame_bytes=300)
"""Limits under which a client may say as much as a test wants."""
END = b"<end>"
"""Stands in what a connection wrote for the end of the stream."""
TURNS = 6
"""Turns of the loop after which whatever a request has caused is done."""
MOST_TURNS = 1_000
"""Turns of the loop after which somebody who is not read will never be."""


class Wire(asyncio.Transport):
    """A transport that keeps what is written; it takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.protocol: asyncio.BaseProtocol
        self.reads = True
        self._is_closing = False

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 50_000) if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert END not in self.written, "something follows the end of the stream"
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.write(END)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self.write(END)

    def abort(self) -> None:
        self._is_closing = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


def endpoint(complaints: Complaints | None = None) -> Endpoint:
    """A port nobody listens on."""
    plant = Plant([instrument(USDM, "BTCUSDT", "BTCUSDT")], start_ms=START_MS)
    return Endpoint(
        venue=USDM,
        hub=plant.hubs[USDM.name],
        queries=little_exchange(USDM),
        limits=CALM,
        rate_limiter=RateLimiter(CALM),
        congestion=Congestion(CALM, lambda: 0),
        complaints=complaints or Complaints(),
        clock=lambda: START_MS,
    )


def connect(wire: Wire, port: Endpoint) -> None:
    """Begin a connection to `port`."""
    wire.protocol = Http(port, Rest(port, ControlPlane(welcome=str))).arrival()
    wire.protocol.connection_made(wire)


def receive(wire: Wire, data: bytes) -> None:
    """Let the connection have bytes of its client."""
    assert isinstance(wire.protocol, asyncio.Protocol)
    wire.protocol.data_received(data)


async def is_reading(wire: Wire) -> None:
    """Wait until the connection wants more of its client."""
    for _ in range(MOST_TURNS):
        if wire.reads:
            break
        await asyncio.sleep(0)


async def answers(portions: Iterable[bytes], port: Endpoint | None = None) -> bytes:
    """Return what a new connection writes when it is sent `portions`."""
    port = port or endpoint()
    wire = Wire()
    connect(wire, port)
    waiting: Iterator[bytes] = iter(portions)
    for portion in waiting:
        await is_reading(wire)
        if wire.is_closing():
            break
        receive(wire, portion)
    await is_reading(wire)
    for _ in range(TURNS):
        await asyncio.sleep(0)
    wire.protocol.connection_lost(None)
    return bytes(wire.written)
