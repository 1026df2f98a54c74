from __future__ import annotations

from collections.abc import Iterator

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.server.slices import ROWS_AT_ONCE, SLICE_NS, Slices

rows_strategy = st.lists(
    st.none() | st.integers() | st.lists(st.text(max_size=2), max_size=2), max_size=80
)


@given(rows_strategy, st.integers(0, SLICE_NS))
def test_slices_are_put_together_to_the_array_of_all_rows(rows: list[object], row_ns: int) -> None:
    """Every row takes so long."""
    now_ns = 0

    def made() -> Iterator[object]:
        nonlocal now_ns
        for row in rows:
            now_ns += row_ns
            yield row

    slices = Slices(made(), clock=lambda: now_ns)
    while True:
        began_ns = now_ns
        written = slices.proceed()
        assert now_ns - began_ns <= SLICE_NS + ROWS_AT_ONCE * row_ns
        if written is not None:
            break
    assert written == msgspec.json.encode([row for row in rows if row is not None])
