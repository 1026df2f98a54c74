from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from loopback import ask_http, loopback, looped_on_sockets
from programs import ROOT


@contextmanager
def nginx_of_the_page(folder: Path, market: str) -> Iterator[str]:
    """Run nginx as the page about proxies has it, before the server at `market`; yield its port."""
    page = (ROOT / "docs/how-to/operate.md").read_text()
    config = page.partition("```nginx\n")[2].partition("```")[0]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    config = config.replace("127.0.0.1:9001", market)
    config = config.replace("listen 80", f"listen 127.0.0.1:{port}")
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


@pytest.mark.slow("nginx is started")
@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx")
@looped_on_sockets
async def test_behind_nginx_as_the_page_has_it_a_web_page_of_another_name_controls_nothing(
    tmp_path: Path,
) -> None:
    async with loopback(trusted_proxies=["127.0.0.1"], public_names=["market.example"]) as house:
        direct = house.server.urls["usdm"]
        with nginx_of_the_page(tmp_path, direct) as port:
            while not (tmp_path / "pid").exists():  # noqa: ASYNC110  # nginx writes it
                await asyncio.sleep(0.01)
            known, through = f"market.example:{port}", f"127.0.0.1:{port}"
            own, there = f"http://{known}", "203.0.113.9"
            evil = {"Host": "evil.example", "Origin": "http://evil.example"}
            for at, headers, status in (
                (through, {"Host": known, "Origin": own, "Sec-Fetch-Site": "same-origin"}, 200),
                (through, {"Host": known, "Origin": own, "X-Forwarded-For": there}, 403),
                (through, {"Host": known, "Origin": "http://evil.example"}, 403),
                (through, evil, 421),
                (direct, evil | {"X-Forwarded-For": "127.0.0.1"}, 403),
            ):
                answer = await ask_http(at, "DELETE", "/plant/v1/faults", headers)
                assert answer.status == status, headers
            url, headers = f"ws://{through}/ws/btcusdt@trade", {"Host": known}
            async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers):
                answer = await ask_http(through, "GET", "/plant/v1/connections", headers)
                assert (answer.status, answer.json["total"]) == (200, 1)
