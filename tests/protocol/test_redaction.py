from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.protocol.redaction import (
    MAX_SHOWN,
    MORE_THAN_A_SYMBOL,
    loggable,
    loggable_origin,
    masked,
    sized,
)
from tickerplant.streams import CATALOGUE
from tickerplant.streams.stream import Stream

SYMBOLS = ("btcusdt", "1000000babydogeusdt", "btcusd_perp", "ethusdt_260327", "币安人生usdt")
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"

KEYS = st.one_of(
    st.text(string.ascii_letters + string.digits, min_size=32, max_size=512),
    st.text(string.hexdigits, min_size=32, max_size=128),
)
DOORS = (
    "{}",
    "/ws/{}",
    "/ws/btcusdt@trade/{}",
    "/ws/{}@trade",
    "/ws/btcusdt@{}",
    "/ws/btcusdt@trade@{}",
    "/ws/!{}",
    "/ws/{}%40trade",
    "/ws?apiKey={}",
    "/ws?listenKey={}&streams=btcusdt@trade",
    "/stream?streams={}/btcusdt@trade",
    "/fapi/v1/order?symbol=BTCUSDT&signature={}",
    "//user:{}@host/ws",
    '{{"apiKey":"{}"}}',
)


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("stream", CATALOGUE, ids=lambda stream: str(stream.pattern.text))
def test_the_names_of_streams_are_shown(stream: Stream, symbol: str) -> None:
    pattern = stream.pattern
    for choice in (0, -1):
        parts = {
            part: choices[choice] if choices else symbol for part, choices in pattern.parts.items()
        }
        assert loggable(pattern.name(**parts)) == pattern.name(**parts)


@pytest.mark.parametrize(
    "name", ["BTCUSDT@trade", "btcusdt@trades", "btcusdt@depth7@10ms", "nobody@kline_7m", "!ticker"]
)
def test_a_misspelt_name_is_shown(name: str) -> None:
    assert loggable(name) == name


@pytest.mark.parametrize(
    "path",
    [
        "/ws",
        "/ws/",
        "/ws/btcusdt@trade/ethusdt@depth20@100ms",
        "/market/stream?streams=!markPrice@arr@1s/btcusd_perp@kline_1m",
        "/ws-fapi/v1?returnRateLimits=",
        "/stream?streams=btcusdt@trade&delivery=latest&stamps=1",
        "/stream?stamps=1&window=a1b2c3d4",
        "/fapi/v1/depth",
    ],
)
def test_a_path_that_is_served_is_shown(path: str) -> None:
    assert loggable(path) == path
    assert loggable(path.encode()) == path


def test_percent_encoding_is_undone() -> None:
    assert loggable("/ws/%E5%B8%81usdt%40trade") == "/ws/币usdt@trade"


def test_what_is_not_known_is_shown_as_its_size_and_a_digest() -> None:
    assert loggable(f"/ws/{KEY}") == f"/ws/[64 bytes #{sized(KEY)[-8:]}]"
    assert loggable("/x") == f"/[{sized(b'x')}]"
    assert sized("x").startswith("1 byte #")


def test_two_keys_are_reported_apart() -> None:
    assert sized(KEY) == sized(KEY.encode())
    assert sized(KEY) != sized(KEY[::-1])


@given(key=KEYS, door=st.sampled_from(DOORS))
def test_no_key_is_shown_wherever_it_stands(key: str, door: str) -> None:
    shown = loggable(door.format(key))
    starts = range(len(key) - MORE_THAN_A_SYMBOL + 1)
    assert not [at for at in starts if key[at : at + MORE_THAN_A_SYMBOL] in shown], shown


@given(st.one_of(st.text(max_size=2_000), st.binary(max_size=2_000)))
def test_what_is_logged_is_bounded_and_has_no_signs_a_terminal_obeys(text: str | bytes) -> None:
    shown = loggable(text)
    assert len(shown) <= MAX_SHOWN + 100
    assert shown.isprintable()


@pytest.mark.parametrize(
    "origin",
    ["localhost", "127.0.0.1:9001", "[::1]:9001", "https://evil.example", "http://a-b.co.uk:80"],
)
def test_a_host_is_shown(origin: str) -> None:
    assert loggable_origin(origin) == origin


@given(st.one_of(KEYS, st.sampled_from(["user:pass@host", "a b", "", "x?apiKey=1", "a" * 30])))
def test_what_is_no_host_is_not(text: str) -> None:
    assert loggable_origin(text) == f"[{sized(text)}]"


@given(KEYS)
def test_a_key_in_a_traceback_is_masked(key: str) -> None:
    line = 'File "/usr/lib/python3.11/asyncio/events.py", line 84\nKeyError: '
    assert masked(line + repr(key)) == f"{line}'[{sized(key)}]'"
