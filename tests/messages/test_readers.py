"""Every message of every stream, typed: nothing of it is lost, and nothing else gets through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from captured import EXAMPLES, Captured, captured, examples, goldens, message_of_each_kind
from hypothesis import given
from hypothesis import strategies as st
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from tickerplant.messages import (
    Candle,
    DepthUpdate,
    IndexPrice,
    MarkPrice,
    Message,
    Trade,
    UnknownMessage,
)
from tickerplant.messages.readers import UNREADABLE, reader, sequence_reader
from tickerplant.messages.sequenced import Sequenced
from tickerplant.streams import CATALOGUE
from tickerplant.streams.pattern import Pattern

IGNORED: dict[tuple[type[Struct], str], str] = {
    (
        Message,
        "e",
    ): "the name of the stream tells it; `TradingSession` and `UnknownMessage` have it",
    (Candle, "B"): "the exchange says to ignore it",
}
UNDEFAULTED = {(IndexPrice, "i"), (IndexPrice, "s")}
"""Keys that have a default, of which each message has one nevertheless."""

KINDS = message_of_each_kind()
one_message = pytest.mark.parametrize("each", list(KINDS.values()), ids=list(KINDS))


def decoded(each: Captured) -> list[Message]:
    """The messages in a payload, in a list even of one."""
    found = reader(each.stream).decode(each.payload)
    return found if isinstance(found, list) else [found]


def struct_in(annotation: Any) -> type[Struct] | None:
    """The struct that a field holds, alone or in a list."""
    parts = get_args(annotation) if get_origin(annotation) else (annotation,)
    return next((p for p in parts if isinstance(p, type) and issubclass(p, Struct)), None)


def lost(kind: type[Struct], row: dict[str, Any]) -> Iterator[str]:
    """Yield the keys of the wire that no field is for."""
    known = {each.encode_name: each.name for each in fields(kind)}
    hints = get_type_hints(kind)
    for key, value in row.items():
        if key not in known:
            if not any(issubclass(kind, base) and key == name for base, name in IGNORED):
                yield f"{kind.__name__}: {key}"
            continue
        inner = struct_in(hints[known[key]])
        if inner is not None:
            for each in value if isinstance(value, list) else [value]:
                yield from lost(inner, each)


def values_agree(message: Struct, row: dict[str, Any]) -> bool:
    """Whether what is on the wire is what was read of it."""
    encoded = json.loads(msgspec.json.encode(message))
    return all(_same(encoded[key], value) for key, value in row.items() if key in encoded)


def _same(ours: Any, wire: Any) -> bool:
    if isinstance(wire, dict):
        return all(_same(ours[key], value) for key, value in wire.items() if key in ours)
    if isinstance(wire, list):
        return all(_same(one, other) for one, other in zip(ours, wire, strict=True))
    return bool(ours == wire)


def check(each: Captured) -> None:
    found = reader(each.stream)
    messages = decoded(each)
    assert found.message is not UnknownMessage
    assert found.array or not isinstance(each.content, list)
    assert len(messages) == len(each.rows)
    for message, row in zip(messages, each.rows, strict=True):
        assert type(message) is found.message
        assert list(lost(type(message), row)) == []
        assert values_agree(message, row)
        assert message.event_time_ms == row["E"]


def check_sequence(each: Captured) -> None:
    """Names in common mean the same in both."""
    found = sequence_reader(each.stream).decode(each.payload)
    assert isinstance(found, list) == isinstance(each.content, list)
    for one, other in zip(
        found if isinstance(found, list) else [found], decoded(each), strict=True
    ):
        assert isinstance(one, Sequenced)
        assert (one.symbol, one.event_time_ms) == (other.symbol, other.event_time_ms)
        for name in {each.name for each in fields(one)} - {"candle", "order", "symbol", "pair"}:
            assert getattr(one, name) == getattr(other, name)
        if hasattr(one, "candle"):
            assert (one.open_time_ms, one.is_closed) == (other.open_time_ms, other.is_closed)  # type: ignore[attr-defined]


@pytest.mark.parametrize("listed", [pytest.param(x, id=path) for path, x in goldens()])
def test_every_golden_is_read_completely(listed: list[Captured]) -> None:
    for each in listed:
        check(each)
        check_sequence(each)


@pytest.mark.skipif(not EXAMPLES.exists(), reason="the captures are not beside the repository")
@pytest.mark.parametrize(
    "each", [pytest.param(each, id=f"{file}-{each.stream}") for file, each in examples()]
)
def test_every_example_of_the_reference_is_read_completely(each: Captured) -> None:
    check(each)
    check_sequence(each)


def a_name(pattern: Pattern) -> Iterator[str]:
    """The names of a pattern: all choices of its last part, the first of the others."""
    args = {part: (choices or ("btcusd",))[0] for part, choices in pattern.parts.items()}
    yield pattern.name(**args)
    for part, choices in pattern.parts.items():
        for choice in choices:
            yield pattern.name(**args | {part: choice})


@pytest.mark.parametrize("stream", CATALOGUE, ids=lambda each: str(each.pattern.text)[:40])
def test_every_row_of_the_catalogue_has_readers(stream: Any) -> None:
    for name in a_name(stream.pattern):
        assert reader(name).message is not UnknownMessage
        assert reader(name).array or not stream.array
        assert sequence_reader(name).array == reader(name).array
        assert (sequence_reader(name).message is Sequenced) == (name == "tradingSession")


@pytest.mark.parametrize(
    "name",
    ["", "@", "btcusdt", "btcusdt@", "btcusdt@trade_v2", "btcusdt@Trade", "btcusdt@depthy",
     "!trade", "!forceOrder", "!ticker_1h@arr", "a@b@trade", "btcusdt@kline_1m@trade",
     "btcusdt@trade5", "btcusdt@ticker_1h", "btcusdt@depth5x"],
)  # fmt: skip
def test_other_names_are_unknown(name: str) -> None:
    assert reader(name).message is UnknownMessage
    payload = b'{"e":"novelty","E":5,"s":["x"],"p":{"q":null}}'
    message = reader(name).decode(payload)
    assert (message.event_type, message.event_time_ms, message.symbol) == ("novelty", 5, "")
    assert reader(name).decode(b'[{},{"e":"x"}]')[1].event_type == "x"
    sequenced = sequence_reader(name).decode(payload)
    assert (sequenced.event_time_ms, sequenced.symbol) == (5, "")


def test_fields_outside_the_protocol_are_left_to_the_receiver() -> None:
    message = reader("btcusdt@trade").decode(KINDS["btcusdt@trade"].payload)
    assert isinstance(message, Trade)
    assert (message.stream, message.payload, message.received_ns) == ("", b"", 0)
    assert message.backfilled is False
    message.stream, message.payload = "btcusdt@trade", b"{}"
    message.received_ns, message.backfilled = 1, True


def test_a_mark_price_stream_carries_an_object_or_an_array() -> None:
    row = KINDS["btcusdt@markPrice"].content
    for name in ("btcusd@markPrice", "btcusdt@markPrice@1s"):
        assert isinstance(reader(name).decode(msgspec.json.encode(row)), MarkPrice)
        (message,) = reader(name).decode(msgspec.json.encode([row]))
        assert isinstance(message, MarkPrice)
    with pytest.raises(msgspec.ValidationError):
        reader("!markPrice@arr").decode(msgspec.json.encode(row))


def test_levels_are_pairs_of_text() -> None:
    message = reader("btcusdt@depth").decode(KINDS["btcusdt@depth"].payload)
    assert isinstance(message, DepthUpdate)
    assert message.bids == [tuple(level) for level in KINDS["btcusdt@depth"].content["b"]]


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("btcusdt@kline_1m", "BTCUSDT"),
        ("btcusd_perpetual@continuousKline_1m", "BTCUSD"),
        ("btcusd@indexPriceKline_1m", "BTCUSD"),
        ("btcusd_perp@markPriceKline_1m", "BTCUSD_PERP"),
        ("btcusd@indexPrice", "BTCUSD"),
        ("btcusdt@indexPrice", "BTCUSDT"),
        ("btcusdt@forceOrder", "BTCUSDT"),
        ("tradingSession", ""),
        ("adausd@assetIndex", "ADAUSD"),
    ],
)
def test_every_message_has_its_symbol(name: str, symbol: str) -> None:
    (message,) = decoded(KINDS[name])
    assert message.symbol == symbol
    assert sequence_reader(name).decode(KINDS[name].payload).symbol == symbol


def test_a_message_gives_access_to_its_candle() -> None:
    message = reader("btcusdt@kline_1m").decode(KINDS["btcusdt@kline_1m"].payload)
    candle = message.candle
    assert (message.interval, message.open_time_ms) == (candle.interval, candle.open_time_ms)
    assert message.is_closed is candle.is_closed


@pytest.mark.parametrize("name", ["btcusdt@trade", "btcusdt@aggTrade"])
@pytest.mark.parametrize(("buyer_is_maker", "side"), [(True, "sell"), (False, "buy")])
def test_the_side_of_a_trade_is_that_of_the_taker(
    name: str, buyer_is_maker: bool, side: str
) -> None:
    payload = KINDS[name].payload
    content = {**msgspec.json.decode(payload), "m": buyer_is_maker}
    assert reader(name).decode(msgspec.json.encode(content)).side == side


def test_a_bare_message_is_about_nothing() -> None:
    assert (Message().symbol, Message().event_time_ms) == ("", 0)


def older(kind: type[Struct], row: dict[str, Any]) -> dict[str, Any]:
    """`row` as it was before there were the keys that have a default."""
    hints, kept = get_type_hints(kind), {"e": row["e"]} if "e" in row else {}
    for each in fields(kind):
        key, inner = each.encode_name, struct_in(hints[each.name])
        if key not in row or not (needed(each) or (kind, key) in UNDEFAULTED):
            continue
        value = row[key]
        if inner and isinstance(value, list):
            kept[key] = [older(inner, one) for one in value]
        else:
            kept[key] = older(inner, value) if inner else value
    return kept


def needed(each: FieldInfo) -> bool:
    return each.default is NODEFAULT and each.default_factory is NODEFAULT


WORDS = ("X", "ct", "cs", "S", "e", "o", "f")
"""Keys of words of which there may be more one day."""


def later(content: Any) -> Any:
    """`content` as it may be one day: more keys, and words that are not known."""
    if isinstance(content, list):
        return [later(each) for each in content]
    if not isinstance(content, dict):
        return content
    grown = {
        key: "NOVELTY" if key in WORDS and isinstance(value, str) else later(value)
        for key, value in content.items()
    }
    return {"zz": {"deep": [1, None]}} | grown | {"yy": None, "": []}


@one_message
def test_older_messages_are_read(each: Captured) -> None:
    rows = [older(reader(each.stream).message, row) for row in each.rows]
    content = rows if isinstance(each.content, list) else rows[0]
    messages = decoded(captured(each.stream, content))
    assert [message.symbol for message in messages] == [one.symbol for one in decoded(each)] or (
        "markPriceKline" in each.stream  # whose symbol stands in the candle
    )


def test_the_keys_that_need_not_be_there_are_these() -> None:
    optional = {
        (reader(each.stream).message.__name__, one.encode_name)
        for each in KINDS.values()
        for one in fields(reader(each.stream).message)
        if not needed(one) and not one.encode_name.startswith(":")
    }
    assert {
        name: " ".join(sorted(k for n, k in optional if n == name)) for name, _ in optional
    } == {
        "Trade": "X st",
        "AggregateTrade": "nq st",
        "BookTicker": "E T ps st",
        "DepthUpdate": "ps st",
        "MiniTicker": "ps st",
        "Ticker": "ps st",
        "MarkPrice": "T ap r st",
        "IndexPrice": "i s",
        "CompositeIndex": "C",
        "ContractInfo": "bks st",
    }


@one_message
def test_later_messages_are_read(each: Captured) -> None:
    newer = captured(each.stream, later(each.content))
    assert len(decoded(newer)) == len(each.rows)
    sequence_reader(each.stream).decode(newer.payload)


REQUIRED = [
    (each, field.encode_name)
    for each in KINDS.values()
    for field in fields(reader(each.stream).message)
    if needed(field)
]


@given(st.sampled_from(REQUIRED))
def test_a_message_without_a_field_it_needs_is_refused(case: tuple[Captured, str]) -> None:
    each, key = case
    lacking = [{k: v for k, v in row.items() if k != key} for row in each.rows]
    content = lacking if isinstance(each.content, list) else lacking[0]
    with pytest.raises(msgspec.ValidationError):
        decoded(captured(each.stream, content))


@given(st.sampled_from(REQUIRED), st.sampled_from([None, [], {}, 1.5, [[1]]]))
def test_a_field_of_another_type_is_refused(case: tuple[Captured, str], value: Any) -> None:
    each, key = case
    if isinstance(each.rows[0].get(key), list) and value == []:
        return  # no levels, no parts
    content = [row | {key: value} for row in each.rows]
    with pytest.raises(msgspec.ValidationError):
        decoded(captured(each.stream, content if isinstance(each.content, list) else content[0]))


def test_an_index_price_is_that_of_something() -> None:
    with pytest.raises(msgspec.ValidationError, match="neither a pair"):
        reader("btcusd@indexPrice").decode(b'{"e":"indexPriceUpdate","E":1,"p":"1"}')
    message = reader("btcusd@indexPrice").decode(b'{"E":1,"p":"1","i":"BTCUSD"}')
    assert isinstance(message, IndexPrice)
    assert (message.pair, message.symbol) == ("BTCUSD", "BTCUSD")


NAMES = st.sampled_from([*KINDS, "btcusdt@novelty"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from("eEsspPik"), inner),
)


@given(NAMES, st.binary() | st.builds(msgspec.json.encode, json_values))
def test_nothing_but_unreadable_is_raised(name: str, payload: bytes) -> None:
    for found in (reader(name), sequence_reader(name)):
        with suppress(*UNREADABLE):
            found.decode(payload)


@given(NAMES, st.data())
def test_a_damaged_message_raises_nothing_but_unreadable(name: str, data: st.DataObject) -> None:
    payload = bytearray(KINDS.get(name, KINDS["btcusdt@trade"]).payload)
    for place in data.draw(st.lists(st.integers(0, len(payload) - 1), max_size=4)):
        payload[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(payload)))
    for found in (reader(name), sequence_reader(name)):
        for damaged in (bytes(payload), bytes(payload[:end])):
            with suppress(*UNREADABLE):
                found.decode(damaged)


@pytest.mark.parametrize("name", ["btcusdt@trade", "btcusdt@novelty"])
@pytest.mark.parametrize("payload", [b'{"e":1}{', b'{"x":' * 100_000, b"[" * 100_000])
def test_depth_without_end_is_unreadable(name: str, payload: bytes) -> None:
    with pytest.raises(UNREADABLE):
        reader(name).decode(payload)


def test_text_that_is_not_utf_8_is_unreadable_where_it_is_read() -> None:
    with pytest.raises(UnicodeDecodeError):
        reader("btcusdt@trade").decode(b'{"s":"\xff"}')
    assert reader("btcusdt@novelty").decode(b'{"E":7,"s":"\xff"}').event_time_ms == 7
