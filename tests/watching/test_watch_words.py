from __future__ import annotations

import msgspec
import pytest

from tickerplant.feed.feed import FeedCounters
from tickerplant.messages.notice import (
    BookResyncing,
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
from tickerplant.messages.readers import reader
from tickerplant.streams import CATALOGUE
from tickerplant.watching.reading import _READINGS, amount, change, reading
from tickerplant.watching.telling import (
    clock_text,
    duration_text,
    notice_text,
    time_text,
    totals_text,
)

TRADE = {"e": "trade", "E": 5, "T": 5, "s": "BTCUSDT", "t": 1, "p": "65280.10", "q": "0.5"}
DEPTH = {"e": "depthUpdate", "E": 5, "T": 5, "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0}
CANDLE = {"t": 0, "T": 59_999, "s": "BTCUSDT", "i": "1m", "f": 1, "L": 2, "o": "1", "c": "4"}
CANDLE |= {"h": "5", "l": "0.5", "v": "9", "n": 2, "q": "9", "V": "1", "Q": "1"}
ORDER = {"s": "BTCUSDT", "S": "SELL", "q": "1", "p": "3", "ap": "2.9", "X": "FILLED", "l": "1"}
DAY = {"E": 5, "s": "BTCUSDT", "o": "100", "h": "1", "l": "1", "c": "95", "v": "12345.6", "q": "1"}


@pytest.mark.parametrize(
    ("stream", "payload", "told"),
    [
        ("btcusdt@trade", TRADE | {"m": True}, "65280.10  0.5  sell"),
        ("btcusdt@trade", TRADE | {"m": False}, "65280.10  0.5  buy"),
        ("btcusdt@miniTicker", DAY, "95  -5.00 %  volume 12.35 k"),
        ("btcusdt@miniTicker", DAY | {"o": "0", "v": "x"}, "95  ?  volume ?"),
        (
            "btcusdt@bookTicker",
            {"u": 1, "s": "BTCUSDT", "b": "1.0", "B": "3", "a": "1.1", "A": "4"},
            "1.0 × 1.1  (3 × 4)",  # noqa: RUF001
        ),
        (
            "btcusdt@depth5@100ms",
            DEPTH | {"b": [["9", "1"], ["8", "1"]], "a": [["10", "1"]]},
            "9 × 10  2 + 1 levels",  # noqa: RUF001
        ),
        (
            "btcusdt@depth",
            DEPTH | {"b": [["8", "1"], ["9", "1"], ["9.5", "0"]], "a": []},
            "9 × -  3 + 0 levels changed",  # noqa: RUF001
        ),
        (
            "btcusdt@kline_1m",
            {"e": "kline", "E": 5, "s": "BTCUSDT", "k": CANDLE | {"x": False}},
            "o 1  h 5  l 0.5  c 4  open",
        ),
        (
            "btcusdt@kline_1m",
            {"e": "kline", "E": 5, "s": "BTCUSDT", "k": CANDLE | {"x": True}},
            "o 1  h 5  l 0.5  c 4  closed",
        ),
        (
            "btcusdt@markPrice",
            {"E": 5, "s": "BTCUSDT", "p": "2", "P": "2", "i": "3", "r": "0.0001", "T": 9},
            "2  index 3  funding 0.0100 %",
        ),
        (
            "btcusdt@markPrice",
            {"E": 5, "s": "BTCUSDT", "p": "2", "P": "2", "i": "3", "r": "", "T": 0},
            "2  index 3",
        ),
        (
            "btcusdt@forceOrder",
            {"E": 5, "o": ORDER | {"z": "1", "T": 5}},
            "SELL 1 at 2.9  FILLED",
        ),
        ("btcusdt@brandNew", {"e": "new", "E": 1}, '{"e":"new","E":1}'),
    ],
)
def test_a_message_is_told_in_a_few_words(
    stream: str, payload: dict[str, object], told: str
) -> None:
    encoded = msgspec.json.encode(payload)
    message = reader(stream).decode(encoded)
    message.stream, message.payload = stream, encoded
    assert reading(message) == told


def test_what_a_server_writes_cannot_command_the_terminal() -> None:
    payload = msgspec.json.encode(TRADE | {"p": "\x1b[31m1\x9b\n\u202e", "m": True})
    assert reading(reader("a@trade").decode(payload)) == "·[31m1···  0.5  sell"


def test_there_are_words_for_every_message_of_the_catalogue() -> None:
    kinds = set()
    for stream in CATALOGUE:
        parts = {name: (choices or ("x",))[0] for name, choices in stream.pattern.parts.items()}
        kinds.add(reader(stream.pattern.name(**parts)).message)
    assert not kinds - _READINGS.keys()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"),
        ("999.9", "999.9"),
        ("12345", "12.35 k"),
        ("-2500000", "-2.5 M"),
        ("7e12", "7 T"),
        ("", "?"),
        ("nan", "?"),
        ("1e400", "?"),
    ],
)
def test_amounts_are_short(text: str, expected: str) -> None:
    assert amount(text) == expected


