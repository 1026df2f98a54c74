"""What faults make of the text of one message or answer: pure functions from bytes to bytes.

All but those that only append or replace a word read the text as JSON and write it again.  The
exchange writes decimals as strings, so what a fault does not change keeps its digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from tickerplant.envelope import HEAD

UNKNOWN_FIELDS = b',"zz":1,"zy":{"zx":["1",null]}'
UNKNOWN_WORD = b"NEW_WORD"
Scaled = Literal["price", "quantity"]

_HAS_IDS = re.compile(rb'"e":"(?:depthUpdate|trade|aggTrade)"')
_WORD = re.compile(rb'(?<="X":")[^"]*(?=")')
_DECIMAL = re.compile(rb'"(-?\d+\.\d+)"')

_decode = msgspec.json.decode
_encode = msgspec.json.encode

CANDLES = ("kline", "continuous_kline", "markPrice_kline", "indexPrice_kline")
TIMES = frozenset({"E", "T", "time", "serverTime"})
"""The keys of times that the exchange's clock gives: of an event, a transaction, a request."""
OTHER_TIMES: Mapping[str, frozenset[str]] = {
    "markPriceUpdate": frozenset({"T"}),  # of the next funding
    "EquityUpdate": frozenset({"T"}),  # the end of a session
    "CommodityUpdate": frozenset({"T"}),
    **dict.fromkeys(CANDLES, frozenset({"k"})),  # the bounds of candles
}
"""Keys of event types whose values a clock that is off does not change."""

_CANDLE: Mapping[Scaled, frozenset[str]] = {
    "price": frozenset("ohlc"),
    "quantity": frozenset("vqVQ"),
}
_QUOTE: Mapping[Scaled, frozenset[str]] = {"price": frozenset("ba"), "quantity": frozenset("BA")}
_TRADE: Mapping[Scaled, frozenset[str]] = {
    "price": frozenset("p"),
    "quantity": frozenset({"q", "nq"}),
}
NUMBERS: Mapping[str, Mapping[Scaled, frozenset[str]]] = {
    "trade": _TRADE,
    "aggTrade": _TRADE,
    "bookTicker": _QUOTE,
    "depthUpdate": {"price": frozenset("ba"), "quantity": frozenset("ba")},
    **dict.fromkeys(CANDLES, _CANDLE),
    "24hrMiniTicker": {"price": frozenset("ohlc"), "quantity": frozenset("vq")},
    "24hrTicker": {"price": frozenset("pwohlc"), "quantity": frozenset("Qvq")},
    "markPriceUpdate": {"price": frozenset({"p", "i", "P", "ap"}), "quantity": frozenset()},
    "indexPriceUpdate": {"price": frozenset("p"), "quantity": frozenset()},
    "IndexUpdate": {"price": frozenset("p"), "quantity": frozenset()},
    "compositeIndex": {"price": frozenset("p"), "quantity": frozenset()},
    "assetIndexUpdate": {"price": frozenset("iBAQG"), "quantity": frozenset()},
    "forceOrder": {"price": frozenset({"p", "ap"}), "quantity": frozenset("qlz")},
}
"""The keys of prices and quantities, by the type of the event; those of `kline` are in `k`, those of
`forceOrder` in `o`, and those of `depthUpdate` are lists of levels."""
NESTED = ("k", "o")
"""The keys under which candles and forced orders have their fields."""


def has_ids(payload: bytes) -> bool:
    """Whether the message is of a stream whose messages are chained by ids."""
    return _HAS_IDS.search(payload) is not None


def with_unknown_fields(payload: bytes) -> bytes:
    """Return a message with more fields; unchanged if it is not an object or an array of objects."""
    end = len(payload) - payload.startswith(HEAD)
    body, rest = payload[:end], payload[end:]
    if body.endswith(b"}]"):
        # Between `}` and `{` only objects of an array have a comma.
        elements = body[:-2].replace(b"},{", UNKNOWN_FIELDS + b"},{")
        return elements + UNKNOWN_FIELDS + b"}]" + rest
    if body.endswith(b"}") and not body.endswith(b"{}"):
        return body[:-1] + UNKNOWN_FIELDS + b"}" + rest
    return payload


