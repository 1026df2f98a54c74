"""Our answers have the keys, the order and the types of documented example answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from asked_markets import call, coin_markets, get, linear_markets

EXAMPLES = Path(__file__).parents[2].parent / "shared" / "protocol" / "examples"

pytestmark = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="the example answers are not beside the repository"
)

BOTH_PATHS = [
    ("ping", "/v1/ping", ""),
    ("time", "/v1/time", ""),
    ("exchangeInfo", "/v1/exchangeInfo", ""),
    ("depth", "/v1/depth", "one"),
    ("trades", "/v1/trades", "one"),
    ("aggTrades", "/v1/aggTrades", "one"),
    ("klines", "/v1/klines", "one"),
    ("premiumIndex", "/v1/premiumIndex", "one"),
    ("ticker.price", "/v1/ticker/price", "one"),
    ("ticker.bookTicker", "/v1/ticker/bookTicker", "one"),
    ("ticker.24hr", "/v1/ticker/24hr", "one"),
]
LINEAR_PATHS = [
    ("v2.ticker.price", "/v2/ticker/price", "one"),
    ("premiumIndex.all", "/v1/premiumIndex", ""),
    ("ticker.price.all", "/v1/ticker/price", ""),
    ("ticker.bookTicker.all", "/v1/ticker/bookTicker", ""),
    ("ticker.24hr.all", "/v1/ticker/24hr", ""),
]
METHODS = [
    ("depth", "depth", "one"),
    ("ticker.price", "ticker.price", "one"),
    ("ticker.price.all", "ticker.price", ""),
    ("ticker.book", "ticker.book", "one"),
    ("ticker.book.all", "ticker.book", ""),
    ("ping", "ping", ""),
    ("time", "time", ""),
]


def example(venue: str, name: str) -> Any:
    return msgspec.json.decode((EXAMPLES / venue / f"{name}.json").read_bytes())


def shape(value: Any) -> Any:
    """Return what `value` is made of: keys in order, kinds of scalars, first element of lists."""
    match value:
        case dict():
            return [(key, shape(part)) for key, part in value.items()]
        case [] | ():
            return "nothing"
        case [first, *_] if isinstance(first, dict | list):
            return ["a list of", shape(first)]
        case list():
            return ["a list of", *map(shape, value)]
        case _:
            return type(value).__name__


@pytest.mark.parametrize(("name", "path", "whom"), BOTH_PATHS + LINEAR_PATHS)
def test_linear_answers_look_like_the_examples(name: str, path: str, whom: str) -> None:
    raw = {"symbol": "BTCUSDT", "interval": "1m"} if whom else {}
    ours = get(linear_markets(), path, **raw)
    assert shape(ours) == shape(example("usdm", f"rest.{name}"))


@pytest.mark.parametrize(("name", "path", "whom"), BOTH_PATHS)
def test_coin_answers_look_like_the_examples(name: str, path: str, whom: str) -> None:
    raw = {"symbol": "BTCUSD_PERP", "interval": "1m"} if whom else {}
    ours = get(coin_markets(), path, **raw)
    assert shape(ours) == shape(example("coinm", f"rest.{name}"))


@pytest.mark.parametrize(("name", "method", "whom"), METHODS)
def test_method_results_look_like_the_examples(name: str, method: str, whom: str) -> None:
    raw = {"symbol": "BTCUSDT"} if whom else {}
    ours = call(linear_markets(), method, **raw)
    assert shape(ours) == shape(example("usdm", f"wsapi.{name}.response")["result"])
