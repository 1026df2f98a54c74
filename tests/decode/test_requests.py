"""Requests, by the address that precedes their responses."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tickerplant.decode.requests import requested_book, requested_symbol


@pytest.mark.parametrize(
    ("address", "book"),
    [
        ("https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000", "depth"),
        ("http://127.0.0.1:9001/fapi/v1/rpiDepth?symbol=BTCUSDT", "rpiDepth"),
        ("http://127.0.0.1:9001/fapi/v1/ticker/bookTicker?symbol=BTCUSDT", ""),
        ("http://127.0.0.1:9001/fapi/v1/trades?next=/depth?", ""),
        ("ws://127.0.0.1:9001/depth?", ""),
        ("", ""),
    ],
)
def test_the_path_determines_the_requested_book(address: str, book: str) -> None:
    assert requested_book(address.encode()) == book


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSD_PERP", "币安人生USDT"])
def test_a_symbol_is_read_as_it_was_written(symbol: str) -> None:
    for address in (
        f"http://a/depth?symbol={quote(symbol)}&limit=5",
        f"http://a/depth?limit=5&symbol={quote(symbol.lower())}",
        f"http://a/depth?symbol={symbol}",
    ):
        assert requested_symbol(address.encode()) == symbol


def test_a_missing_symbol_is_empty_and_an_invalid_one_harmless() -> None:
    assert requested_symbol(b"http://a/depth?limit=5") == ""
    assert requested_symbol(b"") == ""
    assert requested_symbol(b"http://a/depth?symbol=%ff%zz") == "\ufffd%ZZ"
