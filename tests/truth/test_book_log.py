from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tickerplant.events import DepthUpdate
from tickerplant.truth.book_log import BookAt, BookLog


@given(
    st.lists(st.integers(0, 3), max_size=12),
    st.integers(1, 4),
    st.integers(0, 4),
    st.sampled_from((False, True)),
)
def test_the_id_at_a_time_is_that_of_the_last_change_until_then(
    steps: list[int], chunk: int, forgotten: int, is_packed: bool
) -> None:
    book = BookAt(100, 50, [(10, 1)], [(20, 1)])
    log, time_ms = BookLog(book), 50
    known = [(100, 50)]
    for number, step in enumerate(steps, 1):
        time_ms += step
        last_id = known[-1][0]
        change = DepthUpdate(
            "BTCUSDT", last_id + 1, last_id + 2, last_id, [(10, number)], [], time_ms
        )
        log.changes.append(change)
        known.append((last_id + 2, time_ms))
        if len(log.changes) == chunk:
            log.close(BookAt(last_id + 2, time_ms, [(10, number)], [(20, 1)]))
            if is_packed:
                log.chunks[-1].pack()
    for _ in range(min(forgotten, len(log.chunks))):
        log.chunks.popleft()
    oldest_id = log.oldest_id
    kept = [each for each in known if each[0] >= oldest_id]
    for asked_ms in range(48, time_ms + 3):
        expected = max((each[0] for each in kept if each[1] <= asked_ms), default=oldest_id)
        assert log.id_at(asked_ms) == expected
        assert log.at(expected).last_update_id == expected
