"""What a recording of the recorder covers, and where messages are missing."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from played import NS, START_MS, recorded, trade

from tickerplant.control.coverage_state import Hole, ReplayCoverage
from tickerplant.notices import Disconnected, Gap, Recovered
from tickerplant.recorder.manifest_writer import ManifestWriter
from tickerplant.recorder.writer import RecordingWriter, WriterSettings
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import segment_paths
from tickerplant.recording.timestamps import TimeSpec
from tickerplant.replaying import coverage
from tickerplant.replaying.choice import Choice
from tickerplant.replaying.coverage import NOTHING, QUIET_NS, CoverageWalk, Spans
from tickerplant.replaying.plan import Plan, span_of
from tickerplant.replaying.scan import scan
from tickerplant.venue import USDM

S = 1_000
STREAMS = ("btcusdt@trade", "ethusdt@trade")


def at(ms: int) -> int:
    return (START_MS + ms) * NS


class Tape:
    """A recording that is written by the recorder, at times that are set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_ms = 0
        self._begin()

    def _begin(self) -> None:
        self.writer = RecordingWriter(
            str(self.folder),
            venue=USDM,
            url="ws://127.0.0.1:9001",
            profile="2026Q1",
            streams=STREAMS,
            settings=WriterSettings(flush_ms=0),
            clock_ns=lambda: at(self.now_ms),
        )
        self.manifest = ManifestWriter(self.writer.note, self.writer.add, lambda: at(self.now_ms))
        self.manifest.delivering(1, STREAMS)

    def trades(self, until_ms: int, streams: Iterable[str] = STREAMS) -> None:
        """Record a trade of each stream each half a second."""
        while self.now_ms < until_ms:
            for stream in streams:
                symbol = stream.partition("@")[0].upper()
                payload = trade(self.now_ms + 1, symbol=symbol)
                self.writer.add(at(self.now_ms), stream, payload)
            self.now_ms += 500
            self.writer.tick()

    def lose(self, streams: tuple[str, ...], reason: str = "1006") -> None:
        self.manifest.take(Disconnected(time_ms=START_MS, streams=streams, reason=reason))

    def recover(self, streams: tuple[str, ...], outage_ms: int) -> None:
        time_ms = START_MS + self.now_ms
        self.manifest.take(Recovered(time_ms=time_ms, streams=streams, outage_ms=outage_ms))

    def run_again(self, at_ms: int) -> None:
        self.writer.close("interrupted")
        self.now_ms = at_ms
        self._begin()


def covered(paths: Iterable[Path], plan: Plan | None = None) -> ReplayCoverage:
    found = scan([str(each) for each in paths])
    plan = plan or Plan()
    walk = CoverageWalk(found, plan, span_of(plan, recorded_files([str(each) for each in paths])))
    steps = 0
    for _ in walk.walk():
        steps += 1
        assert not walk.known().complete
    assert steps
    return walk.known()


