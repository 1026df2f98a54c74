"""Row groups against a naive model: what goes to each file, in order, and how much waits."""

from __future__ import annotations

from collections import defaultdict

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.archive.tables import TABLES
from tickerplant.exporting import row_groups
from tickerplant.exporting.row_groups import RowGroup, RowGroups

LABEL = pa.dictionary(pa.int32(), pa.string())
BATCHES = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 9)), max_size=60)


def batch(first: int, count: int) -> pa.RecordBatch:
    numbers = list(range(first, first + count))
    labels = pa.array([f"label {number // 3}" for number in numbers]).dictionary_encode()
    return pa.RecordBatch.from_arrays([pa.array(numbers), labels], ["number", "label"])


@given(BATCHES)
def test_every_file_gets_its_rows_in_order_and_few_wait(adds: list[tuple[str, int]]) -> None:
    written: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
    told: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
    waiting = 0

    def write(group: RowGroup) -> None:
        nonlocal waiting
        joined = group.joined()
        assert joined.num_rows == group.rows
        assert joined["number"].num_chunks == 1, "a row group is one piece"
        waiting -= group.rows
        written[group.place] += joined.to_pylist()

    # A batch counts for about 1,100 bytes, so that both bounds are met.
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(row_groups, "FULL_ROWS", 20)
        monkeypatch.setattr(row_groups, "MAX_BYTES", 8_000)
        groups = RowGroups(write)
        first = 0
        for place, count in adds:
            added = batch(first, count)
            first += count
            waiting += count
            told[place] += added.to_pylist()
            groups.add(TABLES[0], place, added)
            assert waiting < 8 * 9, "no more waits than fits into the memory for it"
    groups.flush()
    assert written == told
    assert waiting == 0


def test_what_is_forgotten_is_not_written() -> None:
    written: list[RowGroup] = []
    groups = RowGroups(written.append)
    groups.add(TABLES[0], "a", batch(0, 5))
    groups.forget()
    groups.add(TABLES[0], "a", batch(5, 2))
    groups.flush()
    assert [group.rows for group in written] == [2]
