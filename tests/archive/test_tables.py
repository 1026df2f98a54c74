"""Every table against a naive model: what the golden messages say, key by key."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest
from archived import START_NS, TRADE, golden, golden_lines, line_of, recording
from blocks import line_file
from hypothesis import given
from hypothesis import strategies as st

import tickerplant
from tickerplant.archive.tables import DECIMALS, TABLES, Kind, TableName, table_of
from tickerplant.errors import ConfigError
from tickerplant.messages.readers import reader

MS = 1_000_000
TRADED = {"trade_time": "T", "price": "p", "quantity": "q", "buyer_is_maker": "m"}
CANDLE = {
    "interval": "k.i",
    "open_time": "k.t",
    "close_time": "k.T",
    "open_price": "k.o",
    "high_price": "k.h",
    "low_price": "k.l",
    "close_price": "k.c",
    "volume": "k.v",
    "turnover": "k.q",
    "trade_count": "k.n",
    "taker_buy_volume": "k.V",
    "taker_buy_turnover": "k.Q",
    "first_trade_id": "k.f",
    "last_trade_id": "k.L",
    "is_closed": "k.x",
}
DAY = {
    "open_price": "o",
    "high_price": "h",
    "low_price": "l",
    "close_price": "c",
    "volume": "v",
    "turnover": "q",
}
MODEL: dict[TableName, tuple[str, dict[str, str]]] = {
    "trades": ("trade", {"symbol": "s", "trade_id": "t", "origin": "X", **TRADED}),
    "agg_trades": (
        "aggTrade",
        {
            "symbol": "s",
            "aggregate_id": "a",
            "first_trade_id": "f",
            "last_trade_id": "l",
            "normal_quantity": "nq",
            **TRADED,
        },
    ),
    "book_tickers": (
        "bookTicker",
        {
            "symbol": "s",
            "transaction_time": "T",
            "update_id": "u",
            "bid_price": "b",
            "bid_quantity": "B",
            "ask_price": "a",
            "ask_quantity": "A",
        },
    ),
    "klines": ("kline", {"symbol": "s", **CANDLE}),
    "continuous_klines": (
        "continuous_kline",
        {"symbol": "ps", "contract_type": "ct", **CANDLE},
    ),
    "index_price_klines": ("indexPrice_kline", {"symbol": "ps", **CANDLE}),
    "mark_price_klines": ("markPrice_kline", {"symbol": "k.s", **CANDLE}),
    "mark_prices": (
        "markPriceUpdate",
        {
            "symbol": "s",
            "mark_price": "p",
            "mark_price_average": "ap",
            "index_price": "i",
            "estimated_settle_price": "P",
            "funding_rate": "r",
            "next_funding_time": "T",
        },
    ),
    "tickers": (
        "24hrTicker",
        {
            "symbol": "s",
            **DAY,
            "price_change": "p",
            "price_change_percent": "P",
            "weighted_average_price": "w",
            "last_quantity": "Q",
            "open_time": "O",
            "close_time": "C",
            "first_trade_id": "F",
            "last_trade_id": "L",
            "trade_count": "n",
        },
    ),
    "mini_tickers": ("24hrMiniTicker", {"symbol": "s", **DAY}),
    "liquidations": (
        "forceOrder",
        {
            "symbol": "o.s",
            "trade_time": "o.T",
            "side": "o.S",
            "order_type": "o.o",
            "time_in_force": "o.f",
            "price": "o.p",
            "average_price": "o.ap",
            "quantity": "o.q",
            "last_filled_quantity": "o.l",
            "filled_quantity": "o.z",
            "status": "o.X",
        },
    ),
}
"""Event type and keys of every table whose messages are a row each."""
NUMBERS = {
    (table.name, column.name)
    for table in TABLES
    for column in table.all_columns
    if column.kind is Kind.NUMBER
}


def at(message: Any, path: str) -> Any:
    for key in path.split("."):
        message = message.get(key)
    return message


def time(time_ns: int) -> pd.Timestamp:
    """A time as tables hold it."""
    return pd.Timestamp(time_ns, unit="ns", tz="UTC")


def modelled(
    venue: str, table: TableName, number: Callable[[str], Any] = Decimal
) -> list[dict[str, Any]]:
    """The rows of a table by the golden messages."""
    event, keys = MODEL[table]
    rows = []
    for place, (stream, content) in enumerate(golden(venue)):
        for message in content if isinstance(content, list) else [content]:
            if message.get("e") != event:
                continue
            row = {"venue": venue, "stream": stream, "received_time": time(START_NS + place)}
            row["event_time"] = time(message["E"] * MS)
            for column, path in keys.items():
                value = at(message, path)
                if column.endswith("_time"):
                    value = time(value * MS) if value else None
                elif (table, column) in NUMBERS:
                    value = number(value) if value else None
                row[column] = value
            rows.append(row)
    return rows


@pytest.fixture(scope="module", params=["usdm", "coinm"])
def venue(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def opened(venue: str, tmp_path_factory: pytest.TempPathFactory) -> tickerplant.Recording:
    folder = tmp_path_factory.mktemp(venue)
    return tickerplant.open_recording(recording(folder, golden_lines(venue), venue=venue))


@pytest.mark.parametrize("table", MODEL)
def test_a_table_holds_the_values_of_the_messages(
    opened: tickerplant.Recording, venue: str, table: TableName
) -> None:
    expected = modelled(venue, table)
    assert opened.arrow(table).to_pylist() == expected
    assert opened.unreadable == 0


@pytest.mark.parametrize(("numbers", "number"), [("float", float), ("text", str)])
def test_numbers_can_be_floats_or_the_text_itself(
    opened: tickerplant.Recording, venue: str, numbers: Any, number: Callable[[str], Any]
) -> None:
    assert opened.arrow("trades", numbers).to_pylist() == modelled(venue, "trades", number)


@pytest.mark.parametrize(
    ("table", "topic"), [("depth_updates", "@depth"), ("rpi_depth_updates", "@rpiDepth")]
)
def test_a_level_of_depth_is_a_row(
    opened: tickerplant.Recording, venue: str, table: TableName, topic: str
) -> None:
    expected = [
        (
            stream,
            time(message["T"] * MS),
            message["U"],
            message["u"],
            message["pu"],
            "@depth5" in stream,
            side,
            None if price is None else Decimal(price),
            None if quantity is None else Decimal(quantity),
        )
        for stream, message in golden(venue)
        if topic in stream
        for side, price, quantity in (
            [("bid", *level) for level in message["b"]]
            + [("ask", *level) for level in message["a"]]
            or [(None, None, None)]
        )
    ]
    rows = opened.arrow(table).to_pylist()
    names = ("stream", "transaction_time", "first_update_id", "final_update_id")
    more = ("previous_update_id", "is_snapshot", "side", "price", "quantity")
    assert [tuple(row[name] for name in (*names, *more)) for row in rows] == expected
    assert expected or table == "rpi_depth_updates"


def test_the_type_of_table_names_lists_the_tables() -> None:
    assert get_args(TableName) == tuple(table.name for table in TABLES)


def test_every_table_has_golden_messages_or_is_of_levels() -> None:
    assert {table.name for table in TABLES} - set(MODEL) == {
        *("depth_updates", "rpi_depth_updates"),
        "index_prices",
    }


def test_an_index_price_is_of_a_pair_on_coinm(tmp_path: Path) -> None:
    path = recording(tmp_path, golden_lines("coinm"), venue="coinm")
    (row, *_) = tickerplant.open_recording(path).arrow("index_prices").to_pylist()
    assert row["symbol"] == "BTCUSD"
    assert row["price"] > 0


def test_every_stream_has_the_table_of_its_kind() -> None:
    tables = {
        "btcusdt@depth": "depth_updates",
        "btcusdt@depth20@100ms": "depth_updates",
        "btcusdt@rpiDepth@500ms": "rpi_depth_updates",
        "!markPrice@arr@1s": "mark_prices",
        "!bookTicker": "book_tickers",
        "!forceOrder@arr": "liquidations",
        "": "depth_updates",
        "!contractInfo": None,
        "btcusdt@nothing": None,
    }
    found = {stream: table_of(stream) for stream in tables}
    assert {name: table and table.name for name, table in found.items()} == tables


@pytest.mark.parametrize(
    "wrong",
    [
        {"p": "nonsense"},
        {"t": 1 << 63},
        {"T": 1 << 62},
    ],
    ids=str,
)
def test_a_message_that_does_not_fit_is_left_out_alone_and_counted(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    messages = [TRADE | {"t": number} for number in range(10)]
    messages[4] |= wrong
    lines = [line_of("a@trade", message) for message in messages]
    opened = tickerplant.open_recording(line_file(tmp_path / "tape", lines))
    ids = [row["trade_id"] for row in opened.arrow("trades").to_pylist()]
    assert ids == [number for number in range(10) if number != 4]
    assert opened.unreadable == 1
    assert "of 'A' does not fit into trades" in opened.unreadable_reason, "it is said which message"
    assert len(list(opened)) == 10, "no table is made here, and so nothing does not fit"
    assert (opened.unreadable, opened.unreadable_reason) == (0, ""), (
        "each reading has its own count"
    )


def test_values_that_do_not_fit_are_counted_while_the_table_is_read(tmp_path: Path) -> None:
    lines = [line_of("a@trade", TRADE | {"t": number}) for number in range(400)]
    lines[4] = lines[390] = line_of("a@trade", TRADE | {"p": "nonsense"})
    opened = tickerplant.open_recording(recording(tmp_path / "tape", lines))
    batches = opened.batches("trades", batch_rows=150)
    next(batches)
    assert opened.unreadable == 1
    del batches
    assert opened.unreadable == 1, "a reading that was given up has counted so far"


@given(
    st.decimals(
        min_value=Decimal("-1e25"), max_value=Decimal("1e25"), places=DECIMALS, allow_nan=False
    )
)
def test_decimals_are_exact_and_floats_the_nearest(number: Decimal) -> None:
    pa = pytest.importorskip("pyarrow")
    converter = pytest.importorskip("tickerplant.archive.arrow").Converter
    trade = reader("a@trade").decode
    message = trade(line_of("", TRADE | {"p": f"{number:f}"})[1].partition(b'"data":')[2][:-1])
    for numbers, expected in (("decimal", number), ("float", float(f"{number:f}"))):
        batch = converter(TABLES[0], numbers).batch([message], ["usdm"])
        assert pa.Table.from_batches([batch]).to_pylist()[0]["price"] == expected


def test_a_wrong_table_or_form_of_numbers_is_refused(tmp_path: Path) -> None:
    opened = tickerplant.open_recording(line_file(tmp_path / "tape", golden_lines("usdm")))
    with pytest.raises(
        ConfigError, match="invalid value 'trade' for table: expected one of trades"
    ):
        opened.arrow("trade")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="expected one of decimal, float, text"):
        opened.batches("trades", "double")  # type: ignore[arg-type]
