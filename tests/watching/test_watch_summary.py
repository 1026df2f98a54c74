from __future__ import annotations

import msgspec
import pytest
from goldens import GOLDENS

from tickerplant.messages.readers import reader
from tickerplant.watching.summary import amount, change, summary, words

TRADE = {"e": "trade", "E": 5, "T": 5, "s": "BTCUSDT", "t": 1, "p": "65280.10", "q": "0.5"}
DEPTH = {"e": "depthUpdate", "E": 5, "T": 5, "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0}
CANDLE = {"t": 0, "T": 59_999, "s": "BTCUSDT", "i": "1m", "f": 1, "L": 2, "o": "1", "c": "4"}
CANDLE |= {"h": "5", "l": "0.5", "v": "9", "n": 2, "q": "9", "V": "1", "Q": "1"}
ORDER = {"s": "BTCUSDT", "S": "SELL", "q": "1", "p": "3", "ap": "2.9", "X": "FILLED", "l": "1"}
DAY = {"E": 5, "s": "BTCUSDT", "o": "100", "h": "1", "l": "1", "c": "95", "v": "12345.6", "q": "1"}


@pytest.mark.parametrize(
    ("stream", "payload", "expected"),
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
def test_a_message_is_summarised_in_a_few_words(
    stream: str, payload: dict[str, object], expected: str
) -> None:
    encoded = msgspec.json.encode(payload)
    message = reader(stream).decode(encoded)
    message.stream, message.payload = stream, encoded
    assert summary(message) == expected


def test_a_summary_contains_no_control_characters() -> None:
    payload = msgspec.json.encode(TRADE | {"p": "\x1b[31m1\x9b\n\u202e", "m": True})
    assert summary(reader("a@trade").decode(payload)) == "·[31m1···  0.5  sell"


def test_every_message_of_the_catalogue_has_a_summary() -> None:
    for path in (GOLDENS / "streams").rglob("*.json"):
        for row in msgspec.json.decode(path.read_bytes()):
            decoded = reader(path.stem).decode(msgspec.json.encode(row))
            for message in decoded if isinstance(decoded, list) else [decoded]:
                message.stream = path.stem
                assert words(message), path


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


def test_a_change_from_zero_is_unknown() -> None:
    assert [change("0", "1"), change("x", "1"), change("4", "5")] == ["?", "?", "+25.00 %"]
