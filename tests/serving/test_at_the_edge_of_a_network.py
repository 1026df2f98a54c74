"""Programs with workers, reached through a proxy and over TLS."""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import trustme
from connecting import connect
from crew import MARKET, started, until
from loopback import looped_on_sockets
from programs import PATIENCE_S

pytestmark = pytest.mark.slow("programs are started")
PROXY_PAGE = Path(__file__).parents[2] / "docs/how-to/operate.md"


def asked(at: str, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Return the status, and the weight that is used."""
    connection = http.client.HTTPConnection(urlsplit(at).netloc, timeout=PATIENCE_S)
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
                    asked, crew.rest, "/fapi/v1/time", X_Forwarded_For=client
                )
                assert found == (200, used), client
        there = {"X_Forwarded_For": "203.0.113.7"}
        assert (await asyncio.to_thread(asked, crew.rest, "/plant/v1/profile", **there))[0] == 200
        ways: list[tuple[dict[str, str], int]] = [
            *((headers, 403) for headers in (there, {}, {"Via": "1.1 proxy"})),
            ({"X_Forwarded_For": "127.0.0.1"}, 200),
        ]
        for headers, status in ways:
            path = "/plant/v1/faults"
            found = await asyncio.to_thread(asked, crew.rest, path, "DELETE", **headers)
            assert found[0] == status, headers


@looped_on_sockets
async def test_a_server_for_other_machines_without_a_token_says_what_they_may_do(
    tmp_path: Path,
) -> None:
    said = "only the machine of the plant can use the control plane"
    async with started(tmp_path, *MARKET, "--host", "0.0.0.0") as crew:  # noqa: S104
        await crew.said(said)
    token = {"TICKERPLANT_CONTROL_TOKEN": "open sesame, door"}
    async with started(tmp_path, *MARKET, "--host", "0.0.0.0", env=token, name="other") as crew:  # noqa: S104
        assert said not in crew.log


@looped_on_sockets
async def test_a_setting_turns_compression_off_where_workers_serve_too(tmp_path: Path) -> None:
    for setting, coding in (("gzip", "gzip"), ("off", None)):
        options = ("--rest-compression", setting, "--workers", "2")
        async with (
            started(tmp_path, *MARKET, *options, name=setting) as crew,
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.get(
                f"{crew.rest}/fapi/v1/exchangeInfo", headers={"Accept-Encoding": "gzip"}
            ) as answer,
        ):
            assert answer.headers.get("Content-Encoding") == coding


@contextmanager
def nginx_of_the_page(folder: Path, market: str) -> Iterator[str]:
    """Run nginx as the page about proxies has it, before the server at `market`; yield its port."""
    page = PROXY_PAGE.read_text()
    config = page.partition("```nginx\n")[2].partition("```")[0]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    config = config.replace("127.0.0.1:9001", market).replace(
        "listen 80", f"listen 127.0.0.1:{port}"
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    own = "".join(f"{kind}_temp_path {folder / kind};\n" for kind in kinds) + "access_log off;\n"
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder / 'pid'};\nevents {{}}\nhttp {{\n{own}{config}\n}}\n"
    )
    arguments = ("nginx", "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf")
    with subprocess.Popen(arguments) as process:  # noqa: S603
        try:
            yield port
        finally:
            process.terminate()


@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx")
@looped_on_sockets
async def test_behind_nginx_as_the_page_has_it_a_web_page_of_another_name_controls_nothing(
    tmp_path: Path,
) -> None:
    options = ("--trusted-proxy", "127.0.0.1", "--public-name", "market.example")
    async with started(tmp_path, *MARKET, *options) as crew:
        with nginx_of_the_page(tmp_path, urlsplit(crew.rest).netloc) as port:
            await until((tmp_path / "pid").exists)
            known, own, there = (
                f"market.example:{port}",
                f"http://market.example:{port}",
                "203.0.113.9",
            )
            evil = {"Host": "evil.example", "Origin": "http://evil.example"}
            through, direct = f"http://127.0.0.1:{port}", crew.rest
            for at, headers, status in (
                (through, {"Host": known, "Origin": own, "Sec_Fetch_Site": "same-origin"}, 200),
                (through, {"Host": known, "Origin": own, "X_Forwarded_For": there}, 403),
                (through, {"Host": known, "Origin": "http://evil.example"}, 403),
                (through, evil, 421),
                (direct, evil | {"X_Forwarded_For": "127.0.0.1"}, 403),
            ):
                found = await asyncio.to_thread(asked, at, "/plant/v1/faults", "DELETE", **headers)
                assert found[0] == status, headers
            url, headers = f"ws://127.0.0.1:{port}/ws/btcusdt@trade", {"Host": known}
            async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers):
                page = await asyncio.to_thread(asked, through, "/plant/v1/connections", **headers)
            assert page[0] == 200


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
