from __future__ import annotations

from pathlib import Path
from threading import Event, current_thread, main_thread

import pytest
import zstandard
from blocks import packed_lines, write_tail
from msgspec import Raw
from written import (
    MS,
    START_NS,
    Clock,
    add,
    check_against_file,
    manifest,
    numbers,
    of_kind,
    read,
    wait_until_written,
    writer,
)

from tickerplant.envelope import prefix_of
from tickerplant.errors import RecordingError
from tickerplant.recorder.disk import MAX_BLOCKS
from tickerplant.recorder.writer import WriterSettings
from tickerplant.recording.block import BLOCK_BYTES
from tickerplant.recording.manifest_entries import (
    MANIFEST,
    Connected,
    Disconnected,
    Dropped,
    InstrumentsListed,
    RecordingStarted,
    RunEnded,
    RunOutage,
    RunStarted,
    SegmentSealed,
    SnapshotRecorded,
    encode_entry,
)
from tickerplant.recording.segments import segment_name, segment_paths
from tickerplant.venue import COINM, USDM, Venue


def test_what_is_added_is_read_in_order_in_the_usual_envelope(tmp_path: Path) -> None:
    recording = writer(tmp_path)
    recording.add(START_NS, "btcusdt@trade", b'{"p":"1.0" }')
    recording.add_answer(START_NS + 1, "http://h/fapi/v1/depth?symbol=BTCUSDT", b'{"bids":[]}')
    recording.add(START_NS + 2, "été@trade", b"[]")
    recording.close("the time is up")
    lines, flaws = read(tmp_path)
    assert flaws == []
    assert lines == [
        (START_NS, b'{"stream":"btcusdt@trade","data":{"p":"1.0" }}'),
        (START_NS + 1, b'http://h/fapi/v1/depth?symbol=BTCUSDT {"bids":[]}'),
        (START_NS + 2, '{"stream":"été@trade","data":[]}'.encode()),
    ]
    [sealed] = manifest(tmp_path).sealed.values()
    assert sealed.streams == {"btcusdt@trade": 1, "été@trade": 1}, "answers are not counted"
    assert (sealed.lines, sealed.blocks) == (3, 1)


@pytest.mark.heavy
def test_complete_messages_are_recorded_as_their_parts_are(tmp_path: Path) -> None:
    names, stored = ("btcusdt@trade", "été@trade"), {}
    odd = (b"[]", b'{\n"n":1,\n"m":"\n"}', b"1", b'"%b"' % (b"x" * BLOCK_BYTES))
    payloads = [b'{"n":%d}' % n for n in range(20_000)] + list(odd) * 2
    for way in ("parts", "whole"):
        recording = writer(tmp_path / way)
        keepers = {name: recording.keeper(name) for name in names}
        for number, payload in enumerate(payloads):
            name, received_ns = names[number % 2], START_NS + number - number % 5 * 7
            if way == "parts" or number % 100 == 7:
                recording.add(received_ns, name, payload)
            else:
                keepers[name](received_ns, prefix_of(name) + payload + b"}", None)
            if number % 3000 == 0:
                recording.add_answer(received_ns, "http://h/x", b"{}")
        recording.close("done")
        [sealed] = manifest(tmp_path / way).sealed.values()
        [path] = segment_paths(str(tmp_path / way))
        check_against_file(sealed, path)
        assert sealed.blocks > 3
        stored[way] = path.read_bytes()
    assert stored["whole"] == stored["parts"]


def test_a_keeper_continues_with_the_next_block_and_stops_with_the_writer(tmp_path: Path) -> None:
    clock = Clock()
    recording = writer(tmp_path, clock)
    keep = recording.keeper("a@trade")
    for number in range(3):
        keep(START_NS + number, b'{"stream":"a@trade","data":{"n":%d}}' % number, None)
        recording.tick()
        wait_until_written(recording, number + 1)
    recording.close("done")
    keep(START_NS + 3, b'{"stream":"a@trade","data":{"n":3}}', None)
    lines, flaws = read(tmp_path)
    assert (numbers(lines), flaws) == ([0, 1, 2], [])
    assert recording.totals.blocks == 3


