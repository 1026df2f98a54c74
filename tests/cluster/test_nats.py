"""Connections to a real server of NATS: what they promise, and what they say when it fails."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from crew import MARKET
from loopback import looped, looped_on_sockets
from msgspec.structs import replace
from processes import bus as running
from programs import PATIENCE_S, refusal
from security import accounts, certificates

from tickerplant.cluster import nats
from tickerplant.cluster.broker import Failed, answer, ask
from tickerplant.cluster.nats import NatsBroker, open_bus
from tickerplant.cluster.nats_server import NatsServer
from tickerplant.cluster.options import BusSettings
from tickerplant.errors import BusError
from tickerplant.logs import Complaints


class Bus:
    """A server, and two connections to it."""

    def __init__(
        self, server: NatsServer, one: NatsBroker, other: NatsBroker, complaints: Complaints
    ) -> None:
        self.server, self.one, self.other, self.complaints = server, one, other, complaints

    def signal(self, number: signal.Signals) -> None:
        assert self.server.process is not None
        os.kill(self.server.process.pid, number)


@asynccontextmanager
async def bus() -> AsyncIterator[Bus]:
    server, complaints = NatsServer(Complaints()), Complaints()
    await server.start()
    try:
        settings = replace(server.settings, grace_ms=2_000)
        one, other = [await open_bus(settings, each, complaints) for each in ("one", "other")]
        yield Bus(server, one, other, complaints)
        for each in (one, other):
            await each.close()
            assert each.unsent_bytes == 0
    finally:
        await server.stop()


async def settled(one: NatsBroker, other: NatsBroker) -> None:
    """Wait until all that `one` has published before is handed over at `other`."""
    heard = asyncio.Event()
    close = other.subscribe("t.settled", lambda *_: heard.set())
    while not heard.is_set():
        one.publish("t.settled", b"")
        await asyncio.sleep(0.01)
    close()


@looped_on_sockets
async def test_messages_are_handed_over_in_the_order_of_the_connection_but_one_that_is_too_long() -> (
    None
):
    async with bus() as b:
        heard: list[bytes] = []
        for name in "abc":
            b.other.subscribe(f"t.{name}", lambda data, _: heard.append(data))
        await settled(b.one, b.other)
        said = [b"%d" % number for number in range(3_000)]
        for number, data in enumerate(said):
            b.one.publish(f"t.{'abc'[number * number % 3]}", data)
            if number % 1_000 == 0:
                b.one.publish("t.a", bytes(b.one.max_bytes + 1))
                await asyncio.sleep(0)
        await settled(b.one, b.other)
        assert heard == said
        assert b.complaints.counts["bus: message too long"] == 3


@looped_on_sockets
async def test_a_subscription_is_known_before_what_is_published_next_and_ends_at_once() -> None:
    async with bus() as b:
        heard: list[bytes] = []
        b.other.subscribe("t.ask", lambda *_: b.other.publish("t.news", b"1"))
        await settled(b.one, b.other)
        close = b.one.subscribe("t.news", lambda data, _: heard.append(data))
        b.one.publish("t.ask", b"?")
        await settled(b.one, b.other)
        await settled(b.other, b.one)
        assert heard == [b"1"]
        close()
        b.other.publish("t.news", b"2")
        await settled(b.other, b.one)
        assert heard == [b"1"]


@looped_on_sockets
async def test_questions_are_answered_in_parts_and_a_fault_of_a_handler_is_counted() -> None:
    async with bus() as b:
        b.other.subscribe("t.ask", lambda data, reply: answer(b.other, reply, data[::-1] * 3))
        b.other.subscribe("t.ask", lambda *_: 1 / 0)
        await settled(b.one, b.other)
        long = bytes(range(256)) * 20_000
        assert await ask(b.one.ask, "t.ask", b"short") == b"trohs" * 3
        assert await ask(b.one.ask, "t.ask", long) == long[::-1] * 3
        assert b.complaints.counts["fault: ZeroDivisionError"] == 2


@looped_on_sockets
async def test_a_killed_server_is_noticed_at_once_and_every_question_fails() -> None:
    async with bus() as b:
        waiting = ask(b.one.ask, "t.nobody", b"?")
        await settled(b.one, b.other)
        b.signal(signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            reason = await b.one.lost
            assert await waiting == Failed(f"the bus is lost: {reason}")
        assert reason
        assert await ask(b.one.ask, "t.nobody", b"?") == Failed(f"the bus is lost: {reason}")
        b.one.publish("t.a", b"1")  # it never raises
        b.one.subscribe("t.a", lambda *_: None)


class Still:
    """A server that may stand still, although its system goes on."""

    def __init__(self) -> None:
        self.goes = asyncio.Event()
        self.goes.set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.goes.wait()
        writer.write(b'INFO {"server_id":"X","max_payload":1048576}\r\n')
        with suppress(OSError):
            while line := await reader.readline():
                await self.goes.wait()
                if line == b"PING\r\n":
                    writer.write(b"PONG\r\n")
        writer.close()


@looped
async def test_a_server_that_stands_still_is_given_up_and_a_pause_within_the_grace_is_borne() -> (
    None
):
    still = Still()
    async with await asyncio.start_server(still.serve, "127.0.0.1", 0) as server:
        url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = BusSettings(servers=(url,), grace_ms=5_000)
        one = await open_bus(settings, "test", Complaints())
        still.goes.clear()
        await asyncio.sleep(4)
        still.goes.set()
        await asyncio.sleep(10)
        assert not one.lost.done()
        still.goes.clear()
        for _ in range(20):
            one.publish("t.much", bytes(1 << 20))  # although much waits to be written
        await asyncio.sleep(8)
        assert one.lost.done()
        with pytest.raises(BusError) as refused:
            await open_bus(settings, "late", Complaints())
        assert refused.value.may_pass
        still.goes.set()


@looped_on_sockets
async def test_a_connection_on_which_too_much_waits_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nats, "MAX_UNSENT_BYTES", 1 << 20)
    async with bus() as b:
        b.signal(signal.SIGSTOP)
        try:
            for _ in range(2_000):
                b.one.publish("t.much", bytes(1 << 16))
                await asyncio.sleep(0)
                if b.one.lost.done():
                    break
            assert b.one.lost.result() == "it takes too little"
            assert b.one.unsent_bytes == 0
        finally:
            b.signal(signal.SIGCONT)


@looped_on_sockets
async def test_what_was_published_is_written_before_a_connection_closes() -> None:
    async with bus() as b:
        heard: list[bytes] = []
        b.other.subscribe("t.a", lambda data, _: heard.append(data))
        await settled(b.one, b.other)
        for number in range(500):
            b.one.publish("t.a", b"%d" % number)
        await b.one.close()
        late = await open_bus(b.server.settings, "late", Complaints())
        await settled(late, b.other)
        await late.close()
        assert len(heard) == 500
        assert b.one.lost.result() == "this process ends"


@looped_on_sockets
async def test_several_servers_are_tried_in_turn_and_the_last_refusal_is_told() -> None:
    async with bus() as b:
        there = b.server.settings.servers[0]
        settings = replace(b.server.settings, servers=("nats://127.0.0.1:1", there))
        late = await open_bus(settings, "late", Complaints())
        await late.close()
        for changed, why in (
            ({"servers": ("nats://127.0.0.1:1",)}, "nats://127.0.0.1:1: nothing listens there"),
            ({"password": "guess"}, "Authorization Violation"),
            ({"servers": (there.replace("nats:", "tls:"),)}, "does not use TLS, which is asked"),
        ):
            with pytest.raises(BusError, match=why) as refused:
                await open_bus(replace(settings, **changed), "late", Complaints())
            assert refused.value.may_pass == ("nothing" in why)


@looped
async def test_what_does_not_greet_like_a_bus_is_told_apart() -> None:
    requested, endless = b"HTTP/1.1 400 Bad Request\r\n", b"INFO " + bytes(1 << 18)
    for greeting in (requested, b"INFO what?\r\n", b"\x15\x03\x01\n", b"", endless):

        async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting)  # noqa: B023  # the server ends in this turn of the loop
            writer.close()

        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(BusError, match=f"what listens at {url} is not a NATS") as refused:
                await open_bus(BusSettings(servers=(url,)), "test", Complaints())
            assert not refused.value.may_pass
            assert ("handshake_first" in str(refused.value)) == (not greeting)


@looped_on_sockets
async def test_a_bus_is_reached_with_credentials_and_with_certificates(tmp_path: Path) -> None:
    async def reach(**settings: Any) -> None:
        await (await open_bus(BusSettings(**settings), "test", Complaints())).close()

    security, credentials = accounts(tmp_path)
    with running(tmp_path, security) as address:
        url = f"nats://{address}"
        await reach(servers=(url,), credentials=str(credentials))
        with pytest.raises(BusError, match="Authorization Violation"):
            await reach(servers=(url,))
    security, ca, certificate = certificates(tmp_path)
    with running(tmp_path, security) as address:
        url = f"tls://{address}"
        await reach(servers=(url,), ca=str(ca), cert=str(certificate))
        with pytest.raises(BusError, match=f"no TLS to the bus at {url}: "):
            await reach(servers=(url,), ca=str(ca))


@looped_on_sockets
async def test_a_connection_goes_on_when_a_bus_forbids_subjects_and_they_are_counted(
    tmp_path: Path,
) -> None:
    rules = 'permissions: {publish: "t.>", subscribe: "t.>"}'
    with running(tmp_path, f"authorization {{users: [{{user: u, password: pw, {rules}}}]}}") as at:
        proof: dict[str, Any] = {"user": "u", "password": "pw"}
        complaints, settings = Complaints(), BusSettings(servers=(f"nats://{at}",), **proof)
        one, other = [await open_bus(settings, each, complaints) for each in ("one", "other")]
        one.publish("other.one", b"")
        one.subscribe("other.two", lambda *_: None)
        await settled(one, other)
        await settled(other, one)
        for each in (one, other):
            await each.close()
        assert complaints.counts == {"bus: refused": 2}


@pytest.mark.sockets
@pytest.mark.parametrize("command", [("edge",), (*MARKET, "--workers", "2")])
def test_a_refusal_by_a_bus_is_one_sentence(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path, 'authorization { user: "edges", password: "secret" }') as address:
        proof = ("--bus-user", "edges", "--bus-password", "guess")
        line = refusal(capsys, *command, "--bus", f"nats://{address}", *proof)
    at = f"no connection to the bus at nats://{address}"
    assert line == f"tickerplant: {at}: Authorization Violation"
