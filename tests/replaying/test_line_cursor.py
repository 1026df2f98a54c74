from __future__ import annotations

from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from tickerplant.recording.line import Line
from tickerplant.replaying.line_cursor import LineCursor

FAR_NS = 10**6


class Batches:
    """A recording in memory, in batches of some size."""

    def __init__(self, lines: Sequence[Line], size: int) -> None:
        self.lines = lines
        self.size = size

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        if pauses:
            yield from ([] for line in self.lines if line[0] < start_ns)
        left = [line for line in self.lines if line[0] >= start_ns]
        for at in range(0, len(left), self.size):
            yield left[at : at + self.size]


def recordings(times: list[list[int]], size: int) -> list[Batches]:
    return [
        Batches([(at, b"%d.%03d" % (n, i)) for i, at in enumerate(sorted(each))], size)
        for n, each in enumerate(times)
    ]


TIMES = st.lists(st.lists(st.integers(0, 60), max_size=20), min_size=1, max_size=3)


@given(TIMES, st.integers(1, 7), st.integers(0, 60), st.integers(0, 61), st.data())
def test_lines_are_taken_in_order_between_two_times(
    times: list[list[int]], size: int, start_ns: int, end_ns: int, data: st.DataObject
) -> None:
    made = recordings(times, size)
    cursor = LineCursor(made, end_ns)
    cursor.seek(start_ns)
    expected = sorted(
        (at, n, raw)
        for n, each in enumerate(made)
        for at, raw in each.lines
        if start_ns <= at < end_ns
    )
    taken: list[tuple[int, int, bytes]] = []
    while cursor.next_ns is not None:
        assert cursor.next_ns == expected[len(taken)][0]
        peeked_index, peek = cursor.peek(1)
        assert (peek[0][0], peeked_index, peek[0][1]) == expected[len(taken)]
        until_ns = data.draw(st.integers(0, 60))
        most = data.draw(st.integers(1, 5))
        index, lines = cursor.take(until_ns, most)
        assert 1 <= len(lines) <= most
        assert all(at <= until_ns for at, _ in lines[1:])
        taken += [(at, index, raw) for at, raw in lines]
    assert sorted(taken) == sorted(expected)
    assert [at for at, _, _ in taken] == [at for at, _, _ in expected]


def test_a_reel_is_wound_again() -> None:
    cursor = LineCursor(recordings([[1, 5, 9]], 2), FAR_NS)
    for start_ns, first in ((0, 1), (6, 9), (5, 5), (10, None)):
        cursor.seek(start_ns)
        assert cursor.next_ns == first
