"""What a server with truth knows of its connections, beside what their clients received."""

from __future__ import annotations

import asyncio
import base64
import socket
from typing import Any

import pytest
from loopback import UPGRADE, Loopback, ask, bare, loopback, looped, receive_all, say, until
from stage import snapshot

from tickerplant.frames import text_frame
from tickerplant.truth.truth import Truth

BOOK_PATH = "/plant/v1/truth/book"
SENT_PATH = "/plant/v1/truth/sent"
TRADES_PATH = "/plant/v1/truth/trades"
LOSSY = ("reset=50ms", "half_open at=+100ms for=100ms")
"""Faults after which a client may not get what was written last."""


@pytest.mark.parametrize(
    "faults",
    [
        "",
        *("garbage=20ms", "invalid_utf8=20ms", "shutdown_notice=20ms", "close=1001@100ms"),
        *("stall=20ms@10ms", "latency=15ms@10ms", "bandwidth=3KB"),
        *("drop=0.3", "duplicate=0.3", "reorder=0.3", "delay=15ms", "chain=20ms"),
        *("missing_field=p", "fields=0.5", "words=0.5", "numbers=0.5", "scale=1", "clock=-5s"),
        *LOSSY,
    ],
)
@looped
async def test_what_was_sent_is_what_a_raw_client_received_byte_for_byte(faults: str) -> None:
    truth = Truth()
    async with loopback(faults=faults, truth=truth) as there:
        with there.socket() as sock:
            received = await received_of(there, truth, sock)
    (log,) = truth.sent.logs.values()
    assert log.data.startswith(received)
    assert log.data == received or faults in LOSSY
    assert log.written_bytes > 100
    assert not log.is_open


async def received_of(there: Loopback, truth: Truth, sock: socket.socket) -> bytes:
    """Let a bare client subscribe and trades happen; return all that it received, up to the end."""
    path = "/stream?streams=btcusdt@trade/btcusdt@depth"
    await say(sock, UPGRADE.format(path=path).encode())
    reading = asyncio.create_task(receive_all(sock))
    await until(lambda: there.server.congestion.subscriber_count or truth.sent.logs)
    for number in range(30):
        there.trade(quantity=number + 1)
        there.clock.now_ms += 10
        await asyncio.sleep(0.002)
    await there.server.stop()
    return await reading


async def opened(there: Loopback, truth: Truth) -> list[Any]:
    """Let a client subscribe and receive a trade; return what was sent to it."""
    async with there.connect("/ws") as client:
        await ask(client, {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})
        there.trade()
        message = await client.recv()
    (name,) = truth.sent.logs
    await until(lambda: not truth.sent.logs[name].is_open)
    sent = (await there.get(f"{SENT_PATH}?connection={name}")).json["sent"]
    assert [each["text"] for each in sent if each["kind"] == "text"][1] == message
    return list(sent)


@looped
async def test_the_pages_tell_what_was_also_of_a_connection_that_has_ended() -> None:
    truth = Truth()
    async with loopback(truth=truth) as there:
        there.plant.publish(snapshot(100, [(6_528_000, 5)], [(6_528_010, 7)]))
        sent = await opened(there, truth)
        assert [each["kind"] for each in sent] == ["handshake", "text", "text", "close"]
        assert sent[0]["text"].startswith("HTTP/1.1 101 ")
        assert sent[-1]["code"] == 1000
        page = (await there.get(SENT_PATH)).json
        assert [(each["path"], each["open"]) for each in page["connections"]] == [("/ws", False)]
        book = (await there.get(f"{BOOK_PATH}?symbol=BTCUSDT")).json
        assert (book["lastUpdateId"], book["bids"]) == (100, [["65280.00", "0.005"]])
        trades = (await there.get(f"{TRADES_PATH}?symbol=BTCUSDT&from_id=1")).json["trades"]
        assert [(each["id"], each["price"], each["qty"]) for each in trades] == [
            (1, "65280.10", "0.001")
        ]
        kinds = (await there.get(f"{TRADES_PATH}?symbol=BTCUSDT&kind=aggTrade")).json
        assert kinds["trades"] == []
        metrics = await there.metrics()
        assert metrics['tickerplant_truth_bytes{part="sent"}'] > 500
        assert metrics['tickerplant_truth_forgotten_total{part="writes"}'] == 0


@looped
async def test_a_refused_handshake_is_kept_too() -> None:
    truth = Truth()
    async with loopback(truth=truth) as there:
        async with bare(there) as sock:
            request = UPGRADE.format(path="/nowhere")
            await say(sock, request.encode())
            received = await receive_all(sock)
        (log,) = truth.sent.logs.values()
        assert log.data == received
        assert next(iter(log.entries())).kind == "handshake"


@looped
async def test_bytes_that_are_no_text_are_shown_in_base64() -> None:
    truth = Truth()
    async with loopback(faults="invalid_utf8=5ms", truth=truth) as there:
        async with there.connect("/ws/btcusdt@trade"):
            there.clock.now_ms += 1_000
            (log,) = truth.sent.logs.values()
            await until(lambda: len(list(log.entries())) > 1)
        sent = (await there.get(f"{SENT_PATH}?connection={log.identity}&from=1&limit=1")).json
        payload = base64.b64decode(sent["sent"][0]["base64"])
        assert text_frame(payload) in log.data
        assert sent["more"]


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        (BOOK_PATH, 400, "symbol"),
        (f"{BOOK_PATH}?symbol=NOPE", 400, "symbol"),
        (f"{BOOK_PATH}?symbol=BTCUSDT&update_id=x", 400, "update_id"),
        (f"{BOOK_PATH}?symbol=BTCUSDT&id=1", 400, "parameter"),
        (f"{BOOK_PATH}?symbol=BTCUSDT&update_id=99", 404, None),
        (f"{BOOK_PATH}?symbol=BTCUSDT&update_id=101", 404, None),
        (f"{TRADES_PATH}?symbol=BTCUSDT&limit=0", 400, "limit"),
        (f"{TRADES_PATH}?symbol=BTCUSDT&kind=depth", 400, "kind"),
        (f"{TRADES_PATH}?symbol=BTCUSDT&from_id=1&start_ms=1", 400, "from_id"),
        (f"{SENT_PATH}?connection=c0", 404, None),
    ],
)
@looped
async def test_bad_questions_get_a_clear_error(query: str, status: int, field: str | None) -> None:
    truth = Truth()
    async with loopback(truth=truth) as there:
        there.plant.publish(snapshot(100, [(10, 1)], [(20, 1)]))
        answer = await there.get(query)
        assert answer.status == status, answer
        assert answer.json["error"]
        assert answer.json.get("field") == field


@looped
async def test_a_server_without_truth_says_so() -> None:
    async with loopback() as there:
        for path in (f"{BOOK_PATH}?symbol=X", f"{TRADES_PATH}?symbol=X", SENT_PATH):
            answer = await there.get(path)
            assert answer.status == 404
            assert "tickerplant test-server" in answer.json["error"]
