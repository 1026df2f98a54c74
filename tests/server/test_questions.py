"""Questions that are answered at once get the bytes that the application would send."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

import pytest
from bare_connection import answers
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.server import slices
from tickerplant.server.rest import parameters

TARGETS = (
    "/fapi/v1/ping",
    "/fapi/v1/ping?",
    "/fapi/v1/time?recvWindow=5",
    "/fapi/v1/exchangeInfo",
    "/fapi/v1/depth?symbol=BTCUSDT",
    "/fapi/v1/depth?symbol=BTCUSDT&limit=7",
    "/fapi/v1/depth?symbol=BTCUSDT&symbol=NONESUCH",
    "/fapi/v1/klines?symbol=btcusdt&interval=1%6D&limit=3",
    "/fapi/v1/historicalTrades?symbol=BTCUSDT",
    "/fapi/v1/ping#end",
    "/fapi/v1/ping?a=1#end",
    "/fapi/v1/p%69ng",
    "/fapi/v1/nothing",
    "/dapi/v1/ping",
    "http://localhost/fapi/v1/ping",
)


def request(target: str, *headers: str, version: str = "1.1") -> bytes:
    return "\r\n".join(
        [f"GET {target} HTTP/{version}", "Host: localhost", *headers, "", ""]
    ).encode()


def sent(*portions: bytes) -> bytes:
    return asyncio.run(answers(portions))


@pytest.mark.parametrize("target", TARGETS)
def test_a_question_gets_what_the_application_would_send(target: str) -> None:
    # A connection that ends, or a request with a body, is left to the application.
    closed = sent(request(target, "Connection: close"))
    assert sent(request(target)) == closed.replace(b"connection: close\r\n", b"")
    empty_body = request(target, "Content-Length: 2") + b"{}"
    assert sent(empty_body) == sent(request(target))


ROWS = (
    "/fapi/v1/ticker/24hr",
    "/fapi/v1/ticker/price",
    "/fapi/v1/ticker/bookTicker",
    "/fapi/v1/trades?symbol=BTCUSDT",
    "/fapi/v1/aggTrades?symbol=BTCUSDT",
    "/fapi/v1/fundingRate",
    "/fapi/v1/premiumIndex",
    "/futures/data/basis?pair=BTCUSDT&contractType=PERPETUAL&period=5m",
)


@pytest.mark.parametrize("target", ROWS)
def test_an_answer_in_slices_is_the_same_and_keeps_its_place(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [request(target), request("/fapi/v1/ping"), request(target)]
    whole = sent(b"".join(requests))
    assert whole.count(b"HTTP/1.1 200") == len(requests)
    monkeypatch.setattr(slices, "SLICE_NS", 0)
    assert sent(b"".join(requests)) == whole


@pytest.mark.heavy
@given(st.lists(st.sampled_from(TARGETS), min_size=1, max_size=5), st.data())
@settings(max_examples=40)
def test_requests_in_one_segment_are_answered_in_their_order(
    targets: list[str], data: st.DataObject
) -> None:
    requests = [request(target) for target in targets]
    whole = b"".join(requests)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=3)))
    portions = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    together, apart = sent(*filter(None, portions)), sent(*requests)
    assert together == apart
    assert together.count(b"HTTP/1.1 ") == len(targets)


@given(
    st.lists(
        st.tuples(st.text("ab%2C+&=;é", max_size=4), st.text("xy%41+&=;", max_size=4)), max_size=4
    ),
    st.text("&=", max_size=3),
)
def test_parameters_are_read_as_the_library_reads_them(
    pairs: list[tuple[str, str]], end: str
) -> None:
    text = "&".join(f"{name}={value}" for name, value in pairs) + end
    expected = dict(parse_qsl(text, keep_blank_values=True))
    assert parameters(text.encode()) == expected