@pytest.fixture(scope="module")
def with_holes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds; three without BTCUSDT; five; a minute without the recorder; ten."""
    tape = Tape(tmp_path_factory.mktemp("holes") / "rec")
    tape.trades(10 * S)
    tape.lose(STREAMS[:1], "1006 <b>reset</b>")
    tape.trades(13 * S, STREAMS[1:])
    tape.recover(STREAMS[:1], 3 * S)
    tape.trades(18 * S)
    tape.run_again(78 * S)
    tape.trades(88 * S)
    tape.writer.close("the time is up")
    return tape.folder


def test_a_recording_is_covered_but_for_what_its_recorder_missed(with_holes: Path) -> None:
    found = covered([with_holes])
    assert found.spans == ((at(0), at(17_500)), (at(78_000), at(87_500)))
    assert (found.from_ns, found.to_ns) == (at(0), at(87_500) + 1)
    lost, between = found.holes
    assert lost == Hole(
        from_ns=at(10_000), to_ns=at(13_000), streams=1, reason="disconnected: 1006 <b>reset</b>"
    )
    assert (between.from_ns, between.to_ns, between.streams) == (at(17_500), at(78_000), 2)
    assert between.reason == "nobody recorded"
    assert (found.streams, found.truncated, found.complete) == (2, False, True)


def test_only_what_is_played_counts(with_holes: Path) -> None:
    plan = Plan(begin=TimeSpec(at(11_000)), end=TimeSpec(at(80_000)))
    found = covered([with_holes], plan)
    assert (found.from_ns, found.to_ns) == (at(11_000), at(80_000))
    assert found.spans == ((at(11_000), at(17_500)), (at(78_000), at(80_000)))
    assert found.holes[0].from_ns == at(11_000), "cut off where the replay begins"
    other = covered([with_holes], Plan(choice=Choice(streams=STREAMS[1:])))
    assert [each.streams for each in other.holes] == [1], "only its own holes"


def test_a_torn_end_is_a_hole(with_holes: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(with_holes, tmp_path / "rec"))
    _, last = segment_paths(str(copy))
    text = last.read_bytes()
    last.write_bytes(text[: len(text) - 20])
    torn = covered([copy])
    assert torn.spans[-1] == (at(78_000), at(87_000)), "the last block is cut off"
    (end,) = (each for each in torn.holes if "cut off" in each.reason)
    assert (end.from_ns, end.to_ns, end.streams) == (at(87_000), at(87_000), 2)


def test_a_segment_that_is_missing_is_a_hole(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "rec")
    for run in range(3):
        tape.trades(run * 10 * S + 10 * S)
        tape.run_again(tape.now_ms + 1)
    tape.writer.close("the time is up")
    second = segment_paths(str(tape.folder))[1]
    second.unlink()
    found = covered([tape.folder])
    assert found.spans == ((at(0), at(9_500)), (at(20_002), at(29_502)))
    (gone,) = (each for each in found.holes if "is missing" in each.reason)
    assert gone.reason == f"the segment {second.name} is missing"
    assert (gone.from_ns, gone.to_ns, gone.streams) == (at(10_001), at(19_501), 2)
    assert all(each.reason != NOTHING for each in found.holes), "that is said already"


def test_a_damaged_head_is_a_hole_up_to_the_next_block(with_holes: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(with_holes, tmp_path / "rec"))
    first = segment_paths(str(copy))[0]
    text = bytearray(first.read_bytes())
    third = [n for n in range(len(text)) if text.startswith(b"TPB1", n)][2]
    text[third + 10] ^= 255
    first.write_bytes(text)
    (hole,) = (each for each in covered([copy]).holes if "not a block" in each.reason)
    assert (hole.from_ns, hole.to_ns) == (at(500), at(1_500))


def test_gaps_within_a_connection_are_points_and_those_of_an_outage_are_not_repeated(
    tmp_path: Path,
) -> None:
    tape = Tape(tmp_path / "rec")
    tape.trades(2 * S)
    gap = Gap(
        time_ms=START_MS, streams=STREAMS[:1], symbol="BTCUSDT", after_id=1, before_id=9, missing=7
    )
    tape.manifest.take(gap)
    tape.trades(10 * S)
    tape.lose(STREAMS)
    tape.now_ms += 2 * S
    tape.recover(STREAMS, 2 * S)
    tape.manifest.take(gap)
    tape.trades(20 * S)
    tape.writer.close("the time is up")
    point, outage = covered([tape.folder]).holes
    assert (point.from_ns, point.to_ns, point.streams) == (at(2_000), at(2_000), 1)
    assert "ids" in point.reason
    assert (outage.from_ns, outage.to_ns, outage.streams) == (at(10_000), at(12_000), 2)


@pytest.mark.parametrize("is_torn", [False, True])
def test_a_file_of_lines_is_read_to_its_end(tmp_path: Path, *, is_torn: bool) -> None:
    times = [*range(0, 4_000, 500), *range(60_000, 64_000, 500)]
    path = recorded(tmp_path / "market.txt", [(ms, STREAMS[0], trade(ms + 1)) for ms in times])
    packed = tmp_path / "market.jsonl.gz"
    data = gzip.compress(path.read_bytes())
    packed.write_bytes(data[:-12] if is_torn else data)
    found = covered([packed])
    last_ms = 63_500
    if is_torn:
        (end,) = found.holes[1:]
        assert end.from_ns == end.to_ns <= at(last_ms)
        assert "ends early" in end.reason
        last_ms = (end.from_ns - at(0)) // NS
    assert found.spans == ((at(0), at(3_500)), (at(60_000), at(last_ms)))
    assert found.holes[0] == Hole(from_ns=at(3_500), to_ns=at(60_000), streams=1, reason=NOTHING)
    assert found.to_ns == at(last_ms) + 1


def test_what_one_of_two_recordings_covers_is_covered(with_holes: Path, tmp_path: Path) -> None:
    times = range(15_000, 80_000, 1_000)
    path = recorded(tmp_path / "eth.txt", [(ms, "ethusdt@trade", trade(ms + 1)) for ms in times])
    found = covered([with_holes, path])
    assert found.spans == ((at(0), at(87_500)),)
    assert found.streams == 3, "of each recording its own"
    assert [each.streams for each in found.holes] == [1, 2], "those of the folder stay holes"


def test_positions_by_event_time_are_those_of_the_replay(tmp_path: Path) -> None:
    lines = [(ms, STREAMS[0], trade(ms + 1, at_ms=ms + 2_000)) for ms in range(0, 9_000, 500)]
    path = recorded(tmp_path / "late.txt", lines)
    found = covered([path], Plan(pace="event"))
    assert found.spans == ((at(2_000), at(10_500)),)


def test_there_are_never_more_holes_than_can_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "MAX_HOLES", 20)
    tape = Tape(tmp_path / "rec")
    for _ in range(25):
        tape.trades(tape.now_ms + 500)
        tape.lose(STREAMS[:1])
        tape.now_ms += 3_000
        tape.recover(STREAMS[:1], 3_000)
    tape.trades(tape.now_ms + 1)
    tape.writer.close("the time is up")
    found = covered([tape.folder])
    assert (len(found.holes), found.truncated) == (20, True)
    assert list(found.holes) == sorted(found.holes, key=lambda each: each.from_ns)


@given(
    st.lists(
        st.tuples(st.integers(0, 30 * QUIET_NS), st.integers(0, QUIET_NS)), min_size=1, max_size=60
    )
)
def test_spans_are_bounded_and_cover_every_message(times: list[tuple[int, int]]) -> None:
    spans = Spans(most=4)
    now = 0
    for before, length in times:
        spans.add(now + before, now + before + length)
        now += before + length
    assert len(spans.spans) <= 4
    at_ns, quiet = 0, []
    for before, length in times:
        begin, at_ns = at_ns + before, at_ns + before + length
        assert any(first <= begin and at_ns <= last for first, last in spans.spans)
        quiet.append(before)
    ends = [each for span in spans.spans for each in span][1:-1]
    gaps = [b - a for a, b in zip(ends[::2], ends[1::2], strict=True)]
    assert gaps == [each for each in quiet[1:] if each >= spans.quiet_ns]
    assert spans.is_coarse or gaps == [each for each in quiet[1:] if each >= QUIET_NS]
