"""A full disk: the writer says where it failed, and leaves an intact recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import pytest
from programs import ended
from written import (
    add,
    check_against_file,
    numbers,
    of_kind,
    read,
    wait_until_written,
    writer,
)

from tickerplant.errors import RecordingError
from tickerplant.recorder.writer import RecordingWriter
from tickerplant.recording.line import Damage
from tickerplant.recording.manifest import TAIL, read_manifest
from tickerplant.recording.manifest_entries import MANIFEST, Dropped, RunEnded
from tickerplant.recording.segments import segment_paths

WRITES_TOO_MUCH = """
import resource, sys
from tickerplant.recorder.writer import RecordingWriter, WriterSettings
from tickerplant.recording.manifest_entries import Silent
from tickerplant.venue import USDM

settings = WriterSettings(flush_ms=0)
writer = RecordingWriter(sys.argv[1], venue=USDM, url="", profile="", streams=(), settings=settings)
# Files may not grow beyond this; Python takes the signal, and a write fails as on a full disk.
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
n = 0
while writer.failure is None:
    n += 1
    if sys.argv[2] == "segment":
        writer.add(1_800_000_000_000_000_000 + n, "a@trade", b'{"n":%d,"x":"%x"}' % (n, 3 ** n))
    else:
        writer.add(1_800_000_000_000_000_000 + n, "a@trade", b'{"n":%d}' % n)
        writer.note(Silent(time_ns=1, streams=("a@trade",), silent_ms=1, reason="x" * 1_000))
    writer.tick()
writer.add(1_800_000_000_000_000_000 + n, "a@trade", b'{"n":0}')
writer.close("interrupted")
print(writer.failure_text)
print(n + 1, writer.totals.lines, writer.totals.dropped)
"""


def fill(folder: Path, what: str) -> tuple[str, list[int]]:
    done = ended("-c", WRITES_TOO_MUCH, str(folder), what)
    assert done.returncode == 0, done.stderr
    text, counts = done.stdout.splitlines()
    return text, [int(each) for each in counts.split()]


@pytest.mark.sockets
def test_a_full_disk_ends_the_writing_after_a_complete_block(tmp_path: Path) -> None:
    text, [added, written, dropped] = fill(tmp_path, "segment")
    [segment] = segment_paths(str(tmp_path))
    size_bytes = segment.stat().st_size
    assert text == f"{segment}: File too large, at byte {size_bytes}"
    assert added == written + dropped
    lines, flaws = read(tmp_path)
    assert (numbers(lines), flaws) == (list(range(1, written + 1)), [])
    reported = read_manifest(str(tmp_path))
    check_against_file(reported.sealed[segment.name], segment)
    *_, left_out, end = reported.entries
    assert isinstance(left_out, Dropped)
    assert left_out.count == dropped
    assert isinstance(end, RunEnded)
    assert end.reason == text, "not that it was interrupted"


@pytest.mark.sockets
def test_a_manifest_that_cannot_grow_stays_intact(tmp_path: Path) -> None:
    text, [added, written, dropped] = fill(tmp_path, "manifest")
    flaws: list[Damage] = []
    reported = read_manifest(str(tmp_path), flaws.append)
    assert flaws == []
    reason, _, offset = text.rpartition(" ")
    assert reason == f"{reported.path}: File too large, at byte"
    assert int(offset) <= reported.size_bytes <= 100_000, "a shorter line may have found room"
    assert added == written + dropped
    again = writer(tmp_path)
    add(again, [10_000_000])
    again.close("done")
    lines, flaws = read(tmp_path)
    assert (numbers(lines), flaws) == ([*range(1, written + 1), 10_000_000], [])


def test_a_device_that_is_full_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="/dev/full: is a file; choose a folder"):
        writer(Path("/dev/full"))


def writing(folder: Path) -> RecordingWriter:
    """A recorder that has written ten messages."""
    recording = writer(folder)
    add(recording, range(10))
    recording.tick()
    wait_until_written(recording, 10)
    return recording


def test_a_folder_that_is_deleted_while_recording_is_no_recording(tmp_path: Path) -> None:
    recording = writing(tmp_path / "market")
    rmtree(tmp_path / "market")
    recording.close("interrupted")
    assert recording.failure_text == (f"{tmp_path}/market/manifest.jsonl: was moved or deleted")


def test_a_folder_that_is_moved_while_recording_contains_everything(tmp_path: Path) -> None:
    recording = writing(tmp_path / "market")
    (tmp_path / "market").rename(tmp_path / "moved")
    recording.close("interrupted")
    assert "was moved or deleted" in recording.failure_text
    lines, flaws = read(tmp_path / "moved")
    assert (numbers(lines), flaws) == (list(range(10)), [])
    [end] = of_kind(tmp_path / "moved", RunEnded)
    assert end.reason == recording.failure_text


def test_a_segment_that_is_deleted_while_it_is_written_ends_the_recording(tmp_path: Path) -> None:
    recording = writing(tmp_path)
    [segment] = segment_paths(str(tmp_path))
    segment.unlink()
    recording.close("interrupted")
    assert recording.failure_text == f"{segment}: was moved or deleted"


def test_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(RecordingError, match=r"is a link to .*nothing, which does not exist"):
        writer(tmp_path / "link")


@pytest.mark.parametrize("name", [MANIFEST, TAIL, "000009-20261121T181900Z.zst"])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_nothing_is_repaired_through_a_link(
    tmp_path: Path, name: str, link: Callable[[Path, Path], None]
) -> None:
    folder, elsewhere = tmp_path / "market", tmp_path / "mine"
    recording = writer(folder)
    add(recording, range(10))
    recording.close("done")
    torn = (folder / MANIFEST).read_bytes() + b'{"torn'
    (folder / MANIFEST).write_bytes(torn)
    elsewhere.write_bytes(torn if name == MANIFEST else b"mine\n" * 99)
    (folder / name).unlink(missing_ok=True)
    link(folder / name, elsewhere)
    before = {path.name: path.read_bytes() for path in (elsewhere, *folder.iterdir())}
    with pytest.raises(RecordingError, match=rf"{name}: is a (hard )?link"):
        writer(folder)
    assert before == {path.name: path.read_bytes() for path in (elsewhere, *folder.iterdir())}
