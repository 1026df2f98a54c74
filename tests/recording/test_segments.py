from __future__ import annotations

import random
from itertools import chain
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.errors import RecordingError
from tickerplant.recording.block import packed_lines, walk
from tickerplant.recording.journal import (
    FORMAT,
    KINDS,
    MANIFEST,
    Begun,
    Connected,
    RunBegun,
    Sealed,
    encode_entry,
    read_entry,
)
from tickerplant.recording.line import Flaw, Line
from tickerplant.recording.manifest import read_manifest
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments, segment_name, segment_paths

START_NS = 1_795_236_514_000_000_000
BEGUN = Begun(time_ns=START_NS, format=FORMAT, venue="usdm", software="a test")


def messages(count: int, start: int = 0) -> list[Line]:
    """Lines that do not compress to nothing."""
    noise = random.Random(start)
    return [
        (START_NS + n * 1_000, b'{"n":%d,"noise":"%b"}' % (n, noise.randbytes(20).hex().encode()))
        for n in range(start, start + count)
    ]


def blocks(lines: list[Line], size: int = 10) -> list[bytes]:
    return [packed_lines(lines[at : at + size]) for at in range(0, len(lines), size)]


def recording(folder: Path, *segments: list[bytes]) -> str:
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_bytes(encode_entry(BEGUN) + b"\n")
    for number, each in enumerate(segments, 1):
        (folder / segment_name(number, "20261121T181900Z")).write_bytes(b"".join(each))
    return str(folder)


def read(path: str, start_ns: int = 0) -> tuple[list[Line], list[Flaw]]:
    flaws: list[Flaw] = []
    lines = list(chain.from_iterable(Segments(path, flaws.append).batches(start_ns)))
    return lines, flaws


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    lines = messages(95)
    path = recording(tmp_path, blocks(lines[:50]), blocks(lines[50:]))
    assert read(path) == (lines, [])


def test_zstandard_programs_read_a_segment(tmp_path: Path) -> None:
    lines = messages(35)
    path = recording(tmp_path, blocks(lines))
    [segment] = segment_paths(path)
    with zstandard.open(segment, "rb") as file:
        text = file.read()
    assert text == b"".join(b"%d %b\n" % line for line in lines)


def test_reading_begins_at_a_time(tmp_path: Path) -> None:
    lines = messages(95)
    path = recording(tmp_path, blocks(lines[:50]), blocks(lines[50:]))
    for n in (0, 1, 10, 49, 50, 94):
        assert read(path, lines[n][0]) == (lines[n:], []), f"from line {n}"
    assert read(path, lines[-1][0] + 1) == ([], [])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_flipped_bit_costs_no_more_than_its_block(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = messages(60)
    parts = blocks(lines)
    text = bytearray(b"".join(parts))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= 1 << data.draw(st.integers(0, 7))
    path = recording(tmp_path_factory.mktemp("flipped"), [bytes(text)])
    found, flaws = read(path)
    hit = next(n for n in range(6) if at < sum(map(len, parts[: n + 1])))
    assert found == lines[: hit * 10] + lines[hit * 10 + 10 :], f"byte {at}, block {hit}"
    [flaw] = flaws
    assert flaw.offset_bytes == sum(map(len, parts[:hit]))
    assert flaw.path == str(segment_paths(path)[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2_000))
def test_a_torn_end_costs_the_last_block(
    tmp_path_factory: pytest.TempPathFactory, torn_bytes: int
) -> None:
    lines = messages(30)
    parts = blocks(lines)
    whole = b"".join(parts)
    torn_bytes = min(torn_bytes, len(whole) - 1)
    path = recording(tmp_path_factory.mktemp("torn"), [whole[:-torn_bytes]])
    found, flaws = read(path)
    kept = next(n for n in range(3) if len(whole) - torn_bytes < sum(map(len, parts[: n + 1])))
    assert found == lines[: kept * 10]
    cut_at = sum(map(len, parts[:kept]))
    is_cut = len(whole) - torn_bytes > cut_at
    assert [flaw.offset_bytes for flaw in flaws] == [cut_at] * is_cut
    assert all("cut off" in flaw.reason for flaw in flaws)


def test_bytes_that_are_missing_cost_their_block(tmp_path: Path) -> None:
    lines = messages(30)
    parts = blocks(lines)
    path = recording(tmp_path, [parts[0], parts[1][:100], parts[1][110:], parts[2]])
    found, flaws = read(path)
    assert found == lines[:10] + lines[20:]
    assert [(flaw.offset_bytes, flaw.lost) for flaw in flaws] == [(len(parts[0]), 10)]


def test_a_block_that_is_missing_leaves_the_others(tmp_path: Path) -> None:
    lines = messages(30)
    parts = blocks(lines)
    path = recording(tmp_path, [parts[0], parts[2]])
    assert read(path) == (lines[:10] + lines[20:], [])


def test_receive_times_never_go_back(tmp_path: Path) -> None:
    lines = [(START_NS + n, b"{}") for n in (5, 3, 9, 1, 12)]
    path = recording(tmp_path, [packed_lines(lines[:2]), packed_lines(lines[2:])])
    assert [time - START_NS for time, _ in read(path)[0]] == [5, 5, 9, 9, 12]


def test_a_segment_that_is_gone_is_reported(tmp_path: Path) -> None:
    lines = messages(20)
    path = recording(tmp_path, blocks(lines[:10]), blocks(lines[10:]))
    [first, _] = segment_paths(path)
    sealed = Sealed(
        time_ns=START_NS,
        name=first.name,
        first_ns=lines[0][0],
        last_ns=lines[9][0],
        lines=10,
        blocks=1,
        text_bytes=1,
        size_bytes=1,
        sha256="",
        streams={},
    )
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(encode_entry(sealed) + b"\n")
    first.unlink()
    found, flaws = read(path)
    assert found == lines[10:]
    assert [(flaw.path, flaw.lost) for flaw in flaws] == [(str(first), 10)]


def test_a_recording_without_its_manifest_is_read(tmp_path: Path) -> None:
    lines = messages(20)
    path = recording(tmp_path, blocks(lines))
    (tmp_path / MANIFEST).unlink()
    found, flaws = read(path)
    assert found == lines
    assert [flaw.path for flaw in flaws] == [str(tmp_path / MANIFEST)]


def test_a_folder_of_recordings_is_several(tmp_path: Path) -> None:
    lines = messages(20)
    for name in ("usdm", "coinm"):
        recording(tmp_path / name, blocks(lines))
    files = recorded_files([str(tmp_path)])
    assert [file.path for file in files] == [str(tmp_path / "coinm"), str(tmp_path / "usdm")]
    assert [list(chain.from_iterable(file.batches())) for file in files] == [lines, lines]


def test_one_segment_is_a_recording(tmp_path: Path) -> None:
    lines = messages(20)
    path = recording(tmp_path, blocks(lines))
    [segment] = segment_paths(path)
    [file] = recorded_files([str(segment)])
    assert list(chain.from_iterable(file.batches())) == lines


def test_a_folder_with_nothing_in_it_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="neither a manifest nor a segment"):
        recorded_files([str(tmp_path)])


