"""Any lines, read as their makers know them: usual, oddly spelled, unreadable, several in one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from archived import START_NS, golden
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.archive.message_reader import MessageReader
from tickerplant.archive.selection import Selection
from tickerplant.envelope import prefix_of
from tickerplant.messages import Message
from tickerplant.messages.book import DepthSnapshot
from tickerplant.messages.readers import reader

SYMBOLS = ("BTCUSDT", "ETHUSDT")
TOPICS = ("trade", "aggTrade", "bookTicker", "depth")
ARRAYS = ("!miniTicker@arr", "!markPrice@arr")
SAMPLES: dict[str, Any] = dict(reversed(golden("usdm")))
STREAMS = (*(f"{symbol.lower()}@{topic}" for symbol in SYMBOLS for topic in TOPICS), *ARRAYS)
BOOK = b'{"lastUpdateId":7,"E":5,"T":4,"bids":[["1.5","2"]],"asks":[["1.6","3"]]}'


@dataclass(frozen=True)
class Made:
    """A line and what is in it."""

    raw: bytes
    stream: str = ""
    """Empty where there is no message of a stream."""
    payload: bytes = b""
    is_unreadable: bool = False
    snapshot_of: str = ""
    """The symbol, where it is a snapshot of a book."""


def text(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def content_of(stream: str) -> Any:
    """What a stream may say: the symbol is that of its name."""
    if stream in ARRAYS:
        return SAMPLES[stream]
    symbol, _, topic = stream.partition("@")
    return SAMPLES[f"btcusdt@{topic}"] | {"s": symbol.upper()}


def usual(stream: str) -> Made:
    payload = text(content_of(stream))
    return Made(prefix_of(stream) + payload + b"}", stream, payload)


def of_another_symbol(stream: str) -> Made:
    """A message that is not about the symbol of its stream."""
    symbol, _, topic = stream.partition("@")
    other = SYMBOLS[symbol == "btcusdt"]
    payload = text(SAMPLES[f"btcusdt@{topic}"] | {"s": other})
    return Made(prefix_of(stream) + payload + b"}", stream, payload)


def with_spaces(stream: str) -> Made:
    payload = json.dumps(content_of(stream)).encode()
    raw = b'{ "stream" : "%b" , "data" : %b }' % (stream.encode(), payload)
    return Made(raw, stream, payload)


def escaped(stream: str) -> Made:
    """The first letter of the name is spelled by its number."""
    payload = text(content_of(stream))
    name = b"\\u%04x%b" % (ord(stream[0]), stream[1:].encode())
    return Made(b'{"stream":"%b","data":%b}' % (name, payload), stream, payload)


def turned_round(stream: str) -> Made:
    payload = text(content_of(stream))
    return Made(b'{"data":%b,"stream":"%b"}' % (payload, stream.encode()), stream, payload)


def with_more(stream: str) -> Made:
    """Something follows the payload in the usual envelope."""
    payload = text(content_of(stream))
    return Made(prefix_of(stream) + payload + b',"more":1}', stream, payload)


def torn(stream: str) -> Made:
    return Made(usual(stream).raw[:-9], is_unreadable=True)


def of_the_wrong_kind(stream: str) -> Made:
    return Made(prefix_of(stream) + b'{"e":"trade","s":7}}', is_unreadable=True)


def several(stream: str) -> Made:
    """Two payloads where one should be."""
    payload = text(content_of(stream))
    return Made(prefix_of(stream) + payload + b"," + payload + b"}", is_unreadable=True)


def asked(symbol: str) -> Made:
    address = b"http://127.0.0.1:9001/fapi/v1/depth?symbol=%b&limit=1000 " % symbol.encode()
    return Made(address + BOOK, snapshot_of=symbol)


BARE = text(content_of("btcusdt@trade"))
OTHERS = (
    Made(BARE, "btcusdt@trade", BARE),
    Made(b'{"result":null,"id":1}'),
    Made(b"", is_unreadable=True),
    Made(b"hello", is_unreadable=True),
    Made(b'","data":', is_unreadable=True),
    *map(asked, SYMBOLS),
)
of_one_symbol = st.sampled_from([stream for stream in STREAMS if stream not in ARRAYS])
any_stream = st.sampled_from(STREAMS)
made_lines = st.lists(
    st.one_of(
        any_stream.map(usual),
        of_one_symbol.map(of_another_symbol),
        st.sampled_from(
            [with_spaces, escaped, turned_round, with_more, torn, of_the_wrong_kind, several]
        ).flatmap(any_stream.map),
        st.sampled_from(OTHERS),
    ),
    max_size=40,
)
selections = st.builds(
    Selection,
    streams=st.frozensets(any_stream, max_size=3),
    symbols=st.frozensets(st.sampled_from(SYMBOLS), max_size=1),
)


def expected(
    made: Made, received_ns: int, selection: Selection, *, payloads: bool
) -> list[Message]:
    """The messages in a line, as it was made."""
    if not made.stream:
        return []
    symbols = selection.symbols
    if selection.streams and made.stream not in selection.streams:
        return []
    if symbols and made.stream not in ARRAYS:
        if made.stream.partition("@")[0].upper() not in symbols:
            return []
        symbols = frozenset()  # the name of the stream tells
    decoded = reader(made.stream).decode(made.payload)
    messages: list[Message] = decoded if isinstance(decoded, list) else [decoded]
    for message in messages:
        message.stream, message.received_ns = made.stream, received_ns
        message.payload = made.payload if payloads else b""
    return [each for each in messages if not symbols or each.symbol in symbols]


@given(made_lines, st.booleans())
def test_every_line_is_read_as_it_was_made(many: list[Made], payloads: bool) -> None:
    lanes = MessageReader(Selection(), payloads=payloads)
    lines = [(START_NS + number, made.raw) for number, made in enumerate(many)]
    wanted = [
        message
        for (received_ns, _), made in zip(lines, many, strict=True)
        for message in expected(made, received_ns, Selection(), payloads=payloads)
    ]
    assert list(lanes.read(lines)) == wanted
    bad = [line for line, made in zip(lines, many, strict=True) if made.is_unreadable]
    assert lanes.unreadable == len(bad)
    assert lanes.reason.startswith(f"received at {bad[0][0]}: " if bad else "")
    assert bool(lanes.reason) == bool(bad)
    assert lanes.streams >= {made.stream for made in many if made.stream}


@given(made_lines, selections)
def test_a_selection_takes_its_part_of_every_line(many: list[Made], selection: Selection) -> None:
    lanes = MessageReader(selection)
    lines = [(START_NS + number, made.raw) for number, made in enumerate(many)]
    wanted = [
        message
        for (received_ns, _), made in zip(lines, many, strict=True)
        for message in expected(made, received_ns, selection, payloads=True)
    ]
    assert list(lanes.read(lines)) == wanted


@given(made_lines)
def test_snapshots_stand_between_the_messages_around_them(many: list[Made]) -> None:
    lanes = MessageReader(Selection(), snapshots=True)
    lines = [(START_NS + number, made.raw) for number, made in enumerate(many)]
    found = [
        (each.received_ns, each.symbol if isinstance(each, DepthSnapshot) else "")
        for each in lanes.read(lines)
    ]
    wanted = [
        (received_ns, made.snapshot_of)
        for (received_ns, _), made in zip(lines, many, strict=True)
        for _ in (
            [made.snapshot_of]
            if made.snapshot_of
            else expected(made, received_ns, Selection(), payloads=True)
        )
    ]
    assert found == wanted


@pytest.mark.parametrize("stream", STREAMS)
def test_a_message_is_given_before_the_next_is_read(stream: str) -> None:
    lanes = MessageReader(Selection())
    reading = lanes.read([(START_NS, usual(stream).raw), (START_NS + 1, torn(stream).raw)])
    assert next(reading).received_ns == START_NS
    assert lanes.unreadable == 0
