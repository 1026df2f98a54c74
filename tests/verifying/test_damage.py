"""What is damaged, torn, missing or not as the manifest says."""

from __future__ import annotations

import fcntl
import re
from pathlib import Path

import msgspec
import pytest
from blocks import line_file, write_manifest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import VENUE_STREAMS, folder, tape

from tickerplant.config.settings import VerifySettings
from tickerplant.recording.line import Line
from tickerplant.recording.manifest import read_manifest
from tickerplant.recording.manifest_entries import (
    MANIFEST,
    Connected,
    Entry,
    RunStarted,
    SegmentSealed,
    encode_entry,
)
from tickerplant.recording.segments import segment_paths
from tickerplant.venue import USDM
from tickerplant.verifying.findings import RecordingFinding
from tickerplant.verifying.formatting import lines_of
from tickerplant.verifying.verify import found_in
from tickerplant.verifying.walk import Walk


@pytest.fixture(scope="module")
def market() -> list[Line]:
    return tape(USDM, 2)


@pytest.fixture
def path(market: list[Line], tmp_path: Path) -> str:
    third = len(market) // 3
    return folder(tmp_path / "r", [market[:third], market[third:-third], market[-third:]])


def walked(*paths: str) -> RecordingFinding:
    return Walk(paths).go()


def reasons(found: RecordingFinding) -> list[str]:
    return [damage.reason for damage in found.first_damage]


def seal(path: str, name: str, **changes: object) -> None:
    """Change what the manifest says of a segment."""
    manifest = read_manifest(path)
    entries = [
        msgspec.structs.replace(entry, **changes)
        if isinstance(entry, SegmentSealed) and entry.name == name
        else entry
        for entry in manifest.entries
    ]
    write_manifest(Path(path), entries)


@pytest.mark.heavy
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_found(
    market: list[Line], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = folder(tmp_path_factory.mktemp("flipped"), [market[:200], market[200:400]])
    segment = data.draw(st.sampled_from(segment_paths(name)))
    content = bytearray(segment.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    segment.write_bytes(content)
    found = walked(name)
    assert not found.is_complete
    assert {damage.path for damage in found.first_damage} == {str(segment)}
    assert found.first_damage[0].offset_bytes <= at, "no later than where it is"


def test_a_damaged_block_says_where_it_is_what_is_lost_and_when(path: str) -> None:
    segment = segment_paths(path)[1]
    content = bytearray(segment.read_bytes())
    content[100] ^= 1
    segment.write_bytes(content)
    found = walked(path)
    [damage] = found.first_damage
    assert (damage.path, damage.offset_bytes, damage.lost) == (str(segment), 0, 50)
    assert re.search(
        r"with 50 messages received from [\d-]+T[\d:]+\.\d{3}Z to [\d-]+T[\d:]+\.\d{3}Z$",
        damage.reason,
    )
    assert found.skipped_lines == 50
    gaps = [gap for each in found.streams for gap in each.first_gaps]
    assert {gap.place.path for gap in gaps} == {str(segment)}, "the first message after it"


def test_a_missing_manifest_is_reported_and_everything_is_read(
    path: str, market: list[Line]
) -> None:
    Path(path, MANIFEST).unlink()
    found = walked(path)
    assert reasons(found) == ["the manifest is missing"]
    assert not found.is_complete
    assert found.messages + found.responses == len(market)
    assert not any(each.gaps for each in found.streams)


def test_segments_by_themselves_need_no_manifest(path: str) -> None:
    found = walked(*map(str, segment_paths(path)))
    assert found.is_complete


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("lines", 5, "lines, and the manifest says 5"),
        ("blocks", 7, "blocks, and the manifest says 7"),
        ("text_bytes", 1, "bytes of text, and the manifest says 1"),
        ("size_bytes", 9, "bytes, and the manifest says 9"),
        ("sha256", "0" * 64, "SHA-256"),
        ("streams", {"btcusdt@trade": 1}, "messages of btcusdt@trade, and the manifest says 1"),
        ("first_ns", 7, "and the manifest says 7"),
        ("last_ns", 7, "and the manifest says 7"),
    ],
)
def test_counts_that_differ_from_the_manifest_are_reported(
    path: str, field: str, value: object, reason: str
) -> None:
    segment = segment_paths(path)[0]
    seal(path, segment.name, **{field: value})
    found = walked(path)
    assert not found.is_complete
    assert {damage.path for damage in found.first_damage} == {str(segment)}
    assert any(reason in each for each in reasons(found)), reasons(found)


def test_a_truncated_or_unreadable_line_of_the_manifest_is_reported(path: str) -> None:
    manifest = Path(path, MANIFEST)
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(lines[0] + b"rubbish\n" + b"".join(lines[1:]) + b'{"kind":"seg')
    found = walked(path)
    assert [(damage.line, damage.path) for damage in found.first_damage] == [
        (2, str(manifest)),
        (len(lines) + 2, str(manifest)),  # by the tail
        (len(lines) + 2, str(manifest)),
    ]
    assert not found.is_complete


def unended_run(lines: list[Line]) -> list[Entry]:
    streams, first_ns = VENUE_STREAMS["usdm"], lines[0][0]
    return [
        RunStarted(
            time_ns=first_ns, run=1, url="", profile="", streams=streams, software="a test"
        ),
        Connected(time_ns=first_ns, streams=streams, connection=1),
    ]  # fmt: skip


