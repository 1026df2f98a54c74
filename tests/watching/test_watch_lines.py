from __future__ import annotations

import asyncio
import errno
import threading

import msgspec
import pytest
from loopback import looped_on_sockets

from tickerplant.feed.feed import FeedCounters
from tickerplant.messages.message import Message, UnknownMessage
from tickerplant.notices import (
    DecodeFailed,
    Disconnected,
    Gap,
    Notice,
    Recovered,
    SubscriptionRejected,
)
from tickerplant.watching.lines import ERRORS, OUTPUT, Lines, Writer

TIME_MS = 1_767_225_600_000
RECEIVED = "2026-01-01T00:00:00.000000Z"


def message(payload: bytes, stream: str = "a@trade") -> Message:
    return UnknownMessage(stream=stream, payload=payload, received_ns=TIME_MS * 1_000_000)


def gap() -> Notice:
    return Gap(
        streams=("a@trade",), time_ms=TIME_MS, symbol="A", after_id=1, before_id=3, missing=1
    )


def test_a_level_leaves_out_notices_and_totals() -> None:
    lost = Disconnected(streams=("a@trade",), time_ms=0, reason="closed", retry_ms=0)
    back = Recovered(streams=("a@trade",), time_ms=1, outage_ms=1)
    for level, shown in (("info", 2), ("warning", 1), ("error", 0)):
        lines = Lines(log_level=level)
        assert len(lines.pieces([lost, back])) == shown
        assert bool(lines.totals(FeedCounters(), 1, 1.0)) == (level == "info")


def test_a_message_is_one_line() -> None:
    pieces = Lines().pieces([message(b'{"p":1}'), message(b'{\n"p": "2 3"\r\n}')])
    expected = f'{RECEIVED} a@trade {{"p":1}}\n{RECEIVED} a@trade {{"p":"2 3"}}\n'
    assert pieces == [(OUTPUT, expected.encode())]


def test_all_messages_of_an_array_are_one_line_together() -> None:
    array, same = bytes(bytearray(b"[1,2]")), bytes(bytearray(b"[1,2]"))
    lines = Lines()
    ((_, text),) = lines.pieces([message(array), message(array), message(same)])
    assert text.count(b"\n") == 2
    assert lines.pieces([message(same)]) == []


def test_a_message_is_an_object_for_programs() -> None:
    ((place, text),) = Lines(as_json=True).pieces([message(b'{"p": 0.10}', "ü@trade")])
    assert place == OUTPUT
    assert text == f'{{"received":"{RECEIVED}","stream":"ü@trade","data":{{"p": 0.10}}}}\n'.encode()


def test_notices_go_elsewhere_in_their_place() -> None:
    pieces = Lines().pieces([message(b"1"), message(b"2"), gap(), message(b"3")])
    assert [place for place, _ in pieces] == [OUTPUT, ERRORS, OUTPUT]
    assert pieces[1][1] == f"! {RECEIVED} a@trade: 1 message is missing between 1 and 3\n".encode()


def test_notices_are_objects_for_programs() -> None:
    reported = msgspec.json.decode(Lines(as_json=True).notice(gap()))
    assert reported["notice"] == "Gap"
    assert reported["time"] == RECEIVED
    assert (reported["streams"], reported["missing"]) == (["a@trade"], 1)
    odd = DecodeFailed(streams=("a",), time_ms=TIME_MS, payload=b"\xff", reason="no")
    assert msgspec.json.decode(Lines(as_json=True).notice(odd))["payload"] == "\ufffd"


def test_remarks_and_totals_are_lines_too() -> None:
    assert Lines(encoding="ascii").remark("a — b") == b"! a \\u2014 b\n"
    assert Lines(as_json=True).remark("a") == b'{"remark":"a"}\n'
    counters = FeedCounters(messages=3)
    assert Lines().totals(counters, 1, 2).startswith(b"! 3 messages of 1 stream in 2.0 s: ")
    totals = msgspec.json.decode(Lines(as_json=True).totals(counters, 1, 2))["totals"]
    assert (totals["messages"], totals["streams"], totals["seconds"]) == (3, 1, 2)


def test_on_a_terminal_signs_that_it_would_obey_are_escaped() -> None:
    odd = message('{"q":"\x9b2J\u202e 币"}'.encode())
    shown = r'{"q":"\u009b2J\u202e 币"}'
    terminals = (OUTPUT, ERRORS)
    ((_, text),) = Lines(terminals=terminals).pieces([odd])
    assert text.decode() == f"{RECEIVED} a@trade {shown}\n"
    ((_, text),) = Lines(as_json=True, terminals=terminals).pieces([odd])
    assert text.decode() == f'{{"received":"{RECEIVED}","stream":"a@trade","data":{shown}}}\n'
    refused = SubscriptionRejected(streams=("a@trade",), time_ms=TIME_MS, code=2, reason="\x9b2J")
    reported = Lines(as_json=True, terminals=terminals).notice(refused)
    assert rb'"reason":"\u009b2J"' in reported
    assert "\x9b" in Lines(as_json=True, terminals=(OUTPUT,)).notice(refused).decode()


@looped_on_sockets
async def test_what_is_written_in_part_is_written_to_its_end_and_in_order() -> None:
    written: list[tuple[int, bytes]] = []

    def write(place: int, data: bytes) -> int:
        written.append((place, data[:2]))
        return 2

    await Writer(write).write([(OUTPUT, b"abc"), (ERRORS, b"d")])
    assert written == [(OUTPUT, b"ab"), (OUTPUT, b"c"), (ERRORS, b"d")]


@looped_on_sockets
async def test_who_does_not_read_holds_nobody_up() -> None:
    over = threading.Event()

    def write(_: int, data: bytes) -> int:
        over.wait()
        return len(data)

    writing = asyncio.ensure_future(Writer(write).write([(OUTPUT, b"a")]))
    await asyncio.sleep(0.01)
    assert not writing.done()
    writing.cancel()
    over.set()


@pytest.mark.parametrize(
    ("place", "number", "raises"),
    [
        (OUTPUT, errno.EPIPE, BrokenPipeError),
        (ERRORS, errno.EPIPE, BrokenPipeError),
        (OUTPUT, errno.ENOSPC, OSError),
        (ERRORS, errno.ENOSPC, None),
    ],
)
def test_what_cannot_be_written_is_reported_unless_it_was_only_a_notice(
    place: int, number: int, raises: type[OSError] | None
) -> None:
    def write(_: int, data: bytes) -> int:
        raise OSError(number, "no")

    @looped_on_sockets
    async def test() -> None:
        writing = Writer(write).write([(place, b"a")])
        if raises is None:
            await writing
        else:
            with pytest.raises(raises):
                await writing

    test()


@looped_on_sockets
async def test_nothing_is_written_to_a_place_that_is_closed() -> None:
    written: list[int] = []

    def write(place: int, data: bytes) -> int:
        written.append(place)
        return len(data)

    await Writer(write, closed={ERRORS}).write([(ERRORS, b"a"), (OUTPUT, b"b")])
    assert written == [OUTPUT]
