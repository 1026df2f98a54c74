"""How fast a recording is read and written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import zstandard
from msgspec import Struct

from benchmarks.capture import STREAMS, Contents, contents, lines, pack, record, unwrapped
from benchmarks.handshake import BUFFER_BYTES
from benchmarks.machine import RECEIVER_CORE, pin, unpin
from benchmarks.program import Program
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
LONGEST_S = 120.0
"""A recorder that takes longer for everything is stuck."""
POLL_S = 0.05
TICK_EVERY = 10_000
"""Messages after which a writer looks at the clock: often enough at these rates."""
MIB = 1 << 20
PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class Recorded(Struct, frozen=True):
    """What the program took to record everything that was sent to it."""

    wall_s: float
    """From the first message to the last, by the times that it recorded."""
    cpu_s: float
    peak_bytes: int
    """The most memory it had; 0 where the system does not tell it."""


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
        ]


# Reading


def _reading(native: Path, found: Contents, repetitions: int) -> Table:
    ways: dict[str, tuple[int | None, Callable[[str], object]]] = {
        "bare: decompress, split lines": (None, _read_bare),
        "raw: time and message": (RAW_TARGET_PER_S, _read_raw),
        "typed: open_recording": (TYPED_TARGET_PER_S, _read_typed),
        "with order books: with_books": (BOOKS_TARGET_PER_S, _read_books),
    }
    times_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repetitions):
        for name, (_, read) in ways.items():
            began_s = time.perf_counter()
            read(str(native))
            times_s[name].append(time.perf_counter() - began_s)
    bare_s, *_ = times_s.values()
    return Table(
        title="a recording, read in Python",
        columns=("way", "messages/s", "target", "ratio of times"),
        rows=[
            (
                name,
                spread(found.messages / taken_s for taken_s in taken),
                ways[name][0],
                median_ratio(taken, bare_s),
            )
            for name, taken in times_s.items()
        ],
    )


def _read_bare(native: str) -> None:
    for path in segment_paths(native):
        with path.open("rb") as file:
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            while text := reader.read(BUFFER_BYTES):
                for _ in text.split(b"\n"):
                    pass


def _read_raw(native: str) -> None:
    for batch in Segments(native).batches():
        for _received_ns, _raw in batch:
            pass


def _read_typed(native: str) -> None:
    for _message in open_recording(native):
        pass


def _read_books(native: str) -> None:
    mids = 0
    for message, books in open_recording(native).with_books():
        if type(message) is Trade:
            mids += books[message.symbol].mid is not None
    assert mids, "no book was in sync at any trade"


# Writing


def _writing(path: Path, native: Path, found: Contents, repetitions: int) -> Table:
    written, recorded = [], []
    for _ in range(repetitions):
        written.append(_write(path))
        recorded.append(_record(native, found))
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
            (
                "tickerplant record",
                spread(found.messages / each.wall_s for each in recorded),
                WRITTEN_TARGET_PER_S,
                spread(found.messages / each.cpu_s for each in recorded),
                spread(each.peak_bytes / MIB for each in recorded)
                if recorded[0].peak_bytes
                else None,
            ),
        ],
        notes=[
            "To the last byte on disk.  The program hears a verbatim replay without a pace, which has",
            "core 0 and is stopped when it is not followed.  The program is two threads, which may use",
            "all cores, that of the replay too.  Its CPU time has its start in it.",
        ],
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


def _record(native: Path, found: Contents) -> Recorded:
    """Let the program record a replay."""
    with (
        TemporaryDirectory() as folder,
        Program("replay", str(native), "--speed=0", "--verbatim", "--exit-at-end") as sender,
    ):
        command = [sys.executable, "-m", "tickerplant", "record", *found.streams]
        command += [f"--url=ws://127.0.0.1:{sender.port}", f"--out={folder}", "--snapshots=off"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  # our own program
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


def _peak_bytes(pid: int) -> int:
    """Return the most memory a process has had; what `wait` tells counts its parent's too."""
    status = Path(f"/proc/{pid}/status")
    found = PEAK.search(status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


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
