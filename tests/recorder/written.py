"""What the tests of the writer share: a clock that is set, a writer, a reader."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from threading import Event
from typing import TypeVar

import zstandard

from tickerplant.recorder.writer import RecordingWriter, WriterSettings
from tickerplant.recording.line import Damage, Line
from tickerplant.recording.manifest import Manifest
from tickerplant.recording.manifest_entries import Entry, SegmentSealed
from tickerplant.recording.segments import Segments
from tickerplant.venue import USDM, Venue

EntryT = TypeVar("EntryT", bound=Entry)
START_NS = 1_795_236_514_000_000_000
MS = 1_000_000


class Clock:
    """A clock that is set."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


def writer(
    folder: Path,
    clock: Clock | None = None,
    venue: Venue = USDM,
    settings: WriterSettings = WriterSettings(flush_ms=0),  # noqa: B008  # it is frozen
) -> RecordingWriter:
    return RecordingWriter(
        str(folder),
        venue=venue,
        url="ws://127.0.0.1:9001",
        profile="2026Q1",
        streams=["btcusdt@trade"],
        settings=settings,
        clock_ns=clock or Clock(),
    )


def read(folder: Path) -> tuple[list[Line], list[Damage]]:
    flaws: list[Damage] = []
    lines = list(chain.from_iterable(Segments(str(folder), flaws.append).batches()))
    return lines, flaws


def manifest(folder: Path) -> Manifest:
    flaws: list[Damage] = []
    found = Segments(str(folder), flaws.append).manifest()
    assert found is not None, flaws
    return found


def of_kind(folder: Path, *kinds: type[EntryT]) -> list[EntryT]:
    return [each for each in manifest(folder).entries if isinstance(each, kinds)]


def wait_until_written(recording: RecordingWriter, lines: int) -> None:
    """Returns when the thread of the writer has got so far; the test ends by its time-out else."""
    pause = Event()
    while recording.totals.lines < lines:
        pause.wait(0.001)


def add(recording: RecordingWriter, numbers: Iterable[int], stream: str = "btcusdt@trade") -> None:
    for n in numbers:
        recording.add(START_NS + n, stream, b'{"n":%d}' % n)


def numbers(lines: list[Line]) -> list[int]:
    return [json.loads(raw)["data"]["n"] for _, raw in lines]


def check_against_file(sealed: SegmentSealed, path: Path) -> None:
    stored = path.read_bytes()
    assert sealed.sha256 == hashlib.sha256(stored).hexdigest()
    assert sealed.size_bytes == len(stored)
    with zstandard.open(path, "rb") as file:
        text = file.read()
    lines = text.splitlines()
    assert (sealed.lines, sealed.text_bytes) == (len(lines), len(text))
    messages = [line[20:] for line in lines if line.startswith(b'{"stream"', 20)]
    assert sealed.streams == Counter(json.loads(each)["stream"] for each in messages)
    if lines:
        assert (sealed.first_ns, sealed.last_ns) == (int(lines[0][:19]), int(lines[-1][:19]))
