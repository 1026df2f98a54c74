"""What `watch` shows of one fixed list of messages and notices: as lines, and on screens."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import msgspec
import pytest
from goldens import compare
from rich.console import Console

from tickerplant.feed.feed import FeedCounters
from tickerplant.messages.message import Message, UnknownMessage
from tickerplant.messages.readers import reader
from tickerplant.notices import (
    BookResyncing,
    BookSynced,
    DecodeFailed,
    Disconnected,
    Dropped,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
    UnknownStream,
)
from tickerplant.units import NS_PER_MS
from tickerplant.watching.lines import Lines
from tickerplant.watching.run import totals_text
from tickerplant.watching.screen import draw, room
from tickerplant.watching.summary import MAX_CHARACTERS
from tickerplant.watching.table import MAX_SYMBOL_CHARACTERS, Table, View

TIME_MS = 1_767_225_600_000
NOW_NS = (TIME_MS + 430) * NS_PER_MS
BTC, ETH, ALL = "btcusdt@bookTicker", "ethusdt@trade", "!miniTicker@arr"
TICKER = {"e": "24hrMiniTicker", "E": TIME_MS - 14} | dict.fromkeys("ohlvq", "1")
ONE: dict[str, Any] = {"streams": (BTC,), "time_ms": TIME_MS}
COUNTERS = FeedCounters(messages=1_234, gaps=1, missing=7, lost=2, refused=3, unreadable=1)


def message(stream: str, fields: dict[str, object] | bytes, later_ns: int = 0) -> Message:
    payload = fields if isinstance(fields, bytes) else msgspec.json.encode(fields)
    decoded = reader("btcusdt@miniTicker" if stream == ALL else stream).decode(payload)
    assert isinstance(decoded, Message)
    decoded.stream, decoded.payload = stream, payload
    decoded.received_ns = TIME_MS * NS_PER_MS + later_ns
    return decoded


def gap(missing: int | None, **more: object) -> Gap:
    fields = ONE | {"symbol": "BTCUSDT", "after_id": 4, "before_id": 9, "missing": missing} | more
    return Gap(**fields)


def messages() -> list[Message]:
    quote = {"u": 1, "s": "BTCUSDT", "b": "65280.10", "B": "1.5", "a": "65280.20", "A": "2.5"}
    quote |= {"E": TIME_MS - 14, "T": TIME_MS - 14}
    odd = TICKER | {"s": "\x9b2J\u202e币安人生", "c": "9" * 300}
    return [
        message(BTC, quote),
        message(BTC, msgspec.json.format(msgspec.json.encode(quote))),
        message(ALL, TICKER | {"s": "AUSDT", "c": "110"}, 1),
        message(ALL, odd, 2),
        UnknownMessage(stream="btcusdt@new", payload=b'{"x":"\x1b[2J"}', received_ns=NOW_NS),
    ]


NOTICES: list[Notice] = [
    UnknownStream(streams=("a@Trade",), time_ms=TIME_MS, reason="its name"),
    Disconnected(**ONE, reason="refused: HTTP 503", retry_ms=400),
    Disconnected(streams=("a", "b", "c"), time_ms=TIME_MS, reason="reset"),
    Recovered(streams=("a", "b"), time_ms=TIME_MS, outage_ms=2_000),
    Stale(**ONE, silent_ms=6_000, expected_ms=2_000),
    Stale(**ONE, silent_ms=60_000, expected_ms=0, reason="not read"),
    gap(1),
    gap(4, backfilled=3, reason="late"),
    gap(None, symbol="B", before_id=-1),
    gap(10**5_000, before_id=10**5_000),
    BookResyncing(**ONE, symbol="A", reason="a gap"),
    BookSynced(**ONE, symbol="A", update_id=1),
    Dropped(**ONE, count=2),
    SubscriptionRejected(**ONE, code=2, reason="no\x1b"),
    DecodeFailed(**ONE, payload=b"\xff{", reason="no JSON"),
    Notice(streams=(), time_ms=TIME_MS),
]


def view(*items: Message | Notice, rows: int = 20) -> View:
    table = Table([BTC, ETH, ALL], {ETH: "unknown stream: a hint"})
    for item in items:
        table.take(item)
    return table.view(NOW_NS, rows)


def drawn(shown: View, size: tuple[int, int], *, color: bool = False) -> str:
    console = Console(
        file=StringIO(),
        width=size[0],
        force_terminal=color,
        color_system="standard" if color else None,
    )
    with console.capture() as captured:
        console.print(draw("USDⓈ-M at ws://x", shown, *size))
    return captured.get()


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("terminals", [(), (1, 2)], ids=["pipe", "terminal"])
def test_messages_and_notices_are_lines_in_their_order(
    as_json: bool, terminals: tuple[int, ...]
) -> None:
    lines = Lines(as_json=as_json, terminals=terminals)
    small = [each for each in NOTICES if not (isinstance(each, Gap) and each.before_id > 10**18)]
    first, *rest = messages()
    pieces = lines.pieces([first, first, *small, *rest])
    pieces.append((2, lines.totals(COUNTERS, 2, 12.04)))
    text = b"".join(data for _, data in pieces)
    assert [place for place, _ in pieces] == [1, 2, 1, 2]
    name = f"{'json' if as_json else 'text'}-{'terminal' if terminals else 'pipe'}"
    compare(f"watch/lines-{name}.txt", text.decode("utf-8", "backslashreplace"))
    assert not terminals or text.decode().replace("\n", "").isprintable()


@pytest.mark.parametrize("size", [(140, 40), (80, 24), (40, 8)])
def test_a_screen_shows_as_many_columns_as_fit(size: tuple[int, int]) -> None:
    width, height = size
    shown = view(*messages(), gap(3), *NOTICES[:4], rows=room(height, 5))
    text = "".join(f"{line.rstrip()}\n" for line in drawn(shown, size).splitlines())
    compare(f"watch/screen-{width}x{height}.txt", text)


@pytest.mark.parametrize("size", [(140, 40), (80, 24), (60, 12), (40, 8), (20, 6), (3, 2)])
@pytest.mark.parametrize("notices", [0, 1, 9])
def test_a_screen_is_never_larger_than_the_terminal(size: tuple[int, int], notices: int) -> None:
    width, height = size
    table = Table([ALL])
    for number in range(60):
        table.take(message(ALL, TICKER | {"s": f"S{number}", "c": "币安人生" * 40}, number))
    for _ in range(notices):
        table.take(NOTICES[0])
    text = drawn(table.view(NOW_NS, room(height, notices)), size).splitlines()
    assert len(text) <= height or height < 8
    assert all(len(each) <= width for each in text)


def test_numbers_are_short_and_states_are_coloured() -> None:
    (row, *_) = view(*messages()).rows
    changes: dict[str, dict[Any, str]] = {
        "rate": {0.25: " 0.25 ", 12_345.6: " 12,346 ", None: " - "},
        "delay_ms": {-23_000: " -23 s ", 3_600_000: " 1 h 00 m ", -7.4: " -7 ms "},
        "age_ms": {185_000: " 3 m 05 s "},
    }
    base = view(*messages())
    for field, values in changes.items():
        for value, expected in values.items():
            changed = msgspec.structs.replace(row, **{field: value})
            shown = msgspec.structs.replace(base, rows=[changed])
            assert expected in drawn(shown, (140, 40)), (field, value)
    for state, style in {"stale": "1;33", "disconnected": "1;31", "live": "32"}.items():
        changed = msgspec.structs.replace(row, state=state)
        text = drawn(msgspec.structs.replace(base, rows=[changed]), (140, 40), color=True)
        assert re.search(rf"\x1b\[{style}m *{state}", text)


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("digits", [16, 310, 4_000])
def test_an_impossible_event_time_makes_no_delay(sign: str, digits: int) -> None:
    payload = msgspec.json.encode(TICKER | {"s": "S", "c": "1"})
    payload = payload.replace(f'"E":{TIME_MS - 14}'.encode(), f'"E":{sign}{"9" * digits}'.encode())
    shown = view(message(ALL, payload))
    assert shown.rows[-1].delay_ms is None
    assert "live" in drawn(shown, (120, 40))


def test_very_long_text_is_cut_and_very_large_numbers_are_a_bound() -> None:
    row = view(message(ALL, TICKER | {"s": "X" * 100_000, "c": "1" * 100_000})).rows[-1]
    assert row.symbol == "X" * (MAX_SYMBOL_CHARACTERS - 1) + "…"
    assert row.latest == "1" * MAX_CHARACTERS
    largest = gap(10**4_299 * 9)
    assert "over 1e+18" in drawn(view(*messages(), largest, largest, gap(10**5_000)), (120, 40))
    counters = FeedCounters(missing=10**5_000, duplicates=10**5_000)
    assert "over 1e+18 missing, over 1e+18 duplicates" in totals_text(counters, 1, 1)


def test_the_title_shows_the_length_of_an_outage_and_more_rows_are_counted() -> None:
    shown = view(*messages(), Disconnected(streams=(BTC, ETH), time_ms=TIME_MS - 41_570, reason=""))
    assert drawn(shown, (100, 40)).startswith("2 streams disconnected for 42 s · USDⓈ-M at ws://x")
    hidden = msgspec.structs.replace(shown, hidden=2_000, hidden_not_live=3, dropped=4)
    assert "… 2,000 more rows, 3 of them not live, 4 dropped" in drawn(hidden, (100, 40))


def test_a_level_leaves_out_notices_and_totals() -> None:
    for level, shown in (("info", 2), ("warning", 1), ("error", 0)):
        lines = Lines(log_level=level)
        text = b"".join(data for _, data in lines.pieces([NOTICES[2], NOTICES[3]]))
        assert text.count(b"\n") == shown
        assert bool(lines.totals(COUNTERS, 1, 1.0)) == (level == "info")


def test_what_an_encoding_lacks_is_escaped() -> None:
    assert Lines(encoding="ascii").remark("a — b") == b"! a \\u2014 b\n"
    assert Lines(as_json=True).remark("a") == b'{"remark":"a"}\n'
