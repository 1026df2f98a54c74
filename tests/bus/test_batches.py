from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.bus import batches
from tickerplant.bus.batches import FORMAT_VERSION, BadBatchError, Batch, Message

numbers = st.lists(st.integers(1, 2**62), unique=True, min_size=2, max_size=20).map(sorted)


@given(numbers, st.binary(), st.binary(), st.booleans())
def test_a_batch_is_read_as_it_was_written(
    given_numbers: list[int], payload: bytes, envelope: bytes, is_interleaved: bool
) -> None:
    previous, *rest = given_numbers
    messages = tuple(Message(number, payload, envelope) for number in rest)
    batch = Batch(FORMAT_VERSION, "epoch", 1, previous, messages, is_interleaved)
    assert batches.decode(batches.encode(batch)) == batch


@given(st.binary())
def test_any_bytes_are_a_batch_or_one_kind_of_error(data: bytes) -> None:
    with suppress(BadBatchError):
        assert batches.decode(data).version == FORMAT_VERSION


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ([2, "whatever", {"it": "has"}], "a batch of format 2; this program reads format 1"),
        ([2, "e", 0, 0, []], "a batch of format 2; this program reads format 1"),
        ([1, "e", 0, 7, [[7, b""]]], "malformed batch .message 7 follows 7"),
        ([1, "e", 0, 0, [[2, b""], [1, b""]]], "malformed batch .message 1 follows 2"),
        ({}, "malformed batch"),
        ([], "malformed batch"),
    ],
)
def test_what_is_wrong_with_a_batch_is_said(value: object, complaint: str) -> None:
    with pytest.raises(BadBatchError, match=complaint):
        batches.decode(msgspec.msgpack.encode(value))
