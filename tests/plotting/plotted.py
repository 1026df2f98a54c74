"""Recordings of a market that is written by hand, second by second."""

from __future__ import annotations

import json

from archived import START_NS, line_of

from tickerplant.recording.line import Line
from tickerplant.units import NS_PER_MS, NS_PER_S

SYMBOL = "BTCUSDT"


def at_ns(second: float) -> int:
    return START_NS + int(second * NS_PER_S)


def trade(
    second: float,
    number: int,
    price: object,
    quantity: object = 1,
    *,
    is_sale: bool = False,
    symbol: str = SYMBOL,
) -> Line:
    time_ms = at_ns(second) // NS_PER_MS
    message = {
        "e": "trade",
        "E": time_ms,
        "T": time_ms,
        "s": symbol,
        "t": number,
        "p": str(price),
        "q": str(quantity),
        "X": "MARKET",
        "m": is_sale,
    }
    return line_of(f"{symbol.lower()}@trade", message, at_ns(second))


def ticker(second: float, bid: object, ask: object, stream: str = "btcusdt@bookTicker") -> Line:
    time_ms = at_ns(second) // NS_PER_MS
    message = {
        "e": "bookTicker",
        "u": time_ms,
        "s": SYMBOL,
        "b": str(bid),
        "B": "1",
        "a": str(ask),
        "A": "1",
        "T": time_ms,
        "E": time_ms,
    }
    return line_of(stream, message, at_ns(second))


def depth(
    second: float,
    ids: tuple[int, int, int],
    bids: dict[int, int],
    asks: dict[int, int],
    stream: str = "btcusdt@depth@100ms",
) -> Line:
    """An update: ids are previous, first and last."""
    time_ms = at_ns(second) // NS_PER_MS
    message = {
        "e": "depthUpdate",
        "E": time_ms,
        "T": time_ms,
        "s": SYMBOL,
        "pu": ids[0],
        "U": ids[1],
        "u": ids[2],
        "b": [[str(price), str(size)] for price, size in bids.items()],
        "a": [[str(price), str(size)] for price, size in asks.items()],
    }
    return line_of(stream, message, at_ns(second))


def snapshot(second: float, last_id: int, bids: dict[int, int], asks: dict[int, int]) -> Line:
    time_ms = at_ns(second) // NS_PER_MS
    body = {
        "lastUpdateId": last_id,
        "E": time_ms,
        "T": time_ms,
        "bids": [[str(price), str(size)] for price, size in bids.items()],
        "asks": [[str(price), str(size)] for price, size in asks.items()],
    }
    address = f"http://127.0.0.1/fapi/v1/depth?symbol={SYMBOL}&limit=1000"
    return at_ns(second), f"{address} {json.dumps(body)}".encode()
