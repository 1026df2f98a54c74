"""What `make compat` promises: the recipes of the page, run where nothing leaves this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from programs import PATIENCE_S

from compat.environment import version_of
from compat.libraries import PROGRAMS
from compat.network import attempts, guarded
from compat.recipes import PAGE, Recipe, problem, recipes
from compat.trial import Server

ROOT = Path(__file__).parent.parent
ELSEWHERE = "192.0.2.1"
"""An address of nobody (RFC 5737)."""
SERVER = Server("2026q1", "127.0.0.1:5001", "127.0.0.1:5002", 1.0)
RECIPES = list(recipes())


def run(tmp_path: Path, *command: str) -> tuple[str, list[str]]:
    """Run a guarded program; return what it printed, and what it tried to reach."""
    log = tmp_path / "guard"
    done = subprocess.run(  # noqa: S603  # our own words
        command, env=guarded(log), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    return done.stdout + done.stderr, attempts(log)


def test_every_library_has_a_recipe_and_every_recipe_a_library() -> None:
    libraries = {library for program in PROGRAMS for library in program.libraries}
    assert {recipe.library for recipe in RECIPES} == libraries


def test_the_page_names_the_versions_that_are_tried() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for program in PROGRAMS:
        for library in program.libraries:
            version = version_of(program.name, library)
            assert version, f"{library} is pinned"
            section = next(part for part in page.split("\n## ") if f"needs={library}\n" in part)
            assert version in section, f"expected that the page says {library} {version}"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_has_keys_that_mean_nothing_and_gets_the_addresses_of_a_server(
    recipe: Recipe,
) -> None:
    assert recipe.venues, "it names an address of the page"
    assert "9001" not in recipe.at(SERVER)
    assert "9002" not in recipe.at(SERVER)
    assert '"none"' in recipe.text, "it shows how an order ends, and that needs keys"
    if recipe.language == "python":
        compile(recipe.text, recipe.name, "exec")


def test_no_other_page_shows_how_to_replace_a_part_of_the_addresses() -> None:
    parts = re.compile(r"FSTREAM_URL|FUTURES_URL|urls\[|fapiPublic|base_url_ws=")
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    others = [page for page in pages if page != PAGE and page.name != "compatibility.md"]
    assert not [page.name for page in others if parts.search(page.read_text(encoding="utf-8"))]


PYTHON = {
    "socket.create_connection((HOST, 443))": "socket.getaddrinfo 192.0.2.1",
    "socket.socket().connect((HOST, 443))": "socket.connect 192.0.2.1:443",
    "socket.getaddrinfo('fapi.binance.com', 443)": "socket.getaddrinfo fapi.binance.com",
    "socket.gethostbyname('api.binance.com')": "socket.gethostbyname api.binance.com",
    "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', (HOST, 53))": "socket.sendto 192.0.2.1:53",
    "socket.socket(socket.AF_INET6).connect(('::ffff:192.0.2.1', 443))": (
        "socket.connect ::ffff:192.0.2.1:443"
    ),
    "asyncio.run(asyncio.open_connection('dapi.binance.com', 443))": (
        "socket.getaddrinfo dapi.binance.com"
    ),
    (
        "subprocess.run([sys.executable, '-c', "
        "'import socket; socket.socket().connect((\"192.0.2.1\", 80))'], check=True)"
    ): "socket.connect 192.0.2.1:80",
}
"""What a program may do, and how that is named."""


@pytest.mark.slow("programs are run")
def test_a_python_program_that_reaches_out_is_stopped_and_named(tmp_path: Path) -> None:
    program = f"import asyncio, socket, subprocess, sys\nHOST = '{ELSEWHERE}'\n"
    for statement in PYTHON:
        program += f"try: {statement}\nexcept Exception as error: print(error)\n"
    printed, found = run(tmp_path, sys.executable, "-c", program)
    assert printed.count("is not this machine") >= len(PYTHON), "refused before anything is sent"
    assert found == sorted(PYTHON.values())


@pytest.mark.slow("programs are run")
def test_loopback_and_unix_sockets_are_left_alone(tmp_path: Path) -> None:
    program = """
