"""The virtual environments of the libraries: one each, because two of them share a module name.

An environment with a folder of its own in `compat/requirements` has npm packages too; node comes as
a package of Python, so that Python is all it takes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venv-compat"
REQUIREMENTS = ROOT / "compat" / "requirements"


def python_of(program: str) -> Path:
    """Return the Python of a program's environment, after making it if it is not there.

    Raises:
        subprocess.CalledProcessError: the packages cannot be installed.
    """
    folder = ENVIRONMENTS / program
    locked = REQUIREMENTS / f"{program}.txt"
    packages = _npm_files(program)
    wanted = "".join(path.read_text() for path in (locked, *packages))
    installed = folder / ".installed"
    if not installed.exists() or installed.read_text() != wanted:
        _create(folder, locked)
        if packages:
            _npm(folder, packages, "ci")
        installed.write_text(wanted)
    return folder / "bin" / "python"


def version_of(program: str, library: str) -> str:
    """Return the version of a library that a program asks for; empty if it does not name it."""
    text = (REQUIREMENTS / f"{program}.in").read_text()
    for path in _npm_files(program):
        text += path.read_text()
    found = re.search(rf'^\W*{re.escape(library)}(?:==|": ")([\w.]+)', text, re.MULTILINE)
    return found[1] if found else ""


def _create(folder: Path, locked: Path) -> None:
    """Make a new environment with the packages of Python that it has."""
    venv.create(folder, with_pip=True, clear=True)
    _run(folder / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check",
         "install", "--no-deps", "--require-hashes", "--requirement", locked)  # fmt: skip


def _npm_files(program: str) -> list[Path]:
    """Return the files that name and pin the npm packages of a program, if it has any."""
    return sorted((REQUIREMENTS / program).glob("package*.json"))


def _npm(folder: Path, packages: list[Path], *command: str) -> None:
    """Run npm in an environment, with its node, for the packages that files name and pin."""
    for each in packages:
        shutil.copy(each, folder)
    path = os.pathsep.join((str(folder / "bin"), os.environ.get("PATH", "")))
    _run(folder / "bin" / "npm", *command, "--no-audit", "--no-fund", "--loglevel=error",
         f"--prefix={folder}", PATH=path)  # fmt: skip


def lock(program: str) -> None:
    """Pin the packages of a program anew, with hashes; needs uv.

    `<program>.overrides`, if there is one, replaces what packages ask of each other.

    Raises:
        subprocess.CalledProcessError: uv or npm finds no set of packages.
    """
    overrides = REQUIREMENTS / f"{program}.overrides"
    _run(os.environ.get("UV", "uv"), "pip", "compile", "--universal", "--python-version", "3.11",
         "--generate-hashes", "--no-annotate", "--quiet",
         "--custom-compile-command", "make compat ARGS=--lock",
         *(("--override", overrides) if overrides.exists() else ()),
         str(REQUIREMENTS / f"{program}.in"),
         "--output-file", str(REQUIREMENTS / f"{program}.txt"))  # fmt: skip
    if packages := _npm_files(program):
        folder = ENVIRONMENTS / program
        _create(folder, REQUIREMENTS / f"{program}.txt")
        _npm(
            folder, packages, "install", "--package-lock-only", "--omit-lockfile-registry-resolved"
        )
        shutil.copy(folder / "package-lock.json", REQUIREMENTS / program)


def problem_of(command: list[str], timeout_s: float, log: Path, **options: Any) -> str:
    """Run a command whose output goes to a log; return how it ended, empty if well."""
    with log.open("w", encoding="utf-8") as out:
        streams = {"stdout": out, "stderr": out} | options
        try:
            code = subprocess.run(command, timeout=timeout_s, check=False, **streams).returncode  # noqa: S603  # our own words
            end = f"exit {code}" if code else ""
        except subprocess.TimeoutExpired:
            end = f"not over after {timeout_s:g} s"
    return end and f"{end}; see {os.path.relpath(log, ROOT)}"


def _run(*command: str | Path, **environment: str) -> None:
    subprocess.run(  # noqa: S603  # our own words
        [str(part) for part in command],
        check=True,
        stdout=sys.stderr,
        env=os.environ | environment,
    )
