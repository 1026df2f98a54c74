from __future__ import annotations

import random
import tracemalloc
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import zstandard
from blocks import packed_lines, text_of, write_manifest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.errors import RecordingError
from tickerplant.recording.block import (
    HEAD_BYTES,
    Head,
    Packer,
    Unpacker,
    head_bytes,
    read_head,
    walk,
)
from tickerplant.recording.line import Damage, Line
from tickerplant.recording.manifest import Manifest, read_manifest
from tickerplant.recording.manifest_entries import (
    FORMAT,
    KINDS,
    MANIFEST,
    Connected,
    Entry,
    RecordingStarted,
    RunStarted,
    SegmentSealed,
    encode_entry,
    read_entry,
)
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments, segment_name, segment_paths

START_NS = 1_795_236_514_000_000_000
BEGUN = RecordingStarted(time_ns=START_NS, format=FORMAT, venue="usdm", software="a test")


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
    write_manifest(folder, [BEGUN])
    for number, each in enumerate(segments, 1):
        (folder / segment_name(number, "20261121T181900Z")).write_bytes(b"".join(each))
    return str(folder)


def sealed(name: str, **facts: Any) -> SegmentSealed:
    """What a manifest says of a segment, as it is given and else anyhow."""
    times = {"time_ns": START_NS, "first_ns": START_NS, "last_ns": START_NS}
    usual: dict[str, Any] = {"lines": 10, "blocks": 1, "text_bytes": 1, "size_bytes": 1}
    return SegmentSealed(**{"name": name, "sha256": "", "streams": {}, **times, **usual, **facts})


def append(folder: str | Path, *lines: bytes | Entry) -> None:
    """Append lines to a manifest."""
    with Path(folder, MANIFEST).open("ab") as file:
        file.writelines(
            each if isinstance(each, bytes) else encode_entry(each) + b"\n" for each in lines
        )


def read_with(folder: Path, *lines: bytes | Entry) -> tuple[Manifest, list[Damage]]:
    """Read a manifest that has more lines."""
    reports: list[Damage] = []
    path = recording(folder)
    append(path, *lines)
    return read_manifest(path, reports.append), reports


def read(path: str, start_ns: int = 0) -> tuple[list[Line], list[Damage]]:
    reports: list[Damage] = []
    lines = list(chain.from_iterable(Segments(path, reports.append).batches(start_ns)))
    return lines, reports


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary().map(lambda raw: raw.replace(b"\n", b"\r")), min_size=1))
def test_messages_of_any_bytes_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, raws: list[bytes]
) -> None:
    lines = [(START_NS + n, raw) for n, raw in enumerate(raws)]
    path = recording(tmp_path_factory.mktemp("any"), blocks(lines))
    assert read(path) == (lines, [])


def test_zstandard_programs_read_a_segment(tmp_path: Path) -> None:
    lines = messages(35)
    path = recording(tmp_path, blocks(lines))
    [segment] = segment_paths(path)
    with zstandard.open(segment, "rb") as file:
        text = file.read()
    assert text == text_of(lines)


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
    found, reports = read(path)
    hit = next(n for n in range(6) if at < sum(map(len, parts[: n + 1])))
    assert found == lines[: hit * 10] + lines[hit * 10 + 10 :], f"byte {at}, block {hit}"
    [reported] = reports
    assert reported.offset_bytes == sum(map(len, parts[:hit]))
    assert reported.path == str(segment_paths(path)[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2_000))
def test_a_torn_end_costs_the_last_block(
    tmp_path_factory: pytest.TempPathFactory, torn_bytes: int
) -> None:
    lines = messages(30)
    parts = blocks(lines)
    complete = b"".join(parts)
    torn_bytes = min(torn_bytes, len(complete) - 1)
    path = recording(tmp_path_factory.mktemp("torn"), [complete[:-torn_bytes]])
    found, reports = read(path)
    kept = next(n for n in range(3) if len(complete) - torn_bytes < sum(map(len, parts[: n + 1])))
    assert found == lines[: kept * 10]
    cut_at = sum(map(len, parts[:kept]))
    is_cut = len(complete) - torn_bytes > cut_at
    assert [reported.offset_bytes for reported in reports] == [cut_at] * is_cut
    assert all("cut off" in reported.reason for reported in reports)


