from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from blocks import line_file
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.raw_events import FAR_MS
from tickerplant.recording.line_file import LineFile
from tickerplant.replaying.message_times import ByEventTime, event_time_ms

START_MS = 1_795_285_140_000
NS = 1_000_000


def written(folder: Path, lines: list[tuple[int, int | None]], skew_ms: int = 0) -> ByEventTime:
    """A recording of receive times and event times, in ms after the start."""
    form, other = b'{"stream":"a@b","data":{"e":"b","E":%d}}', b'{"result":null,"id":1}'
    recorded = [
        (
            (START_MS + skew_ms + received) * NS,
            other if event is None else form % (START_MS + event),
        )
        for received, event in lines
    ]
    return ByEventTime(LineFile(line_file(folder / "r", recorded)))


def times(recording: ByEventTime, start_ms: int | None = None) -> list[int]:
    start_ns = 0 if start_ms is None else (START_MS + start_ms) * NS
    lines = chain.from_iterable(recording.batches(start_ns))
    return [at_ns // NS - START_MS for at_ns, _ in lines]


def test_a_line_has_the_latest_event_time_so_far(tmp_path: Path) -> None:
    recording = written(tmp_path, [(30, 10), (40, None), (50, 5), (60, 12), (70, 11)])
    assert times(recording) == [10, 10, 10, 12, 12]


def test_lines_before_the_first_event_have_the_time_that_they_should(tmp_path: Path) -> None:
    recording = written(tmp_path, [(0, None), (40, 30), (50, 31)], skew_ms=5_000)
    assert times(recording) == [-10, 30, 31]


def test_one_wrong_time_does_not_carry_the_others_with_it(tmp_path: Path) -> None:
    wrong_ms = FAR_MS + 5_000
    recording = written(tmp_path, [(0, 0), (1, wrong_ms), (2, 2), (3, 3)])
    assert times(recording) == [0, 0, 2, 3]


@pytest.mark.parametrize("skew_ms", [0, 10**11])
def test_a_wrong_first_time_is_not_the_one_the_others_are_measured_by(
    tmp_path: Path, skew_ms: int
) -> None:
    recording = written(tmp_path, [(0, 10**12), (1, 1), (2, 2), (3, 3)], skew_ms)
    assert times(recording) == [0, 1, 2, 3]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 3_000)), min_size=1, max_size=30),
    st.integers(-(10**10), 10**7),
    st.integers(-100, 12_000),
)
def test_reading_begins_at_an_event_time_whatever_the_other_clock_says(
    tmp_path_factory: pytest.TempPathFactory,
    inferred: list[tuple[int, int]],
    skew_ms: int,
    start_ms: int,
) -> None:
    lines: list[tuple[int, int | None]] = [(at, at + jitter) for at, jitter in sorted(inferred)]
    recording = written(tmp_path_factory.mktemp("event"), lines, skew_ms)
    every = times(recording)
    assert every == sorted(every), "time never goes back"
    assert times(recording, start_ms) == [each for each in every if each >= start_ms]


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(1, 4_000), st.floats(0, 1.1))
def test_reading_begins_at_an_event_time_of_a_market_that_ran_fast(
    tmp_path_factory: pytest.TempPathFactory, speed: int, count: int, part: float
) -> None:
    lines: list[tuple[int, int | None]] = [(at * 100, at * 100 * speed) for at in range(count)]
    recording = written(tmp_path_factory.mktemp("event"), lines, skew_ms=500)
    every = times(recording)
    assert every == [event for _, event in lines]
    start_ms = int(part * every[-1])
    assert times(recording, start_ms) == [each for each in every if each >= start_ms]


@pytest.mark.parametrize(
    ("raw", "time_ms"),
    [
        (b'{"stream":"x","data":{"e":"trade","E":1795285140001}}', 1_795_285_140_001),
        (b'{"e":"trade", "E": 1795285140001}', 1_795_285_140_001),
        (b'[{"e":"24hrTicker","E":1795285140001},{"E":1}]', 1_795_285_140_001),
        (b'http://h/fapi/v1/depth {"lastUpdateId":1,"E":1795285140001}', 1_795_285_140_001),
        (b'{"e":"x","E":17952851400011}', 0),
        (b'{"result":null}', 0),
    ],
)
def test_the_event_time_of_a_message_is_found(raw: bytes, time_ms: int) -> None:
    assert event_time_ms(raw) == time_ms
