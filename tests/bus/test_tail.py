from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tickerplant.bus.tail import NS_PER_MS, OVERHEAD_BYTES, Tail

MAX_BYTES, MAX_AGE_MS = 2_000, 100


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 1_500)), max_size=30))
def test_the_tail_is_the_longest_suffix_within_its_bounds(made: list[tuple[int, int]]) -> None:
    tail = Tail(MAX_BYTES, MAX_AGE_MS)
    batches: list[tuple[int, int, bytes]] = []
    now_ms = 0
    for number, (passed_ms, size) in enumerate(made, 1):
        now_ms += passed_ms
        batches.append((number, now_ms, bytes(size)))
        tail.add(number, now_ms * NS_PER_MS, "subject", bytes(size))
        kept = [
            each
            for place, each in enumerate(batches)
            if now_ms - each[1] <= MAX_AGE_MS
            and sum(len(later[2]) + OVERHEAD_BYTES for later in batches[place:]) <= MAX_BYTES
        ]
        dropped = len(batches) - len(kept)
        assert [batch.number for batch in tail.after(0)] == [each[0] for each in kept]
        assert tail.dropped_number == dropped
        assert tail.kept_bytes == sum(len(each[2]) + OVERHEAD_BYTES for each in kept) <= MAX_BYTES
        assert [batch.number for batch in tail.after(number)] == []


def test_batches_that_are_dropped_before_their_time_are_counted() -> None:
    tail = Tail(MAX_BYTES, MAX_AGE_MS)
    tail.add(1, 0, "subject", bytes(1_000))
    tail.add(2, MAX_AGE_MS * NS_PER_MS * 2, "subject", bytes(1_000))
    assert tail.overflow_count == 0
    tail.add(3, MAX_AGE_MS * NS_PER_MS * 2, "subject", bytes(1_000))
    assert tail.overflow_count == 1
