"""What the plant room of the window costs the server: what it polls while somebody looks at it."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack

from msgspec import Struct

from benchmarks.machine import RECEIVER_CORE, pin
from benchmarks.program import Program
from benchmarks.questions import Contender, Http, repeated
from benchmarks.receiver import shake_hands
from benchmarks.table import Cell, Table, spread

REPETITIONS = 7
QUICK_REPETITIONS = 2
SETTLE_S = 3.0
"""So long the market lives before it is paused."""
WARM_UP = 50
CLIENTS = 100
"""As many as a page of connections lists."""
STREAMS = "/stream?streams=btcusdt@markPrice/ethusdt@markPrice/btcusdt@kline_1m"
TARGET_SHARE = 1.0
"""Most of a core, in per cent, that is good enough: a page has other costs too."""


class Poll(Struct, frozen=True):
    """What the room asks, and how often."""

    path: str
    every_s: float


POLLS = (
    Poll("/metrics", 2.0),
    Poll("/plant/v1/connections", 2.0),
    Poll("/plant/v1/clock", 2.0),
    Poll("/readyz", 2.0),
    Poll("/plant/v1/limits", 4.0),
    Poll("/plant/v1/nodes", 4.0),
)


def run(*, quick: bool = False) -> list[Table]:
    """Measure each poll, with nobody connected and with `CLIENTS` clients."""
    pin(RECEIVER_CORE)
    repetitions = QUICK_REPETITIONS if quick else REPETITIONS
    with ExitStack() as stack:
        plant = stack.enter_context(Program("simulate"))
        time.sleep(SETTLE_S)
        _pause(plant.port)
        alone = [_costs(plant, each, repetitions) for each in POLLS]
        for _ in range(CLIENTS):
            stack.enter_context(shake_hands(plant.port, STREAMS))
        crowded = [_costs(plant, each, repetitions) for each in POLLS]
    rows: list[tuple[Cell, ...]] = [
        (each.path, each.every_s, spread(one), spread(many), None)
        for each, one, many in zip(POLLS, alone, crowded, strict=True)
    ]
    rows.append(("all, % of a core", None, _share(alone), _share(crowded), TARGET_SHARE))
    return [
        Table(
            title="plant_room: CPU of the server for each poll, µs",
            columns=("poll", "every s", "no client", f"{CLIENTS} clients", "target"),
            rows=rows,
            notes=[
                "One connection, one poll after the other, while the default market is paused.",
                "The sum is that of one page that shows the room; other rooms ask for none of these",
                "but the clock, and a hidden page asks for nothing.",
            ],
        )
    ]


def _pause(port: int) -> None:
    """Stop the market, so that only what is asked costs anything."""
    body = b'{"paused":true}'
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(
            b"POST /plant/v1/clock HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        answer = sock.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 200"), answer


def _costs(plant: Program, poll: Poll, repetitions: int) -> list[float]:
    """Return the CPU time of a poll in each repetition, µs."""
    server, connection = Contender(plant.pid, plant.port, is_busy=True), Http(plant.port, poll.path)
    for _ in range(WARM_UP):
        connection.ask()
    costs = [server.cost_us(repeated(connection.ask)) for _ in range(repetitions)]
    connection.close()
    return costs


def _share(costs: Sequence[Sequence[float]]) -> str:
    """Return the share of a core, in per cent, that all polls take together."""
    return spread(
        sum(cost / each.every_s for cost, each in zip(once, POLLS, strict=True)) / 10_000
        for once in zip(*costs, strict=True)
    )
