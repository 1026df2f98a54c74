"""The house: who may import whom, what stays pure, and that every family is on its list."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest
from imported import FILES, SOURCE, Import, imports

LAYERS = (
    {
        "documented_fields",
        "errors",
        "formatting",
        "latency",
        "regular_files",
        "suggestions",
        "toml_text",
        "units",
    },
    {"venue", "libraries"},
    {"instrument", "profile", "frames", "quarters", "stream_name", "envelope"},
    {"events", "notices"},
    {"raw_events", "messages"},
    {"market", "simulation", "recording", "decode"},
    {"streams", "queries"},
    {"protocol"},
    {"hub", "feed", "faults"},
    {"plant", "readiness", "scenarios", "truth"},
    {"logs", "originals", "output", "own_folder", "received", "stdio"},
    {"client", "control", "progress"},
    {"explain", "recorder", "server", "sources", "archive"},
    {"replaying"},
    {"config"},
    {"startup"},
    {"cluster"},
    {"serving", "watching", "verifying", "exporting", "plotting", "command_line"},
    {"hosted"},
    {"cli", "blocking", "testing"},
    {"__main__"},
)
SIDEWAYS = {
    ("errors", "formatting"): "an error quotes what somebody else wrote",
    ("simulation", "market"): "a simulated past is made of bars",
}
"""Imports between rooms of one layer that are meant, each with its reason."""
IMPURE = {
    *("asyncio", "nats", "socket", "time", "os", "threading", "secrets", "uvicorn", "websockets"),
    *(
        "aiofastnet",
        "aiohttp",
        "picows",
        "rich",
        "prometheus_client",
        "structlog",
        "logging",
        "click",
        "random",
    ),
}
PURE_IN_CLUSTER = {"cluster.messages", "cluster.tallies"}
"""What processes tell each other and count; the nodes take their clock and their sleep as arguments."""
CLOCKS = {"now", "utcnow", "today"}
GENERATORS = {"Random", "default_rng"}
ASKS = re.compile(rf"\b({'|'.join(CLOCKS | GENERATORS)})\s*\(")
"""The text of a module without this needs no closer look."""
LAYER_OF = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}


def own_targets(each: Import) -> list[str]:
    """The modules of ours that an import needs, without the package's name."""
    package, _, module = each.module.partition(".")
    if package != "tickerplant":
        return []
    targets = (f"{module}.{name}".lstrip(".") for name in each.names)
    return [target if target in FILES else module for target in targets] or [module]


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_room_has_its_place() -> None:
    rooms = {room(module) for module in FILES if module}
    assert rooms - LAYER_OF.keys() == set(), "a room without a layer: give it one in LAYERS"
    assert LAYER_OF.keys() - rooms == set(), "a layer names a room that is not there"


def test_no_import_points_downstream_or_sideways() -> None:
    wrong = []
    for each in imports():
        for target in own_targets(each):
            here, there = room(each.importer), room(target)
            if here in ("", there) or (here, there) in SIDEWAYS or each.names == ("__version__",):
                continue
            if LAYER_OF[there] >= LAYER_OF[here]:
                way = "sideways" if LAYER_OF[there] == LAYER_OF[here] else "downstream"
                wrong.append(f"{each.where}: {here} imports {target}, which lies {way}")
    assert not wrong, "\n".join(wrong)


def test_every_exception_is_used() -> None:
    used = {
        (room(each.importer), room(target)) for each in imports() for target in own_targets(each)
    }
    assert {pair for pair in SIDEWAYS if pair not in used} == set(), "an exception nobody needs"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Neither at the top of a file, nor under `TYPE_CHECKING`, nor inside a function."""
    imported: dict[str, set[str]] = {module: set() for module in FILES}
    for each in imports():
        if each.names == ("__version__",):
            continue
        imported[each.importer].update(set(own_targets(each)) - {each.importer})
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' ← '.join(error.args[1])}")


def pure(module: str) -> bool:
    """From the errors to the plant nothing does input or output, or knows a clock of its own."""
    below = bool(module) and LAYER_OF[room(module)] <= LAYER_OF["plant"]
    return below or module in PURE_IN_CLUSTER


def test_the_pure_part_imports_no_clock_no_socket_and_no_chance() -> None:
    wrong = [
        f"{each.where}: {each.importer} is pure and imports {each.module}"
        for each in imports()
        if pure(each.importer)
        and each.module.partition(".")[0] in IMPURE
        and (each.module, each.names) != ("random", ("Random",))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.heavy
def test_the_pure_part_asks_no_clock_and_draws_only_from_a_seed() -> None:
    wrong = []
    for module in filter(pure, FILES):
        text = (SOURCE.parent / FILES[module]).read_text()
        if not ASKS.search(text):
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            where = f"{FILES[module]}:{node.lineno}"
            if isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
                wrong.append(f"{where}: {called}() asks the wall clock; take the time as argument")
            if called.rpartition(".")[2] in GENERATORS and not node.args:
                wrong.append(f"{where}: {called}() has no seed")
    assert not wrong, "\n".join(wrong)


def rows_missing(package: str, table: str, catalogue: str) -> list[str]:
    """The rows of `package` that are not in its `catalogue`, wherever they are defined."""
    listed = {id(row) for row in getattr(import_module(f"tickerplant.{package}"), catalogue)}
    members = [module for module in FILES if module.startswith(f"{package}.")]
    return [
        f"{FILES[module]}: a row of {table} is not in the list of {package}/__init__.py"
        for module in members
        for row in getattr(import_module(f"tickerplant.{module}"), table, ())
        if id(row) not in listed
    ]


def test_every_stream_is_in_the_catalogue() -> None:
    assert rows_missing("streams", "STREAMS", "CATALOGUE") == []


def test_every_query_is_in_the_list() -> None:
    assert rows_missing("queries", "QUERIES", "QUERIES") == []


ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
WALKS = (ROOT / "docs" / "contributing" / "walks.md").read_text()


def test_the_table_of_rooms_is_that_of_the_layers() -> None:
    rows = re.findall(r"^\| (\d+) \| (`[^|]+`) \|", ARCHITECTURE, re.MULTILINE)
    reported = {
        room.rstrip("/"): int(line) - 1
        for line, rooms in rows
        for room in re.findall(r"`(.+?)`", rooms)
    }
    assert reported == {each: layer for each, layer in LAYER_OF.items() if each != "__main__"}


def test_every_file_that_is_named_in_the_walks_is_there() -> None:
    named = set(re.findall(r"`([\w/]+(?:\.(?:py|tsx?|mjs)|/))`", ARCHITECTURE + WALKS))
    assert len(named) > 40
    places = (SOURCE, ROOT, ROOT / "window", ROOT / "window" / "src")
    assert {name for name in named if not any((place / name).exists() for place in places)} == set()
