"""Programs with workers, reached through a proxy and over TLS."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from connecting import connect
from crew import MARKET, Crew, started, until
from loopback import looped_on_sockets
from programs import PATIENCE_S

pytestmark = pytest.mark.slow("programs are started")


def asked(crew: Crew, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Return the status, and the weight that is used."""
    connection = http.client.HTTPConnection(urlsplit(crew.rest).netloc, timeout=PATIENCE_S)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=sent)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.headers.get("x-mbx-used-weight-1m", "")


@looped_on_sockets
async def test_workers_know_the_clients_of_a_proxy_and_what_they_may_do(tmp_path: Path) -> None:
    options = ("--workers", "2", "--trusted-proxy", "127.0.0.1", "--host", "127.0.0.1")
    async with started(tmp_path, *MARKET, *options) as crew:
        for client in ("203.0.113.7", "203.0.113.8"):
            for used in ("1", "2", "3"):
                found = await asyncio.to_thread(
                    asked, crew, "/fapi/v1/time", X_Forwarded_For=client
                )
                assert found == (200, used), client
        there = {"X_Forwarded_For": "203.0.113.7"}
        refused = await asyncio.to_thread(asked, crew, "/plant/v1/faults", "DELETE", **there)
        assert refused[0] == 403
        assert (await asyncio.to_thread(asked, crew, "/plant/v1/profile", **there))[0] == 200
        assert (await asyncio.to_thread(asked, crew, "/plant/v1/faults", "DELETE"))[0] == 200


@looped_on_sockets
async def test_a_server_for_other_machines_without_a_token_says_what_they_may_do(
    tmp_path: Path,
) -> None:
    said = "only this machine can use the control plane"
    async with started(tmp_path, *MARKET, "--host", "0.0.0.0") as crew:  # noqa: S104
        await crew.said(said)
    token = {"TICKERPLANT_CONTROL_TOKEN": "open sesame"}
    async with started(tmp_path, *MARKET, "--host", "0.0.0.0", env=token, name="other") as crew:  # noqa: S104
        assert said not in crew.log


def issued(path: Path) -> ssl.SSLContext:
    """Put a certificate at `path`; return who trusts only this one."""
    authority = trustme.CA()
    new = path.with_suffix(".new")
    new.write_bytes(authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes())
    new.replace(path)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return trusting


@pytest.mark.parametrize("workers", ["0", "2"])
@looped_on_sockets
async def test_a_hangup_makes_every_process_read_the_certificate_again(
    tmp_path: Path, workers: str
) -> None:
    path = tmp_path / "server.pem"
    old_trust = issued(path)
    options = ("--workers", workers, "--tls-cert", str(path))
    async with (
        started(tmp_path, *MARKET, *options) as crew,
        connect(f"{crew.streams}/ws/btcusdt@trade", ssl=old_trust) as old,
    ):
        new_trust = issued(path)
        os.kill(crew.process.pid, signal.SIGHUP)
        readers = max(int(workers), 1)
        await until(lambda: crew.log.count("the certificate was read again") == readers)
        assert "there is no certificate" not in crew.log
        for _ in range(4 * readers):  # whichever worker answers
            async with connect(f"{crew.streams}/ws/btcusdt@trade", ssl=new_trust):
                pass
        async with asyncio.timeout(PATIENCE_S):
            assert await old.recv(), "the old connection goes on"
