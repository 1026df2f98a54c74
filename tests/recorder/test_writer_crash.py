"""A killed recorder, a truncated file: everything written before is there, in order."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path
from time import sleep

import pytest
from blocks import write_tail
from hypothesis import given
from hypothesis import strategies as st
from written import START_NS, Clock, check_against_file, numbers, read, writer

from tickerplant.recorder.writer import RecordingWriter, WriterSettings
from tickerplant.recording.block import walk
from tickerplant.recording.line import Damage, Line
from tickerplant.recording.manifest import read_manifest
from tickerplant.recording.manifest_entries import MANIFEST, RunOutage, SegmentSealed, read_entry
from tickerplant.recording.segments import Segments, segment_paths
from tickerplant.venue import COINM

KILLED = """
import json, sys
from itertools import count
from tickerplant.recorder.writer import RecordingWriter, WriterSettings
from tickerplant.venue import USDM

settings = WriterSettings(flush_ms=0, segment_bytes=50_000)
writer = RecordingWriter(sys.argv[1], venue=USDM, url="", profile="", streams=(), settings=settings)
print(json.dumps(writer.repairs), flush=True)
for n in count():
    payload = b'{"run":%d,"n":%d,"x":"%x"}' % (int(sys.argv[2]), n, pow(3, n % 9_999 + 500))
    writer.add(1_800_000_000_000_000_000 + n, f"s{n % 7}usdt@trade", payload)
    if n % 50 == 0:
        writer.tick()
        print(writer.totals.lines, flush=True)
"""


@pytest.mark.sockets
@pytest.mark.slow("processes are killed")
def test_a_killed_recorder_loses_nothing_that_was_written(tmp_path: Path) -> None:
    rng = random.Random(5)
    written: list[int] = []
    for run in range(3):
        # Standard output goes to a file, so that no writer waits for a reader.
        said = tmp_path / f"said{run}"
        with said.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # the program above
                [sys.executable, "-c", KILLED, str(tmp_path / "rec"), str(run)], stdout=output
            )
        while said.stat().st_size < 1_000 and process.poll() is None:
            sleep(0.01)
        sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, said.read_text()[-500:]
        *whole, _ = said.read_text().split("\n")
        written.append(int(whole[-1]))
    last = writer(tmp_path / "rec", Clock(1_900_000_000_000_000_000))
    last.close("done")
    lines, flaws = read(tmp_path / "rec")
    assert flaws == []
    for run, least in enumerate(written):
        ours = [line for line in lines if b'{"run":%d,' % run in line[1]]
        assert numbers(ours) == list(range(len(ours))), f"run {run} is not a beginning in order"
        assert len(ours) >= least, f"run {run} had written {least}"
    times = [time_ns for time_ns, _ in lines]
    assert times == sorted(times)
    reported = read_manifest(str(tmp_path / "rec"))
    for path in segment_paths(str(tmp_path / "rec")):
        check_against_file(reported.sealed[path.name], path)
    holes = [each.reason for each in reported.entries if isinstance(each, RunOutage)]
    assert holes == ["the recorder was killed"] * 3


class Model:
    """What a recording should hold, and the recorder that writes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.lines: list[Line] = []
        self._count = 0
        self._last_ns = 0

    def begin(self, data: st.DataObject) -> RecordingWriter:
        rotation = WriterSettings(
            flush_ms=0,
            segment_ms=data.draw(st.sampled_from([1, 10, 3_600_000]), "segment_ms"),
            segment_bytes=data.draw(st.sampled_from([1, 300, 1 << 20]), "segment_bytes"),
        )
        return writer(self.folder, self.clock, COINM, rotation)

    def add(self, recording: RecordingWriter, count: int) -> None:
        for _ in range(count):
            self._count += 1
            n, now_ns = self._count, self.clock.now_ns
            self._last_ns = max(now_ns, self._last_ns)
            if n % 5:
                recording.add(now_ns, f"s{n % 3}usd@trade", b'{"n":%d}' % n)
                raw = b'{"stream":"s%dusd@trade","data":{"n":%d}}' % (n % 3, n)
            else:
                recording.add_answer(now_ns, "http://h/x", b'{"n":%d}' % n)
                raw = b'http://h/x {"n":%d}' % n
            self.lines.append((self._last_ns, raw))

    def crash_in_manifest(self, data: st.DataObject) -> None:
        """Cut the manifest somewhere in its last line, or take that away."""
        path = self.folder / MANIFEST
        text = path.read_bytes()
        begins = text.rindex(b"\n", 0, len(text) - 1) + 1
        path.write_bytes(text[: data.draw(st.integers(begins, len(text) - 1), "manifest cut at")])
        write_tail(self.folder)

    def crash_in_segment(self, data: st.DataObject) -> None:
        """Remove the last entry from the manifest, and truncate the last segment anywhere."""
        path = self.folder / MANIFEST
        lines = path.read_bytes().splitlines(keepends=True)
        entries = [read_entry(line) for line in lines]
        last = max(
            (n for n, each in enumerate(entries) if isinstance(each, SegmentSealed)), default=None
        )
        if last is None or last < max(
            n for n, line in enumerate(lines) if line.startswith(b'{"kind":"run"')
        ):
            return self.crash_in_manifest(data)
        path.write_bytes(b"".join(lines[:last]))
        write_tail(self.folder)
        segment = segment_paths(str(self.folder))[-1]
        with segment.open("rb") as file:
            found = list(walk(file))
        cut_at = data.draw(st.integers(0, segment.stat().st_size), "segment cut at")
        segment.write_bytes(segment.read_bytes()[:cut_at])
        lost = [each for each in found if each.offset_bytes + each.size_bytes > cut_at]
        lost_lines = sum(each.head.lines for each in lost if each.head)
        self.lines = self.lines[: len(self.lines) - lost_lines]
        self._last_ns = self.lines[-1][0] if self.lines else 0
        return None


@pytest.mark.heavy
@given(st.data())
def test_after_any_crash_a_beginning_is_left_and_what_comes_after_follows(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    model = Model(tmp_path_factory.mktemp("crash"))
    for _ in range(data.draw(st.integers(1, 4), "runs")):
        recording = model.begin(data)
        for _ in range(data.draw(st.integers(0, 6), "steps")):
            model.add(recording, data.draw(st.integers(0, 8), "messages"))
            model.clock.now_ns += data.draw(st.integers(-2_000_000, 9_000_000), "time passes")
            recording.tick()
        recording.close("done")
        assert recording.failure is None
        crash = data.draw(st.sampled_from(["none", "manifest", "segment"]), "crash")
        if crash == "manifest":
            model.crash_in_manifest(data)
        elif crash == "segment":
            model.crash_in_segment(data)
    model.begin(data).close("done")
    check(model)


def check(model: Model) -> None:
    flaws: list[Damage] = []
    reported = read_manifest(str(model.folder), flaws.append)
    paths = segment_paths(str(model.folder))
    assert set(reported.sealed) == {path.name for path in paths}
    for path in paths:
        check_against_file(reported.sealed[path.name], path)
    if paths:
        recording = Segments(str(model.folder), flaws.append)
        assert list(chain.from_iterable(recording.batches())) == model.lines
    else:
        assert model.lines == []
    assert flaws == []
    times = [time_ns for time_ns, _ in model.lines]
    assert all(each > START_NS - 10**9 for each in times)
