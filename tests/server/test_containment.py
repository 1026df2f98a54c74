"""An error of one connection loses that connection: the server lives, and serves the others."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from loopback import (
    START_MS,
    UPGRADE,
    Loopback,
    hear,
    loopback,
    looped,
    looped_on_sockets,
    receive,
    say,
    serving,
    shake_hands,
    until,
)
from msgspec.structs import replace
from programs import PATIENCE_S
from simulated_house import simulated

from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.faults.connection_faults import Garbage
from tickerplant.faults.fault import EXEMPT_HEADER
from tickerplant.faults.message_faults import Fields
from tickerplant.faults.rule import parse_rule
from tickerplant.plant import Plant
from tickerplant.protocol.limits import LIMITS
from tickerplant.replaying.plan import Plan
from tickerplant.replaying.scan import scan
from tickerplant.replaying.source import RecordingSource
from tickerplant.server.certificate import OwnCertificate, ServedCertificate, own_certificate
from tickerplant.server.event_loop import connection_clock_ms
from tickerplant.sources.simulated import SimulatedSource

PATH = "/ws/btcusdt@bookTicker/btcusdt@trade"
RULES = (
    "latency=1ms",
    "latency=20ms jitter=10ms",
    "bandwidth=2KB",
    "stall=3ms@3ms",
    "half_open at=+5ms for=15ms",
    "reset=10ms",
    "close=1001@10ms",
    "close=1012 after=2",
    "delay=5ms jitter=5ms",
    "reorder=0.5",
    "chain=5ms",
    "garbage=3ms",
)
"""Every kind of rule that sets a timer for a connection, or writes to it when one fires."""
TIMES = 4
"""How often a client of each kind comes under each rule: the error needed 2 to 30 of them."""
CLOSE_FRAME = b"\x88\x82\x00\x00\x00\x00\x03\xe8"
RESET = struct.pack("ii", 1, 0)


def _recording(path: Path) -> str:
    """Record two seconds with a trade every two milliseconds."""
    lines = []
    for number in range(1_000):
        time_ms = START_MS + 2 * number
        message = (
            f'{{"e":"trade","E":{time_ms},"T":{time_ms},"s":"BTCUSDT","t":{number + 1},"p":"100.00",'
            f'"q":"1.000","X":"MARKET","m":false}}'
        )
        lines.append(
            f'{time_ms * 1_000_000} {{"stream":"btcusdt@trade","data":{message}}}\n'.encode()
        )
    path.write_bytes(b"".join(lines))
    return str(path)


@asynccontextmanager
async def running(
    origin: str, folder: Path, tls: ServedCertificate | None = None
) -> AsyncIterator[Loopback]:
    """Serve a market that moves with the wall clock until the block ends."""
    source: SimulatedSource | RecordingSource
    if origin == "simulate":
        plant, exchange = simulated("BTCUSDT")
        source = SimulatedSource(exchange, plant)
    else:
        found = scan([_recording(folder / "day.jsonl")])
        plant = Plant(found.instruments, start_ms=found.start_ms)
        source = RecordingSource(found, plant, Plan(speed=1, loops=True), wait_for=0)
    board, limits = FaultBoard(MarketClock(plant.timers), 1), replace(LIMITS, enforced=False)
    async with serving(
        plant, source, faults=board, limits=limits, tls=tls, clock=connection_clock_ms
    ) as house:
        yield house


def _open(house: Loopback, *, is_tls: bool) -> socket.socket:
    """Return a client's socket that blocks, connected."""
    host, _, port = house.server.urls["usdm"].rpartition(":")
    sock = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    if not is_tls:
        return sock
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the authorities of the system
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(sock)