import socket, sys
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "localhost")):
    with socket.create_server((host, 0)) as server:
        socket.create_connection(server.getsockname()).close()
unix = socket.socket(socket.AF_UNIX)
unix.bind(sys.argv[1]); unix.listen()
socket.socket(socket.AF_UNIX).connect(sys.argv[1])
print("fine")
"""
    printed, found = run(tmp_path, sys.executable, "-c", program, str(tmp_path / "socket"))
    assert (printed.strip(), found) == ("fine", [])


@pytest.mark.slow("programs are run")
def test_a_program_without_a_guard_is_a_failure(tmp_path: Path) -> None:
    printed, found = run(tmp_path, sys.executable, "-I", "-c", "print('isolated')")
    assert (printed.strip(), found) == ("isolated", ["the guard was not loaded"])


NODE = {
    "require('net').connect(443, 'HOST').on('error', say)": "connect 192.0.2.1:443",
    "require('tls').connect({host: 'HOST', port: 444}).on('error', say)": "connect HOST:444",
    "fetch('https://fapi.binance.com/').catch(say)": "connect fapi.binance.com:443",
    "require('dns').lookup('api.binance.com', say)": "lookup api.binance.com",
    "require('dns').promises.resolve('x.org').catch(say)": "resolve x.org",
}


@pytest.mark.slow("programs are run")
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_a_node_program_that_reaches_out_is_stopped_and_named(tmp_path: Path) -> None:
    program = "const say = (error) => console.log((error.cause ?? error).message);\n"
    program += ";\n".join(NODE).replace("HOST", ELSEWHERE)
    printed, found = run(tmp_path, shutil.which("node") or "", "-e", program)
    assert printed.count("is not this machine") == len(NODE)
    assert found == sorted(each.replace("HOST", ELSEWHERE) for each in NODE.values())


@pytest.mark.slow("programs are run")
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_node_reaches_this_machine(tmp_path: Path) -> None:
    program = """
const net = require('net');
const server = net.createServer((socket) => socket.end('fine')).listen(0, '127.0.0.1', () => {
  net.connect(server.address().port, 'localhost').on('data', (data) => console.log(String(data)))
    .on('error', () => net.connect(server.address().port).on('data', (d) => console.log(String(d))))
    .on('close', () => server.close());
});
"""
    printed, found = run(tmp_path, shutil.which("node") or "", "-e", program)
    assert (printed.strip(), found) == ("fine", [])


@pytest.mark.slow("programs are run")
def test_a_network_of_its_own_counts_and_names_what_no_guard_sees() -> None:
    program = f"""
import socket
from compat.network import Network
network = Network()
print(network.isolate() or "isolated", network.left())
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
print(network.left())
for host in ("{ELSEWHERE}", "fapi.binance.com"):
    try:
        socket.create_connection((host, 443), timeout=5)
    except OSError:
        pass
print(network.left() > 0, network.asked <= {{"fapi.binance.com"}})
"""
    done = subprocess.run(  # noqa: S603  # our own words
        [sys.executable, "-c", program],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    first, *others = done.stdout.splitlines()
    if not first.startswith("isolated"):
        pytest.skip(f"no network of its own: {first}")
    assert (first, others) == ("isolated 0", ["0", "True True"])


@pytest.mark.slow("programs are run")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("print('API-key format invalid.')", ""),
        ("print('filled')", "no order was refused with 'API-key format invalid'; see "),
        ("raise SystemExit(3)", "exit 3; see "),
        (
            (
                f"import socket\ntry: socket.socket().connect(('{ELSEWHERE}', 443))\n"
                "except OSError: print('API-key format invalid.')"
            ),
            f"left this machine: socket.connect {ELSEWHERE}:443",
        ),
    ],
)
def test_a_recipe_fails_if_it_reaches_out_or_no_order_is_refused(
    text: str, found: str, tmp_path: Path
) -> None:
    recipe = Recipe("one", "any", "python", text)
    wrong = problem(recipe, SERVER, Path(sys.executable), tmp_path, tmp_path / "one.log")
    assert wrong.startswith(found), wrong
    assert bool(wrong) == bool(found), wrong
