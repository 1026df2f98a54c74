"""The cells and rates that a picture shows of a recording."""

from __future__ import annotations

from array import array
from math import isnan

from tickerplant.archive.outage_log import Outage
from tickerplant.units import NS_PER_S
from tickerplant.verifying.coverage_rows import Cell, chosen_streams, rates_of, row_of
from tickerplant.verifying.findings import RecordingFinding, StreamFinding
from tickerplant.verifying.timeline import OTHER, StreamBins, Timeline

START_NS = 1_772_323_200 * NS_PER_S


def timeline_of(counts: dict[str, list[int]], gaps: dict[str, list[int]] | None = None) -> Timeline:
    """A timeline with a bin for each second."""
    timeline = Timeline(max(map(len, counts.values())))
    timeline.start_ns, timeline.width_ns = START_NS, NS_PER_S
    timeline._bin = max(map(len, counts.values())) - 1
    for stream, numbers in counts.items():
        its_gaps = (gaps or {}).get(stream, [0] * len(numbers))
        timeline.streams[stream] = StreamBins(array("Q", numbers), array("Q", its_gaps))
        kind = stream.partition("@")[2]
        total = timeline.kinds.get(kind, array("Q", [0] * len(numbers)))
        timeline.kinds[kind] = array("Q", map(int.__add__, total, numbers))
    return timeline


def test_a_cell_is_the_worst_that_holds_in_its_bin() -> None:
    stream = "a@trade"
    timeline = timeline_of({stream: [0, 3, 0, 2, 1, 0, 4, 0]}, {stream: [0, 0, 0, 0, 0, 0, 1, 0]})
    timeline.streams[stream].outages = (
        Outage(from_ns=START_NS + 3 * NS_PER_S, to_ns=START_NS + 3 * NS_PER_S + 9, cause="x"),
        Outage(
            from_ns=START_NS + 5 * NS_PER_S,
            to_ns=START_NS + 6 * NS_PER_S,
            cause="y",
            verdict="may have lost",
        ),
    )
    found = StreamFinding(
        stream=stream,
        messages=10,
        first_ns=START_NS + NS_PER_S,
        last_ns=START_NS + 6 * NS_PER_S,
    )
    row = row_of(found, timeline)
    assert row is not None
    assert list(map(Cell, row.cells)) == [
        Cell.OUTSIDE,
        Cell.MESSAGES,
        Cell.QUIET,
        Cell.BRIDGED,
        Cell.MESSAGES,
        Cell.LOST,
        Cell.GAP,
        Cell.OUTSIDE,
    ]
    assert list(row.messages) == [0, 3, 0, 2, 1, 0, 4, 0]


def test_outages_beyond_the_lines_end_with_them() -> None:
    timeline = timeline_of({"a@trade": [1, 1]})
    far = Outage(from_ns=0, to_ns=START_NS * 2, cause="x", verdict="lost")
    timeline.streams["a@trade"].outages = (far,)
    row = row_of(StreamFinding(stream="a@trade", messages=2, first_ns=1, last_ns=2), timeline)
    assert row is not None
    assert row.cells == bytes([Cell.LOST] * 2)


def test_a_stream_that_is_not_kept_has_no_row_and_one_without_messages_an_empty_one() -> None:
    timeline = timeline_of({"a@trade": [1, 1]})
    assert row_of(StreamFinding(stream="b@trade", messages=1), timeline) is None
    silent = row_of(StreamFinding(stream="c@trade"), timeline)
    assert silent is not None
    assert silent.cells == bytes(2)


def test_incomplete_streams_are_chosen_first_and_drawn_by_name() -> None:
    streams = [StreamFinding(stream=f"{letter}@trade", messages=1) for letter in "abcdef"]
    streams[4].gaps = 1
    streams[0].messages = 0
    found = RecordingFinding(paths=["r"], streams=streams)
    assert [each.stream[0] for each in chosen_streams(found, 3)] == ["b", "c", "e"]
    assert [each.stream[0] for each in chosen_streams(found, 100)] == list("abcdef")


def test_rates_are_messages_by_time_and_the_last_bin_is_as_long_as_it_was() -> None:
    timeline = timeline_of({"a@trade": [4, 0, 2, 3], "b@trade": [1, 1, 1, 0], "a@depth": [1] * 4})
    last_ns = START_NS + 3 * NS_PER_S + NS_PER_S // 2
    rates = rates_of(timeline, last_ns)
    assert list(rates.lines) == ["trade", "depth"]
    assert rates.lines["trade"] == [5.0, 1.0, 3.0, 6.0]
    assert rates.edges_ns[0] == START_NS
    assert rates.edges_ns[-1] == last_ns
    assert len(rates.edges_ns) == 5
    short = rates_of(timeline, START_NS + 3 * NS_PER_S + 1)
    assert isnan(short.lines["trade"][-1]), "a nanosecond is too short for a rate"


def test_rates_of_many_kinds_are_added_up() -> None:
    timeline = timeline_of({f"a@k{number}": [10 - number] for number in range(9)})
    rates = rates_of(timeline, START_NS + NS_PER_S, most=4)
    assert list(rates.lines) == ["k0", "k1", "k2", OTHER]
    assert rates.lines[OTHER] == [float(7 + 6 + 5 + 4 + 3 + 2)]


def test_short_bins_are_joined_until_they_are_a_second_long() -> None:
    counts = list(range(400))
    timeline = timeline_of({"a@trade": counts})
    timeline.width_ns = NS_PER_S // 10
    rates = rates_of(timeline, START_NS + 40 * NS_PER_S)
    assert rates.lines["trade"] == [float(sum(counts[at : at + 10])) for at in range(0, 400, 10)]
