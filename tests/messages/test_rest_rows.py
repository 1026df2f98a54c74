"""REST answers as messages."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from captured import EXAMPLES, TESTS
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.messages import (
    AggregateTrade,
    Kline,
    Message,
    Trade,
)
from tickerplant.messages.rest_rows import parse_aggregate_trades, parse_klines, parse_trades

GOLDENS = TESTS / "goldens" / "queries"
NOW_MS = 1_772_000_123_456


def candles_of(answer: bytes, symbol: str) -> list[Kline]:
    return parse_klines(answer, symbol, "1m", NOW_MS)


OF = {
    "trades": parse_trades,
    "historicalTrades": parse_trades,
    "aggTrades": parse_aggregate_trades,
    "klines": candles_of,
}
ANSWERS = [
    pytest.param(path, OF[path.name.split(".")[1]], id=str(path.relative_to(root)))
    for root in (GOLDENS, EXAMPLES)
    for name in OF
    for path in sorted(root.rglob(f"rest.{name}*.json"))
]


def expected(row: Any) -> dict[str, Any]:
    """What a row says, by the names of messages."""
    if isinstance(row, list):
        names = (
            "open_time_ms open_price high_price low_price close_price volume close_time_ms turnover "
            "trade_count taker_buy_volume taker_buy_turnover"
        )
        return dict(zip(names.split(), row[:-1], strict=True))
    if "id" in row:
        return {
            "trade_id": row["id"],
            "price": row["price"],
            "quantity": row["qty"],
            "trade_time_ms": row["time"],
            "buyer_is_maker": row["isBuyerMaker"],
            "origin": "MARKET",
        }
    return {
        "aggregate_id": row["a"],
        "price": row["p"],
        "quantity": row["q"],
        "normal_quantity": row.get("nq"),
        "first_trade_id": row["f"],
        "last_trade_id": row["l"],
        "trade_time_ms": row["T"],
        "buyer_is_maker": row["m"],
    }


@pytest.mark.parametrize(("path", "of"), ANSWERS)
@pytest.mark.parametrize("indent", [None, 1])
def test_every_row_becomes_a_message(path: Any, of: Any, indent: int | None) -> None:
    rows = json.loads(path.read_text())
    messages = of(json.dumps(rows, indent=indent).encode(), "BTCUSDT")
    assert len(messages) == len(rows) > 0
    for message, row in zip(messages, rows, strict=True):
        assert message.symbol == "BTCUSDT"
        assert message.backfilled
        assert json.loads(message.payload) == row
        source, end = (
            (message.candle, "close_time_ms") if of is candles_of else (message, "trade_time_ms")
        )
        assert {name: getattr(source, name) for name in expected(row)} == expected(row)
        assert message.event_time_ms == getattr(source, end)


def test_the_payload_is_the_row_byte_by_byte() -> None:
    row = b'{ "a":1,"p":"1.0", "q":"2","f":1,"l":1,"T":5,"m":true,"new": [ 1 ] }'
    (message,) = parse_aggregate_trades(b"[ " + row + b" ]", "BTCUSDT")
    assert message.payload == row
    assert isinstance(message, AggregateTrade)


def candle(close_time_ms: int) -> list[Any]:
    return [
        close_time_ms - 59_999,
        "1",
        "2",
        "0.5",
        "1.5",
        "3",
        close_time_ms,
        "4",
        7,
        "1",
        "2",
        "0",
    ]


@pytest.mark.parametrize(("ago_ms", "closed"), [(1, True), (0, False), (-30_000, False)])
def test_a_candle_is_closed_when_its_end_is_past(ago_ms: int, closed: bool) -> None:
    answer = msgspec.json.encode([candle(NOW_MS - ago_ms)])
    (message,) = parse_klines(answer, "BTCUSDT", "1m", NOW_MS)
    assert message.is_closed is closed
    assert (message.interval, message.candle.symbol) == ("1m", "BTCUSDT")
    assert (message.candle.first_trade_id, message.candle.last_trade_id) == (-1, -1)


def test_nothing_is_an_answer_too() -> None:
    assert [of(b"[]", "BTCUSDT") for of in OF.values()] == [[]] * len(OF)


TRADE = {"id": 1, "price": "1", "qty": "1", "quoteQty": "1", "time": 5, "isBuyerMaker": True}


@pytest.mark.parametrize("key", ["id", "price", "qty", "time", "isBuyerMaker"])
def test_a_row_without_what_it_needs_is_refused(key: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        parse_trades(msgspec.json.encode([{k: v for k, v in TRADE.items() if k != key}]), "X")


@pytest.mark.parametrize("length", range(12))
def test_a_candle_has_twelve_parts(length: int) -> None:
    with pytest.raises(msgspec.ValidationError):
        candles_of(msgspec.json.encode([candle(NOW_MS)[:length]]), "X")


@pytest.mark.parametrize("of", OF.values())
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff",
        b"<html>",
        b'{"code":-1121,"msg":"Invalid symbol."}',
        b"[1]",
        b"[null]",
        b"[[]]",
        b"[{}]",
        b'[{"id":1,"price":"\xff"}]',
        b'[{"a":1,"p":"\xff"}]',
        b'[[1,"\xff"]]',
        b"[" * 100_000,
        b'[{"x":' * 100_000,
    ],
)
def test_anything_else_is_refused(answer: bytes, of: Any) -> None:
    with pytest.raises(msgspec.DecodeError):
        of(answer, "BTCUSDT")


@given(st.binary(), st.sampled_from(list(OF.values())))
def test_any_bytes_are_a_response_or_refused(answer: bytes, of: Any) -> None:
    try:
        messages: list[Message] = of(answer, "BTCUSDT")
    except msgspec.DecodeError:
        return
    assert all(isinstance(each, Trade | AggregateTrade | Kline) for each in messages)