def test_the_last_line_of_a_manifest_may_be_torn(tmp_path: Path) -> None:
    connected = encode_entry(Connected(time_ns=START_NS, streams=("btcusdt@trade",)))
    run = RunBegun(
        time_ns=START_NS, run=1, url="ws://x", profile="2026q1", streams=("a",), software="a test"
    )
    path = recording(tmp_path)
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(encode_entry(run) + b"\n" + connected[:-5])
    flaws: list[Flaw] = []
    manifest = read_manifest(path, flaws.append)
    assert manifest.entries == [BEGUN, run]
    assert (manifest.venue, manifest.profile, set(manifest.streams)) == ("usdm", "2026q1", {"a"})
    assert manifest.torn_bytes == len(connected) - 5
    [flaw] = flaws
    assert (flaw.line, flaw.offset_bytes) == (3, manifest.size_bytes)


def test_a_manifest_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = recording(tmp_path)
    later = Begun(time_ns=START_NS, format=FORMAT + 1, venue="usdm", software="later")
    (tmp_path / MANIFEST).write_bytes(encode_entry(later) + b"\n")
    with pytest.raises(RecordingError, match=f"format {FORMAT + 1}"):
        read_manifest(path)


def test_kinds_of_lines_that_are_not_known_are_passed_over(tmp_path: Path) -> None:
    path = recording(tmp_path)
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(b'{"kind":"weather","time_ns":1}\n')
    assert read_manifest(path).entries == [BEGUN]
    assert "weather" not in KINDS
    with pytest.raises(ValueError, match="time_ns"):
        read_entry(b'{"kind":"hole"}')


def test_walking_passes_over_what_is_too_early(tmp_path: Path) -> None:
    lines = messages(30)
    path = recording(tmp_path, blocks(lines))
    [segment] = segment_paths(path)
    with segment.open("rb") as file:
        found = list(walk(file, lines[15][0]))
    assert [bool(each.data) for each in found] == [False, True, True]
    assert all(each.head is not None for each in found)


def test_a_batch_knows_where_its_block_stands_and_late_lines_are_counted(tmp_path: Path) -> None:
    lines = messages(20)
    parts = [packed_lines(lines[10:]), packed_lines(lines[:10])]
    path = recording(tmp_path, parts)
    file = Segments(path)
    [segment] = segment_paths(path)
    places = [file.place_of(0) for _ in file.batches()]
    assert [(each.path, each.line, each.offset_bytes) for each in places] == [
        (str(segment), 0, 0),
        (str(segment), 0, len(parts[0])),
    ]
    assert (file.late, file.late_ns) == (10, lines[19][0] - lines[0][0])


def test_the_latest_time_is_told_by_heads_and_manifest(tmp_path: Path) -> None:
    lines = messages(40)
    path = recording(tmp_path, blocks(lines[20:]), blocks(lines[:20]))
    assert Segments(path).last_ns() == lines[-1][0], "also when the clock stepped back"
    first, second = segment_paths(path)
    assert Segments(str(second)).last_ns() == lines[19][0]
    sealed = Sealed(
        time_ns=START_NS,
        name=first.name,
        first_ns=START_NS,
        last_ns=START_NS * 2,
        lines=20,
        blocks=2,
        text_bytes=0,
        size_bytes=0,
        sha256="",
        streams={},
    )
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(encode_entry(sealed) + b"\n")
    assert Segments(path).last_ns() == START_NS * 2, "a finished segment is not read"
