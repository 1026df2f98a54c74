"""How many lines the gaps of a stream may take in the journal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from written import START_NS, Clock

from tickerplant.recorder.gap_notes import LINES_AT_ONCE, SEVERAL, GapNotes
from tickerplant.recording.manifest_entries import Missing

S = 1_000_000_000


class Notes:
    """Gaps as they are written."""

    def __init__(self) -> None:
        self.lines: list[Missing] = []
        self.clock = Clock()
        self.gaps = GapNotes(self.lines.append, self.clock)

    def add(self, number: int, missing: int | None = 3, stream: str = "btcusdt@trade") -> None:
        gap = Missing(
            time_ns=self.clock(),
            stream=stream,
            symbol="BTCUSDT",
            after_id=number * 10,
            before_id=number * 10 + 4,
            missing=missing,
        )
        self.gaps.add(gap)


def test_gaps_are_lines_of_their_own_until_they_are_too_many() -> None:
    notes = Notes()
    for number in range(LINES_AT_ONCE + 5):
        notes.add(number)
    assert [line.after_id for line in notes.lines] == [n * 10 for n in range(LINES_AT_ONCE)]
    notes.gaps.turn()
    assert len(notes.lines) == LINES_AT_ONCE
    notes.clock.now_ns += S
    notes.gaps.turn()
    (line,) = notes.lines[LINES_AT_ONCE:]
    assert (line.after_id, line.before_id) == (LINES_AT_ONCE * 10, (LINES_AT_ONCE + 4) * 10 + 4)
    assert (line.missing, line.reason) == (15, SEVERAL)
    assert line.time_ns == START_NS, "the first of them"


def test_a_gap_of_unknown_size_makes_the_sum_unknown() -> None:
    notes = Notes()
    for number in range(LINES_AT_ONCE):
        notes.add(number)
    notes.add(LINES_AT_ONCE, missing=None)
    notes.add(LINES_AT_ONCE + 1)
    notes.gaps.end()
    assert notes.lines[-1].missing is None


def test_streams_do_not_take_each_other_s_lines() -> None:
    notes = Notes()
    for number in range(LINES_AT_ONCE + 1):
        notes.add(number)
    notes.add(0, stream="ethusdt@trade")
    assert notes.lines[-1].stream == "ethusdt@trade"


@given(st.lists(st.integers(0, 3 * S), max_size=300))
def test_nothing_is_forgotten_and_there_are_no_more_lines_than_time_allows(
    pauses: list[int],
) -> None:
    notes = Notes()
    for number, pause_ns in enumerate(pauses):
        notes.clock.now_ns += pause_ns // 50
        notes.add(number)
        notes.gaps.turn()
    passed_s = (notes.clock.now_ns - START_NS) / S
    assert len(notes.lines) <= LINES_AT_ONCE + passed_s
    notes.gaps.end()
    assert sum(line.missing or 0 for line in notes.lines) == 3 * len(pauses)
    ends = [(line.after_id, line.before_id) for line in notes.lines]
    assert ends == sorted(ends)
