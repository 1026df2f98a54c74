"""How fast a recording is replayed to one subscriber of everything in it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from benchmarks.capture import Contents, contents, lines, pack, record
from benchmarks.handshake import BUFFER_BYTES, shake_hands
from benchmarks.machine import RECEIVER_CORE, SERVER_CORE, Remote, pin
from benchmarks.processes import usages
from benchmarks.program import Program
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant.frames import text_frame
from tickerplant.recording.opening import recorded_files

MESSAGES = 400_000
QUICK_MESSAGES = 50_000
REPETITIONS = 3
LINES_TARGET_PER_S = 200_000
DERIVED_TARGET_PER_S = 300_000
VERBATIM_TARGET_PER_S = 700_000
STALL_S = 30.0
"""Longest time without a byte."""
JOINED = 64
"""Messages that the bare replay sends in one piece."""


class Case(Struct, frozen=True):
    """One way to replay one recording."""

    name: str
    path: Path
    lines: Path
    """The same recording as lines, for the bare replay."""
    found: Contents
    target_per_s: int | None
    options: tuple[str, ...] = ()


class Run(Struct, frozen=True):
    """What one replay took, from the first message to the last."""

    wall_s: float
    cpu_s: float
    """CPU time of the program."""
    read_s: float
    """What it takes to read the recording and do nothing with it."""
    bare_s: float
    """CPU time of the bare replay of the lines."""


def run(*, quick: bool = False) -> list[Table]:
    """Replay a recording of our own."""
    pin(RECEIVER_CORE)
    with TemporaryDirectory() as directory:
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
                "CPU µs a message",
                "bare verbatim",
                "ratio",
                "reading alone, messages/s",
                "ratio of times",
            ),
            rows=[_row(case, done) for case, done in zip(cases, runs, strict=True)],
            notes=[
                "From the first to the last message at the subscriber, a process of its own.  Derived:",
                "all state is kept.  Bare verbatim: a plain loop that unpacks the gzip lines and sends each",
                f"message in a frame, {JOINED} in one piece; it keeps no state and reads no time.",
                "Reading alone: the same recording, in batches, with the times.",
            ],
        )
    ]


def _cases(directory: Path, messages: int) -> list[Case]:
    gzipped, native = directory / "BTCUSDT.gz", directory / "native"
    record(gzipped, messages)
    pack(gzipped, native)
    found = contents(gzipped)
    return [
        Case("native, derived", native, gzipped, found, DERIVED_TARGET_PER_S),
        Case("native, --verbatim", native, gzipped, found, VERBATIM_TARGET_PER_S, ("--verbatim",)),
        Case("lines (gzip), derived", gzipped, gzipped, found, LINES_TARGET_PER_S),
        Case("lines (gzip), --verbatim", gzipped, gzipped, found, None, ("--verbatim",)),
    ]


def _row(case: Case, runs: Sequence[Run]) -> tuple[Cell, ...]:
    messages = case.found.messages
    walls_s, reads_s = [each.wall_s for each in runs], [each.read_s for each in runs]
    cpus_s = [each.cpu_s for each in runs]
    bares_s = [each.bare_s for each in runs]
    return (
        case.name,
        messages,
        spread(messages / wall_s for wall_s in walls_s),
        case.target_per_s,
        spread(cpu_s / messages * 1e6 for cpu_s in cpus_s),
        spread(bare_s / messages * 1e6 for bare_s in bares_s),
        median_ratio(cpus_s, bares_s),
        spread(messages / read_s for read_s in reads_s),
        median_ratio(walls_s, reads_s),
    )


def _replay(case: Case) -> Run:
    """Replay a recording and read all of it.

    Raises:
        TimeoutError: a message is missing.
    """
    with Program("replay", str(case.path), "--speed=0", *case.options) as program:
        program.metrics()  # it has started
        before_s = usages(program.pid)[0].cpu_s
        wall_s = _read_all(program.port, case.found)
        cpu_s = usages(program.pid)[0].cpu_s - before_s
    return Run(wall_s, cpu_s, _read(case.path), _replay_bare(case))


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


# The bare replay


def _replay_bare(case: Case) -> float:
    """Return the CPU seconds of a process that sends the lines of a recording in a plain loop."""
    with Remote(_send_lines, case.lines) as sender:
        with socket.create_connection(("127.0.0.1", sender.told())) as sock:
            sock.settimeout(STALL_S)
            buffer, missing = bytearray(BUFFER_BYTES), case.found.framed_bytes
            while missing > 0:
                count = sock.recv_into(buffer)
                assert count, "the bare replay closed the connection"
                missing -= count
        cpu_s: float = sender.told()
    return cpu_s


def _send_lines(remote: Connection, path: Path) -> None:
    """Send the messages of a recording to the first that connects, and tell the CPU time."""
    pin(SERVER_CORE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        remote.send(listener.getsockname()[1])
        receiver, _ = listener.accept()
        with receiver:
            began_s = time.process_time()
            for piece in _pieces(raw for _, raw in lines(path)):
                receiver.sendall(piece)
            remote.send(time.process_time() - began_s)


def _pieces(raws: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the frames of the messages of streams, several at a time."""
    frames = (text_frame(raw.rstrip()) for raw in raws if raw.startswith(b'{"stream":"'))
    while piece := b"".join(islice(frames, JOINED)):
        yield piece
