from __future__ import annotations

import pytest

from tickerplant.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://user:SECRET@localhost:9001", "ws://…@localhost:9001"),
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