def test_the_manifest_describes_a_run_from_start_to_end(tmp_path: Path) -> None:
    recording = writer(tmp_path / "new" / "rec")
    recording.note(Connected(time_ns=START_NS, streams=("btcusdt@trade",), connection=1))
    add(recording, range(3))
    recording.close("interrupted")
    entries = manifest(tmp_path / "new" / "rec").entries
    assert [type(each) for each in entries] == [
        RecordingStarted,
        RunStarted,
        Connected,
        SegmentSealed,
        RunEnded,
    ]
    begun, run = entries[0], entries[1]
    assert isinstance(begun, RecordingStarted)
    assert (begun.venue, begun.format) == ("usdm", 2)
    assert begun.software.startswith("tickerplant ")
    assert isinstance(run, RunStarted)
    assert (run.run, run.streams) == (1, ("btcusdt@trade",))
    assert (run.url, run.profile) == ("ws://127.0.0.1:9001", "2026Q1")
    assert entries[-1] == RunEnded(time_ns=START_NS, reason="interrupted")


def test_checksums_and_counts_agree_with_the_files(tmp_path: Path) -> None:
    clock = Clock()
    recording = writer(tmp_path, clock, settings=WriterSettings(flush_ms=0, segment_bytes=400))
    for n in range(20):
        add(recording, range(n * 5, n * 5 + 5), f"s{n % 3}usdt@trade")
        recording.tick()
        wait_until_written(recording, n * 5 + 5)
    recording.close("done")
    sealed = manifest(tmp_path).sealed
    assert list(sealed) == [path.name for path in segment_paths(str(tmp_path))]
    assert len(sealed) > 2
    for path in segment_paths(str(tmp_path)):
        check_against_file(sealed[path.name], path)
    assert recording.totals.segments == len(sealed) == recording.rotated
    assert recording.totals.stored_bytes == sum(each.size_bytes for each in sealed.values())
    assert recording.totals.text_bytes == sum(each.text_bytes for each in sealed.values())
    assert (recording.totals.lines, recording.totals.dropped) == (100, 0)


def test_a_message_in_several_lines_is_recorded_in_one(tmp_path: Path) -> None:
    recording = writer(tmp_path)
    recording.add(START_NS, "a@trade", b'{\n"n":1,\r\n"m":2}')
    recording.add_answer(START_NS, "http://h/x", b"[\n1\n]\n")
    symbols = (Raw(b'{"symbol":\n"BTCUSDT"}'),)
    recording.note(InstrumentsListed(time_ns=START_NS, symbols=symbols))
    recording.close("done")
    lines, flaws = read(tmp_path)
    assert [raw for _, raw in lines] == [
        b'{"stream":"a@trade","data":{ "n":1,\r "m":2}}',
        b"http://h/x [ 1 ] ",
    ]
    assert flaws == []
    assert list(manifest(tmp_path).symbols) == ["BTCUSDT"]


def test_receive_times_never_go_back_even_in_the_next_run(tmp_path: Path) -> None:
    recording = writer(tmp_path)
    for offset in (5, 3, 9, -START_NS):
        recording.add(START_NS + offset, "a@trade", b"{}")
    recording.add_answer(START_NS, "http://h/x", b"{}")
    recording.close("done")
    again = writer(tmp_path, Clock(START_NS - 2_500 * MS))
    again.add(START_NS, "a@trade", b"{}")
    again.add(START_NS + 20, "a@trade", b"{}")
    again.close("done")
    lines, flaws = read(tmp_path)
    assert flaws == []
    assert [time_ns - START_NS for time_ns, _ in lines] == [5, 5, 9, 9, 9, 9, 20]
    [reported] = again.repairs
    assert "the clock is 2.500 s behind the last recorded line" in reported


def test_a_clock_before_the_first_time_that_can_be_written_is_lifted(tmp_path: Path) -> None:
    recording = writer(tmp_path, Clock(0))
    recording.add(0, "a@trade", b"{}")
    recording.close("done")
    assert read(tmp_path) == ([(10**18, b'{"stream":"a@trade","data":{}}')], [])


def test_an_unfinished_block_is_written_when_it_is_old(tmp_path: Path) -> None:
    clock = Clock()
    recording = writer(tmp_path, clock, settings=WriterSettings(flush_ms=1_000))
    add(recording, [1])
    recording.tick()
    clock.now_ns += 999 * MS
    recording.tick()
    clock.now_ns -= 500 * MS  # a clock may step back
    recording.tick()
    assert recording.totals.lines == 0
    clock.now_ns += 501 * MS
    recording.tick()
    wait_until_written(recording, 1)
    add(recording, [2])
    recording.tick()
    recording.close("done")
    assert recording.totals.blocks == 2, "the second block began with the second message"
    assert numbers(read(tmp_path)[0]) == [1, 2]


