"""How fast a recording is replayed to one subscriber of everything in it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from benchmarks.capture import Contents, contents, pack, record
from benchmarks.machine import RECEIVER_CORE, pin
from benchmarks.program import Program
from benchmarks.receiver import BUFFER_BYTES, shake_hands
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant.recording.opening import recorded_files

MESSAGES = 400_000
QUICK_MESSAGES = 50_000
REPETITIONS = 3
LINES_TARGET_PER_S = 200_000
DERIVED_TARGET_PER_S = 300_000
VERBATIM_TARGET_PER_S = 700_000
STALL_S = 30.0
"""Longest time without a byte."""


class Case(Struct, frozen=True):
    """One way to replay one recording."""

    name: str
    path: Path
    found: Contents
    target_per_s: int | None
    options: tuple[str, ...] = ()


class Run(Struct, frozen=True):
    """What one replay took, from the first message to the last."""

    wall_s: float
    cpu_s: float | None
    """CPU time of the program."""
    read_s: float
    """What it takes to read the recording and do nothing with it."""


def run(*, quick: bool = False, captures: Sequence[str] = ()) -> list[Table]:
    """Replay a recording of our own, or `captures`."""
    pin(RECEIVER_CORE)
    with TemporaryDirectory() as directory:
        if captures:
            cases = [_capture(Path(capture)) for capture in captures]
        else:
            cases = _cases(Path(directory), QUICK_MESSAGES if quick else MESSAGES)
        runs: list[list[Run]] = [[] for _ in cases]
        for _ in range(1 if quick else REPETITIONS):
            for case, done in zip(cases, runs, strict=True):
                done.append(_replay(case))
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
            rows=[_row(case, done) for case, done in zip(cases, runs, strict=True)],
            notes=[
                "From the first to the last message at the subscriber, a process of its own.  Derived:",
                "all state is kept.  Reading alone: the same lines, in batches, with their times.",
            ],
        )
    ]


def _cases(directory: Path, messages: int) -> list[Case]:
    lines, native = directory / "BTCUSDT.gz", directory / "native"
    record(lines, messages)
    pack(lines, native)
    found = contents(lines)
    return [
        Case("native, derived", native, found, DERIVED_TARGET_PER_S),
        Case("native, --verbatim", native, found, VERBATIM_TARGET_PER_S, ("--verbatim",)),
        Case("lines (gzip), derived", lines, found, LINES_TARGET_PER_S),
    ]


def _capture(path: Path) -> Case:
    return Case(f"{path.stem}, derived", path, contents(path), None)


def _row(case: Case, runs: Sequence[Run]) -> tuple[Cell, ...]:
    messages = case.found.messages
    walls_s, reads_s = [each.wall_s for each in runs], [each.read_s for each in runs]
    cpus_s = [each.cpu_s for each in runs if each.cpu_s is not None]
    return (
        case.name,
        messages,
        spread(messages / wall_s for wall_s in walls_s),
        case.target_per_s,
        spread(messages / cpu_s for cpu_s in cpus_s) if cpus_s else None,
        spread(messages / read_s for read_s in reads_s),
        median_ratio(walls_s, reads_s),
    )


def _replay(case: Case) -> Run:
    """Replay a recording and read all of it.

    Raises:
        TimeoutError: a message is missing.
    """
    with Program("replay", str(case.path), "--speed=0", *case.options) as program:
        before_s = program.cpu_s()
        wall_s = _read_all(program.port, case.found)
        after_s = program.cpu_s()
    cpu_s = None if before_s is None or after_s is None else after_s - before_s
    return Run(wall_s, cpu_s, _read(case.path))


def _read_all(port: int, found: Contents) -> float:
    """Return the seconds from the first to the last byte of all messages."""
    buffer = bytearray(BUFFER_BYTES)
    with shake_hands(port, "/stream?streams=" + "/".join(found.streams)) as sock:
        sock.settimeout(STALL_S)
        missing = found.framed_bytes - sock.recv_into(buffer)
        began_s = time.monotonic()
        while missing > 0:
            count = sock.recv_into(buffer)
            assert count, "the replay closed the connection"
            missing -= count
        assert not missing, "more was received than recorded"
        return time.monotonic() - began_s


def _read(path: Path) -> float:
    began_s = time.monotonic()
    for file in recorded_files([str(path)]):
        for batch in file.batches():
            for _ in batch:
                pass
    return time.monotonic() - began_s