def unsealed(market: list[Line], path: Path) -> tuple[str, Path]:
    """A recording whose last segment is unfinished, with a torn end."""
    name = folder(path, [market[:500], market[500:]], unended_run(market))
    entries = read_manifest(name).entries
    write_manifest(path, entries[:-1])
    return name, segment_paths(name)[1]


def test_a_killed_recorder_is_reported_and_no_gap(market: list[Line], tmp_path: Path) -> None:
    name, segment = unsealed(market, tmp_path / "r")
    found = walked(name)
    assert found.is_complete
    assert found.remarks == [
        f"{segment.name} is unfinished",
        "the last recorder did not shut down cleanly",
    ]
    segment.write_bytes(segment.read_bytes()[:-5])
    found = walked(name)
    assert not found.is_complete
    assert "cut off" in found.first_damage[0].reason


def test_what_a_recorder_writes_just_now_is_no_damage(market: list[Line], tmp_path: Path) -> None:
    name, segment = unsealed(market, tmp_path / "r")
    segment.write_bytes(segment.read_bytes()[:-5])
    manifest = Path(name, MANIFEST)
    manifest.write_bytes(manifest.read_bytes() + encode_entry(read_manifest(name).entries[0])[:9])
    with manifest.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = walked(name)
    assert found.is_complete
    assert found.remarks == [
        f"{segment.name} is unfinished",
        "a recorder is still writing to it",
    ]


def test_messages_that_cannot_be_read_are_counted_by_themselves(
    market: list[Line], tmp_path: Path
) -> None:
    lines = list(market)
    trades = [n for n, (_, raw) in enumerate(lines) if raw.startswith(b'{"stream":"btcusdt@trade"')]
    odd = trades[5], trades[9]
    lines[odd[0]] = lines[odd[0]][0], lines[odd[0]][1].replace(b'"t":', b'"t":"x",":":')
    lines[odd[1]] = lines[odd[1]][0], lines[odd[1]][1][:-9]
    lines[200:200] = [
        (lines[200][0], b'{"what":"is this"}'),
        (lines[200][0], b'{"id":1,"result":null}'),
    ]
    path = line_file(tmp_path / "lines", lines)
    found = walked(path)
    trade = next(each for each in found.streams if each.stream == "btcusdt@trade")
    assert (trade.unreadable, trade.gaps, trade.missing) == (2, 2, 2)
    assert trade.messages == len(trades)
    assert found.unknown == 1, "an answer to the recorder is none of them"
    numbers = {damage.line: damage.reason for damage in found.first_unreadable}
    begins = [b"%d %b" % line for line in lines]
    assert numbers.keys() == {odd[0] + 1 + 2 * (odd[0] >= 200), 201}
    for damage in found.first_unreadable:
        text = Path(path).read_bytes()[damage.offset_bytes :]
        assert text.startswith(begins[damage.line - 1]), "the place is that of the message"
    assert not found.is_complete


_ODD = st.one_of(
    st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")),
    st.builds(
        lambda name, data: msgspec.json.encode({"stream": name, "data": data}),
        st.sampled_from(["a@trade", "a@depth", "!bookTicker", "a@kline_1m", "!ticker@arr", "odd"]),
        st.recursive(
            st.none() | st.integers(-(10**30), 10**30) | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(["E", "s", "t", "T", "u", "U", "pu", "k", "x", "a", "o"]),
                    inner,
                    max_size=6,
                )
            ),
            max_leaves=8,
        ),
    ),
    st.builds(
        lambda address, number: b'%b {"lastUpdateId":%d,"bids":[],"asks":[]}' % (address, number),
        st.sampled_from(
            [b"http://h/depth?symbol=A", b"http://[", b"https://h/rpiDepth?symbol=", b""]
        ),
        st.integers(-(10**30), 10**30),
    ),
)


@pytest.mark.heavy
@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 10**21), _ODD), min_size=1, max_size=12))
def test_whatever_is_in_it_every_line_is_counted(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Line]
) -> None:
    path = tmp_path_factory.mktemp("any") / "lines"
    name = line_file(path, [(1_772_323_200_000_000_000, b"{}"), *lines])
    findings = found_in(VerifySettings(), [name])
    [found] = findings.recordings
    assert found.messages + found.responses + found.unknown + found.skipped_lines == len(lines) + 1
    assert not found.is_complete
    assert msgspec.json.encode(findings)
    assert [*lines_of(findings, 10), findings.summary]


@pytest.mark.parametrize("time_ns", [10**21, 10**400, -1])
def test_a_time_that_is_none_is_a_flaw_of_the_manifest(
    path: str, market: list[Line], time_ns: int
) -> None:
    with Path(path, MANIFEST).open("ab") as file:
        file.write(
            b'{"kind":"disconnected","time_ns":%d,"streams":["btcusdt@trade"],"reason":""}\n'
            b'{"kind":"silent","time_ns":1,"streams":["btcusdt@markPrice@1s"],"silent_ms":%d}\n'
            % (time_ns, 2**63 - 1)
        )
    findings = found_in(VerifySettings(), [path])
    assert "\n".join(lines_of(findings, 10)), "all of it can be printed"
    [reason] = reasons(findings.recordings[0])
    assert "is not a line of a manifest (Expected `int`" in reason
