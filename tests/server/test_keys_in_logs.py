"""Keys that are sent to the wrong door stand in no log line, in no metric and on no page."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import suppress

import pytest
import structlog
from loopback import START_MS, UPGRADE, instrument, loopback, looped, receive_all, say
from msgspec.structs import replace
from test_frame_reader import closing, frame
from test_upgrade import upgrade

from tickerplant import logs
from tickerplant.frames import BINARY, PING, PONG, TEXT
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.protocol.limits import LIMITS
from tickerplant.replaying.unavailable import UnavailableStreams
from tickerplant.server.guard import Guard
from tickerplant.venue import USDM

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SIGNATURE = "c8db56825ae71d6d79447849e617115f4a920fa2acdceeda3ae0a19c05f1f5f3"
SECRETS = (KEY, SIGNATURE)
SIGNED = f"apiKey={KEY}&timestamp=1772000000000&signature={SIGNATURE}"
LOGON = {"apiKey": KEY, "signature": SIGNATURE, "timestamp": 1_772_000_000_000}
SHOWN_AT_LEAST = 16
"""Bytes of a secret that may not stand anywhere, from whatever place in it."""


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that our log and those of the libraries say, at their lowest levels."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(stream), root.level
    logs.configure("text", "debug", stream)
    root.addHandler(handler)
    root.setLevel(1)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def assert_clean(text: str) -> None:
    text = text.lower()
    for secret in (each.lower() for each in SECRETS):
        for at in range(len(secret) - SHOWN_AT_LEAST + 1):
            piece = secret[at : at + SHOWN_AT_LEAST]
            assert piece not in text, text[max(text.index(piece) - 200, 0) :][:400]


def http(line: str, *headers: str, body: str = "") -> bytes:
    lines = [f"{line} HTTP/1.1", "Host: test", "Connection: close", *headers]
    lines += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "", body]).encode()


def said(path: str, *frames: bytes) -> bytes:
    return UPGRADE.format(path=path).encode() + b"".join(frames) + closing(1000)


def asks(*messages: object) -> list[bytes]:
    return [frame(TEXT, json.dumps(message).encode()) for message in messages]


def subscribes(*names: str) -> bytes:
    return asks({"method": "SUBSCRIBE", "params": names, "id": 1})[0]


PATHS = (
    f"/ws/{KEY}", f"/ws/{KEY}@trade", f"/ws/btcusdt@trade/{KEY}", f"/ws?{SIGNED}",
    f"/ws?listenKey={KEY}", f"/ws/btcusdt@trade?{SIGNED}", f"/stream?streams={KEY}",
    f"/stream?streams=btcusdt@trade/{KEY}&{SIGNED}", f"/private/ws/{KEY}",
    f"/private/ws?listenKey={KEY}&events=ORDER_TRADE_UPDATE", f"/pm/ws/{KEY}", f"/{KEY}", f"//{KEY}",
    f"/ws-fapi/v1?{SIGNED}", f"/ws-fapi/v1?returnRateLimits={KEY}", f"/ws-api/v3?{SIGNED}",
    f"/ws/%{KEY}", f"/ws/{KEY}%ff", f"/ws/{KEY * 200}", f"http://{KEY}:{SIGNATURE}@test/ws",
)  # fmt: skip
HEADERS = (
    "X-MBX-APIKEY", "Authorization", "Cookie", "Origin", "User-Agent", "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Upgrade",
    "Connection", "Host", "Content-Length", "Transfer-Encoding", "X-Tickerplant-Exempt",
)  # fmt: skip
STREAM_MESSAGES = (
    *asks(
        {"id": 1, "method": "session.logon", "params": LOGON},
        {"id": KEY, "method": "SUBSCRIBE", "params": [KEY, f"{KEY}@trade", f"btcusdt@{KEY}", f"!{KEY}"]},
        {"id": 1, "method": "SUBSCRIBE", "params": [KEY, {"apiKey": KEY}]},
        {"id": 1, "method": KEY}, {"id": [KEY], "method": "SUBSCRIBE"}, {"method": "SUBSCRIBE", "params": KEY, "id": 1},
        {"id": 1, "method": "SET_PROPERTY", "params": [KEY, KEY]}, {"id": 1, "method": "GET_PROPERTY", "params": [KEY]},
        {"id": 1, "method": "UNSUBSCRIBE", "params": [KEY]}, LOGON, [KEY], KEY,
    ),
    frame(TEXT, SIGNED.encode()),
    frame(TEXT, f'{{"apiKey":"{KEY}"'.encode()),
    frame(TEXT, KEY.encode() + b"\xff"),
    frame(TEXT, KEY.encode(), reserved=4),
    frame(7, KEY.encode()),
    frame(BINARY, KEY.encode()),
    frame(PING, KEY.encode()) + frame(PONG, SIGNATURE.encode()),
    frame(PING, SIGNED.encode() * 2),
    frame(TEXT, KEY.encode() * 2_000),
    closing(1000, KEY.encode()),
    closing(999, KEY.encode()),
    closing(1000, KEY.encode() + b"\xff"),
)  # fmt: skip
API_MESSAGES = (
    *asks(
        {"id": 1, "method": "session.logon", "params": LOGON},
        {"id": 1, "method": "session.logon", "params": {"apiKey": KEY}},
        {"id": 1, "method": "order.place", "params": {"symbol": "BTCUSDT", **LOGON}},
        {"id": 1, "method": "depth", "params": {"symbol": KEY, **LOGON}},
        {"id": 1, "method": "depth", "params": {"symbol": "BTCUSDT", "limit": KEY}},
        {"id": 1, "method": "ticker.price", "params": {"symbol": [KEY]}},
        {"id": 1, "method": KEY, "params": LOGON}, {"id": KEY, "method": "ping"},
        {"id": 1, "method": "ping", "params": [KEY]}, {"id": 1, "method": "userDataStream.ping", "params": {"listenKey": KEY}},
    ),
    *STREAM_MESSAGES[1:],
)  # fmt: skip
REQUESTS = (
    *(http(f"GET {path}") for path in PATHS),
    *(http("GET /fapi/v1/time", f"{name}: {KEY}") for name in HEADERS),
    *(upgrade(**{name.replace("-", "_"): KEY}) + closing(1000) for name in HEADERS),
    *(upgrade(path) + closing(1000) for path in PATHS),
    http(f"GET /fapi/v2/account?{SIGNED}", f"X-MBX-APIKEY: {KEY}"),
    http(f"POST /fapi/v1/order?{SIGNED}", f"X-MBX-APIKEY: {KEY}", body=SIGNED),
    http(f"PUT /fapi/v1/listenKey?listenKey={KEY}"),
    http(f"DELETE /fapi/v1/listenKey/{KEY}"),
    http(f"GET /fapi/v1/depth?symbol={KEY}&limit={KEY}&{SIGNED}"),
    http(f"GET /fapi/v1/historicalTrades?symbol=BTCUSDT&{SIGNED}", f"X-MBX-APIKEY: {KEY}"),
    http(f"GET /futures/data/openInterestHist?symbol={KEY}"),
    http(f"GET /fapi/v1/{KEY}"),
    http(f"GET /plant/v1/limits?{SIGNED}"),
    http(f"GET /plant/v1/{KEY}"),
    http(f"POST /plant/v1/clock?{SIGNED}", "Content-Type: application/json", body=json.dumps(LOGON)),
    http(f"POST /plant/v1/faults?{KEY}=1", f"Content-Type: {KEY}", body=KEY),
    http("GET /fapi/v1/time", "Upgrade: h2c", f"HTTP2-Settings: {KEY}"),
    f"{KEY}\r\n\r\n".encode(),
    f"GET {KEY} HTTP/1.1\r\n\r\n".encode(),
    f"GET /ws HTTP/1.1\r\n{KEY}\r\n\r\n".encode(),
    f"{SIGNATURE} /ws HTTP/1.1\r\n\r\n".encode(),
    *(said("/ws", message) for message in STREAM_MESSAGES),
    *(said("/ws-fapi/v1", message) for message in API_MESSAGES),
)  # fmt: skip


@looped
async def knock_at_every_door() -> None:
    """Send every secret everywhere, and look at what can be read without a log."""
    soon = replace(LIMITS, head_timeout_ms=50, body_timeout_ms=50, keep_alive_ms=50)
    async with loopback(soon) as house:
        for request in REQUESTS:
            house.server.complaints.counts.clear()  # every complaint is the first of its kind
            with house.socket() as sock, suppress(ConnectionError):
                await say(sock, request)
                await receive_all(sock)
        pages = [
            (await house.get(path)).body.decode()
            for path in ("/metrics", "/plant/v1/limits", "/plant/v1/faults", "/readyz", "/")
        ]
    assert "tickerplant_handshakes_refused_total" in pages[0]
    assert_clean("".join(pages))


def test_no_key_stands_anywhere_whatever_the_door_and_the_kinds_of_complaint_stay_few(
    written: io.StringIO,
) -> None:
    knock_at_every_door()
    text = written.getvalue()
    assert "= open" in text
    assert "handshake refused" in text
    assert "a message of" in text
    assert "a subscription is silent" in text
    assert_clean(text)
    kinds = {line.partition(" kind=")[2] for line in written.getvalue().splitlines()}
    assert len(kinds) < 40


@pytest.mark.heavy
@pytest.mark.usefixtures("written")
def test_what_is_repeated_at_any_door_is_counted_and_not_logged_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream, sizes = io.StringIO(), list[int]()
    logs.configure("text", "info", stream)
    monkeypatch.setattr(logs, "MAX_PER_MINUTE", 5)

    @looped
    async def knock() -> None:
        async with loopback(replace(LIMITS, head_timeout_ms=50, keep_alive_ms=50)) as house:
            for request in REQUESTS * 3:
                with house.socket() as sock, suppress(ConnectionError):
                    await say(sock, request)
                    await receive_all(sock)
                sizes.append(stream.getvalue().count("\n"))
            left_out = house.server.complaints.counts["not logged: open"]
            assert left_out == house.server.endpoints[0].counters.opened - 5

    knock()
    assert 5 < sizes[len(REQUESTS)] == sizes[-1]


@pytest.mark.parametrize("host", [KEY, f"user:{KEY}@localhost", "evil.example:9001"])
def test_what_a_web_page_sends_to_the_pages_of_the_plant_is_logged_only_if_it_is_a_host(
    host: str,
) -> None:
    guard = Guard("127.0.0.1", "127.0.0.1")
    sent = {b"host": host.encode()}
    page = {b"host": b"localhost", b"origin": f"https://{host}".encode()}
    text = {b"host": b"localhost", b"content-type": host.encode()}
    for headers in (sent, page, text):
        refusal = guard.refusal("POST", headers)
        assert refusal is not None
        assert_clean(refusal.logged)
        assert (refusal.logged == refusal.error) is (
            host == "evil.example:9001" and headers is not text
        )


def test_a_fault_of_ours_shows_no_key_in_its_traceback(written: io.StringIO) -> None:
    complaints = Complaints()
    try:
        dict[str, int]()[KEY]
    except KeyError as error:
        complaints.add("fault in depth", "! a query failed", exc_info=True)
        with suppress(KeyError):
            raise KeyError(SIGNATURE) from error
    assert "KeyError" in written.getvalue()
    assert_clean(written.getvalue())


def test_a_stream_that_a_recording_lacks_is_named_only_if_it_may_be_one(
    written: io.StringIO,
) -> None:
    plant = Plant([instrument(USDM, KEY.upper(), KEY.upper())], start_ms=START_MS)
    lacking = UnavailableStreams(plant.hubs[USDM.name], [])
    lacking.opened(f"{KEY.lower()}@trade")
    assert "not recorded" in written.getvalue()
    assert_clean(written.getvalue())
