"""What a walk saw over time adds up to what it found, in a bounded number of bins."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import folder, line_file, tape

from tickerplant.recording.line import Line
from tickerplant.recording.timestamps import LATEST_NS
from tickerplant.units import NS_PER_S
from tickerplant.venue import USDM
from tickerplant.verifying.stream_check import StreamCheck, WalkState, stream_check_of
from tickerplant.verifying.timeline import FIRST_WIDTH_NS, Timeline
from tickerplant.verifying.walk import Walk

START_NS = 1_772_323_200 * NS_PER_S


@pytest.fixture(scope="module")
def market() -> list[Line]:
    return tape(USDM, 4)


class Walked:
    """Walks lines that only have a time and the name of a stream, as a walk does."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.checks: dict[str, StreamCheck] = {}
        self._state = WalkState([], 0, None)  # type: ignore[arg-type]  # nothing asks for it

    def take(self, lines: list[Line]) -> None:
        for run in self.timeline.runs(lines, self.checks):
            assert run
            for _, raw in run:
                name = raw.decode()
                if name not in self.checks:
                    self.checks[name] = stream_check_of(name, self._state)
                self.checks[name].messages += 1


STREAMS = ("btcusdt@trade", "ethusdt@trade", "!ticker@arr")
STEPS = st.lists(
    st.tuples(
        st.one_of(
            st.integers(0, 3_000_000),
            st.integers(0, 10**12),
            st.integers(-(10**9), 0),
        ),
        st.sampled_from(STREAMS),
    ),
    min_size=1,
    max_size=60,
)


@given(steps=STEPS, batch=st.integers(1, 20), most=st.sampled_from([2, 4, 16]))
def test_bins_are_those_of_a_naive_count(
    steps: list[tuple[int, str]], batch: int, most: int
) -> None:
    lines: list[Line] = []
    time_ns = START_NS
    for step_ns, stream in steps:
        time_ns = max(time_ns + step_ns, START_NS)
        lines.append((time_ns, stream.encode()))
    walked = Walked(Timeline(most))
    for at in range(0, len(lines), batch):
        walked.take(lines[at : at + batch])
    timeline = walked.timeline
    timeline.finish()
    latest_ns = 0
    expected: dict[str, dict[int, int]] = {}
    for its_ns, raw in lines:
        latest_ns = max(latest_ns, its_ns)  # a step back is counted where the time stood
        at = (latest_ns - lines[0][0]) // timeline.width_ns
        bins = expected.setdefault(raw.decode(), {})
        bins[at] = bins.get(at, 0) + 1
    assert timeline.bins <= most
    assert timeline.width_ns % FIRST_WIDTH_NS == 0
    passed_ns = latest_ns - lines[0][0]
    assert timeline.width_ns == FIRST_WIDTH_NS or 2 * passed_ns >= most * timeline.width_ns
    found = {
        name: {at: number for at, number in enumerate(bins.messages) if number}
        for name, bins in timeline.streams.items()
    }
    assert found == expected
    assert sum(map(sum, timeline.kinds.values())) == len(lines)


def test_a_time_that_no_clock_says_is_the_last_one() -> None:
    walked = Walked(Timeline(4))
    walked.take([(START_NS, b"btcusdt@trade"), (LATEST_NS + 5, b"btcusdt@trade")])
    walked.take([(LATEST_NS * 3, b"btcusdt@trade")])
    walked.timeline.finish()
    assert sum(walked.timeline.streams["btcusdt@trade"].messages) == 3
    assert walked.timeline.bins <= 4


def test_of_too_many_streams_only_the_totals_are_kept() -> None:
    walked = Walked(Timeline(4, most_streams=2))
    names = [f"s{number}usdt@trade" for number in range(5)]
    for turn in range(3):
        walked.take([(START_NS + turn * NS_PER_S, name.encode()) for name in names])
    walked.timeline.finish()
    assert set(walked.timeline.streams) == set(names[:2])
    assert walked.timeline.left_out == 3
    assert sum(walked.timeline.kinds["trade"]) == 15


@pytest.mark.parametrize("is_folder", [True, False])
def test_its_sums_are_the_findings_of_the_same_walk(
    market: list[Line], tmp_path: Path, *, is_folder: bool
) -> None:
    kept = [line for number, line in enumerate(market) if number % 41]
    path = (
        folder(tmp_path / "r", [kept[:700], kept[700:]])
        if is_folder
        else line_file(tmp_path / "r", kept)
    )
    timeline = Timeline(16)
    found = Walk([path], timeline=timeline).go()
    assert found == Walk([path]).go(), "the timeline changes nothing"
    assert {each.stream for each in found.streams if each.messages} == set(timeline.streams)
    assert sum(each.gaps for each in found.streams) > 3
    for each in found.streams:
        bins = timeline.streams[each.stream]
        assert sum(bins.messages) == each.messages
        assert sum(bins.gaps) == each.gaps
    assert sum(map(sum, timeline.kinds.values())) == found.messages
    assert timeline.start_ns == found.first_ns
    assert timeline.bins <= 16


def test_a_gap_that_late_messages_fill_is_taken_out_again(
    market: list[Line], tmp_path: Path
) -> None:
    trades = [line for line in market if b"btcusdt@trade" in line[1]]
    late = [*trades[:5], *trades[6:20], trades[5], *trades[20:]]
    last_ns = late[0][0]
    lines = []
    for time_ns, raw in late:
        last_ns = max(last_ns, time_ns)
        lines.append((last_ns, raw))
    timeline = Timeline()
    found = Walk([line_file(tmp_path / "late", lines)], timeline=timeline).go()
    [stream] = found.streams
    assert (stream.gaps, stream.late) == (0, 1)
    assert not any(timeline.streams[stream.stream].gaps)


def test_streams_that_are_not_wanted_are_not_in_it(market: list[Line], tmp_path: Path) -> None:
    timeline = Timeline()
    path = line_file(tmp_path / "one", market)
    found = Walk([path], ["btcusdt@trade"], timeline=timeline).go()
    assert set(timeline.streams) == {"btcusdt@trade"}
    assert sum(map(sum, timeline.kinds.values())) == found.messages
