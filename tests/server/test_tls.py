"""TLS on the ports, from the handshake to the last byte."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
from loopback import Loopback, hear, loopback, looped_on_sockets, say, until
from msgspec.structs import replace
from programs import PATIENCE_S

import tickerplant
from tickerplant.protocol.close_reasons import SLOW_CONSUMER
from tickerplant.protocol.limits import LIMITS
from tickerplant.server import event_loop
from tickerplant.server.certificate import OwnCertificate, ServedCertificate, own_certificate
from tickerplant.server.listener import Listener


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> OwnCertificate:
    return own_certificate(tmp_path_factory.mktemp("tls"), [])


def listener(house: Loopback) -> Listener:
    """Return what accepts connections for the first port."""
    found = house.server.ports[0].listener
    assert isinstance(found, Listener)
    return found


def trusting(own: OwnCertificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=own.authority)


@looped_on_sockets
async def test_the_client_library_trusts_what_the_environment_names(
    own: OwnCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(own.authority))
    async with loopback(tls=ServedCertificate(str(own.server))) as house:
        url = f"wss://{house.server.urls['usdm']}"
        async with tickerplant.connect("usdm", base_url=url) as market:
            trades = market.stream("btcusdt@trade", on_notice=print)
            await until(lambda: house.server.congestion.subscriber_count)
            house.trade()
            assert "BTCUSDT" in repr(await anext(aiter(trades)))


@pytest.mark.slow("a program whose HTTP client reads the environment when it starts")
@looped_on_sockets
async def test_the_program_trusts_what_the_environment_names(own: OwnCertificate) -> None:
    async with loopback(tls=ServedCertificate(str(own.server))) as house:
        asking = ["ask", "time", "--rest", "--url", f"wss://{house.server.urls['usdm']}"]
        asked = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tickerplant", *asking),
            stdout=subprocess.PIPE,
            env=os.environ | {"SSL_CERT_FILE": str(own.authority)},
        )
        answer, _ = await asked.communicate()
        assert "serverTime" in json.loads(answer)


@looped_on_sockets
async def test_a_client_that_does_not_read_is_closed_and_one_that_closes_is_answered(
    own: OwnCertificate,
) -> None:
    limits = replace(LIMITS, max_unsent_bytes=200_000, close_grace_ms=200)
    async with loopback(limits, tls=ServedCertificate(str(own.server))) as house:
        sock = listener(house).sockets[0]
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # the system holds little
        options: dict[str, Any] = {"ssl": trusting(own)}
        patient = options | {"close_timeout": PATIENCE_S}
        async with house.connect("/ws/btcusdt@trade", **options, close_timeout=0.1) as idle:
            async with house.connect("/ws/btcusdt@trade", **patient) as reading:
                (slow, quick) = house.server.endpoints[0].connections
                idle.transport.pause_reading()
                while slow.is_open:
                    house.trade(count=50)
                    for _ in range(50):
                        await reading.recv()
                assert quick.unsent_bytes == 0
            assert reading.protocol.close_rcvd is not None, "the close frame was answered"
            idle.transport.resume_reading()
        closed = house.server.endpoints[0].counters.closed
        await until(lambda: closed.total() == 2)
        assert closed == {SLOW_CONSUMER.name: 1, "client": 1}


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x00"])
@looped_on_sockets
async def test_plain_text_to_a_tls_port_is_called_that(own: OwnCertificate, sent: bytes) -> None:
    async with loopback(tls=ServedCertificate(str(own.server))) as house:
        with house.socket() as sock:
            await say(sock, sent)
            answer = await hear(sock)
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert answer.endswith(b"use wss:// and https://, not ws:// and http://.\n")
        counters = house.server.endpoints[0].counters
        assert counters.turned_away == {"plain to a TLS port": 1}


@looped_on_sockets
async def test_a_client_that_does_not_trust_the_certificate_is_counted(own: OwnCertificate) -> None:
    async with loopback(tls=ServedCertificate(str(own.server))) as house:
        event_loop.report_faults(house.server.complaints)
        with pytest.raises(ssl.SSLCertVerificationError):
            async with house.connect("/ws"):
                pass
        counters = house.server.endpoints[0].counters
        await until(lambda: counters.turned_away["TLS failed"] == 1)
        (kind,) = house.server.complaints.counts
        assert kind.startswith("TLS failed: "), "an alert, or that the client is gone"


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"], ids=["silence", "a torn greeting"])
@looped_on_sockets
async def test_a_client_that_does_not_finish_the_handshake_is_cut(
    own: OwnCertificate, sent: bytes
) -> None:
    limits = replace(LIMITS, head_timeout_ms=50)
    async with loopback(limits, tls=ServedCertificate(str(own.server))) as house:
        with house.socket() as sock:
            await say(sock, sent)
            assert await hear(sock) == b""
        counters = house.server.endpoints[0].counters
        assert counters.timeouts["head"] + counters.turned_away["TLS failed"] == 1


@looped_on_sockets
async def test_a_server_stops_while_a_client_is_silent(own: OwnCertificate) -> None:
    async with loopback(tls=ServedCertificate(str(own.server))) as house:
        with house.socket() as sock, house.socket() as other:
            await say(other, b"\x16\x03\x01")
            await until(lambda: len(listener(house)._opening) == 2)
            await house.server.stop()
            assert await hear(sock, 1) == b""


def replaced(path: Path) -> ssl.SSLContext:
    """Put another certificate in the place of that of a server; return who trusts only that one."""
    authority = trustme.CA()
    new = path.with_suffix(".new")
    new.write_bytes(authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    new.replace(path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@looped_on_sockets
async def test_a_new_certificate_is_used_for_new_connections_and_the_old_ones_stay(
    tmp_path: Path,
) -> None:
    own = own_certificate(tmp_path, [])
    served = ServedCertificate(str(own.server))
    async with (
        loopback(tls=served) as house,
        house.connect("/ws/btcusdt@trade", ssl=trusting(own)) as old,
    ):
        await until(lambda: house.server.congestion.subscriber_count == 1)
        new_trust = replaced(own.server)
        async with house.connect("/ws/btcusdt@trade", ssl=trusting(own)):
            pass  # nobody has looked yet
        served.look(1e9)
        served.look(2e9)
        with pytest.raises(ssl.SSLCertVerificationError):
            await house.connect("/ws/btcusdt@trade", ssl=trusting(own))
        async with house.connect("/ws/btcusdt@trade", ssl=new_trust) as new:
            await until(lambda: house.server.congestion.subscriber_count == 2)
            house.trade()
            assert json.loads(await old.recv())["e"] == json.loads(await new.recv())["e"] == "trade"
        own.server.write_text("broken")
        served.read_again()
        async with house.connect("/ws/btcusdt@trade", ssl=new_trust):
            pass  # the one in use stays
        assert (served.reloads, served.failures) == (1, 1)
        metrics = (await house.server.plane.metrics()).decode()
        expiry = metrics.partition("\ntickerplant_certificate_expiry_seconds ")[2].split()[0]
        assert float(expiry) == served.expires_s
        assert 'tickerplant_certificate_reads_total{outcome="failed"} 1.0' in metrics
