"""Payloads of every kind of stream, numbered by the test."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from world import WALL_MS, World

AGGREGATES = "btcusdt@aggTrade"
DEPTH = "btcusdt@depth@100ms"
QUOTES = "btcusdt@bookTicker"
TICKERS = "btcusdt@miniTicker"
ARRAY = "!miniTicker@arr"
CANDLES = "btcusdt@kline_1m"
MARKS = "btcusdt@markPrice@1s"
EVENT_MS = 100
"""Between two messages."""


def aggregate(number: int) -> bytes:
    return msgspec.json.encode(
        {
            "e": "aggTrade",
            "E": WALL_MS + EVENT_MS * number,
            "a": number,
            "s": "BTCUSDT",
            "p": "65280.00",
            "q": "0.005",
            "nq": "0.005",
            "f": number,
            "l": number,
            "T": WALL_MS + EVENT_MS * number,
            "m": False,
        }
    )


def depth(number: int) -> bytes:
    return msgspec.json.encode(
        {
            "e": "depthUpdate",
            "E": WALL_MS + EVENT_MS * number,
            "T": WALL_MS + EVENT_MS * number,
            "s": "BTCUSDT",
            "U": number * 7 - 6,
            "u": number * 7,
            "pu": number * 7 - 7,
            "b": [["65280.00", str(number)]],
            "a": [],
        }
    )


def quote(number: int) -> bytes:
    return msgspec.json.encode(
        {
            "e": "bookTicker",
            "u": number * 3,
            "s": "BTCUSDT",
            "b": "65279.90",
            "B": "4.215",
            "a": "65280.00",
            "A": "3.763",
            "T": WALL_MS + EVENT_MS * number,
            "E": WALL_MS + EVENT_MS * number,
        }
    )


def _ticker(number: int, symbol: str) -> dict[str, object]:
    return {
        "e": "24hrMiniTicker",
        "E": WALL_MS + EVENT_MS * number,
        "s": symbol,
        "c": "1",
        "o": "1",
        "h": "1",
        "l": "1",
        "v": "1",
        "q": "1",
    }


def ticker(number: int) -> bytes:
    return msgspec.json.encode(_ticker(number, "BTCUSDT"))


def tickers(number: int) -> bytes:
    """An array of one: what is delivered are its elements."""
    return msgspec.json.encode([_ticker(number, "BTCUSDT")])


def candle_of(minute: int, second: int, *, is_closed: bool = False) -> bytes:
    opened = WALL_MS + 60_000 * minute
    return msgspec.json.encode(
        {
            "e": "kline",
            "E": opened + 1_000 * second,
            "s": "BTCUSDT",
            "k": {
                "t": opened,
                "T": opened + 59_999,
                "s": "BTCUSDT",
                "i": "1m",
                "f": 1,
                "L": 2,
                "o": "1",
                "c": "1",
                "h": "1",
                "l": "1",
                "v": "1",
                "n": second,
                "x": is_closed,
                "q": "1",
                "V": "1",
                "Q": "1",
                "B": "0",
            },
        }
    )


def candle(number: int) -> bytes:
    """Twenty messages a minute, the last of which closes the candle."""
    minute, place = divmod(number, 20)
    return candle_of(minute, place * 3, is_closed=place == 19)


def mark(number: int) -> bytes:
    """A payload of a stream that sends every second."""
    prices = dict.fromkeys("pPi", f"{65_000 + number}.00")
    return msgspec.json.encode(
        {"e": "markPriceUpdate", "E": WALL_MS + 1_000 * number, "s": "BTCUSDT", "r": "0", "T": 0}
        | prices
    )


KINDS: dict[str, Callable[[int], bytes]] = {
    AGGREGATES: aggregate,
    DEPTH: depth,
    QUOTES: quote,
    TICKERS: ticker,
    ARRAY: tickers,
    CANDLES: candle,
}


def publish(world: World, name: str, first: int, count: int, pace_ms: int = 100) -> None:
    """Publish numbered messages of a stream, one after the other."""
    for number in range(first, first + count):
        world.publish(name, KINDS[name](number))
        world.run(pace_ms)
