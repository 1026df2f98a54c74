from __future__ import annotations

import pytest

from tickerplant.errors import ConfigError
from tickerplant.stream_name import MAX_SYMBOL_CHARS, StreamParts, parse_stream_name, symbol_part
from tickerplant.streams import CATALOGUE


@pytest.mark.parametrize(
    ("expected", "symbol", "family"),
    [
        (StreamParts("btcusdt@trade", "btcusdt", "trade"), "BTCUSDT", "trade"),
        (
            StreamParts("btcusdt@depth20@100ms", "btcusdt", "depth", levels=20, speed_ms=100),
            "BTCUSDT",
            "depth",
        ),
        (StreamParts("btcusdt@depth@0ms", "btcusdt", "depth", speed_ms=0), "BTCUSDT", "depth"),
        (
            StreamParts("btcusd_perp@rpiDepth@500ms", "btcusd_perp", "rpiDepth", speed_ms=500),
            "BTCUSD_PERP",
            "rpiDepth",
        ),
        (StreamParts("btcusdt@kline_1M", "btcusdt", "kline", "1M"), "BTCUSDT", "kline"),
        (
            StreamParts("btcusd_200925@markPriceKline_1h", "btcusd_200925", "markPriceKline", "1h"),
            "BTCUSD_200925",
            "markPriceKline",
        ),
        (
            StreamParts(
                "btcusd_next_quarter@continuousKline_1m",
                "btcusd_next_quarter",
                "continuousKline",
                "1m",
            ),
            "BTCUSD",
            "continuousKline",
        ),
        (StreamParts("!bookTicker", "", "bookTicker", is_of_all=True), "", "!bookTicker"),
        (
            StreamParts(
                "!markPrice@arr@1s", "", "markPrice", speed_ms=1000, is_of_all=True, is_array=True
            ),
            "",
            "!markPrice@arr",
        ),
        (StreamParts("tradingSession", "", "tradingSession"), "", "tradingSession"),
        (StreamParts("", "", ""), "", ""),
        (StreamParts("btcusdt@depthx", "btcusdt", "depthx"), "BTCUSDT", "depthx"),
        (StreamParts("a@b@c", "a", "b@c"), "A", "b@c"),
    ],
)
def test_a_name_is_taken_apart(expected: StreamParts, symbol: str, family: str) -> None:
    found = parse_stream_name(expected.text)
    assert found == expected
    assert (found.symbol, found.family) == (symbol, family)


def test_every_row_of_the_catalogue_has_a_kind_of_its_own_form() -> None:
    for stream in CATALOGUE:
        name = stream.pattern.name(
            **{part: (choices or ("btcusdt",))[0] for part, choices in stream.pattern.parts.items()}
        )
        parsed = parse_stream_name(name)
        assert parsed.kind, name
        assert parsed.is_of_all == name.startswith("!"), name
        assert parsed.kind in name, name


@pytest.mark.parametrize(
    "symbol",
    [
        *("", " ", "btcusdt ", "BTC USDT", "BTC/USDT", "BTC/USDT:USDT", "btcusdt@trade", "!ticker"),
        *(
            "btcusdt\n",
            chr(0x17F),  # becomes `S` in upper case
            "\ud800",
            "x" * (MAX_SYMBOL_CHARS + 1),
            None,
            7,
            b"BTCUSDT",
            ["BTCUSDT"],
        ),
    ],
)
def test_what_cannot_be_a_symbol_is_refused(symbol: object) -> None:
    with pytest.raises(
        ConfigError, match=r"symbol(:| is missing:) expected a symbol such as BTCUSDT"
    ) as raised:
        symbol_part("symbol", symbol)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("symbol", "part"),
    [
        ("BTCUSDT", "btcusdt"),
        ("BTCUSD_PERP", "btcusd_perp"),
        ("1000PEPEusdt", "1000pepeusdt"),
        ("币安人生USDT", "币安人生usdt"),
        ("X" * MAX_SYMBOL_CHARS, "x" * MAX_SYMBOL_CHARS),
    ],
)
def test_a_symbol_is_written_in_lower_case_in_stream_names(symbol: str, part: str) -> None:
    assert symbol_part("symbol", symbol) == part
