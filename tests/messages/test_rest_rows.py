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
    CandleMessage,
    ContinuousKline,
    FundingRate,
    IndexPriceKline,
    Instrument,
    Kline,
    MarkPriceKline,
    Message,
    Trade,
)
from tickerplant.messages.rest_rows import (
    parse_aggregate_trades,
    parse_candles,
    parse_depth,
    parse_funding_rates,
    parse_instruments,
    parse_trades,
)
from tickerplant.stream_name import parse_stream_name

GOLDENS = TESTS / "goldens" / "queries"
NOW_MS = 1_772_000_123_456


def candles_of(answer: bytes, symbol: str) -> list[CandleMessage]:
    return parse_candles(answer, parse_stream_name(f"{symbol.lower()}@kline_1m"), NOW_MS)


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
    prices = ["1", "2", "0.5", "1.5"]
    return [close_time_ms - 59_999, *prices, "3", close_time_ms, "4", 7, "1", "2", "0"]


@pytest.mark.parametrize(("ago_ms", "closed"), [(1, True), (0, False), (-30_000, False)])
def test_a_candle_is_closed_when_its_end_is_past(ago_ms: int, closed: bool) -> None:
    answer = msgspec.json.encode([candle(NOW_MS - ago_ms)])
    (message,) = candles_of(answer, "BTCUSDT")
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
    assert all(isinstance(each, Trade | AggregateTrade | CandleMessage) for each in messages)


@pytest.mark.parametrize(
    ("stream", "kind", "fields"),
    [
        ("btcusdt@kline_5m", Kline, {"symbol": "BTCUSDT"}),
        (
            "btcusd_next_quarter@continuousKline_5m",
            ContinuousKline,
            {"pair": "BTCUSD", "contract_type": "NEXT_QUARTER", "symbol": "BTCUSD"},
        ),
        ("btcusd@indexPriceKline_5m", IndexPriceKline, {"pair": "BTCUSD", "symbol": "BTCUSD"}),
        (
            "btcusd_260626@markPriceKline_5m",
            MarkPriceKline,
            {"pair": "BTCUSD", "symbol": "BTCUSD_260626"},
        ),
    ],
)
def test_candles_become_messages_of_their_stream(
    stream: str, kind: type[Message], fields: dict[str, str]
) -> None:
    answer = msgspec.json.encode([candle(NOW_MS)])
    (message,) = parse_candles(answer, parse_stream_name(stream), NOW_MS)
    assert type(message) is kind
    assert {name: getattr(message, name) for name in fields} == fields
    assert (message.interval, message.is_closed) == ("5m", False)


def captured(name: str) -> list[Any]:
    found = [*EXAMPLES.rglob(f"rest.{name}*.json"), *GOLDENS.rglob(f"rest.{name}*.json")]
    return [pytest.param(path, id=str(path.relative_to(path.parents[2]))) for path in sorted(found)]


@pytest.mark.parametrize("path", captured("depth"))
def test_a_snapshot_has_the_symbol_that_was_requested(path: Any) -> None:
    row = json.loads(path.read_text())
    snapshot = parse_depth(path.read_bytes(), "XYZ")
    assert snapshot.symbol == row.get("symbol", "XYZ")
    assert (snapshot.last_update_id, snapshot.payload) == (row["lastUpdateId"], path.read_bytes())
    assert snapshot.bids == [tuple(level) for level in row["bids"]]


@pytest.mark.parametrize("path", captured("fundingRate"))
def test_a_funding_rate_has_what_its_row_has(path: Any) -> None:
    rows = json.loads(path.read_text())
    assert parse_funding_rates(path.read_bytes()) == [
        FundingRate(
            symbol=row["symbol"],
            funding_time_ms=row["fundingTime"],
            funding_rate=row["fundingRate"],
            mark_price=row.get("markPrice", ""),
            rate_type=row.get("rateType", ""),
        )
        for row in rows
    ]
    assert rows


@pytest.mark.parametrize("path", captured("exchangeInfo"))
def test_an_instrument_has_the_rules_of_its_filters(path: Any) -> None:
    symbols = json.loads(path.read_text())["symbols"]
    instruments = parse_instruments(path.read_bytes())
    assert [each.symbol for each in instruments] == [each["symbol"] for each in symbols]
    for found, entry in zip(instruments, symbols, strict=True):
        rules = {each["filterType"]: each for each in entry["filters"]}
        assert found.status == entry.get("status", entry.get("contractStatus"))
        assert found.tick_size == rules["PRICE_FILTER"]["tickSize"]
        assert found.step_size == rules["LOT_SIZE"]["stepSize"]
        assert found.market_max_quantity == rules["MARKET_LOT_SIZE"]["maxQty"]
        assert found.min_notional == rules.get("MIN_NOTIONAL", {}).get("notional", "")
        assert found.contract_size == entry.get("contractSize")
        assert found.delivery_time_ms == entry["deliveryDate"]
        assert found.is_perpetual == (entry["contractType"] == "PERPETUAL")
        assert found.is_trading == (found.status == "TRADING")


def test_an_instrument_without_filters_has_empty_rules() -> None:
    answer = (
        b'{"symbols":[{"symbol":"NEW","filters":[{"filterType":"LATER","tickSize":"1"}],"a":1}]}'
    )
    assert parse_instruments(answer) == [Instrument(symbol="NEW")]


@pytest.mark.parametrize(
    "answer",
    [b"", b"\xff", b'{"symbols":[1]}', b'{"symbols":5}', b'{"symbols":[{"symbol":"\xff"}]}'],
)
def test_what_lists_no_instruments_is_refused(answer: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        parse_instruments(answer)