def test_a_full_block_is_written_without_a_tick(tmp_path: Path) -> None:
    recording = writer(tmp_path)
    payload = b'{"n":0,"filled":"%b"}' % (b"x" * 1_000)
    count = BLOCK_BYTES // len(payload) + 1
    for _ in range(count):
        recording.add(START_NS, "a@trade", payload)
    wait_until_written(recording, count - 50)
    recording.close("done")
    assert len(read(tmp_path)[0]) == count


def test_a_segment_ends_with_its_time_even_when_nothing_comes(tmp_path: Path) -> None:
    clock = Clock()
    recording = writer(tmp_path, clock, settings=WriterSettings(flush_ms=0, segment_ms=60_000))
    add(recording, [0])
    recording.tick()
    wait_until_written(recording, 1)
    clock.now_ns += 60_000 * MS
    recording.tick()
    pause = Event()
    while not manifest(tmp_path).sealed:
        pause.wait(0.001)
    assert recording.rotated == 1, "the next one begins with the next message"
    recording.add(START_NS + 60_000 * MS, "a@trade", b'{"n":1}')
    recording.close("done")
    assert recording.rotated == 2
    assert [path.name for path in segment_paths(str(tmp_path))] == [
        "000001-20261121T044834Z.zst",
        "000002-20261121T044934Z.zst",
    ]


def test_a_recording_is_continued_and_the_outage_noted(tmp_path: Path) -> None:
    clock = Clock()
    for run in range(3):
        recording = writer(tmp_path, clock)
        assert recording.repairs == []
        add(recording, range(run * 10, run * 10 + 10))
        clock.now_ns += 1_000
        recording.close("interrupted")
    lines, flaws = read(tmp_path)
    assert (numbers(lines), flaws) == (list(range(30)), [])
    holes = of_kind(tmp_path, RunOutage)
    assert holes == [
        RunOutage(time_ns=START_NS + 1_000, from_ns=START_NS + 9, reason="nobody recorded"),
        RunOutage(time_ns=START_NS + 2_000, from_ns=START_NS + 19, reason="nobody recorded"),
    ]
    assert [run.run for run in manifest(tmp_path).runs] == [1, 2, 3]
    numbered = [path.name[:6] for path in segment_paths(str(tmp_path))]
    assert numbered == ["000001", "000002", "000003"]


def test_closing_twice_or_adding_afterwards_does_no_harm(tmp_path: Path) -> None:
    recording = writer(tmp_path)
    add(recording, range(2))
    recording.close("done")
    recording.close("again")
    add(recording, [2])
    recording.note(Dropped(time_ns=START_NS, count=1, reason=""))
    recording.tick()
    assert numbers(read(tmp_path)[0]) == [0, 1]
    assert of_kind(tmp_path, RunEnded, Dropped) == [RunEnded(time_ns=START_NS, reason="done")]


def test_a_run_without_messages_leaves_no_segment(tmp_path: Path) -> None:
    recording = writer(tmp_path)
    recording.tick()
    recording.close("done")
    assert segment_paths(str(tmp_path)) == []
    assert [type(each) for each in manifest(tmp_path).entries] == [
        RecordingStarted,
        RunStarted,
        RunEnded,
    ]


# What is refused


def refusal(folder: Path, venue: Venue = USDM) -> str:
    with pytest.raises(RecordingError) as caught:
        writer(folder, venue=venue)
    return str(caught.value)


def test_a_recording_of_another_venue_is_refused(tmp_path: Path) -> None:
    writer(tmp_path).close("done")
    assert refusal(tmp_path, COINM) == (
        f"{tmp_path}: is a recording of USDⓈ-M, not of COIN-M; choose another folder"
    )
    writer(tmp_path).close("and the folder is free again")


LATER = RecordingStarted(time_ns=START_NS, format=3, venue="usdm", software="later")


@pytest.mark.parametrize(
    ("name", "content", "place", "said"),
    [
        (MANIFEST, encode_entry(LATER) + b"\n", "", "in format 3, and this program reads up to 2"),
        (MANIFEST, b'{"name":"my web app"}', "", "its first line is not that of a manifest"),
        ("file", b"mine", "file", "file: is a file; choose a folder"),
        ("file", b"mine", "file/below", "Not a directory"),
        ("lines.zst", zstandard.compress(b"mine"), "", "lines.zst: is not a segment"),
    ],
)
def test_what_is_of_somebody_else_is_refused_and_left_as_it_is(
    tmp_path: Path, name: str, content: bytes, place: str, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in refusal(tmp_path / place)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, content)]


