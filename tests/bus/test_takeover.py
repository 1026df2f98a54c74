"""A stream that another plant continues, compared with a naive model: both copies as lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from tickerplant.bus.takeover import (
    BEHIND_MS,
    MAX_HELD,
    MISSING,
    NOT_FOLLOWED,
    RESTARTED,
    UNKNOWN_PLACE,
    Continuation,
)

HEARD_MS = 1_000_000
"""When the old plant was last heard."""


def trade(number: int, time_ms: int) -> bytes:
    return msgspec.json.encode({"e": "trade", "E": time_ms, "s": "BTCUSDT", "t": number})


def aggregate(number: int, time_ms: int) -> bytes:
    return msgspec.json.encode({"e": "aggTrade", "E": time_ms, "s": "BTCUSDT", "a": number})


def depth(number: int, time_ms: int) -> bytes:
    return update(number * 7 - 7, number * 7, time_ms)


def update(previous: int, final: int, time_ms: int) -> bytes:
    fields = {"e": "depthUpdate", "E": time_ms, "s": "BTCUSDT"}
    ids = {"U": previous + 1, "u": final, "pu": previous}
    return msgspec.json.encode({**fields, **ids, "b": [["1.50", str(final)]], "a": []})


def quote(number: int, time_ms: int) -> bytes:
    return msgspec.json.encode({"e": "bookTicker", "E": time_ms, "s": "BTCUSDT", "u": number * 3})


def liquidation(number: int, time_ms: int) -> bytes:
    return msgspec.json.encode(
        {"e": "forceOrder", "E": time_ms, "o": {"s": f"S{number % 3}USDT", "q": str(number)}}
    )


def mark_price(number: int, time_ms: int) -> bytes:
    return msgspec.json.encode(
        {"e": "markPriceUpdate", "E": time_ms, "s": "BTCUSDT", "p": str(number)}
    )


def candle(number: int, time_ms: int) -> bytes:
    bar = {"t": 0, "T": 59_999, "s": "BTCUSDT", "x": False, "v": str(number)}
    return msgspec.json.encode({"e": "kline", "E": time_ms, "s": "BTCUSDT", "k": bar})


def foreign(number: int, time_ms: int) -> bytes:
    """A message of an unknown kind, without times."""
    del time_ms
    return msgspec.json.encode({"number": number})


class Kind(Struct, frozen=True):
    """How the messages of a stream are made, and what they prove."""

    name: str
    make: Callable[[int, int], bytes]
    proves_gaps: bool = False


KINDS = [
    Kind("btcusdt@trade", trade, proves_gaps=True),
    Kind("btcusdt@aggTrade", aggregate, proves_gaps=True),
    Kind("btcusdt@depth@100ms", depth, proves_gaps=True),
    Kind("btcusdt@bookTicker", quote),
    Kind("!forceOrder@arr", liquidation),
    Kind("btcusdt@markPrice@1s", mark_price),
    Kind("btcusdt@kline_1m", candle),
    Kind("btcusdt@somethingNew", foreign),
]


class Told(Struct):
    """What an edge delivered of the new copy."""

    payloads: list[bytes]
    hole: str


def follow(joint: Continuation, payloads: Iterable[bytes], published_ms: int = HEARD_MS) -> Told:
    """Give `payloads` to an edge, then let the time be over."""
    new = [each for payload in payloads for each in joint.take(payload, published_ms)]
    new += joint.settle()
    assert joint.is_whole != bool(joint.hole), "decided, one way"
    return Told(new, joint.hole)


def continuation(
    name: str, last: bytes | None, *, is_followed: bool = True, opened_ms: int = 0
) -> Continuation:
    return Continuation(name, last, is_followed=is_followed, heard_ms=HEARD_MS, opened_ms=opened_ms)


@st.composite
def upstreams(draw: st.DrawFn, kind: Kind) -> list[bytes]:
    """Messages of an upstream, several of which may have the same time."""
    steps_ms = draw(st.lists(st.sampled_from([0, 0, 1, 100]), min_size=2, max_size=30))
    if kind.make is mark_price:  # one in each second
        steps_ms = [1_000] * len(steps_ms)
    time_ms, payloads = 500_000, []
    for number, step_ms in enumerate(steps_ms, 1):
        time_ms += step_ms
        payloads.append(kind.make(number, time_ms))
    return payloads


def naive(
    kind: Kind, upstream: Sequence[bytes], last: int, first: int, *, is_followed: bool
) -> list[bytes] | None:
    """What is new in a copy that begins at `first`, after the message `last`; None if it is a hole."""
    reaches_back = first <= last
    follows = first == last + 1 < len(upstream) and kind.proves_gaps
    return list(upstream[last + 1 :]) if reaches_back or follows or is_followed else None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(data=st.data())
def test_each_message_of_two_copies_is_delivered_once_in_order_or_there_is_a_hole(
    kind: Kind, data: st.DataObject
) -> None:
    upstream = data.draw(upstreams(kind))
    last = data.draw(st.integers(0, len(upstream) - 1), label="last delivered")
    first = data.draw(st.integers(0, len(upstream)), label="first of the new copy")
    is_followed = first <= last + 1 and data.draw(st.booleans(), label="followed")
    told = follow(
        continuation(kind.name, upstream[last], is_followed=is_followed), upstream[first:]
    )
    expected = naive(kind, upstream, last, first, is_followed=is_followed)
    if expected is None:
        assert told.hole
        assert told.payloads == []
    elif told.hole:  # more careful than the model, never less
        assert told.hole == UNKNOWN_PLACE
        assert first > last or kind.make is foreign
    else:
        assert told.payloads == expected


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(data=st.data())
def test_a_copy_that_is_behind_goes_on_where_the_other_one_ended(
    kind: Kind, data: st.DataObject
) -> None:
    upstream = data.draw(upstreams(kind))
    last = data.draw(st.integers(0, len(upstream) - 1))
    joint = continuation(kind.name, upstream[last], is_followed=False)
    told = [each for payload in upstream for each in joint.take(payload, HEARD_MS + BEHIND_MS)]
    assert told == upstream[last + 1 :]
    assert joint.settle() == ()
    assert joint.is_whole


@given(
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=12, unique=True).map(sorted),
    others=st.lists(st.integers(1, 60), min_size=1, max_size=12, unique=True).map(sorted),
    data=st.data(),
)
def test_updates_that_are_merged_at_other_times_are_chained_to_the_last_one(
    cuts: list[int], others: list[int], data: st.DataObject
) -> None:
    ours = [update(a, b, 100 * b) for a, b in zip([0, *cuts], cuts, strict=False)]
    theirs = [update(a, b, 100 * b) for a, b in zip([0, *others], others, strict=False)]
    number = data.draw(st.integers(0, len(ours) - 1))
    told = follow(continuation("btcusdt@depth@500ms", ours[number]), theirs)
    assert told.hole == ""
    last_id = cuts[number]
    decoded = [msgspec.json.decode(each) for each in told.payloads]
    assert [each["u"] for each in decoded] == [each for each in others if each > last_id]
    for each in decoded:
        assert each["pu"] == last_id < each["U"] <= each["u"]
        assert each["b"] == [["1.50", str(each["u"])]]
        last_id = each["u"]


def test_only_the_ids_of_a_chained_update_differ() -> None:
    joint = continuation("btcusdt@depth@500ms", update(10, 21, 100))
    assert joint.take(update(20, 30, 200), HEARD_MS) == (
        update(20, 30, 200).replace(b'"U":21', b'"U":22').replace(b'"pu":20', b'"pu":21'),
    )


def test_a_missing_id_is_a_hole() -> None:
    told = follow(continuation("btcusdt@trade", trade(5, 100)), [trade(7, 300), trade(8, 400)])
    assert told == Told([], MISSING)


def test_a_missing_update_is_a_hole() -> None:
    joint = continuation("btcusdt@depth@100ms", depth(5, 100))
    assert follow(joint, [depth(7, 300), depth(8, 400)]) == Told([], MISSING)


def test_ids_that_restarted_are_a_hole() -> None:
    joint = continuation("btcusdt@trade", trade(5_000, 100))
    assert follow(joint, [trade(3, 90_000)]) == Told([], RESTARTED)


def test_times_that_restarted_are_a_hole_and_not_silent_for_ever() -> None:
    joint = continuation("btcusdt@kline_1m", candle(5, 100_000))
    assert joint.take(candle(6, 50_000), HEARD_MS + BEHIND_MS) == ()
    assert joint.hole == ""
    assert joint.take(candle(7, 50_250), HEARD_MS + BEHIND_MS + 1) == ()
    assert joint.hole == RESTARTED


def test_a_quiet_stream_that_was_followed_is_whole() -> None:
    joint = continuation("!contractInfo", b'{"e":"contractInfo","E":100,"s":"BTCUSDT"}')
    assert follow(joint, []) == Told([], "")


def test_a_quiet_stream_that_was_not_followed_has_a_hole_before_its_next_message() -> None:
    assert follow(continuation("btcusdt@trade", trade(5, 100), is_followed=False), []).hole == (
        NOT_FOLLOWED
    )


def test_a_price_that_each_plant_makes_itself_is_delivered_once() -> None:
    joint = continuation("btcusdt@markPrice", mark_price(1, 3_000), is_followed=False)
    theirs = [mark_price(2, 3_000), mark_price(3, 6_000)]
    assert follow(joint, theirs) == Told([theirs[1]], "")


def test_the_messages_of_one_time_are_told_apart_by_their_bytes() -> None:
    same = [liquidation(number, 100) for number in range(6)]
    joint = continuation("!forceOrder@arr", same[2], is_followed=False)
    assert follow(joint, same) == Told(same[3:], "")


def test_messages_of_the_last_time_without_the_last_one_are_a_hole() -> None:
    joint = continuation("!forceOrder@arr", liquidation(0, 100))
    assert follow(joint, [liquidation(1, 100), liquidation(2, 200)]) == Told([], UNKNOWN_PLACE)


def test_what_waits_for_its_place_is_bounded() -> None:
    joint = continuation("!forceOrder@arr", liquidation(0, 100))
    for number in range(MAX_HELD):
        joint.take(liquidation(1 + 3 * number, 100), HEARD_MS)
    assert joint.hole == ""
    joint.take(liquidation(1, 100), HEARD_MS)
    assert joint.hole == UNKNOWN_PLACE


def test_of_a_stream_without_messages_those_since_the_old_plant_fell_silent_are_delivered() -> None:
    joint = continuation("btcusdt@trade", None)
    assert joint.take(trade(1, 100), HEARD_MS - BEHIND_MS - 1) == ()
    assert joint.take(trade(2, 200), HEARD_MS - BEHIND_MS) == (trade(2, 200),)
    assert joint.is_whole


def test_of_a_stream_that_was_just_opened_no_older_messages_are_delivered() -> None:
    joint = continuation("btcusdt@trade", None, opened_ms=HEARD_MS - 500)
    assert joint.take(trade(1, 100), HEARD_MS - 501) == ()
    assert joint.take(trade(2, 200), HEARD_MS - 500) == (trade(2, 200),)


def test_a_stream_without_messages_that_was_not_followed_has_a_hole() -> None:
    joint = continuation("btcusdt@trade", None, is_followed=False)
    assert follow(joint, [trade(1, 100)]) == Told([], NOT_FOLLOWED)


def test_a_last_message_that_cannot_be_read_is_found_by_its_bytes() -> None:
    joint = continuation("btcusdt@trade", b'{"odd":1}', is_followed=False)
    theirs = [b'{"odd":0}', b'{"odd":1}', trade(3, 100)]
    assert follow(joint, theirs) == Told([trade(3, 100)], "")
