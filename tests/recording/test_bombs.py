"""Small files that would take hours or gigabytes: they end early, and say so."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from struct import pack
from zlib import crc32

import pytest
import zstandard
from blocks import packed_lines, write_tail

from tickerplant.errors import RecordingError
from tickerplant.recording.block import (
    HEAD_BYTES,
    MAX_BLOCK_BYTES,
    MAX_LINES,
    Head,
    Packer,
    head_bytes,
    walk,
)
from tickerplant.recording.line import Damage, Line
from tickerplant.recording.line_file import MAX_LINE_BYTES, LineFile
from tickerplant.recording.manifest import MAX_BAD_LINES as MAX_BAD_ENTRIES
from tickerplant.recording.manifest import read_manifest
from tickerplant.recording.manifest_entries import FORMAT, MANIFEST, RecordingStarted, encode_entry
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments, segment_name

START_NS = 1_795_236_514_000_000_000
LINE = b"%d {}\n" % START_NS
MIB = 1 << 20
MAX_BAD_LINES = 5_000


def repeated(sign: bytes, blocks: int) -> bytes:
    """A Zstandard frame of `blocks` times 128 KiB of a sign, each stored in four bytes."""
    heads = [(1 << 17) << 3 | 1 << 1 | (n == blocks - 1) for n in range(blocks)]
    begin = b"\x28\xb5\x2f\xfd\x00" + bytes([7 << 3])
    return begin + b"".join(pack("<I", head)[:3] + sign for head in heads)


@contextmanager
def memory_below(most_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()


def read(path: Path, content: bytes) -> tuple[list[Line], list[Damage], LineFile]:
    path.write_bytes(content)
    reports: list[Damage] = []
    file = LineFile(str(path), reports.append, max_bad_lines=MAX_BAD_LINES)
    return list(chain.from_iterable(file.batches())), reports, file


@pytest.mark.heavy
@pytest.mark.parametrize(
    "bomb",
    [
        zstandard.compress(LINE) + repeated(b"\n", 137),
        gzip.compress(LINE) + gzip.compress(b"\n" * (18 << 20)),
        zstandard.compress(LINE) + zstandard.compress(b"a\n" * (9 << 20)),
    ],
    ids=["zstd of empty lines", "gzip of empty lines", "zstd of other lines"],
)
def test_endless_bad_lines_end_a_file(bomb: bytes, tmp_path: Path) -> None:
    assert len(bomb) < 20_000, "as stored"
    lines, reports, file = read(tmp_path / "r", bomb)
    assert lines == [(START_NS, b"{}")]
    assert file.stats.skipped == MAX_BAD_LINES
    assert file.stats.text_bytes < MIB, "of 17 or 18"
    assert reports[-1].line == MAX_BAD_LINES + 2, "where reading ended"
    assert reports[-1].reason == f"{MAX_BAD_LINES:,} lines in a row are not recording lines"


@pytest.mark.heavy
def test_endless_remarks_end_a_file(tmp_path: Path) -> None:
    begin = zstandard.compress(b"1617647797.5: {}\n")
    lines, reports, file = read(tmp_path / "r", begin + repeated(b"\n", 137))
    assert (len(lines), len(reports)) == (1, 1)
    assert "lines in a row are not recording lines" in reports[0].reason
    assert file.stats.text_bytes < 3 * MIB, "of 17"


def test_many_bad_lines_with_good_ones_between_end_nothing(tmp_path: Path) -> None:
    bad = b"x\n" * (MAX_BAD_LINES - 1)
    lines, reports, file = read(tmp_path / "r", LINE + bad + LINE + bad + LINE)
    assert len(lines) == 3
    assert (file.stats.skipped, len(reports)) == (2 * MAX_BAD_LINES - 2, 1)


def test_an_endless_line_is_not_kept_in_memory(tmp_path: Path) -> None:
    with memory_below(4 * MAX_LINE_BYTES):
        lines, [reported], _ = read(
            tmp_path / "r", zstandard.compress(LINE) + repeated(b"x", 4_000)
        )
    assert len(lines) == 1
    assert (reported.line, reported.reason) == (2, f"a line longer than {MAX_LINE_BYTES} bytes")


def test_a_deeply_nested_last_line_is_cut_off(tmp_path: Path) -> None:
    lines, [reported], _ = read(tmp_path / "r", LINE + b"%d " % START_NS + b"[" * 100_000)
    assert (len(lines), reported.reason) == (1, "the last line is cut off")


def test_many_members_and_zeros_between_them_are_one_recording(tmp_path: Path) -> None:
    content = gzip.compress(LINE) + gzip.compress(b"") * 2_000 + bytes(100_000)
    lines, reports, _ = read(tmp_path / "r", content + gzip.compress(LINE))
    assert (len(lines), reports) == (2, [])


def segment(folder: Path, *blocks: bytes) -> Path:
    path = folder / segment_name(1, "20261121T181900Z")
    path.write_bytes(b"".join(blocks))
    return path


def head(data: bytes, *, text_bytes: int, data_bytes: int) -> bytes:
    return head_bytes(Head(1, START_NS, START_NS, text_bytes, data_bytes, crc32(data) ^ 1)) + data


@pytest.mark.parametrize("line", [b"\n", LINE])
def test_a_block_of_too_many_lines_takes_no_memory(line: bytes, tmp_path: Path) -> None:
    text = line * (16 * MIB // len(line))
    assert text.count(b"\n") > MAX_LINES
    bomb = Packer().pack(text, 1, START_NS, START_NS)
    assert len(bomb) < 4_000, "as stored"
    good = packed_lines([(START_NS, b"{}")])
    reports: list[Damage] = []
    file = Segments(str(segment(tmp_path, bomb, good)), reports.append)
    with memory_below(40 * MIB):
        assert list(chain.from_iterable(file.batches())) == [(START_NS, b"{}")]
    assert f"expected {MAX_LINES:,} at most" in reports[0].reason


def test_a_block_of_too_much_text_is_damaged(tmp_path: Path) -> None:
    bomb = head(b"x", text_bytes=MAX_BLOCK_BYTES + 1, data_bytes=1)
    reports: list[Damage] = []
    file = Segments(str(segment(tmp_path, bomb)), reports.append)
    assert list(file.batches()) == []
    assert len(reports) == 1


class Counted:
    """A file that counts what is read of it."""

    def __init__(self, content: bytes) -> None:
        self.read_bytes = 0
        self._content = content
        self._at = 0

    def seek(self, at: int, whence: int = 0) -> int:
        self._at = at + (len(self._content) if whence else 0)
        return self._at

    def read(self, count: int) -> bytes:
        text = self._content[self._at : self._at + count]
        self._at += len(text)
        self.read_bytes += len(text)
        return text


def test_overlapping_heads_do_not_have_the_same_bytes_read_for_each() -> None:
    count = 5_000
    size = count * HEAD_BYTES
    ends_before = [head(b"", text_bytes=9, data_bytes=size) for _ in range(count)]
    overlap = [
        head(b"", text_bytes=9, data_bytes=max(size - (n + 1) * HEAD_BYTES, 1))
        for n in range(count)
    ]
    for heads in (ends_before, overlap):
        file = Counted(b"".join(heads))
        found = list(walk(file))  # type: ignore[arg-type]  # all that `walk` needs of a file
        assert sum(each.size_bytes for each in found) == size, "all of it is reported as damaged"
        assert all(each.reason for each in found)
        assert file.read_bytes < 60 * size
    assert found[-1].reason == "too much is damaged: the rest is not read"


BEGUN = RecordingStarted(time_ns=START_NS, format=FORMAT, venue="usdm", software="a test")


def test_a_manifest_of_bad_lines_is_not_read_further(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(encode_entry(BEGUN) + b"\n" * MIB)
    write_tail(tmp_path)
    reports: list[Damage] = []
    assert read_manifest(str(tmp_path), reports.append).entries == [BEGUN]
    assert len(reports) == MAX_BAD_ENTRIES + 1
    assert reports[-1].reason.endswith("the rest is not read")


@pytest.fixture(params=["device", "pipe", "folder"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "r" / MANIFEST
    path.parent.mkdir()
    if request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    return path


def test_a_manifest_that_is_not_a_file_is_not_read(no_file: Path) -> None:
    good = segment(no_file.parent, packed_lines([(START_NS, b"{}")]))
    with pytest.raises(RecordingError, match=r"is a (device|named pipe|folder), expected a file"):
        read_manifest(str(no_file.parent))
    reports: list[Damage] = []
    file = Segments(str(no_file.parent), reports.append)
    assert list(chain.from_iterable(file.batches())) == [(START_NS, b"{}")]
    assert [reported.path for reported in reports] == [str(no_file)]
    good.unlink()


def test_only_files_are_recordings(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, kind in ((str(pipe), "named pipe"), ("/dev/zero", "device")):
        for read_it in (lambda: recorded_files([path]), lambda: list(LineFile(path).batches())):  # noqa: B023  # called at once
            with pytest.raises(RecordingError, match=f"is a {kind}, expected a file"):
                read_it()


def test_a_link_to_a_file_of_lines_is_one(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(LINE)
    (tmp_path / "link").symlink_to(tmp_path / "r")
    [file] = recorded_files([str(tmp_path / "link")])
    assert list(file.batches()) == [[(START_NS, b"{}")]]