def _upgraded(sock: socket.socket) -> None:
    sock.sendall(UPGRADE.format(path=PATH).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        if not (data := sock.recv(1 << 16)):
            raise ConnectionError("the server has closed the connection before its answer")
        head += data


def _leave(sock: socket.socket) -> None:
    """Send a close frame, and be gone."""
    _upgraded(sock)
    sock.sendall(CLOSE_FRAME)


def _leave_late(sock: socket.socket) -> None:
    """The same, once messages have come that are not read."""
    _upgraded(sock)
    sock.recv(1)
    sock.sendall(CLOSE_FRAME)


def _cut(sock: socket.socket) -> None:
    """Reset the connection."""
    _upgraded(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _leave_and_cut(sock: socket.socket) -> None:
    _leave(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _half_close(sock: socket.socket) -> None:
    """Close one side, and read to the end or for a moment."""
    _upgraded(sock)
    sock.shutdown(socket.SHUT_WR)
    sock.settimeout(0.01)
    with suppress(OSError):
        for _ in range(100):
            if not sock.recv(1 << 16):
                break


def _begin(sock: socket.socket) -> None:
    """Be gone before the answer to the handshake."""
    sock.sendall(UPGRADE.format(path=PATH).encode())


def _begin_and_cut(sock: socket.socket) -> None:
    _begin(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _say_nonsense(sock: socket.socket) -> None:
    """Send a frame that ends the connection, and be gone."""
    _upgraded(sock)
    sock.sendall(b"\xff\xff\xff\xff")


WAYS: tuple[Callable[[socket.socket], None], ...] = (
    _leave,
    _leave_late,
    _cut,
    _leave_and_cut,
    _half_close,
    _begin,
    _begin_and_cut,
    _say_nonsense,
)


def _visit(house: Loopback, way: Callable[[socket.socket], None], *, is_tls: bool) -> None:
    with suppress(OSError), _open(house, is_tls=is_tls) as sock:
        way(sock)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> OwnCertificate:
    return own_certificate(tmp_path_factory.mktemp("tls"), [])


@pytest.mark.slow("clients in threads leave a market that keeps real time")
@pytest.mark.parametrize("scheme", ["plain", "tls"])
@pytest.mark.parametrize("origin", ["simulate", "replay"])
@looped_on_sockets
async def test_clients_that_go_in_any_way_under_any_fault_end_nobody_else(
    origin: str, scheme: str, tmp_path: Path, own: OwnCertificate
) -> None:
    tls = ServedCertificate(str(own.server)) if scheme == "tls" else None
    async with running(origin, tmp_path, tls) as house:
        board = house.server.faults
        for text in RULES:
            rule = board.add(parse_rule(text))
            visits = [
                asyncio.to_thread(_visit, house, way, is_tls=tls is not None)
                for way in WAYS * TIMES
            ]
            await asyncio.gather(*visits)
            if house.source_task.done():
                house.source_task.result()
            board.end(rule)
        ours = [each for each in house.server.complaints.counts if each.startswith("connection: ")]
        assert set(ours) <= {"connection: OSError", "connection: BrokenPipeError"}, ours
        # Somebody else is served.
        witness = await asyncio.to_thread(_open, house, is_tls=tls is not None)
        with witness:
            await asyncio.to_thread(_upgraded, witness)
            assert await asyncio.to_thread(witness.recv, 1)
        assert not house.source_task.done()
        await until(lambda: not house.server.connections)


async def _shake_hands_exempt(sock: socket.socket) -> None:
    """Upgrade a bare socket to which no fault happens."""
    head = UPGRADE.format(path=PATH).replace("\r\n", f"\r\n{EXEMPT_HEADER}: 1\r\n", 1)
    await say(sock, head.encode())
    assert b" 101 " in await hear(sock)


@looped
async def test_an_error_in_a_timer_of_a_connection_cuts_it_and_is_counted_and_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no such frame")

    monkeypatch.setattr(Garbage, "begin", fails)
    async with loopback(faults="garbage=1s") as house:
        sock, other = house.socket(), house.socket()
        await _shake_hands_exempt(other)
        await shake_hands(sock, PATH)
        house.clock.now_ms += 60_000
        assert await hear(sock) == b""
        counted = await house.metrics()
        await say(other, b"\x89\x80\x00\x00\x00\x00")
        assert await hear(other) == b"\x8a\x00"
        sock.close()
        other.close()
    assert counted['tickerplant_complaints_total{kind="connection: ValueError"}'] == 1
    assert counted['tickerplant_connections_closed_total{reason="lost",venue="usdm"}'] == 1
    assert "! lost: no such frame" in capsys.readouterr().out


@looped
async def test_a_message_fault_that_fails_cuts_its_connection_and_the_others_get_the_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("p")

    monkeypatch.setattr(Fields, "change", fails)
    async with loopback(faults="fields=1") as house:
        sock, other = house.socket(), house.socket()
        await shake_hands(sock, PATH)
        await _shake_hands_exempt(other)
        house.trade()
        assert b'"e":"trade"' in await hear(other)
        assert await hear(sock) == b""
        sock.close()
        other.close()


@looped
async def test_a_connection_that_overflows_while_the_hub_writes_to_it_is_closed_alone() -> None:
    bounds = replace(LIMITS, max_unsent_bytes=2_000, close_grace_ms=1)
    async with loopback(bounds) as house:
        sock, other = house.socket(), house.socket()
        await shake_hands(sock, PATH)
        await shake_hands(other, PATH)
        stalled, reading = (each.identity for each in house.server.connections)
        for text in (
            f"stall connection={stalled}",
            f"fields=1 connection={stalled}",
            # Its messages pass a filter too, so both are of one audience, and none is hit.
            f"drop=1 stream=btcusdt@bookTicker connection={reading}",
        ):
            house.server.faults.add(parse_rule(text))
        for _ in range(40):
            house.trade()
            for hub in house.plant.hubs.values():
                hub.flush()  # raises what a market timer would get
        received = b""
        while received.count(b'"e":"trade"') < 40:
            received += await receive(other)
        await until(lambda: len(house.server.connections) == 1)
        sock.close()
        other.close()
        counted = await house.metrics()
    assert counted['tickerplant_slow_consumers_total{venue="usdm"}'] == 1
