"""How fast a recording is read and written, how large it is, and how well it keeps time."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import zstandard
from msgspec import Struct

from benchmarks.capture import STREAMS, Contents, contents, lines, pack, record, unwrapped
from benchmarks.frames import text_spans
from benchmarks.machine import RECEIVER_CORE, pin, unpin
from benchmarks.program import Program
from benchmarks.receiver import BUFFER_BYTES, shake_hands
from benchmarks.table import Table, median_ratio, spread
from tickerplant import open_recording
from tickerplant.messages import Trade
from tickerplant.recorder.writer import RecordingWriter
from tickerplant.recording.manifest_entries import MANIFEST
from tickerplant.recording.segments import Segments, segment_paths
from tickerplant.venue import USDM

MESSAGES = 400_000
QUICK_MESSAGES = 50_000
REPETITIONS = 5
RAW_TARGET_PER_S = 1_500_000
TYPED_TARGET_PER_S = 500_000
BOOKS_TARGET_PER_S = 200_000
WRITTEN_TARGET_PER_S = 200_000
PACED_S, QUICK_PACED_S = 30, 5
PACING_TARGET_MS = 2.0
GZIP_LEVEL = 6
STALL_S = 30.0
"""Longest time without a byte."""
LONGEST_S = 120.0
"""A recorder that takes longer for everything is stuck."""
POLL_S = 0.05
TICK_EVERY = 10_000
"""Messages after which a writer looks at the clock: often enough at these rates."""
MIB = 1 << 20
PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)

Timed = Callable[[], float]
"""Does something once and returns the seconds it took."""


class Recorded(Struct, frozen=True):
    """What the program took to record everything that was sent to it."""

    wall_s: float
    """From the first message to the last, by the times that it recorded."""
    cpu_s: float
    peak_bytes: int | None
    """The most memory it had; None where the system does not tell it."""


def run(*, quick: bool = False) -> list[Table]:
    """Measure a recording of our own."""
    pin(RECEIVER_CORE)
    repetitions = 1 if quick else REPETITIONS
    with TemporaryDirectory() as directory:
        path, native = Path(directory, "BTCUSDT.gz"), Path(directory, "native")
        record(path, QUICK_MESSAGES if quick else MESSAGES)
        pack(path, native)
        found = contents(path)
        return [
            _reading(native, found, repetitions),
            _writing(path, native, found, repetitions),
            _size(path, native, found),
            _pacing(native, found, QUICK_PACED_S if quick else PACED_S),
        ]


# Reading


def _reading(native: Path, found: Contents, repetitions: int) -> Table:
    ways: list[tuple[str, int | None, Timed]] = [
        ("bare: decompress, split lines", None, lambda: _read_bare(native)),
        ("raw: time and message", RAW_TARGET_PER_S, lambda: _read_raw(native)),
        ("typed: open_recording", TYPED_TARGET_PER_S, lambda: _read_typed(native)),
        ("with order books: with_books", BOOKS_TARGET_PER_S, lambda: _read_books(native)),
    ]
    times_s: list[list[float]] = [[] for _ in ways]
    for _ in range(repetitions):
        for (_, _, way), taken in zip(ways, times_s, strict=True):
            taken.append(way())
    return Table(
        title="a recording, read in Python",
        columns=("way", "messages/s", "target", "ratio of times"),
        rows=[
            (
                name,
                spread(found.messages / taken_s for taken_s in taken),
                target,
                median_ratio(taken, times_s[0]),
            )
            for (name, target, _), taken in zip(ways, times_s, strict=True)
        ],
    )


def _read_bare(native: Path) -> float:
    began_s = time.perf_counter()
    for path in segment_paths(str(native)):
        with path.open("rb") as file:
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            while text := reader.read(BUFFER_BYTES):
                for _ in text.split(b"\n"):
                    pass
    return time.perf_counter() - began_s


def _read_raw(native: Path) -> float:
    began_s = time.perf_counter()
    for batch in Segments(str(native)).batches():
        for _received_ns, _raw in batch:
            pass
    return time.perf_counter() - began_s


def _read_typed(native: Path) -> float:
    began_s = time.perf_counter()
    for _message in open_recording(str(native)):
        pass
    return time.perf_counter() - began_s


def _read_books(native: Path) -> float:
    began_s = time.perf_counter()
    mids = 0
    for message, books in open_recording(str(native)).with_books():
        if type(message) is Trade:
            mids += books[message.symbol].mid is not None
    took_s = time.perf_counter() - began_s
    if not mids:
        raise RuntimeError("no book was in sync at any trade")
    return took_s


# Writing


def _writing(path: Path, native: Path, found: Contents, repetitions: int) -> Table:
    written, recorded, recorded_alone = [], [], []
    for _ in range(repetitions):
        written.append(_write(path))
        recorded.append(_record(native, found))
        recorded_alone.append(_record(native, found, is_pinned=True))
    walls_s, cpus_s = [wall_s for wall_s, _ in written], [cpu_s for _, cpu_s in written]
    return Table(
        title="a recording, written",
        columns=("what", "messages/s", "target", "per CPU second", "peak memory, MiB"),
        rows=[
            (
                "the writer alone",
                spread(found.messages / wall_s for wall_s in walls_s),
                WRITTEN_TARGET_PER_S,
                spread(found.messages / cpu_s for cpu_s in cpus_s),
                None,
            ),
            _row("tickerplant record", WRITTEN_TARGET_PER_S, found, recorded),
            _row("tickerplant record, on one core", None, found, recorded_alone),
        ],
        notes=[
            "To the last byte on disk.  The program hears a verbatim replay without a pace, which has",
            "core 0 and is stopped when it is not followed.  The program is two threads, which may use",
            "all cores, that of the replay too, or only the last.  Its CPU time has its start in it.",
        ],
    )


def _row(
    name: str, target: int | None, found: Contents, recorded: Sequence[Recorded]
) -> tuple[str | float | None, ...]:
    peaks = [each.peak_bytes / MIB for each in recorded if each.peak_bytes]
    return (
        name,
        spread(found.messages / each.wall_s for each in recorded),
        target,
        spread(found.messages / each.cpu_s for each in recorded),
        spread(peaks) if peaks else None,
    )


def _write(path: Path) -> tuple[float, float]:
    """Write the messages of a recording anew; return seconds of the clock and of the processor."""
    split = [(received_ns, *unwrapped(raw.rstrip())) for received_ns, raw in lines(path)]
    messages = [each for each in split if each[1]]
    with TemporaryDirectory() as folder:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        writer = RecordingWriter(folder, venue=USDM, url="simulated", profile="", streams=STREAMS)
        for start in range(0, len(messages), TICK_EVERY):
            for received_ns, stream, payload in messages[start : start + TICK_EVERY]:
                writer.add(received_ns, stream, payload)
            writer.tick()
        writer.close("done")
        taken = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        assert writer.totals.lines == len(messages), "not everything was written"
    return taken


def _record(native: Path, found: Contents, *, is_pinned: bool = False) -> Recorded:
    """Let the program record a replay, on all cores or on one that the replay does not have."""
    with (
        TemporaryDirectory() as folder,
        Program("replay", str(native), "--speed=0", "--verbatim", "--exit-at-end") as sender,
    ):
        command = [sys.executable, "-m", "tickerplant", "record", *found.streams]
        command += [f"--url=ws://127.0.0.1:{sender.port}", f"--out={folder}", "--snapshots=off"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  # our own program
        if not is_pinned:
            unpin(process.pid)
        _wait_for_end(folder)
        peak_bytes = _peak_bytes(process.pid)
        process.send_signal(signal.SIGINT)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0  # it has been waited for
        times_ns = [received_ns for batch in Segments(folder).batches() for received_ns, _ in batch]
    assert len(times_ns) >= found.messages, "not everything was recorded"
    return Recorded(
        (times_ns[-1] - times_ns[0]) / 1e9,
        usage.ru_utime + usage.ru_stime,
        peak_bytes,
    )


def _peak_bytes(pid: int) -> int | None:
    """Return the most memory a process has had; what `wait` tells counts its parent's too."""
    status = Path(f"/proc/{pid}/status")
    found = PEAK.search(status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else None


def _wait_for_end(folder: str) -> None:
    """Return when a recorder has heard the end of what was sent to it.

    Raises:
        TimeoutError: it goes on for too long.
    """
    manifest, until_s = Path(folder, MANIFEST), time.monotonic() + LONGEST_S
    while time.monotonic() < until_s:
        if manifest.exists() and b'"kind":"disconnected"' in manifest.read_bytes():
            return
        time.sleep(POLL_S)
    raise TimeoutError("the replay does not end, or the recorder does not notice")


# Size


def _size(path: Path, native: Path, found: Contents) -> Table:
    text = b"".join(b"%d %b\n" % (received_ns, raw.rstrip()) for received_ns, raw in lines(path))
    gzip_bytes = len(gzip.compress(text, GZIP_LEVEL))
    native_bytes = sum(each.stat().st_size for each in segment_paths(str(native)))
    sizes = [
        ("lines", len(text)),
        (f"lines, gzip -{GZIP_LEVEL}", gzip_bytes),
        ("native", native_bytes),
    ]
    return Table(
        title="a recording, on disk",
        columns=("form", "bytes a message", "against gzip"),
        rows=[(name, size / found.messages, size / gzip_bytes) for name, size in sizes],
    )


# Pace


def _pacing(native: Path, found: Contents, seconds: int) -> Table:
    with Program("replay", str(native), "--speed=1") as program:
        arrived_ns = _arrivals(program.port, found, seconds)
    batches = Segments(str(native)).batches()
    received = (at_ns for batch in batches for at_ns, raw in batch if raw.startswith(b"{"))
    late_ns = [at_ns - was_ns for at_ns, was_ns in zip(arrived_ns, received, strict=False)]
    usual_ns = median(late_ns)
    errors_ms = [abs(each - usual_ns) / 1e6 for each in late_ns]
    return Table(
        title="a replay at the speed of the recording: how far messages are off its rhythm",
        columns=("messages", "seconds", "p50, ms", "p99, ms", "target", "most, ms"),
        rows=[
            (
                len(errors_ms),
                seconds,
                median(errors_ms),
                quantiles(errors_ms, n=100)[-1],
                PACING_TARGET_MS,
                max(errors_ms),
            )
        ],
        notes=[
            "At the subscriber.  What a message usually takes is no error: an error is how much",
            "earlier or later one came than the median of all, next to when it was received first.",
        ],
    )


def _arrivals(port: int, found: Contents, seconds: int) -> Sequence[int]:
    """Return when each message came, on a clock of its own, ns."""
    arrived_ns: list[int] = []
    with shake_hands(port, "/stream?streams=" + "/".join(found.streams)) as sock:
        sock.settimeout(STALL_S)
        data, until_ns = b"", time.monotonic_ns() + seconds * 10**9
        while (now_ns := time.monotonic_ns()) < until_ns:
            spans, end = text_spans(data)
            arrived_ns += [now_ns] * len(spans)
            data = data[end:] + sock.recv(BUFFER_BYTES)
    return arrived_ns
