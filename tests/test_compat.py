"""What `make compat` promises: the recipes of the page, run where nothing leaves this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import ended

from compat.environment import version_of
from compat.libraries import PROGRAMS
from compat.recipes import PAGE, Recipe, recipes
from compat.trial import Server

ROOT = Path(__file__).parent.parent
ELSEWHERE = "192.0.2.1"
"""An address of nobody (RFC 5737)."""
SERVER = Server("2026q1", "127.0.0.1:5001", "127.0.0.1:5002", 1.0)
RECIPES = list(recipes())


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


@pytest.mark.slow("programs are run")
def test_a_network_that_leads_nowhere_counts_and_names_what_would_leave() -> None:
    program = f"""
import socket
from compat.network import Network
network = Network()
try:
    network.isolate()
except OSError as error:
    raise SystemExit(f"refused: {{error}}")
print(network.left())
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
print(network.left())
for host in ("{ELSEWHERE}", "fapi.binance.com"):
    try:
        socket.create_connection((host, 443), timeout=5)
    except OSError:
        print("not reached")
print(network.left() > 0, network.asked <= {{"fapi.binance.com"}})
"""
    done = ended("-c", program, cwd=ROOT)
    if done.stderr.startswith("refused: "):
        pytest.skip(done.stderr)
    assert done.stdout.splitlines() == ["0", "0", "not reached", "not reached", "True True"]