def has_word(payload: bytes) -> bool:
    """Whether the message has a word in `X`."""
    return _WORD.search(payload) is not None


def with_unknown_word(payload: bytes) -> bytes:
    """Return a message with another word in `X`."""
    return _WORD.sub(UNKNOWN_WORD, payload)


def with_numbers(payload: bytes) -> bytes:
    """Return a message whose decimals are JSON numbers instead of strings, with the same digits."""
    return _DECIMAL.sub(rb"\1", payload)


def without_field(payload: bytes, field: str) -> bytes:
    """Return a message without a field, a key or a path such as `k.c`, in each element of an array."""

    def change(element: dict[str, Any]) -> bool:
        *outer, key = field.split(".")
        inside: Any = element
        for name in outer:
            inside = inside.get(name) if isinstance(inside, dict) else None
        if not isinstance(inside, dict) or key not in inside:
            return False
        del inside[key]
        return True

    return _changed(payload, change)


def with_other_scale(payload: bytes, digits: int, of: Scaled) -> bytes:
    """Return a stream message whose prices or quantities are too large by so many digits."""

    def change(element: dict[str, Any]) -> bool:
        keys = NUMBERS.get(element.get("e", ""), {}).get(of, frozenset())
        fields = next(
            (element[key] for key in NESTED if isinstance(element.get(key), dict)), element
        )
        return _scale(fields, keys, digits, of)

    return _changed(payload, change)


def scaled(number: str, digits: int) -> str:
    """Return a decimal whose point is `digits` places further right, or left if that is negative."""
    return format(Decimal(number).scaleb(digits), "f")


def _scale(fields: dict[str, Any], keys: frozenset[str], digits: int, of: Scaled) -> bool:
    is_changed = False
    for key in keys & fields.keys():
        value = fields[key]
        if isinstance(value, str):
            fields[key] = scaled(value, digits)
            is_changed = True
        elif isinstance(value, list):
            place = 0 if of == "price" else 1
            for level in value:
                level[place] = scaled(level[place], digits)
            is_changed = is_changed or bool(value)
    return is_changed


def with_clock_off(payload: bytes, by_ms: int) -> bytes:
    """Return a message or an answer as an exchange writes it whose clock is off.

    Changed are event times, transaction times, and the times of answers; not those that name a
    moment of the market: the bounds of candles, funding times.
    """

    def change(element: dict[str, Any]) -> bool:
        return _shift(element, by_ms)

    return _changed(payload, change)


def _shift(value: Any, by_ms: int) -> bool:
    """Shift the times in a value; return whether there were any."""
    if isinstance(value, list):
        return sum(_shift(each, by_ms) for each in value) > 0
    if not isinstance(value, dict):
        return False
    kind = value.get("e")
    others = OTHER_TIMES.get(kind, frozenset()) if isinstance(kind, str) else frozenset[str]()
    is_changed = False
    for key, inner in value.items():
        if key in others:
            continue
        if key in TIMES and type(inner) is int:
            value[key] = inner + by_ms
            is_changed = True
        elif isinstance(inner, dict | list):
            is_changed = _shift(inner, by_ms) or is_changed
    return is_changed


def _changed(payload: bytes, change: Callable[[dict[str, Any]], bool]) -> bytes:
    """Return a text in which `change` has changed objects in place; the same if it changed none.

    In the combined envelope, the message is changed; in an array, each element.
    """
    try:
        value = _decode(payload)
    except msgspec.DecodeError:
        return payload
    body = value
    if isinstance(value, dict) and value.keys() >= {"stream", "data"}:
        body = value["data"]
    elements = body if isinstance(body, list) else [body]
    changes = [change(each) for each in elements if isinstance(each, dict)]
    return _encode(value) if any(changes) else payload
