"""Market data as gzip: who gets it, and that it is the same."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections import Counter

import pytest
from bare_connection import Wire, answers, endpoint, receive
from hypothesis import given
from hypothesis import strategies as st
from loopback import Clock, loopback, looped
from test_forwarding import Upstream, forwarder, get
from test_questions import request

from tickerplant.server import compression, slices
from tickerplant.server.compression import ACCEPTED, MAX_KEPT, Compression, accepts_gzip
from tickerplant.server.http import Http
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.response import Response
from tickerplant.server.rest import Rest

INFO = "/fapi/v1/exchangeInfo"
ROWS = "/fapi/v1/fundingRate"
GZIP = {"Accept-Encoding": "gzip, deflate"}


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        (b"gzip", True),
        (b"gzip, deflate, br", True),
        (b"deflate;q=0.5,\tGZIP ; q=0.1", True),
        (b"x-gzip", True),
        (b"*", True),
        (b"br, *;q=0.1", True),
        (b"gzip;q=1.0, identity;q=0.5", True),
        (b"", False),
        (b"identity", False),
        (b"deflate, br, zstd", False),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000, *", False),
        (b"*;q=0", False),
        (b"gzip;q=0.5, identity", False),
        (b"gzip;q=much", False),
        (b"gzipped", False),
        (b",;,;q=\xff", False),
    ],
)
def test_gzip_is_sent_to_those_who_accept_it_and_like_nothing_better(
    value: bytes, accepted: bool
) -> None:
    assert accepts_gzip(value) == accepted


TAILS = st.sampled_from([b"a" * 2_000, b"b" * 2_000, b"ab" * 900, bytes(range(256)) * 8])


@given(st.lists(st.tuples(st.integers(0, MAX_KEPT + 1), st.binary(max_size=70), TAILS, st.booleans())))  # fmt: skip
def test_whatever_is_kept_what_is_sent_is_the_body(
    bodies: list[tuple[int, bytes, bytes, bool]],
) -> None:
    counts: Counter[str] = Counter()
    port = Compression(counts)
    for target, beginning, end, stays in bodies:
        response = Response(beginning + end, stays=stays)
        fields = {ACCEPTED: b"gzip"}
        sent = port.encoded(response, fields, b"%d" % target).body
        assert gzip.decompress(sent) == zlib.decompress(sent, 31) == beginning + end
    assert counts["made"] + counts["kept"] == len(bodies)


def test_a_body_whose_time_alone_is_new_is_compressed_once() -> None:
    counts: Counter[str] = Counter()
    port = Compression(counts)
    for number in range(3):
        body = Response(b"%064d" % number + b"contracts" * 1_000, stays=True)
        for target in range(MAX_KEPT):
            port.encoded(body, {ACCEPTED: b"gzip"}, b"%d" % target)
    assert counts == {"made": MAX_KEPT, "kept": 2 * MAX_KEPT}
    for _ in range(2):
        port.encoded(body, {ACCEPTED: b"gzip"}, b"another")
    assert counts == {"made": MAX_KEPT + 1, "kept": 2 * MAX_KEPT + 1, "evicted": 1}


@pytest.mark.parametrize(("size", "is_long"), [(1_023, False), (1_024, True)])
def test_bodies_of_a_kibibyte_and_more_are_compressed(size: int, is_long: bool) -> None:
    sent = Compression(Counter()).encoded(Response(b"a" * size), {ACCEPTED: b"gzip"}, b"/")
    assert (len(sent.body) < size, bool(sent.headers)) == (is_long, is_long)


def parts(answer: bytes) -> tuple[dict[bytes, bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    return fields, body.removesuffix(b"<end>")


@pytest.mark.parametrize("way", ["at once", "in slices", "in a task", "of HTTP/1.0"])
@pytest.mark.parametrize("target", [INFO, ROWS])
def test_a_long_response_is_compressed_if_its_client_accepts_that_and_says_on_what_it_depends(
    target: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "LEAST_BYTES", 2)
    if way == "in slices":
        monkeypatch.setattr(slices, "SLICE_NS", 0)
    more = ["Connection: close"] if way == "in a task" else []
    version = "1.0" if way == "of HTTP/1.0" else "1.1"
    plain, packed = (
        parts(asyncio.run(answers([request(target, *more, *fields, version=version)])))
        for fields in ([], ["Accept-Encoding: gzip, deflate, br"])
    )
    assert gzip.decompress(packed[1]) == plain[1]
    assert (plain[0].pop(b"content-length"), packed[0].pop(b"content-length")) == (
        b"%d" % len(plain[1]),
        b"%d" % len(packed[1]),
    )
    assert packed[0].pop(b"content-encoding") == b"gzip"
    assert plain[0] == packed[0]
    assert plain[0][b"vary"] == b"Accept-Encoding"


@looped
async def test_head_has_the_headers_of_what_get_would_send() -> None:
    async with loopback() as house:
        asked, got = [await house.get(INFO, method=verb, headers=GZIP) for verb in ("HEAD", "GET")]
    assert asked.headers["content-length"] == str(len(got.body))
    assert asked.headers["content-encoding"] == "gzip"
    assert (asked.headers.keys(), asked.body) == (got.headers.keys(), b"")


@looped
async def test_what_is_short_is_sent_as_it_is_and_so_are_the_servers_own_pages() -> None:
    async with loopback() as house:
        for path in ("/fapi/v1/time", "/fapi/v1/nothing", "/metrics", "/plant/v1/openapi.json"):
            answer = await house.get(path, headers=GZIP)
            assert "content-encoding" not in answer.headers, path
            assert "vary" not in answer.headers, path


@looped
async def test_what_is_kept_is_compressed_once_in_a_market_that_goes_on() -> None:
    upstream = Upstream()
    async with loopback(forwarder=forwarder(upstream, Clock())) as house:
        for time_ms in range(3):
            house.plant.advance(house.plant.now_ms + time_ms)
            info = await house.get(INFO, headers=GZIP)
            assert str(house.plant.now_ms).encode() in gzip.decompress(info.body)
        path = "/fapi/v1/klines?symbol=ETHUSDT&interval=1m"
        asking = asyncio.gather(get(house, path), *(house.get(path, headers=GZIP) for _ in "ab"))
        (await upstream.next()).set_result(b"[1234567890]" * 1_000)
        answers_ = await asking
        counted = await house.metrics()
    assert answers_[0].body == b"[1234567890]" * 1_000
    assert {gzip.decompress(each.body) for each in answers_[1:]} == {answers_[0].body}
    name = 'tickerplant_http_compressed_total{outcome="%s",venue="usdm"}'
    assert (counted[name % "made"], counted[name % "kept"]) == (2, 3)


def test_it_can_be_turned_off() -> None:
    async def asked() -> bytes:
        port, wire = endpoint(), Wire()
        rest = Rest(port, ControlPlane(welcome=str), compresses=False)
        wire.protocol = Http(port, rest).arrival()
        wire.protocol.connection_made(wire)
        receive(wire, request(INFO, "Accept-Encoding: gzip"))
        return bytes(wire.written)

    fields, body = parts(asyncio.run(asked()))
    assert body.startswith(b'{"timezone"')
    assert not {b"vary", b"content-encoding"} & fields.keys()
