"""Whatever was taken from a manifest, or laid beside the segments that it knows, is noticed."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from blocks import packed_lines, write_manifest, write_tail
from goldens import GOLDENS
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json
from recordings import VENUE_STREAMS, folder, tape

from tickerplant.cli import main
from tickerplant.config.settings import VerifySettings
from tickerplant.recorder.writer import RecordingWriter
from tickerplant.recording.line import Line
from tickerplant.recording.manifest import TAIL, read_manifest
from tickerplant.recording.manifest_chain import MISSING_BEFORE, NOT_CHAINED
from tickerplant.recording.manifest_entries import (
    FORMAT,
    MANIFEST,
    Connected,
    Disconnected,
    RunEnded,
    RunStarted,
    encode_entry,
)
from tickerplant.recording.segments import segment_paths
from tickerplant.venue import USDM
from tickerplant.verifying.findings import RecordingFinding
from tickerplant.verifying.verify import found_in
from tickerplant.verifying.walk import Walk

STREAMS = VENUE_STREAMS["usdm"]


@pytest.fixture(scope="module")
def market() -> list[Line]:
    return tape(USDM, 1.6)


def recorded(path: Path, market: list[Line]) -> Path:
    """A recording of three segments, whose recorder ended."""
    third = len(market) // 3
    begun_ns, ended_ns = market[0][0], market[-1][0]
    name = folder(
        path,
        [market[:third], market[third:-third], market[-third:]],
        [
            RunStarted(time_ns=begun_ns, run=1, url="", profile="", streams=STREAMS, software="x"),
            Connected(time_ns=begun_ns, streams=STREAMS, connection=1),
        ],
    )
    ended = RunEnded(time_ns=ended_ns, reason="interrupted")
    write_manifest(path, [*read_manifest(name).entries, ended])
    return Path(name)


def of_format(number: int, path: Path, market: list[Line]) -> Path:
    """A recording of seven lines, as recorders write or wrote it."""
    if number == FORMAT:
        return recorded(path, market[:60])
    shutil.copytree(GOLDENS / "recordings" / f"format-{number}", path)
    return path


@pytest.fixture
def path(market: list[Line], tmp_path: Path) -> Path:
    return recorded(tmp_path / "r", market)


def walked(path: Path) -> RecordingFinding:
    return Walk([str(path)]).go()


def reasons(path: Path) -> list[str]:
    return [damage.reason for damage in walked(path).first_damage]


def lines_of(path: Path) -> list[bytes]:
    return (path / MANIFEST).read_bytes().splitlines(keepends=True)


def write(path: Path, lines: list[bytes]) -> None:
    (path / MANIFEST).write_bytes(b"".join(lines))


@pytest.mark.parametrize("number", [1, FORMAT])
def test_an_unchanged_recording_is_complete(
    number: int, market: list[Line], tmp_path: Path
) -> None:
    found = walked(of_format(number, tmp_path / "r", market))
    assert (found.is_complete, found.remarks, found.segments, found.messages) == (True, [], 3, 60)


@pytest.mark.heavy
@pytest.mark.parametrize("number", [1, FORMAT])
def test_any_line_that_is_missing_is_noticed(
    number: int, market: list[Line], tmp_path: Path
) -> None:
    path = of_format(number, tmp_path / "r", market)
    lines = lines_of(path)
    for first, last in itertools.combinations(range(len(lines) + 1), 2):
        write(path, lines[:first] + lines[last:])
        found = walked(path)
        assert not found.is_complete, f"lines {first + 1} to {last} are missing"
        damage = [damage for damage in found.first_damage if damage.path == str(path / MANIFEST)]
        assert damage
        if number == 1:
            assert first + 1 in {damage.line for damage in damage}, "at its place"


def test_the_last_lines_are_said_to_be_missing(path: Path) -> None:
    lines = lines_of(path)
    write(path, lines[:-1])
    assert reasons(path) == [f"1 line is missing before here, by {TAIL}"]
    write(path, lines[:-2])
    assert f"2 lines are missing before here, by {TAIL}" in reasons(path)


@pytest.mark.parametrize("number", [1, FORMAT])
@pytest.mark.parametrize("tail", [None, b"", b"{}", b"[]", b'{"lines":"x"}'])
def test_a_tail_that_is_missing_or_damaged_is_noticed(
    tail: bytes | None, number: int, market: list[Line], tmp_path: Path
) -> None:
    path = of_format(number, tmp_path / "r", market)
    (path / TAIL).unlink()
    if tail is not None:
        (path / TAIL).write_bytes(tail)
    paths = [damage.path for damage in walked(path).first_damage]
    assert paths == ([] if (tail, number) == (b"{}", 1) else [f"{path / TAIL}"])


@pytest.mark.parametrize(
    ("number", "key"), [(1, "lines"), (FORMAT, "lines"), (FORMAT, "size_bytes")]
)
@pytest.mark.parametrize("wrong", [-1, 1, 6, 10_000])
def test_a_wrong_number_in_a_tail_is_noticed(
    wrong: int, key: str, number: int, market: list[Line], tmp_path: Path
) -> None:
    path = of_format(number, tmp_path / "r", market)
    tail = json.decode((path / TAIL).read_bytes())
    (path / TAIL).write_bytes(json.encode(tail | {key: wrong}))
    assert not walked(path).is_complete


@pytest.mark.heavy
@settings(max_examples=20)
@given(st.data())
@pytest.mark.parametrize("number", [1, FORMAT])
def test_any_change_of_a_manifest_shows(
    number: int, market: list[Line], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = of_format(number, tmp_path_factory.mktemp("changed") / "r", market)
    before = lines_of(path)
    lines = list(before)
    at = st.integers(0, len(lines) - 1)
    match data.draw(st.sampled_from(["twice", "swapped", "moved", "changed", "added"])):
        case "twice":
            begins = data.draw(at)
            ends = data.draw(st.integers(begins + 1, len(lines)))
            lines[ends:ends] = lines[begins:ends]
        case "swapped":
            one, other = data.draw(at), data.draw(at)
            lines[one], lines[other] = lines[other], lines[one]
        case "moved":
            line = lines.pop(data.draw(at))
            lines.insert(data.draw(st.integers(0, len(lines))), line)
        case "changed":
            number = data.draw(at)
            odd = bytearray(lines[number])
            odd[data.draw(st.integers(0, len(odd) - 2))] = data.draw(st.integers(32, 126))
            lines[number] = bytes(odd)
        case "added":
            line = encode_entry(Disconnected(time_ns=1, streams=(), reason=""))
            lines.insert(data.draw(st.integers(0, len(lines))), line + b"\n")
    write(path, lines)
    assert walked(path).is_complete == (lines == before)


def test_lines_without_digests_are_read_and_said_to_prove_nothing(path: Path) -> None:
    (path / TAIL).unlink()
    lines = lines_of(path)
    write(path, [lines[0].replace(b'"format":2', b'"format":1'), *lines[1:]])
    found = walked(path)
    assert found.is_complete
    [remark] = found.remarks
    assert remark.startswith("lines 1 to 7 of the manifest have no digest")


def test_a_line_without_a_digest_is_odd_among_others(market: list[Line], tmp_path: Path) -> None:
    path = of_format(1, tmp_path / "r", market)
    odd = encode_entry(Disconnected(time_ns=1, streams=(), reason="")) + b"\n"
    lines = lines_of(path)
    write(path, [*lines, odd])
    assert reasons(path) == [NOT_CHAINED]
    write(path, [*lines[:4], odd, *lines[4:]])
    assert reasons(path) == [NOT_CHAINED, MISSING_BEFORE]


@pytest.mark.parametrize("number", [1, FORMAT])
@pytest.mark.parametrize("change", ["", "lost", "changed", "added", "tail"])
def test_what_was_wrong_with_a_manifest_stays_known_when_a_recorder_continues(
    change: str, number: int, market: list[Line], tmp_path: Path
) -> None:
    path = of_format(number, tmp_path / "r", market)
    lines = lines_of(path)
    if change == "tail":
        (path / TAIL).unlink()
    elif change:
        odd = {"lost": b"", "changed": lines[2].replace(b"true", b"false") + b" "}
        write(path, [*lines[:2], odd.get(change, lines[2] + lines[2]), *lines[3:]])
    before = reasons(path)
    for _ in range(2):
        RecordingWriter(str(path), venue=USDM, url="", profile="", streams=()).close("done")
    found = walked(path)
    known = [
        each.reason for each in found.first_damage if "found the manifest damaged" in each.reason
    ]
    assert len(known) == bool(change)
    assert all(each.endswith(before[0]) for each in known)
    assert bool(found.damage) == bool(change)


@pytest.mark.parametrize("change", ["removed", "last", "swapped", "twice", "added"])
def test_a_segment_that_is_not_where_it_was_is_noticed(change: str, path: Path) -> None:
    one, other, last = segment_paths(str(path))
    if change in {"removed", "last"}:
        gone = other if change == "removed" else last
        gone.unlink()
        write(path, [line for line in lines_of(path) if gone.name.encode() not in line])
    elif change == "swapped":
        text = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(text)
    elif change == "twice":
        other.write_bytes(other.read_bytes() * 2)
    else:
        (path / "000004-20260301T000009Z.zst").write_bytes(packed_lines([(2 * 10**18, b"{}")]))
    assert not walked(path).is_complete
    assert walked(path).damage


def copied(path: Path, name: str) -> Path:
    copy = path / name
    copy.write_bytes(segment_paths(str(path))[1].read_bytes())
    return copy


@pytest.mark.parametrize(
    "name",
    [
        "000004-20260301T000001Z.zst",
        "000002-20260301T000000Z (copy).zst",
        "000002-20260301T000005Z.zst",
        "Copy of 000002-20260301T000000Z.zst",
        "000002-20260301T000000Z\n.zst",
        "000000-20260301T000000Z.zst",
    ],
)
def test_a_copy_of_a_segment_is_noticed(path: Path, name: str) -> None:
    copy = copied(path, name)
    found = walked(path)
    assert not found.is_complete
    assert (str(copy), True) in [
        (
            damage.path,
            damage.reason.startswith("it is not listed in the manifest: its content is that of"),
        )
        for damage in found.first_damage
    ]


def test_part_of_a_copy_is_noticed_also_if_the_recorder_was_killed(path: Path) -> None:
    lines = lines_of(path)
    write(path, lines[:-1])
    write_tail(path)
    copy = copied(path, "000004-20260301T000001Z.zst")
    assert walked(path).is_complete is False
    text = copy.read_bytes()
    copy.write_bytes(text[: len(text) // 2])
    assert any("begins before the end of those that are" in each for each in reasons(path))


@pytest.mark.parametrize("command", ["verify", "verify --json", "export"])
def test_a_segment_whose_name_is_no_utf_8_ends_nothing(
    path: Path, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = path / os.fsdecode(b"000009-\xff\xfe.zst")
    odd.write_bytes(segment_paths(str(path))[0].read_bytes())
    name, *options = command.split()
    if name == "export":
        options += ["--tables", "trades", "--out", str(tmp_path / "out")]
    for _ in range(2):  # also if it goes on with what is there
        with pytest.raises(SystemExit) as ended:
            main([name, *options, str(path)])
        assert ended.value.code == (1 if name == "verify" else 0), capsys.readouterr()


def test_a_path_outside_the_folder_is_not_read(path: Path, market: list[Line]) -> None:
    outside = path.parent / "000002-20260301T000000Z.zst"
    segment_paths(str(path))[1].rename(outside)
    text = (path / MANIFEST).read_bytes()
    (path / MANIFEST).write_bytes(text.replace(b'"000002', b'"../000002'))
    write_tail(path, ended=True)
    found = walked(path)
    assert not found.is_complete
    assert found.messages < len(market)
    assert "the segment is missing" in reasons(path)


def test_a_linked_segment_is_one(path: Path) -> None:
    segment = segment_paths(str(path))[1]
    segment.rename(path.parent / "elsewhere")
    segment.symlink_to(path.parent / "elsewhere")
    assert walked(path).is_complete


def test_a_recording_that_is_named_twice_is_one(path: Path) -> None:
    findings = found_in(VerifySettings(), [str(path), f"{path}/", f"{path}/../{path.name}"])
    assert len(findings.recordings) == 1
    one, *_ = map(str, segment_paths(str(path)))
    again = str(Path(one).parent / ".." / path.name / Path(one).name)
    assert found_in(VerifySettings(), [one, again]).recordings[0].paths == [one]
    assert json.encode(findings)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "is a named pipe, expected a file"),
        (Path.mkdir, "is a folder, expected a file"),
        (lambda at: at.symlink_to("/dev/null"), "is a device, expected a file"),
        (lambda at: at.symlink_to("nowhere"), "No such file or directory"),
    ],
)
def test_what_is_no_file_and_has_the_name_of_a_segment_is_named(
    path: Path, make: Callable[[Path], object], reason: str
) -> None:
    odd = path / "000009-20261121T000000Z.zst"
    make(odd)
    found = walked(path)
    assert not found.is_complete
    assert [(damage.path, damage.reason) for damage in found.first_damage] == [(str(odd), reason)]