def test_bytes_that_are_missing_cost_their_block(tmp_path: Path) -> None:
    lines = messages(30)
    parts = blocks(lines)
    path = recording(tmp_path, [parts[0], parts[1][:100], parts[1][110:], parts[2]])
    found, reports = read(path)
    assert found == lines[:10] + lines[20:]
    assert [(reported.offset_bytes, reported.lost) for reported in reports] == [(len(parts[0]), 10)]


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
    append(path, sealed(first.name))
    first.unlink()
    found, reports = read(path)
    assert found == lines[10:]
    assert [(reported.path, reported.lost) for reported in reports] == [(str(first), 10)]


def test_a_recording_without_its_manifest_is_read(tmp_path: Path) -> None:
    lines = messages(20)
    path = recording(tmp_path, blocks(lines))
    (tmp_path / MANIFEST).unlink()
    found, reports = read(path)
    assert found == lines
    assert [reported.path for reported in reports] == [str(tmp_path / MANIFEST)]


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


def test_the_last_line_of_a_manifest_may_be_torn(tmp_path: Path) -> None:
    connected = encode_entry(Connected(time_ns=START_NS, streams=("btcusdt@trade",)))
    run = RunStarted(
        time_ns=START_NS, run=1, url="ws://x", profile="2026q1", streams=("a",), software="a test"
    )
    manifest, [reported] = read_with(tmp_path, run, connected[:-5])
    assert manifest.entries == [BEGUN, run]
    assert (manifest.venue, manifest.profile, set(manifest.streams)) == ("usdm", "2026q1", {"a"})
    assert manifest.torn_bytes == len(connected) - 5
    assert (reported.line, reported.offset_bytes) == (3, manifest.size_bytes)


@pytest.mark.parametrize("number", [-1, 0, FORMAT + 1])
def test_a_manifest_of_an_unknown_format_is_refused(number: int, tmp_path: Path) -> None:
    path = recording(tmp_path)
    other = RecordingStarted(time_ns=START_NS, format=number, venue="usdm", software="other")
    (tmp_path / MANIFEST).write_bytes(encode_entry(other) + b"\n")
    with pytest.raises(RecordingError, match=f"format {number}"):
        read_manifest(path)


def test_unknown_kinds_of_lines_are_ignored(tmp_path: Path) -> None:
    manifest, _ = read_with(tmp_path, b'{"kind":"weather","time_ns":1}\n')
    assert manifest.entries == [BEGUN]
    assert "weather" not in KINDS
    with pytest.raises(ValueError, match="time_ns"):
        read_entry(b'{"kind":"hole"}')


def test_walking_skips_blocks_that_are_too_early(tmp_path: Path) -> None:
    lines = messages(30)
    path = recording(tmp_path, blocks(lines))
    [segment] = segment_paths(path)
    with segment.open("rb") as file:
        found = list(walk(file, lines[15][0]))
    assert [bool(each.data) for each in found] == [False, True, True]
    assert all(each.head is not None for each in found)


def test_a_batch_has_the_place_of_its_block_and_regressions_are_counted(tmp_path: Path) -> None:
    lines = messages(20)
    parts = [packed_lines(lines[10:]), packed_lines(lines[:10])]
    path = recording(tmp_path, parts)
    file = Segments(path)
    [segment] = segment_paths(path)
    places = [file.place_of(b"") for _ in file.batches()]
    assert [(each.path, each.line, each.offset_bytes) for each in places] == [
        (str(segment), 0, 0),
        (str(segment), 0, len(parts[0])),
    ]
    assert (file.stats.regressions, file.stats.max_regression_ns) == (
        10,
        lines[19][0] - lines[0][0],
    )


def test_the_latest_time_comes_from_heads_and_manifest(tmp_path: Path) -> None:
    lines = messages(40)
    path = recording(tmp_path, blocks(lines[20:]), blocks(lines[:20]))
    assert Segments(path).last_ns() == lines[-1][0], "also when the clock stepped back"
    first, second = segment_paths(path)
    assert Segments(str(second)).last_ns() == lines[19][0]
    append(path, sealed(first.name, last_ns=START_NS * 2))
    assert Segments(path).last_ns() == START_NS * 2, "a finished segment is not read"


@pytest.mark.parametrize(
    ("lines", "first_ns", "last_ns", "wrong"),
    [
        (9, 0, 0, "the number of its lines is 10, and its head says 9"),
        (0, 0, 0, "the number of its lines is 10, and its head says 0"),
        (10, 5, 0, "the time of its first line"),
        (10, 0, -5, "the time of its last line"),
    ],
)
def test_a_block_with_a_wrong_head_is_read_and_reported(
    tmp_path: Path, lines: int, first_ns: int, last_ns: int, wrong: str
) -> None:
    complete = messages(10)
    block = Packer().pack(
        text_of(complete), lines, complete[0][0] + first_ns, complete[-1][0] + last_ns
    )
    found, [reported] = read(recording(tmp_path, [block, *blocks(messages(10, 10))]))
    assert found == [*complete, *messages(10, 10)], "every line can be read"
    assert wrong in reported.reason


