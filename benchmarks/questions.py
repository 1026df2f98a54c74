"""What a question costs the server, and what a handshake costs.

The server is the program with the default market, which goes on meanwhile: what it needs when nobody
asks is measured first, and subtracted.  Each question is held against a server that has
the same bytes ready.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

from msgspec import Struct

from benchmarks.machine import RECEIVER_CORE, pin, processes
from benchmarks.program import Program
from benchmarks.ready_answers import Ready, serve_bare, serve_http, serve_socket
from benchmarks.receiver import shake_hands
from benchmarks.table import Cell, Table, median_ratio, spread

REPETITIONS = 7
QUICK_REPETITIONS = 2
ROUND_S = 0.25
"""About how long a contender is asked in one repetition."""
SETTLE_S = 3.0
"""So long the market lives before the first question."""
IDLE_S = 2.0
"""How long the server is watched while nobody asks."""
HANDSHAKES = 150
"""In one repetition."""
DRAIN_S = 0.1
WARM_UP = 100
BUFFER_BYTES = 1 << 20

MINUTES = "symbol=BTCUSDT&interval=1m&limit=1500"


class Question(Struct, frozen=True):
    """A question over HTTP, and the ratio to a ready answer that is good enough."""

    target: str
    most: float | None


QUESTIONS = (
    Question(f"/fapi/v1/klines?{MINUTES}", 2.0),
    Question(f"/fapi/v1/markPriceKlines?{MINUTES}", None),
    Question("/fapi/v1/depth?symbol=BTCUSDT&limit=1000", 2.0),
    Question("/fapi/v1/exchangeInfo?", 1.3),
    Question("/fapi/v1/ticker/bookTicker?symbol=BTCUSDT", 1.3),
    Question("/fapi/v1/ticker/24hr?", None),
    Question("/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1000", None),
)
API_PATH = "/ws-fapi/v1"
BOOK_TICKER = b'{"id":1,"method":"ticker.book","params":{"symbol":"BTCUSDT"}}'
STREAM_PATH = "/ws/btcusdt@markPrice"
CLOSE = bytes([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8])
"""A close frame with code 1000."""
TARGET_HANDSHAKE_US = 200.0


def run(*, quick: bool = False) -> list[Table]:
    """Measure questions and handshakes, each interleaved with its baselines."""
    pin(RECEIVER_CORE)
    repetitions = QUICK_REPETITIONS if quick else REPETITIONS
    with ExitStack() as stack:
        plant = stack.enter_context(Program("simulate", "--limits", "off"))
        time.sleep(SETTLE_S)
        server = Contender(plant.pid, plant.port, is_busy=True)
        ready = {each.target: _ask(plant.port, each.target) for each in QUESTIONS}
        uvicorn = stack.enter_context(_Baseline(serve_http, ready))
        rows = [_question(each, server, uvicorn.contender, repetitions) for each in QUESTIONS]
        reply = _Socket(plant.port).ask()
        library = stack.enter_context(_Baseline(serve_socket, reply))
        rows.append(_api_question(server, library.contender, repetitions))
        bare = stack.enter_context(_Baseline(serve_bare))
        shaken = _handshakes((server, library.contender, bare.contender), repetitions)
    return [
        Table(
            title="questions: CPU of the server, µs",
            columns=("question", "bytes", "tickerplant", "answer ready", "ratio", "target"),
            rows=rows,
            notes=[
                "One connection, one question after the other, while the default market goes on.",
                "Answer ready: uvicorn (httptools) with the same bytes; for the WebSocket API the server",
                "of the websockets library.",
            ],
        ),
        shaken,
    ]


class Contender:
    """A server process, and what it costs.

    Args:
        pid: The process.
        port: Where it listens.
        is_busy: Whether it does something when nobody asks.
    """

    def __init__(self, pid: int, port: int, *, is_busy: bool = False) -> None:
        self.port = port
        self._tasks = Path(f"/proc/{pid}/task")
        self._idle_share = self._watch() if is_busy else 0.0

    def _cpu_ns(self) -> int:
        total = 0
        for task in self._tasks.iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total

    def _watch(self) -> float:
        """Return the share of a core that it needs when nobody asks."""
        began_ns, began = self._cpu_ns(), time.monotonic_ns()
        time.sleep(IDLE_S)
        return (self._cpu_ns() - began_ns) / (time.monotonic_ns() - began)

    def cost_us(self, work: Callable[[], int]) -> float:
        """Return the CPU time of each of the things that `work` does and counts."""
        began_ns, began = self._cpu_ns(), time.monotonic_ns()
        count = work()
        spent_ns, elapsed_ns = self._cpu_ns() - began_ns, time.monotonic_ns() - began
        return (spent_ns - self._idle_share * elapsed_ns) / count / 1_000


class _Baseline:
    """A server with ready answers in a process of its own; a context."""

    def __init__(self, serve: Callable[..., None], *arguments: Any) -> None:
        context = processes()
        told, telling = context.Pipe(duplex=False)
        self._process: BaseProcess = context.Process(target=serve, args=(telling, *arguments))
        self._process.start()
        port = told.recv()
        assert self._process.pid is not None
        self.contender = Contender(self._process.pid, port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()


class Http:
    """One connection that asks the same question again and again."""

    def __init__(self, port: int, target: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._buffer = bytearray(BUFFER_BYTES)

    def ask(self) -> tuple[bytes, int, int]:
        """Ask, and return the head of the answer, its length, and that of the whole."""
        self._socket.sendall(self._request)
        view, filled, head = memoryview(self._buffer), 0, -1
        while head < 0:
            filled += self._receive(view[filled:])
            head = self._buffer.find(b"\r\n\r\n", 0, filled)
        top = bytes(view[: head + 4])
        length = int(top.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        whole = head + 4 + length
        while filled < whole:
            filled += self._receive(view[filled:])
        assert filled == whole, "more than the answer"
        return top, head + 4, whole

    def _receive(self, view: memoryview) -> int:
        count = self._socket.recv_into(view)
        assert count, "the server hung up"
        return count

    def body(self, head: int, whole: int) -> bytes:
        return bytes(self._buffer[head:whole])

    def close(self) -> None:
        self._socket.close()


def _ask(port: int, target: str) -> Ready:
    """Return the answer to one question."""
    connection = Http(port, target)
    top, head, whole = connection.ask()
    assert top.startswith(b"HTTP/1.1 200"), top
    lines = top.strip().split(b"\r\n")[1:]
    pairs = (line.split(b": ", 1) for line in lines)
    headers = [(name, value) for name, value in pairs]
    answer = Ready(headers, connection.body(head, whole))
    connection.close()
    return answer


def _question(
    question: Question, server: Contender, uvicorn: Contender, repetitions: int
) -> tuple[Cell, ...]:
    connections = [Http(each.port, question.target) for each in (server, uvicorn)]
    for connection in connections:
        for _ in range(WARM_UP):
            _, head, whole = connection.ask()
    own, ready = [], []
    for _ in range(repetitions):
        own.append(server.cost_us(repeated(connections[0].ask)))
        ready.append(uvicorn.cost_us(repeated(connections[1].ask)))
    for connection in connections:
        connection.close()
    path, _, query = question.target.partition("?")
    title = f"{path} {query}".strip()
    return (
        title,
        whole - head,
        spread(own),
        spread(ready),
        median_ratio(own, ready),
        question.most,
    )


def repeated(ask: Callable[[], object]) -> Callable[[], int]:
    def work() -> int:
        count, until = 0, time.monotonic() + ROUND_S
        while time.monotonic() < until:
            ask()
            count += 1
        return count

    return work


class _Socket:
    """A WebSocket connection that asks the same question again and again."""

    def __init__(self, port: int) -> None:
        self._socket = shake_hands(port, API_PATH)
        self._socket.setblocking(True)
        self._request = bytes([0x81, 0x80 | len(BOOK_TICKER), 0, 0, 0, 0]) + BOOK_TICKER
        self._buffer = bytearray(BUFFER_BYTES)

    def ask(self) -> bytes:
        """Ask, and return the text of the answer."""
        self._socket.sendall(self._request)
        filled = self._socket.recv_into(self._buffer)
        length, start = self._buffer[1], 2
        if length == 126:
            length, start = int.from_bytes(self._buffer[2:4]), 4
        while filled < start + length:
            filled += self._socket.recv_into(memoryview(self._buffer)[filled:])
        return bytes(self._buffer[start : start + length])

    def close(self) -> None:
        self._socket.close()


def _api_question(server: Contender, library: Contender, repetitions: int) -> tuple[Cell, ...]:
    connections = [_Socket(each.port) for each in (server, library)]
    for connection in connections:
        for _ in range(WARM_UP):
            reply = connection.ask()
    own, ready = [], []
    for _ in range(repetitions):
        own.append(server.cost_us(repeated(connections[0].ask)))
        ready.append(library.cost_us(repeated(connections[1].ask)))
    for connection in connections:
        connection.close()
    return (
        "WebSocket API ticker.book symbol=BTCUSDT",
        len(reply),
        spread(own),
        spread(ready),
        median_ratio(own, ready),
        None,
    )


def _handshakes(contenders: Sequence[Contender], repetitions: int) -> Table:
    for contender in contenders:
        _Crowd(contender.port).leave()
    runs = []
    for _ in range(repetitions):
        costs_us = []
        for contender in contenders:
            crowd = _Crowd(contender.port)
            costs_us.append(contender.cost_us(crowd.join))
            crowd.leave()
        runs.append(costs_us)
    plant, library, bare = ([*column] for column in zip(*runs, strict=True))
    return Table(
        title="handshake: CPU of the server, µs",
        columns=("tickerplant", "target", "websockets", "ratio", "bare", "ratio"),
        rows=[
            (
                spread(plant),
                TARGET_HANDSHAKE_US,
                spread(library),
                median_ratio(plant, library),
                spread(bare),
                median_ratio(plant, bare),
            )
        ],
        notes=[
            f"{HANDSHAKES} connections, one after the other, from accept to what is done once open.",
            "Bare: an asyncio protocol that finds the key by a regular expression.",
        ],
    )


class _Crowd:
    """Connections that are opened one after the other, and closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []

    def join(self) -> int:
        """Open them; return how many."""
        self._sockets = [shake_hands(self._port, STREAM_PATH) for _ in range(HANDSHAKES)]
        time.sleep(DRAIN_S)
        return HANDSHAKES

    def leave(self) -> None:
        """Close them, each as soon as the server has."""
        for each in self._sockets:
            each.sendall(CLOSE)
            while each.recv(BUFFER_BYTES):
                pass
            each.close()
        time.sleep(DRAIN_S)
