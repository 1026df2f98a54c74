from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.hub.conflation import read
from tickerplant.streams.conflation import Conflation


def depth(
    previous_id: int,
    final_id: int,
    bids: list[tuple[str, str]] | None = None,
    asks: list[tuple[str, str]] | None = None,
) -> bytes:
    message = {
        "e": "depthUpdate",
        "E": final_id * 10,
        "s": "BTCUSDT",
        "U": previous_id + 1,
        "u": final_id,
        "pu": previous_id,
        "b": bids or [],
        "a": asks or [],
        "st": 1,
    }
    return json.dumps(message, separators=(",", ":")).encode()


def joined(rule: Conflation, *payloads: bytes) -> list[Any]:
    """What is sent of messages that wait together, in order."""
    sent: list[Any] = []
    waiting = None
    for payload in payloads:
        reading = read(rule, payload)
        assert reading is not None, payload
        after = waiting.joined(reading) if waiting is not None else reading
        if after is None:
            assert waiting is not None
            sent.append(json.loads(waiting.payload))
            after = reading
        waiting = after
    assert waiting is not None
    return [*sent, json.loads(waiting.payload)]


def test_changes_of_a_book_become_one_with_the_first_ids_and_the_rest_of_the_last() -> None:
    (merged,) = joined(
        Conflation.MERGED_LEVELS,
        depth(10, 12, bids=[("1.0", "5"), ("2.0", "6")], asks=[("3.0", "1")]),
        depth(12, 13, bids=[("1.0", "0")]),
        depth(13, 17, bids=[("0.5", "2")], asks=[("2.5", "4"), ("3.0", "9")]),
    )
    expected = depth(
        10,
        17,
        bids=[("0.5", "2"), ("1.0", "0"), ("2.0", "6")],
        asks=[("2.5", "4"), ("3.0", "9")],
    )
    assert list(merged.items()) == list(json.loads(expected).items())


def test_a_single_change_of_a_book_stays_as_it_is_byte_for_byte() -> None:
    payload = depth(10, 12, bids=[("2.0", "5"), ("1.0", "6")]).replace(b",", b", ")
    reading = read(Conflation.MERGED_LEVELS, payload)
    assert reading is not None
    assert reading.payload == payload


def test_a_broken_chain_of_ids_is_not_hidden_by_merging() -> None:
    sent = joined(Conflation.MERGED_LEVELS, depth(10, 12), depth(12, 13), depth(20, 25))
    assert [(each["pu"], each["u"]) for each in sent] == [(10, 13), (20, 25)]


def test_of_a_price_that_is_written_in_two_ways_the_last_counts() -> None:
    (merged,) = joined(
        Conflation.MERGED_LEVELS,
        depth(1, 2, bids=[("1.10", "5")]),
        depth(2, 3, bids=[("1.1", "0")]),
        depth(3, 4, bids=[("1.10", "7")]),
    )
    assert merged["b"] == [["1.1", "0"], ["1.10", "7"]]


def test_the_best_levels_are_the_newest_and_their_ids_continue_those_before() -> None:
    (newest,) = joined(
        Conflation.NEWEST_LEVELS,
        depth(10, 12, bids=[("1.0", "5")]),
        depth(12, 13, bids=[("1.1", "5")]),
        depth(13, 20, bids=[("1.2", "5")]),
    )
    assert newest == json.loads(depth(10, 20, bids=[("1.2", "5")]))


def test_the_best_levels_after_a_broken_chain_replace_those_before_it() -> None:
    (newest,) = joined(Conflation.NEWEST_LEVELS, depth(10, 12), depth(15, 16))
    assert (newest["pu"], newest["u"]) == (15, 16)


def test_arrays_become_one_with_the_newest_element_of_each_symbol() -> None:
    (merged,) = joined(
        Conflation.MERGED_ARRAY,
        b'[{"s":"A","c":"1"},{"s":"B","c":"1"}]',
        b'[{"s":"C","c":"2"}]',
        b'[{"s":"A","c":"3"}]',
    )
    assert merged == [{"s": "B", "c": "1"}, {"s": "C", "c": "2"}, {"s": "A", "c": "3"}]


def test_of_complete_arrays_the_newest_is_sent_byte_for_byte() -> None:
    first, second = (
        json.dumps([{"s": name, "p": price} for name in "ABC"]).encode() for price in ("1", "2")
    )
    one = read(Conflation.MERGED_ARRAY, first)
    two = read(Conflation.MERGED_ARRAY, second)
    assert one is not None
    assert two is not None
    merged = one.joined(two)
    assert merged is not None
    assert json.loads(merged.payload) == json.loads(second)


def test_a_pair_that_shares_its_name_with_a_symbol_is_merged_as_an_array() -> None:
    (merged,) = joined(Conflation.NEWEST, b'[{"s":"A"}]', b'[{"s":"B"}]')
    assert merged == [{"s": "A"}, {"s": "B"}]


def candle(closed: bool, price: str) -> bytes:
    return json.dumps({"e": "kline", "k": {"t": 1, "x": closed, "c": price}}).encode()


def test_a_closed_candle_is_sent_although_the_next_one_has_opened() -> None:
    sent = joined(
        Conflation.NEWEST_CANDLE,
        candle(False, "1"),
        candle(True, "2"),
        candle(False, "3"),
        candle(False, "4"),
    )
    assert [(each["k"]["x"], each["k"]["c"]) for each in sent] == [(True, "2"), (False, "4")]


@pytest.mark.parametrize(
    ("rule", "payload"),
    [
        (Conflation.MERGED_LEVELS, b'{"U":1,"u":2,"b":[],"a":[]}'),
        (Conflation.MERGED_LEVELS, b'{"U":1,"u":2,"pu":0,"b":[["1"]],"a":[]}'),
        (Conflation.MERGED_LEVELS, b"not JSON"),
        (Conflation.NEWEST_LEVELS, b'{"U":"1","u":2,"pu":0}'),
        (Conflation.NEWEST_CANDLE, b'{"k":{}}'),
        (Conflation.MERGED_ARRAY, b'[{"c":"no symbol"}]'),
        (Conflation.NEWEST_OF_SYMBOL, b"\xff"),
        (Conflation.NONE, b'{"e":"trade","s":"BTCUSDT"}'),
    ],
)
def test_what_cannot_be_read_or_must_not_be_replaced_is_kept_as_it_is(
    rule: Conflation, payload: bytes
) -> None:
    assert read(rule, payload) is None


LEVELS = st.lists(
    st.tuples(st.integers(1, 6).map(str), st.integers(0, 3).map(str)),
    max_size=4,
    unique_by=lambda level: level[0],
)


@given(st.lists(st.tuples(LEVELS, LEVELS), min_size=1, max_size=8))
def test_a_book_fed_with_one_merged_message_is_the_book_fed_with_all(
    changes: list[tuple[list[tuple[str, str]], list[tuple[str, str]]]],
) -> None:
    messages = [depth(n, n + 1, bids, asks) for n, (bids, asks) in enumerate(changes)]
    (merged,) = joined(Conflation.MERGED_LEVELS, *messages)
    fed_with_all: dict[tuple[str, str], str] = {}
    fed_with_one: dict[tuple[str, str], str] = {}
    for book, sent in ((fed_with_all, map(json.loads, messages)), (fed_with_one, [merged])):
        for message in sent:
            for side in "ba":
                book.update({(side, price): quantity for price, quantity in message[side]})
    assert fed_with_one == fed_with_all
    assert (merged["U"], merged["pu"], merged["u"]) == (1, 0, len(changes))