@pytest.mark.parametrize(
    "line",
    [
        b"1795236514000000000x{}",
        b"1795236514000000000",
        b"17952365140000000001 {}",
        b"-795236514000000000 {}",
        b"12 {}",
        b"",
    ],
)
def test_a_block_with_an_invalid_line_is_damaged(tmp_path: Path, line: bytes) -> None:
    block = Packer().pack(line + b"\n", 1, START_NS, START_NS)
    found, reports = read(recording(tmp_path, [block, *blocks(messages(10))]))
    if line == b"1795236514000000000":
        assert found[0] == (START_NS, b""), "an empty message"
    else:
        assert (found, [reported.lost for reported in reports]) == (messages(10), [1])


def test_a_block_without_data_is_damaged(tmp_path: Path) -> None:
    empty = head_bytes(Head(9, START_NS, START_NS, 99, 0, crc32(b"")))
    found, reports = read(recording(tmp_path, [empty, *blocks(messages(10))]))
    assert (found, len(reports)) == (messages(10), 1)


@pytest.mark.heavy
def test_a_frame_that_grows_beyond_its_head_takes_no_memory(tmp_path: Path) -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 26))
    head = Head(1, START_NS, START_NS, 100, len(bomb), crc32(bomb))
    tracemalloc.start()
    with pytest.raises(ValueError, match="67108864 bytes of lines, expected 100"):
        Unpacker().unpack(bomb, head)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_second_frame_in_a_block_is_a_damage() -> None:
    [block] = blocks(messages(10))
    head = read_head(block)
    assert head is not None
    data, unpacker = block[HEAD_BYTES:], Unpacker()
    for damaged in (data + data, data[:-5], data[:20] + bytes(len(data) - 20)):
        with pytest.raises(ValueError, match=r"unused data|decompress|bytes of lines"):
            unpacker.unpack(damaged, head)
        assert unpacker.unpack(data, head).count(b"\n") == 10, "expected a damage to be forgotten"


def test_a_second_first_line_in_a_manifest_is_reported(tmp_path: Path) -> None:
    manifest, reports = read_with(tmp_path, BEGUN)
    assert manifest.venue == "usdm"
    assert [(reported.line, reported.reason) for reported in reports] == [
        (2, "a second line that begins a manifest")
    ]


def test_contradicting_lines_about_a_segment_are_reported(tmp_path: Path) -> None:
    one, other = (sealed("000001-20261121T181900Z.zst", lines=lines) for lines in (5, 6))
    _, reports = read_with(tmp_path, one, one, other)
    assert [reported.line for reported in reports] == [4], "the same twice is no contradiction"


@pytest.mark.parametrize("kind", [b"instruments", b"something new"])
def test_a_deeply_nested_line_of_a_manifest_is_reported(tmp_path: Path, kind: bytes) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    line = b'{"kind":"%b","time_ns":1,"symbols":[%b]}\n' % (kind, deep)
    _, reports = read_with(tmp_path, line)
    assert ["nested too deeply" in reported.reason for reported in reports] == [True]


def test_invalid_contracts_in_a_manifest_are_ignored(tmp_path: Path) -> None:
    line = b'{"kind":"instruments","time_ns":1,"symbols":[5,{"a":1},{"symbol":"BTCUSDT"}]}\n'
    assert list(read_with(tmp_path, line)[0].symbols) == ["BTCUSDT"]


def test_a_manifest_named_as_a_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("")
    with pytest.raises(RecordingError, match="is the manifest of a recording; give its folder"):
        recorded_files([str(tmp_path / MANIFEST)])


def test_a_folder_of_line_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"neither a manifest nor a segment$"):
        recorded_files([str(tmp_path)])
    (tmp_path / "day.gz").touch()
    with pytest.raises(RecordingError, match="name line files themselves, such as"):
        recorded_files([str(tmp_path)])


def test_segments_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    lines = messages(30)
    folder = Path(recording(tmp_path))
    for number, at in ((999_999, 0), (1_000_000, 10), (1_000_001, 20)):
        name = segment_name(number, "20261121T181900Z")
        (folder / name).write_bytes(packed_lines(lines[at : at + 10]))
    assert read(str(folder)) == (lines, [])
