"""Heads that HTTP forbids are refused alike wherever they lead, and what it allows is answered."""

from __future__ import annotations

import asyncio

import pytest
from bare_connection import END, answers, endpoint
from test_upgrade import GET, status, upgrade

from tickerplant.server.http import CONTINUE

HANDSHAKE = upgrade()
HOST = b"Host: test\r\n"
FORMS = [GET, GET.replace(b"GET", b"HEAD"), HANDSHAKE, GET.replace(b"time", b"none")]
"""A question, another request, an upgrade, and what is not here."""


def written(request: bytes) -> bytes:
    return asyncio.run(answers([request]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"Host: a\r\nHost: a\r\n",
        b"Host:\r\nHost: test\r\n",
        b"Host:\r\n",
        *(
            b"Host: %b\r\n" % value
            for value in (b"a b", b"user@a", b"a:b", b"a:65536", b"a:123456", b":80", b"::1", b"[::1")
        ),
        *(b"Host: %b\r\n" % value for value in (b"a/b", b"a, b", b"%zz", b"\xe9", b"http://a", b"a:80:80")),
    ],
)  # fmt: skip
def test_a_host_that_is_missing_or_none_or_several_is_400(form: bytes, host: bytes) -> None:
    answer = written(GET + form.replace(HOST, host) + GET)
    assert [int(each[:3]) for each in answer.split(b"HTTP/1.1 ")[1:]] == [200, 400]
    assert b"ost " in answer.rpartition(b"\r\n\r\n")[2]
    assert answer.endswith(END)


@pytest.mark.parametrize("host", [b"a_b.c-d.:9001", b"[::1]:80", b"127.0.0.1:", b"%61", b" a \t"])
def test_every_form_of_a_host_is_taken(host: bytes) -> None:
    requests = [form.replace(b"test", host) for form in (GET, GET, HANDSHAKE)]
    answer = asyncio.run(answers(requests))
    assert answer.count(b" 200 OK\r\n") == 2
    assert b" 101 Switching Protocols\r\n" in answer


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("version", [b"2.0", b"3.0", b"0.9"])
def test_another_major_version_is_505(form: bytes, version: bytes) -> None:
    port = endpoint()
    answer = asyncio.run(answers([form.replace(b"HTTP/1.1", b"HTTP/" + version)], port))
    assert status(answer) == 505
    assert b"HTTP/%b is not served" % version in answer
    assert port.counters.malformed + port.counters.refused[505] == 1


def test_a_connection_that_begins_as_one_of_http_2_gets_one_answer_of_http_1() -> None:
    answer = written(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    assert status(answer) == 505
    assert answer.endswith(b"HTTP/1.1 and HTTP/1.0.\n" + END)


def test_minor_versions_are_read_by_their_rules() -> None:
    later = GET.replace(b"HTTP/1.1", b"HTTP/1.9")
    assert written(later + later).count(b" 200 OK\r\n") == 2
    assert b" 101 " in written(HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.2"))
    earlier = GET.replace(b"HTTP/1.1", b"HTTP/1.0")
    for each in (earlier, earlier.replace(HOST, b"")):
        assert written(each).count(b" 200 OK\r\n") == 1
    assert status(written(earlier.replace(HOST, HOST + HOST))) == 400


def test_the_host_of_an_absolute_url_counts() -> None:
    page = b"GET %b/plant/v1/profile HTTP/1.1\r\nHost: %b\r\n\r\n"
    assert status(written(page % (b"http://localhost:9001", b"elsewhere"))) == 200
    assert status(written(page % (b"http://elsewhere", b"localhost"))) == 403
    assert status(written(page % (b"http://localhost", b"a b"))) == 400
    assert status(written(page % (b"http://", b"localhost"))) == 400
    assert status(written(b"GET http://localhost HTTP/1.1\r\nHost: a\r\n\r\n")) == 200


@pytest.mark.parametrize("offer", ["", "\r\nUpgrade: h2c\r\nConnection: Upgrade"])
@pytest.mark.parametrize("body", ["Content-Length: 2\r\n\r\n{}", "Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"])  # fmt: skip
def test_who_asks_first_whether_to_send_a_body_is_told_to_whatever_the_answer_is(
    offer: str, body: str
) -> None:
    head, _, content = body.partition("\r\n\r\n")
    expecting = (
        f"POST /fapi/v1/order HTTP/1.1\r\nHost: a\r\nExpect: 100-continue{offer}\r\n{head}\r\n\r\n"
    )
    answer = asyncio.run(answers([expecting.encode(), content.encode(), GET]))
    assert answer.startswith(CONTINUE + b"HTTP/1.1 401 ")
    assert answer.count(b"HTTP/1.1 ") == 3
    assert b"HTTP/1.1 200 OK\r\n" in answer
    assert status(written(expecting.replace("1.1", "1.0").encode())) == 401
    question = written(GET.replace(HOST, HOST + b"Expect: 100-continue\r\n"))
    assert question.startswith(CONTINUE + b"HTTP/1.1 200 ")
