from __future__ import annotations

import gzip
import random
from datetime import UTC, datetime
from itertools import accumulate, chain, pairwise
from pathlib import Path

import pytest
import zstandard
from blocks import text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.errors import RecordingError
from tickerplant.recording.line import Damage, Line, merge
from tickerplant.recording.line_file import LineFile

START_NS = 1_723_161_255_030_314_667


def written(path: Path, text: bytes) -> str:
    path.write_bytes(text)
    return str(path)


def lines_of(path: str, reports: list[Damage] | None = None) -> list[Line]:
    report = (lambda _: None) if reports is None else reports.append
    return list(chain.from_iterable(LineFile(path, report).batches()))


def messages(count: int) -> list[Line]:
    """Lines that do not compress to nothing."""
    noise = random.Random(1)
    return [
        (START_NS + n * 1_000, b'{"n":%d,"noise":"%b"}' % (n, noise.randbytes(40).hex().encode()))
        for n in range(count)
    ]


compressions = pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, zstandard.ZstdCompressor().compress]
)


@compressions
def test_what_was_written_is_read_whatever_the_compression(
    compress: type[bytes], tmp_path: Path
) -> None:
    lines = messages(5_000)
    reports: list[Damage] = []
    path = written(tmp_path / "r", compress(text_of(lines)))
    assert lines_of(path, reports) == lines, "every line, in order, byte for byte"
    assert reports == []


@given(
    st.lists(
        st.tuples(
            st.integers(START_NS, START_NS + 10**9),
            st.binary(min_size=1).filter(lambda raw: not {*b"\n\r"} & {*raw}),
        ),
        min_size=1,
    )
)
@settings(max_examples=50)
def test_any_messages_in_order_of_time_make_a_round_trip(lines: list[Line]) -> None:
    lines = [(START_NS, b"{}"), *sorted(lines, key=lambda line: line[0])]
    recording = LineFile("memory")
    read = chain.from_iterable(recording.batches_in([text_of(lines)]))
    assert list(read) == lines


@given(st.lists(st.integers(1, 400)), st.integers(1, 60))
@settings(max_examples=50)
def test_lines_are_the_same_wherever_the_text_is_cut(cuts: list[int], count: int) -> None:
    text = text_of(messages(count))
    chunks, start = [], 0
    for cut in cuts:
        chunks.append(text[start : start + cut])
        start += cut
    chunks.append(text[start:])
    read = chain.from_iterable(LineFile("memory").batches_in(chunks))
    assert list(read) == messages(count)


HOUR_NS = 3_600_000_000_000


@given(
    st.integers(0, 39),
    st.integers(HOUR_NS + 10**6, 2**62),
    st.lists(st.integers(1, 400)),
)
def test_one_receive_time_far_ahead_is_reported_and_changes_no_other(
    damaged: int, ahead_ns: int, cuts: list[int]
) -> None:
    lines = messages(60)
    ahead_ns = min(ahead_ns, 9_000_000_000_000_000_000 - START_NS)
    damaged_lines = list(lines)
    damaged_lines[damaged] = (lines[damaged][0] + ahead_ns, lines[damaged][1])
    text = text_of(damaged_lines)
    places = sorted({*(at % len(text) for at in cuts), 0, len(text)})
    reports: list[Damage] = []
    recording = LineFile("memory", reports.append)
    texts = [text[a:b] for a, b in pairwise(places)]
    read = list(chain.from_iterable(recording.batches_in(texts)))
    assert [raw for _, raw in read] == [raw for _, raw in lines], "every message, in order"
    others = [line for n, line in enumerate(read) if n != damaged]
    assert others == [line for n, line in enumerate(lines) if n != damaged]
    assert [(reported.line, reported.offset_bytes) for reported in reports] == [
        (damaged + 1, len(text_of(damaged_lines[:damaged])))
    ]
    assert recording.stats.misdated == 1


@given(st.integers(1, 59), st.integers(0, 10**17), st.lists(st.integers(1, 400)))
def test_a_recording_may_pause_for_any_time(paused: int, pause_ns: int, cuts: list[int]) -> None:
    lines = [
        (at + (pause_ns if n >= paused else 0), raw) for n, (at, raw) in enumerate(messages(60))
    ]
    text = text_of(lines)
    places = sorted({*(at % len(text) for at in cuts), 0, len(text)})
    reports: list[Damage] = []
    texts = [text[a:b] for a, b in pairwise(places)]
    assert list(chain.from_iterable(LineFile("memory", reports.append).batches_in(texts))) == lines
    assert reports == []


