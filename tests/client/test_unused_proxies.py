"""Proxies of the environment, which the client does not use."""

from __future__ import annotations

import pytest
from loopback import looped

import tickerplant
from tickerplant.client.proxies import proxies, unused_text
from tickerplant.errors import UpstreamError

URL = "ws://127.0.0.2:1"
"""An address at which nothing listens, and which is not that of this machine by name."""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HTTPS_PROXY": "http://p:1", "all_proxy": "socks5://p:1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "ALL_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("exempt", "hosts"),
    [
        ("", {"fstream.binance.com", "b.example"}),
        (".binance.com, c.example", {"b.example"}),
        ("*.example", {"fstream.binance.com"}),
        ("ample, *", set[str]()),
        ("ample", {"fstream.binance.com", "b.example"}),
    ],
)
def test_a_host_that_no_proxy_names_needs_none(
    exempt: str, hosts: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", exempt)
    found = {host for host in ("fstream.binance.com", "b.example") if proxies(host)}
    assert found == hosts
    assert not unused_text("ws://localhost:9001")


@looped
async def test_a_failed_connection_names_the_proxies_that_it_did_not_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with tickerplant.connect("usdm", base_url=URL) as market:
        notices = market.stream("btcusdt@trade")
        assert "(not used: HTTPS_PROXY, all_proxy)" in str(await anext(notices))
        for question in ("time", "/fapi/v1/time"):
            with pytest.raises(
                UpstreamError, match=r"3 times \(not used: HTTPS_PROXY, all_proxy\)$"
            ):
                await market.ask(question)
