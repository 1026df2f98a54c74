from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.faults.payloads import (
    Scaled,
    scaled,
    with_clock_off,
    with_numbers,
    with_other_scale,
    without_field,
)

GOLDENS = sorted((Path(__file__).parents[1] / "goldens" / "streams").rglob("*.json"))

TRADE = (
    b'{"e":"trade","E":1772000123456,"T":1772000123455,"s":"BTCUSDT","t":7,'
    b'"p":"65280.10","q":"0.025","X":"MARKET","m":true}'
)
DEPTH = (
    b'{"e":"depthUpdate","E":10,"T":9,"s":"BTCUSDT","U":3,"u":5,"pu":2,'
    b'"b":[["65279.90","4.215"],["65250.00","0.000"]],"a":[["65280.00","3.763"]]}'
)
KLINE = (
    b'{"e":"kline","E":60012,"s":"BTCUSDT","k":{"t":1,"T":59999,"s":"BTCUSDT","i":"1m","f":7,'
    b'"L":9,"o":"65270.10","c":"65280.00","h":"65281.50","l":"65268.00","v":"21.500","n":3,'
    b'"x":true,"q":"1403471.25000","V":"11.250","Q":"734371.87500","B":"0"}}'
)
FORCE_ORDER = (
    b'{"e":"forceOrder","E":56,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014",'
    b'"p":"64801.20","ap":"64990.35","X":"FILLED","l":"0.009","z":"0.014","T":51}}'
)
MARK_PRICE = b'{"e":"markPriceUpdate","E":4000,"s":"BTCUSDT","p":"65275.40000000","T":28800000}'
TICKERS = b'[{"e":"24hrMiniTicker","E":1,"c":"1.50"},{"e":"24hrMiniTicker","E":2,"c":"2.50"}]'


def read(payload: bytes) -> Any:
    return json.loads(payload)


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: path.stem)
def test_what_is_not_changed_keeps_its_bytes(golden: Path) -> None:
    there_and_back = with_clock_off(with_clock_off(golden.read_bytes(), 5_000), -5_000)
    compact = msgspec.json.encode(msgspec.json.decode(golden.read_bytes()))
    assert there_and_back in (golden.read_bytes(), compact)


def test_a_field_is_missing_from_a_message_from_each_element_and_from_inside() -> None:
    assert read(without_field(TRADE, "p")) == {k: v for k, v in read(TRADE).items() if k != "p"}
    assert read(without_field(TICKERS, "E")) == [
        {"e": "24hrMiniTicker", "c": "1.50"},
        {"e": "24hrMiniTicker", "c": "2.50"},
    ]
    assert "c" not in read(without_field(KLINE, "k.c"))["k"]
    combined = b'{"stream":"btcusdt@trade","data":' + TRADE + b"}"
    assert "p" not in read(without_field(combined, "p"))["data"]


@pytest.mark.parametrize("payload", [TRADE, b"not JSON", b"[1,2]", b'"text"'])
def test_what_has_no_such_field_is_the_same_text(payload: bytes) -> None:
    assert without_field(payload, "zz") is payload


@pytest.mark.parametrize(
    ("payload", "of", "path", "expected"),
    [
        (TRADE, "price", ("p",), "652801.0"),
        (TRADE, "quantity", ("q",), "0.25"),
        (DEPTH, "price", ("b", 0, 0), "652799.0"),
        (DEPTH, "quantity", ("a", 0, 1), "37.63"),
        (KLINE, "price", ("k", "h"), "652815.0"),
        (KLINE, "quantity", ("k", "V"), "112.50"),
        (FORCE_ORDER, "price", ("o", "ap"), "649903.5"),
        (FORCE_ORDER, "quantity", ("o", "l"), "0.09"),
        (MARK_PRICE, "price", ("p",), "652754.0000000"),
        (TICKERS, "price", (1, "c"), "25.0"),
    ],
)
def test_numbers_have_their_point_elsewhere(
    payload: bytes, of: Scaled, path: tuple[Any, ...], expected: str
) -> None:
    changed = read(with_other_scale(payload, 1, of))
    for step in path:
        changed = changed[step]
    assert changed == expected


def test_only_what_is_asked_for_is_scaled() -> None:
    before, after = read(DEPTH), read(with_other_scale(DEPTH, -2, "price"))
    assert after["b"][0] == ["652.7990", "4.215"]
    assert {k: v for k, v in after.items() if k not in "ba"} == {
        k: v for k, v in before.items() if k not in "ba"
    }
    assert with_other_scale(MARK_PRICE, 1, "quantity") is MARK_PRICE, "it has no quantities"


@given(st.decimals(0, 10**9, places=4), st.integers(-8, 8))
def test_a_scaled_number_is_a_plain_decimal_of_the_right_size(number: Decimal, digits: int) -> None:
    text = scaled(f"{number:f}", digits)
    assert Decimal(text) == number * Decimal(10) ** digits
    assert "E" not in text


@pytest.mark.parametrize(
    ("payload", "times"),
    [
        (TRADE, {"E": 1772000118456, "T": 1772000118455}),
        (MARK_PRICE, {"E": -1_000, "T": 28_800_000}),
        (b'{"serverTime":6000}', {"serverTime": 1_000}),
        (b'{"symbol":"BTCUSDT","price":"1.0","time":6000}', {"time": 1_000}),
        (b'{"lastUpdateId":5,"E":6000,"T":5999,"bids":[]}', {"E": 1_000, "T": 999}),
    ],
)
def test_a_clock_that_is_off_shows_in_the_times_it_gives(
    payload: bytes, times: dict[str, int]
) -> None:
    assert read(with_clock_off(payload, -5_000)) == read(payload) | times


def test_a_clock_that_is_off_moves_no_candle_and_no_delivery() -> None:
    before, after = read(KLINE), read(with_clock_off(KLINE, 5_000))
    assert after == before | {"E": before["E"] + 5_000}
    order = read(with_clock_off(FORCE_ORDER, 1))
    assert (order["E"], order["o"]["T"]) == (57, 52)
    reply = b'{"id":1,"status":200,"result":{"symbol":"BTCUSDT","price":"1.0","time":10}}'
    assert read(with_clock_off(reply, 5))["result"]["time"] == 15


def test_decimals_are_numbers_with_the_same_digits() -> None:
    assert with_numbers(b'{"s":"BTCUSDT","p":"65280.10","q":"0"}') == (
        b'{"s":"BTCUSDT","p":65280.10,"q":"0"}'
    )