def test_most_of_the_first_lines_determine_the_unit_of_receive_times(tmp_path: Path) -> None:
    lines = messages(50)
    text = b"5000000000 {}\n" + text_of(lines)
    reports: list[Damage] = []
    read = lines_of(written(tmp_path / "r", text), reports)
    assert read[-50:] == lines, "expected the damaged first line to speak for itself alone"


@pytest.mark.parametrize("unit_ns", [1, 10**3, 10**6, 10**9])
def test_receive_times_are_nanoseconds_whatever_their_unit(unit_ns: int, tmp_path: Path) -> None:
    path = written(tmp_path / "r", b"%d {}\n" % (START_NS // unit_ns))
    assert lines_of(path) == [(START_NS // unit_ns * unit_ns, b"{}")]


@given(
    st.integers(1_000_100_000, 9_999_900_000),
    st.sampled_from("T "),
    st.text("0123456789", max_size=9) | st.none(),
    st.sampled_from(["", "Z", "+00:00", "-00:00", "+0530", "-08:00", "+14:00"]),
)
def test_iso_times_are_those_of_the_calendar(
    seconds: int, between: str, fraction: str | None, zone: str
) -> None:
    whole = datetime.fromtimestamp(seconds, UTC).strftime(f"%Y-%m-%d{between}%H:%M:%S")
    point = "" if fraction is None else f".{fraction}"
    hours = 0 if zone in {"", "Z"} else int(zone[:3])
    minutes = int(zone[-2:]) if zone[:3] == "+05" else 0
    expected_ns = (seconds - hours * 3600 - minutes * 60) * 10**9
    expected_ns += int((fraction or "").ljust(9, "0"))
    text = f"{whole}{point}{zone} {{}}\n".encode()
    read = chain.from_iterable(LineFile("memory").batches_in([text]))
    assert list(read) == [(expected_ns, b"{}")]


def test_iso_times_may_precede_rest_responses(tmp_path: Path) -> None:
    path = written(
        tmp_path / "r",
        b'2024-08-08T00:00:00.123Z https://a/depth?symbol=A {"lastUpdateId":1}\n'
        b'2024-08-08T00:00:00.124Z {"stream":"a@trade"}\n',
    )
    assert lines_of(path) == [
        (1_723_075_200_123_000_000, b'https://a/depth?symbol=A {"lastUpdateId":1}'),
        (1_723_075_200_124_000_000, b'{"stream":"a@trade"}'),
    ]


@pytest.mark.parametrize(
    "time",
    [
        "2024-02-30T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-08-08T24:00:00Z",
        "2024-08-08T00:00:60Z",
        "9999-12-31T23:59:59Z",
        "1999-12-31T23:59:59Z",
        "2024-08-08T00:00:00.1234567890Z",
        "2024-08-08T00:00:00,5Z",
        "2024-08-08T00:00:00.+1Z",
        "2024-08-08T00:00:00.1_0Z",
        "2024-08-08t00:00:00Z",
        "2024-08-08T00:00Z",
        "٢024-08-08T00:00:00Z",
    ],
)
def test_a_line_with_an_invalid_iso_time_is_skipped(tmp_path: Path, time: str) -> None:
    good = [b"2024-08-08T00:00:0%d.5Z {}\n" % second for second in range(2)]
    reports: list[Damage] = []
    path = written(tmp_path / "r", good[0] + f"{time} {{}}\n".encode() + good[1])
    assert [time_ns % 10**10 for time_ns, _ in lines_of(path, reports)] == [
        500_000_000,
        1_500_000_000,
    ]
    assert [(reported.line, "is skipped" in reported.reason) for reported in reports] == [(2, True)]


@pytest.mark.parametrize("time", ["+1723161255088169167", "1_723_161_255_088_169_167", "-1", "1,2"])
def test_a_time_that_only_python_reads_is_a_skipped_line(tmp_path: Path, time: str) -> None:
    reports: list[Damage] = []
    path = written(tmp_path / "r", b"%d {}\n" % START_NS + f"{time} {{}}\n".encode())
    assert lines_of(path, reports) == [(START_NS, b"{}")]
    assert [reported.line for reported in reports] == [2]


def test_the_form_with_colons_and_rest_responses_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path / "r",
        b'configuration: {"x":1}\n'
        b"wss://fstream.binance.com/stream?streams=a@trade <-> 1617647796.7\n"
        b'https://fapi/depth?symbol=A -> 1617647797.25: {"lastUpdateId":1}\n'
        b'1617647797.5: {"stream":"a@trade"}\n',
    )
    reports: list[Damage] = []
    assert lines_of(path, reports) == [
        (1_617_647_797_250_000_000, b'https://fapi/depth?symbol=A {"lastUpdateId":1}'),
        (1_617_647_797_500_000_000, b'{"stream":"a@trade"}'),
    ]
    assert reports == [], "remarks of the collector are not damage"


@pytest.mark.parametrize("address", ["http://[::1]:9001/fapi/v1/depth", "https://a.example/d?x=1"])
def test_a_line_file_may_begin_and_end_with_a_rest_response(address: str, tmp_path: Path) -> None:
    response = (START_NS, address.encode() + b' {"lastUpdateId":1,"bids":[]}')
    path = written(tmp_path / "r", text_of([response]))
    assert lines_of(path) == [response]
    reports: list[Damage] = []
    path = written(tmp_path / "r", text_of([response]).rstrip(b"\n"))
    assert lines_of(path, reports) == [response]
    assert not reports, "the last line is complete, except for its newline"


def test_carriage_returns_are_not_part_of_a_message(tmp_path: Path) -> None:
    path = written(tmp_path / "r", text_of(messages(3)).replace(b"\n", b"\r\n"))
    assert lines_of(path) == messages(3)


def test_a_last_line_without_newline_is_read_if_it_is_complete(tmp_path: Path) -> None:
    reports: list[Damage] = []
    path = written(tmp_path / "r", text_of(messages(3))[:-1])
    assert lines_of(path, reports) == messages(3)
    assert reports == []


def test_a_last_line_that_is_cut_is_reported_and_left_out(tmp_path: Path) -> None:
    reports: list[Damage] = []
    path = written(tmp_path / "r", text_of(messages(3))[:-5])
    assert lines_of(path, reports) == messages(2)
    offset_bytes = len(text_of(messages(2)))
    assert reports == [Damage(path, 3, offset_bytes, "the last line is cut off")]


@pytest.mark.parametrize("cut_bytes", [1, 9, 1_000, 50_000])
def test_a_torn_gzip_is_read_to_the_tear_and_reported_once(cut_bytes: int, tmp_path: Path) -> None:
    lines = messages(4_000)
    reports: list[Damage] = []
    path = written(tmp_path / "r", gzip.compress(text_of(lines))[:-cut_bytes])
    read = lines_of(path, reports)
    assert read == lines[: len(read)], "what is read is what was written"
    assert len(read) > len(lines) * 0.6 - 1, "everything before the tear is read"
    assert len(reports) == 1
    assert reports[0].line == len(read) + 1
    assert reports[0].offset_bytes == len(text_of(read))
    assert "gzip data ends early" in reports[0].reason


def test_damaged_gzip_is_read_to_the_damage(tmp_path: Path) -> None:
    lines = messages(4_000)
    stored = bytearray(gzip.compress(text_of(lines)))
    at = len(stored) // 2
    stored[at : at + 100] = bytes(100)
    reports: list[Damage] = []
    read = lines_of(written(tmp_path / "r", bytes(stored)), reports)
    assert len(read) > len(lines) * 0.4, "what comes before the damage is read"
    assert read[: len(lines) // 3] == lines[: len(lines) // 3]
    assert "damaged" in reports[-1].reason
    assert len(reports) <= 2, "each kind of damage is reported once: bad lines, the end"


def test_a_torn_zstd_file_is_read_up_to_its_last_complete_block(tmp_path: Path) -> None:
    lines = messages(10_000)
    stored = zstandard.ZstdCompressor().compress(text_of(lines))
    reports: list[Damage] = []
    read = lines_of(written(tmp_path / "r", stored[:-1_000]), reports)
    assert read == lines[: len(read)]
    assert len(read) > 5_000
    assert [reported.line for reported in reports] == [len(read) + 1]


def test_bad_lines_are_skipped_counted_and_the_first_is_reported(tmp_path: Path) -> None:
    good = text_of(messages(2)).splitlines(keepends=True)
    path = written(tmp_path / "r", good[0] + b"garbage\n" + b"\n" + good[1])
    reports: list[Damage] = []
    recording = LineFile(path, reports.append)
    assert list(chain.from_iterable(recording.batches())) == messages(2)
    assert recording.stats.skipped == 2
    assert [(reported.line, reported.offset_bytes) for reported in reports] == [(2, len(good[0]))]
    assert "b'garbage'" in reports[0].reason


def test_a_line_from_after_all_time_is_skipped_and_those_behind_it_are_not(tmp_path: Path) -> None:
    good = text_of(messages(2)).splitlines(keepends=True)
    path = written(tmp_path / "r", good[0] + b"17723232000000000001 {}\n" + good[1])
    reports: list[Damage] = []
    assert lines_of(path, reports) == messages(2), "expected the lines around it, at their times"
    assert [reported.line for reported in reports] == [2]
    assert "17723232000000000001" in reports[0].reason


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "nothing in it"),
        (b"hello\nworld\n", "'hello' is not a recording line"),
        (b'{"e":"trade"}\n', "is not a recording line"),
        (b"\x1f\x8bnonsense", "expected lines of"),
        (gzip.compress(text_of(messages(1)), mtime=0)[:12], "ends early"),
    ],
)
def test_a_file_that_is_not_a_recording_is_refused_with_the_reason(
    content: bytes, complaint: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "r", content)
    with pytest.raises(RecordingError) as refused:
        lines_of(path)
    assert complaint in str(refused.value)
    assert path in str(refused.value), "the complaint names the file"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        lines_of(str(tmp_path / "missing"))


@pytest.mark.heavy
@given(
    st.lists(
        st.lists(st.integers(0, 30), min_size=1, max_size=40),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=60, deadline=None)
def test_recordings_are_merged_by_time_and_ties_keep_their_order(
    tmp_path_factory: pytest.TempPathFactory, offsets: list[list[int]]
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    files = [
        [(START_NS + offset, b"{%d:%d}" % (f, n)) for n, offset in enumerate(sorted(each))]
        for f, each in enumerate(offsets)
    ]
    recordings = [
        LineFile(written(folder / str(n), text_of(lines))) for n, lines in enumerate(files)
    ]
    merged = [(index, line) for index, lines in merge(recordings) for line in lines]
    naive = sorted(
        ((index, line) for index, lines in enumerate(files) for line in lines),
        key=lambda each: each[1][0],
    )
    assert merged == naive


def test_files_that_follow_each_other_pass_through_in_order(tmp_path: Path) -> None:
    lines = messages(3_000)
    later = LineFile(written(tmp_path / "later", text_of(lines[1_000:])))
    earlier = LineFile(written(tmp_path / "earlier", text_of(lines[:1_000])))
    runs = list(merge([later, earlier]))
    assert [line for _, run in runs for line in run] == lines
    assert [index for index, _ in runs] == sorted((index for index, _ in runs), reverse=True)


def test_every_line_has_its_place(tmp_path: Path) -> None:
    kept = [b'%d {"n":%d,"padding":"%b"}' % (START_NS + n, n, b"-" * 200) for n in range(600)]
    texts: list[bytes] = []
    for n, line in enumerate(kept):
        texts += [b"odd", line + b"\r"] if n % 7 == 3 else [line]
    path = tmp_path / "lines"
    path.write_bytes(b"\n".join(texts))
    file = LineFile(str(path))
    offsets = list(accumulate((len(text) + 1 for text in texts), initial=0))
    number = batches = 0
    for batch in file.batches():
        batches += 1
        for received_ns, raw in batch:
            place = file.place_of(raw)
            assert texts[place.line - 1].startswith(b"%d" % received_ns), "the number of its line"
            assert place.offset_bytes == offsets[place.line - 1]
            number += 1
    assert number == len(kept)
    assert batches > 3


def test_receive_times_that_decrease_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    steps = (0, 5, 3, 4, 6, 1)
    path.write_bytes(b"".join(b"%d {}\n" % (START_NS + step) for step in steps))
    file = LineFile(str(path))
    [batch] = file.batches()
    assert [time - START_NS for time, _ in batch] == [0, 5, 5, 5, 6, 6]
    assert (file.stats.regressions, file.stats.max_regression_ns) == (3, 5)
