"""How fast a recording is replayed to one subscriber of everything in it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from benchmarks.capture import Contents, contents, lines, record
from benchmarks.frames import text_spans
from benchmarks.machine import RECEIVER_CORE, pin
from benchmarks.program import Program
from benchmarks.receiver import BUFFER_BYTES, shake_hands
from benchmarks.table import Cell, Table, median_ratio, spread

MESSAGES = 300_000
QUICK_MESSAGES = 50_000
REPETITIONS = 3
TARGET_PER_S = 200_000
STALL_S = 30.0
"""Longest time without a byte."""


class Replay(Struct, frozen=True):
    """What one replay took, from the first message to the last."""

    wall_s: float
    cpu_s: float | None
    """CPU time of the program."""


def run(*, quick: bool = False, captures: Sequence[str] = ()) -> list[Table]:
    """Replay a recording of our own, or `captures`."""
    pin(RECEIVER_CORE)
    repetitions = 1 if quick else REPETITIONS
    with TemporaryDirectory() as directory:
        paths = [Path(capture) for capture in captures]
        if not paths:
            paths = [Path(directory, "simulated BTCUSDT.gz")]
            record(paths[0], QUICK_MESSAGES if quick else MESSAGES)
        rows = [_measure(path, repetitions) for path in paths]
    return [
        Table(
            title="replay, flat out: one subscriber of every recorded stream",
            columns=(
                "recording",
                "messages",
                "messages/s",
                "target",
                "per CPU second",
                "reading alone, messages/s",
                "ratio of times",
            ),
            rows=rows,
            notes=[
                "From the first to the last message at the subscriber, a process of its own; all derived",
                "state kept.  Reading alone: decompress, split lines, read the time of each.",
            ],
        )
    ]


def _measure(path: Path, repetitions: int) -> tuple[Cell, ...]:
    found = contents(path)
    runs = [(_replay(path, found), _read(path)) for _ in range(repetitions)]
    walls_s = [replay.wall_s for replay, _ in runs]
    cpus_s = [replay.cpu_s for replay, _ in runs if replay.cpu_s is not None]
    reads_s = [read_s for _, read_s in runs]
    return (
        path.stem,
        found.messages,
        spread(found.messages / wall_s for wall_s in walls_s),
        TARGET_PER_S,
        spread(found.messages / cpu_s for cpu_s in cpus_s) if cpus_s else None,
        spread(found.messages / read_s for read_s in reads_s),
        median_ratio(walls_s, reads_s),
    )


def _replay(path: Path, found: Contents) -> Replay:
    """Replay a recording and read all of it.

    Raises:
        TimeoutError: a message is missing.
    """
    with Program("replay", str(path), "--speed=0") as program:
        before_s = program.cpu_s()
        wall_s = _read_all(program.port, found)
        after_s = program.cpu_s()
    if before_s is None or after_s is None:
        return Replay(wall_s, None)
    return Replay(wall_s, after_s - before_s)


def _read_all(port: int, found: Contents) -> float:
    """Return the seconds from the first to the last message."""
    with shake_hands(port, "/stream?streams=" + "/".join(found.streams)) as sock:
        sock.settimeout(STALL_S)
        data = sock.recv(BUFFER_BYTES)
        began_s = time.monotonic()
        missing = found.messages
        while True:
            spans, end = text_spans(data)
            missing -= len(spans)
            if missing <= 0:
                assert not missing, "more was received than recorded"
                return time.monotonic() - began_s
            data = data[end:] + sock.recv(BUFFER_BYTES)


def _read(path: Path) -> float:
    began_s = time.monotonic()
    deque(lines(path), maxlen=0)
    return time.monotonic() - began_s
