from __future__ import annotations

import copy
import errno
import pickle

import pytest

from tickerplant.client.request import plain_reason
from tickerplant.control.client import ControlError
from tickerplant.errors import (
    BusError,
    ConfigError,
    DecodeError,
    QueueOverflow,
    RateLimitError,
    RecordingError,
    RequestError,
    TickerplantError,
    UpstreamError,
)

LIMITED = RateLimitError(
    -1003, "Too many", 418, retry_at_ms=7_500, now_ms=6_000, is_ban=True, request="depth", note="x"
)
EXAMPLES = (
    BusError("no plant named main"),
    ConfigError("speed", "9ms", "100ms"),
    DecodeError("not JSON"),
    LIMITED,
    QueueOverflow(5),
    RecordingError("tape", "torn", 3, 40),
    RequestError(-1121, "Invalid symbol.", request="depth"),
    UpstreamError("ws://127.0.0.1:9", "connection refused", request="ping"),
)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_is_copied_and_unpickled_with_its_text_and_attributes(
    error: TickerplantError,
) -> None:
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301  # our own
        assert type(again) is type(error)
        assert (str(again), repr(again)) == (str(error), repr(error))
        assert vars(again) == vars(error)


def test_errors_are_also_of_the_built_in_kinds() -> None:
    with pytest.raises(ValueError, match="invalid value '9ms' for speed: expected 100ms"):
        raise EXAMPLES[1]
    with pytest.raises(ConnectionError, match=r"^ws://127.0.0.1:9 ping: connection refused$"):
        raise EXAMPLES[-1]
    with pytest.raises(RequestError):
        raise LIMITED


def test_an_upstream_error_has_no_number_and_its_text_is_its_own() -> None:
    error = UpstreamError("ws://127.0.0.1:9", "connection refused")
    assert (error.errno, error.strerror, error.filename) == (None, None, None)
    assert str(error) == "ws://127.0.0.1:9: connection refused"
    assert (error.url, error.reason, error.request) == (
        "ws://127.0.0.1:9",
        "connection refused",
        "",
    )
    assert plain_reason(error) == f"UpstreamError: {error}"
    assert error.errno != errno.ECONNREFUSED


def test_a_limit_says_for_how_long_and_a_ban_until_when() -> None:
    assert (LIMITED.retry_after_s, LIMITED.banned_until_ms) == (1.5, 7_500)
    assert str(LIMITED) == "depth: -1003 Too many (x)"
    over = RateLimitError(-1003, "Too many", 429, retry_at_ms=5, now_ms=9, is_ban=False)
    assert (over.retry_after_s, over.banned_until_ms, over.retry_at_ms) == (0, None, 5)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://user:SECRET@localhost:9001", "ws://…@localhost:9001"),
        ("user:SECRET@localhost:4222", "…@localhost:4222"),
        ("//user:SECRET@localhost", "//…@localhost"),
        ("@names:1", "@names:1"),
        ("ws://SECRET@localhost/ws/SECRET", "ws://…@localhost/…"),
        ("wss://fstream.binance.com/ws/SECRET", "wss://fstream.binance.com/…"),
        ("wss://localhost?listenKey=SECRET", "wss://localhost?…"),
        ("wss://localhost/#SECRET\nSECRET", "wss://localhost/…"),
        ("wss://localhost/", "wss://localhost/"),
        ("ftp://localhost", "ftp://localhost"),
        ("ws://local host", "ws://local host"),
        ("/a/path", "/a/path"),
    ],
)
def test_a_config_error_hides_the_secret_parts_of_a_url(url: str, shown: str) -> None:
    assert str(ConfigError("url", url, "another")) == (
        f"invalid value {shown!r} for url: expected another"
    )


@pytest.mark.parametrize(
    "error",
    [
        UpstreamError("http://127.0.0.1:1", "\x1b[2J\r\n" + "x" * 160_000),
        ControlError("\x1b[2J\r\n" + "x" * 160_000, 400, "\x1b" * 160_000),
    ],
)
def test_what_a_server_says_is_printable_and_cut_in_an_error(error: TickerplantError) -> None:
    assert str(error).isprintable()
    assert "xxx" in str(error)
    assert len(str(error)) < 1_200