def test_a_change_from_nothing_is_not_known() -> None:
    assert [change("0", "1"), change("x", "1"), change("4", "5")] == ["?", "?", "+25.00 %"]


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (-5, "0.0 s"),
        (430, "0.4 s"),
        (9_949, "9.9 s"),
        (9_950, "10 s"),
        (59_400, "59 s"),
        (59_600, "1 m 00 s"),
        (185_000, "3 m 05 s"),
        (7_800_000, "2 h 10 m"),
    ],
)
def test_durations_are_short(milliseconds: float, expected: str) -> None:
    assert duration_text(milliseconds) == expected


def test_times_are_in_utc() -> None:
    assert time_text(1_767_225_600_000_001_999) == "2026-01-01T00:00:00.000001Z"
    assert clock_text(1_767_229_261_500) == "01:01:01Z"


ONE = ("a@trade",)


def numbered(missing: int | None, backfilled: int = 0, reason: str = "", symbol: str = "A") -> Gap:
    return Gap(
        streams=ONE,
        time_ms=0,
        symbol=symbol,
        after_id=4,
        before_id=9,
        missing=missing,
        backfilled=backfilled,
        reason=reason,
    )


@pytest.mark.parametrize(
    ("notice", "expected"),
    [
        (
            Disconnected(streams=ONE, time_ms=0, reason="refused: HTTP 503", retry_ms=400),
            "a@trade: nothing is heard, refused: HTTP 503; next attempt in 0.4 s",
        ),
        (
            Disconnected(streams=("a@trade", "b", "c"), time_ms=0, reason="reset"),
            "a@trade and 2 more: nothing is heard, reset",
        ),
        (
            UnknownStream(streams=("a@Trade",), time_ms=0, reason="its name"),
            "a@Trade: doubtful, its name",
        ),
        (
            Recovered(streams=("a", "b"), time_ms=0, outage_ms=2_000),
            "a and b: heard again, after 2.0 s",
        ),
        (
            Stale(streams=ONE, time_ms=0, silent_ms=6_000, expected_ms=2_000),
            "a@trade: silent for 6.0 s, expected every 2.0 s",
        ),
        (
            Stale(streams=ONE, time_ms=0, silent_ms=2_000, expected_ms=0, reason="not read"),
            f"{ONE[0]}: silent for 2.0 s, not read",
        ),
        (
            Stale(streams=ONE, time_ms=0, silent_ms=60_000, expected_ms=0),
            "a@trade: silent for 1 m 00 s",
        ),
        (numbered(1), "a@trade: 1 message is missing between 4 and 9"),
        (
            numbered(4, 3, "late"),
            "a@trade: 4 messages are missing between 4 and 9, 3 of them had since (late)",
        ),
        (numbered(None, symbol="B"), "a@trade: messages are missing of B between 4 and 9"),
        (
            BookResyncing(streams=ONE, time_ms=0, symbol="A", reason="a gap"),
            "a@trade: the book of A begins anew, a gap",
        ),
        (
            Dropped(streams=ONE, time_ms=0, count=2),
            "a@trade: 2 messages given up: they were read too slowly",
        ),
        (
            SubscriptionRejected(streams=ONE, time_ms=0, code=2, reason="no\x1b"),
            "a@trade: the server refuses: 2 no·",
        ),
        (
            DecodeFailed(streams=ONE, time_ms=0, payload=b"\xff{", reason="no JSON"),
            "a@trade: a message cannot be read, no JSON: \ufffd{",
        ),
        (Notice(streams=(), time_ms=0), "nothing: Notice"),
    ],
)
def test_a_notice_is_told_in_plain_words(notice: Notice, expected: str) -> None:
    assert notice_text(notice) == expected


def test_the_totals_are_one_line() -> None:
    counters = FeedCounters(messages=1_234, gaps=1, missing=7, lost=2, refused=3, unreadable=1)
    assert totals_text(counters, 2, 12.04) == (
        "1,234 messages of 2 streams in 12.0 s: 1 gap, 7 missing, 0 duplicates, "
        "2 connections lost, 3 attempts failed, 1 unreadable."
    )
