"""What a question costs the server.

The server is the program with the default market, which goes on meanwhile: what it needs when nobody
asks is measured first, and subtracted.  Each question is held against a server that has
the same bytes ready.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import uvicorn
from msgspec import Struct

from benchmarks.machine import RECEIVER_CORE, SERVER_CORE, Remote, pin
from benchmarks.program import Program
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant.server.listener import BACKLOG

REPETITIONS = 7
QUICK_REPETITIONS = 2
ROUND_S = 0.25
"""About how long a contender is asked in one repetition."""
SETTLE_S = 3.0
"""So long the market lives before the first question."""
IDLE_S = 2.0
"""How long the server is watched while nobody asks."""
WARM_UP = 100

MINUTES = "symbol=BTCUSDT&interval=1m&limit=1500"


class Question(Struct, frozen=True):
    """A question over HTTP, and the ratio to a ready answer that is good enough."""

    target: str
    most: float | None


class Ready(Struct, frozen=True):
    """A response as it is sent."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


QUESTIONS = (
    Question(f"/fapi/v1/klines?{MINUTES}", 2.0),
    Question(f"/fapi/v1/markPriceKlines?{MINUTES}", None),
    Question("/fapi/v1/depth?symbol=BTCUSDT&limit=1000", 2.0),
    Question("/fapi/v1/exchangeInfo?", 1.3),
    Question("/fapi/v1/ticker/bookTicker?symbol=BTCUSDT", 1.3),
    Question("/fapi/v1/ticker/24hr?", None),
    Question("/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1000", None),
)


def run(*, quick: bool = False) -> list[Table]:
    """Measure questions, each interleaved with its baseline."""
    pin(RECEIVER_CORE)
    repetitions = QUICK_REPETITIONS if quick else REPETITIONS
    with ExitStack() as stack:
        plant = stack.enter_context(Program("simulate", "--limits", "off"))
        time.sleep(SETTLE_S)
        server = Contender(plant.pid, plant.port, is_busy=True)
        asking = HTTPConnection("127.0.0.1", plant.port)
        ready = {each.target: _ask(asking, each.target) for each in QUESTIONS}
        uvicorn = Contender.of(stack.enter_context(Remote(serve_http, ready)))
        rows = [_question(each, server, uvicorn, repetitions) for each in QUESTIONS]
    return [
        Table(
            title="questions: CPU of the server, µs",
            columns=("question", "bytes", "tickerplant", "answer ready", "ratio", "target"),
            rows=rows,
            notes=[
                "One connection, one question after the other, while the default market goes on.",
                "Answer ready: uvicorn (httptools) with the same bytes.",
            ],
        ),
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

    @classmethod
    def of(cls, baseline: Remote) -> Self:
        """Return a server of ours, which says first where it listens."""
        assert baseline.process.pid is not None
        return cls(baseline.process.pid, baseline.told())

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


def _ask(connection: HTTPConnection, target: str) -> Ready:
    """Return the answer to a question."""
    connection.request("GET", target, headers={"Accept-Encoding": "identity"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    headers = [(name.encode(), value.encode()) for name, value in answer.getheaders()]
    return Ready(headers, answer.read())


def _question(
    question: Question, server: Contender, uvicorn: Contender, repetitions: int
) -> tuple[Cell, ...]:
    connections = [HTTPConnection("127.0.0.1", each.port) for each in (server, uvicorn)]
    for connection in connections:
        for _ in range(WARM_UP):
            answer = _ask(connection, question.target)
    own, ready = [], []
    for _ in range(repetitions):
        own.append(server.cost_us(_repeated(connections[0], question.target)))
        ready.append(uvicorn.cost_us(_repeated(connections[1], question.target)))
    for connection in connections:
        connection.close()
    path, _, query = question.target.partition("?")
    title = f"{path} {query}".strip()
    return (
        title,
        len(answer.body),
        spread(own),
        spread(ready),
        median_ratio(own, ready),
        question.most,
    )


def _repeated(connection: HTTPConnection, target: str) -> Callable[[], int]:
    def work() -> int:
        count, until_s = 0, time.monotonic() + ROUND_S
        while time.monotonic() < until_s:
            _ask(connection, target)
            count += 1
        return count

    return work


def serve_http(told: Connection, answers: Mapping[str, Ready]) -> None:
    """Answer requests by their target until the process ends; tell the port first.

    That is uvicorn with a plain ASGI application.
    """
    pin(SERVER_CORE)

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        answer = answers[(scope["raw_path"] + b"?" + scope["query_string"]).decode()]
        await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    config = uvicorn.Config(
        application,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # at its lowest level uvicorn would log complete requests
        access_log=False,
        server_header=False,
        date_header=False,
    )

    async def run() -> None:
        gc.collect()
        gc.freeze()
        sock = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as when uvicorn opens it
        told.send(sock.getsockname()[1])
        await uvicorn.Server(config).serve([sock])

    asyncio.run(run())