@pytest.mark.heavy
def test_two_recorders_do_not_write_into_one_folder(tmp_path: Path) -> None:
    first = writer(tmp_path)
    assert refusal(tmp_path) == f"{tmp_path}: another recorder writes into it"
    first.close("done")
    writer(tmp_path).close("done")


def test_a_folder_of_recordings_is_not_made_one_itself(tmp_path: Path) -> None:
    writer(tmp_path / "coinm").close("done")
    writer(tmp_path / "usdm").close("done")
    expected = (
        f"{tmp_path}: contains the recordings coinm, usdm; choose one of them, or another folder"
    )
    assert refusal(tmp_path) == expected
    assert not (tmp_path / MANIFEST).exists()


def test_a_recording_is_not_made_inside_another(tmp_path: Path) -> None:
    writer(tmp_path).close("done")
    assert "usdm: is inside another recording" in refusal(tmp_path / "usdm")
    assert not (tmp_path / "usdm").exists()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("mine")
    writer(tmp_path).close("done")
    assert (tmp_path / "README").read_text() == "mine"


# A disk that is too slow


class HeldUp(Clock):
    """A clock that does not answer the thread of the writer until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = Event()

    def __call__(self) -> int:
        if current_thread() is not main_thread():
            self.may.wait()
        return super().__call__()


def test_blocks_that_a_slow_disk_cannot_take_are_dropped_and_noted(tmp_path: Path) -> None:
    clock = HeldUp()
    settings = WriterSettings(flush_ms=0, segment_bytes=1, when_full="drop")
    recording = writer(tmp_path, clock, settings=settings)
    total = MAX_BLOCKS + 10
    for n in range(total):  # the second block ends the first segment, which reads the clock
        add(recording, [n])
        recording.tick()
    assert recording.is_full
    anchored = SnapshotRecorded(
        time_ns=START_NS + total, symbol="BTCUSDT", last_update_id=1, levels=5
    )
    recording.note(anchored)
    clock.may.set()
    wait_until_written(recording, MAX_BLOCKS)
    add(recording, [total])
    recording.close("done")
    dropped = recording.totals.dropped
    lines, flaws = read(tmp_path)
    assert 7 <= dropped <= 10, "some were in the hands of the thread"
    assert numbers(lines) == [*range(total - dropped), total]
    assert flaws == []
    reported, note = of_kind(tmp_path, Dropped, SnapshotRecorded)
    first_ns, last_ns = START_NS + total - dropped, START_NS + total - 1
    assert note == anchored
    assert isinstance(reported, Dropped)
    assert reported.count == dropped
    assert reported.reason == f"the disk could not keep up, from {first_ns} to {last_ns}"


def test_a_slow_disk_is_waited_for_if_nothing_may_be_lost(tmp_path: Path) -> None:
    clock = HeldUp()
    recording = writer(tmp_path, clock, settings=WriterSettings(flush_ms=0, segment_bytes=1))
    for n in range(MAX_BLOCKS):
        add(recording, [n])
        recording.tick()
    clock.may.set()
    for n in range(MAX_BLOCKS, 2 * MAX_BLOCKS):
        add(recording, [n])
        recording.tick()
    recording.close("done")
    assert numbers(read(tmp_path)[0]) == list(range(2 * MAX_BLOCKS))
    assert recording.totals.dropped == 0


# What a crash leaves


def torn(folder: Path, *blocks: bytes) -> Path:
    """A recording whose recorder was killed, with one segment."""
    recording = writer(folder)
    recording.close("done")
    path = folder / MANIFEST
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    write_tail(folder)
    segment = folder / segment_name(1, "20261121T044834Z")
    segment.write_bytes(b"".join(blocks))
    return segment


def block(*numbers: int) -> bytes:
    form = b'{"stream":"a@trade","data":{"n":%d}}'
    return packed_lines([(START_NS + n, form % n) for n in numbers])


def test_a_torn_end_is_cut_off_and_said_so(tmp_path: Path) -> None:
    segment = torn(tmp_path, block(0, 1), block(2), block(3)[:-7])
    whole_bytes = len(block(0, 1) + block(2))
    recording = writer(tmp_path)
    add(recording, [10])
    recording.close("done")
    cut_bytes = len(block(3)) - 7
    assert recording.repairs == [
        f"{segment}, byte {whole_bytes}: the incomplete end of {cut_bytes} bytes is truncated",
        f"{segment}: was not sealed, and is now; complete blocks in it: 2",
    ]
    lines, flaws = read(tmp_path)
    assert (numbers(lines), flaws) == ([0, 1, 2, 10], [])
    sealed = manifest(tmp_path).sealed[segment.name]
    assert (sealed.cut_bytes, sealed.streams, sealed.lines) == (cut_bytes, {"a@trade": 3}, 3)
    check_against_file(sealed, segment)
    killed = RunOutage(time_ns=START_NS, from_ns=START_NS + 2, reason="the recorder was killed")
    assert of_kind(tmp_path, RunOutage) == [killed]


def test_a_damaged_block_remains_and_is_reported(tmp_path: Path) -> None:
    flipped, headless = bytearray(block(2)), bytearray(block(3))
    flipped[60] ^= 1
    headless[20] ^= 1
    parts = [block(0, 1), bytes(flipped), bytes(headless), block(4)]
    segment = torn(tmp_path, *parts)
    recording = writer(tmp_path)
    recording.close("done")
    assert segment.read_bytes() == b"".join(parts), "nothing is cut off"
    first, second = len(parts[0]), len(parts[0] + parts[1])
    reported = "\n".join(recording.repairs)
    assert (
        f"byte {first}: a block is damaged; it remains, and readers skip it; messages in it: 1"
        in reported
    )
    assert f"byte {second}: not a block, {len(parts[2])} bytes; it remains" in reported
    assert manifest(tmp_path).sealed[segment.name].lines == 3
    lines, flaws = read(tmp_path)
    assert numbers(lines) == [0, 1, 4]
    assert [flaw.offset_bytes for flaw in flaws] == [first, second]


def test_a_segment_without_a_complete_block_is_sealed_empty(tmp_path: Path) -> None:
    segment = torn(tmp_path, block(0)[:30])
    recording = writer(tmp_path)
    add(recording, [1])
    recording.close("done")
    sealed = manifest(tmp_path).sealed[segment.name]
    assert (sealed.lines, sealed.size_bytes, sealed.cut_bytes) == (0, 0, 30)
    lines, flaws = read(tmp_path)
    assert (numbers(lines), flaws) == ([1], [])
    assert segment_paths(str(tmp_path))[-1].name.startswith("000002-")


def test_a_recording_that_lost_its_manifest_is_continued(tmp_path: Path) -> None:
    recording = writer(tmp_path)
    add(recording, range(3))
    recording.close("done")
    (tmp_path / MANIFEST).unlink()
    again = writer(tmp_path)
    add(again, [3])
    again.close("done")
    assert again.repairs[0] == (
        f"{tmp_path / MANIFEST}: is missing; starting a new one. Existing segments: 1"
    )
    assert numbers(read(tmp_path)[0]) == [0, 1, 2, 3]
    assert [each.lines for each in manifest(tmp_path).sealed.values()] == [3, 1]
    assert len(of_kind(tmp_path, RunOutage)) == 1


def test_a_manifest_cut_in_its_first_line_is_started_again(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(b'{"kind":"recording","time_')
    recording = writer(tmp_path)
    recording.close("done")
    assert recording.repairs == [
        f"{tmp_path / MANIFEST}, byte 0: an incomplete line of 26 bytes is truncated"
    ]
    assert [type(each) for each in manifest(tmp_path).entries] == [
        RecordingStarted,
        RunStarted,
        RunEnded,
    ]


def test_a_file_with_another_name_is_left_as_it_is(tmp_path: Path) -> None:
    writer(tmp_path).close("done")
    (tmp_path / "copy.zst").write_bytes(block(1)[:-3])
    recording = writer(tmp_path)
    recording.close("done")
    assert (tmp_path / "copy.zst").read_bytes() == block(1)[:-3]
    [reported] = recording.repairs
    assert (
        reported
        == f"{tmp_path / 'copy.zst'}: does not have the name of a segment, and is left as it is"
    )


def test_what_is_noted_after_a_message_is_not_earlier_though_the_clock_stepped_back(
    tmp_path: Path,
) -> None:
    clock = Clock()
    recording = writer(tmp_path, clock)
    recording.add(START_NS + 5_000, "btcusdt@trade", b'{"n":1}')
    clock.now_ns -= 1_000_000_000
    recording.note(Disconnected(time_ns=clock.now_ns, streams=("btcusdt@trade",), reason="reset"))
    recording.close("interrupted")
    [lost] = of_kind(tmp_path, Disconnected)
    assert lost.time_ns == START_NS + 5_000
