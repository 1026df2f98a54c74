"""How many typed messages a client takes from a server that sends as fast as it can.

The messages are those of a simulated market of ten symbols, in the order in which it sends them.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from benchmarks.capture import played
from benchmarks.client_peers import COMBINED, STREAMS, SYMBOLS, Taken
from benchmarks.frames import text_spans
from benchmarks.machine import RECEIVER_CORE, Remote, pin, unpace
from benchmarks.table import Cell, Table, median_ratio, spread

MESSAGES = 200_000
QUICK_MESSAGES = 50_000
REPETITIONS = 5
QUICK_REPETITIONS = 2
TARGET = 1.5
"""Highest ratio to the limit that is good enough for our client."""
BUSY = 0.95
"""Share of the time that a client must have been busy, or the server was the limit."""
PIECE_BYTES = 1 << 18
"""Sent by one call."""
PAUSE_S = 0.3
"""Between the last subscription and the first message."""
POLL_S = 0.02
PATIENCE_S = 60.0
HEAD = b'{"stream":"'

CONTENDERS: dict[str, tuple[str, float | None]] = {
    "bare": ("limit: picows and typed decoding", None),
    "callback": ("tickerplant, callback", TARGET),
    "iterate": ("tickerplant, async for", TARGET),
    "websockets_json": ("websockets and json", None),
}
"""The name and the highest ratio of each in `benchmarks.client_peers`; the first is the limit."""


def run(*, quick: bool = False) -> list[Table]:
    """Measure all clients, interleaved."""
    count, repetitions = (QUICK_MESSAGES, QUICK_REPETITIONS) if quick else (MESSAGES, REPETITIONS)
    taken: dict[str, list[Taken]] = {peer: [] for peer in CONTENDERS}
    with Remote(_serve, count) as server:
        port, mix = server.told()
        for _ in range(repetitions):
            for peer, found in taken.items():
                found.append(_take(peer, f"ws://127.0.0.1:{port}", count))
    return [
        Table(
            title=f"client: {count:,} messages sent as fast as one core takes them",
            columns=("client", "messages/s", "CPU µs a message", "to the limit", "target", "busy"),
            rows=[_row(peer, taken) for peer in CONTENDERS],
            notes=[
                f"{mix}.",
                "From the first message to the last, each client on a core of its own; ratios are of CPU",
                f"time and medians of those within a repetition.  Busy below {BUSY}: the server was the limit.",
            ],
        )
    ]


def _row(peer: str, taken: dict[str, list[Taken]]) -> tuple[Cell, ...]:
    name, target = CONTENDERS[peer]
    costs, limit = (
        [each.cpu_s / each.messages * 1e6 for each in taken[one]] for one in (peer, "bare")
    )
    return (
        name,
        spread(each.messages / each.wall_s for each in taken[peer]),
        spread(costs),
        median_ratio(costs, limit),
        target,
        min((each.cpu_s + each.queued_s) / each.wall_s for each in taken[peer]),
    )


def _take(peer: str, url: str, count: int) -> Taken:
    """Run a peer; all messages arrive."""
    command = [sys.executable, "-m", "benchmarks.client_peers", peer, url, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE_S, check=True)  # noqa: S603  # our own words
    taken = msgspec.json.decode(done.stdout, type=Taken)
    assert taken.messages == count, f"{taken.messages:,} messages arrived, {count:,} were sent"
    return taken


# The server


class _Round:
    """The connections of one client, which are sent to when all streams are subscribed."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()
        self.is_complete = threading.Event()


def _serve(remote: Connection, count: int) -> None:
    pin(RECEIVER_CORE)
    frames, mix = _messages(count)
    rounds = [_Round()]

    @cache
    def pieces(names: frozenset[str]) -> list[bytes]:
        return list(_pieces([frame for name, frame in frames if name in names]))

    def converse(connection: ServerConnection) -> None:
        """Send what is wanted, by the path or by requests, as soon as nothing is missing."""
        assert connection.request is not None
        names = frozenset(STREAMS if connection.request.path == COMBINED else ())
        with suppress(ConnectionClosed):
            current = rounds[-1]
            while True:
                current.wanted |= names
                if current.wanted >= {*STREAMS} and not current.is_complete.is_set():
                    rounds.append(_Round())
                    current.is_complete.set()
                if current.is_complete.is_set():
                    break
                with suppress(TimeoutError):
                    request = msgspec.json.decode(connection.recv(timeout=POLL_S))
                    names |= {*request["params"]}
                    answer = msgspec.json.encode({"result": None, "id": request["id"]})
                    connection.send(answer.decode())
            ready = pieces(names)
            time.sleep(PAUSE_S)
            for piece in ready:
                connection.socket.sendall(piece)
            connection.recv()  # until it hangs up

    with serve(converse, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        unpace(server.socket)
        remote.send((server.socket.getsockname()[1], mix))
        server.serve_forever()


def _messages(count: int) -> tuple[list[tuple[str, bytes]], str]:
    """Return the streams and frames of so many messages, and what they are in words."""
    frames: list[tuple[str, bytes]] = []
    for _, data in played(SYMBOLS, STREAMS):
        begun = 0
        for begin, end in text_spans(data)[0]:
            name = data[begin + len(HEAD) : data.index(b'"', begin + len(HEAD))].decode()
            frames.append((name, data[begun:end]))
            begun = end
        if len(frames) >= count:
            break
    del frames[count:]
    channels = Counter(name.partition("@")[2] for name, _ in frames)
    mix = ", ".join(
        f"{100 * number / count:.0f} % {name}" for name, number in channels.most_common()
    )
    return frames, f"{mix}; {sum(len(frame) for _, frame in frames) / count:.0f} bytes a message"


def _pieces(frames: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the frames, many at a time."""
    piece = bytearray()
    for frame in frames:
        piece += frame
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
