"""The virtual environments of the libraries: one each, because two of them share a module name."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venv-compat"
REQUIREMENTS = ROOT / "compat" / "requirements"


def python_of(program: str) -> Path:
    """Return the Python of a program's environment, after making it if it is not there.

    Raises:
        subprocess.CalledProcessError: the packages cannot be installed.
    """
    folder = ENVIRONMENTS / program
    python = folder / "bin" / "python"
    locked = REQUIREMENTS / f"{program}.txt"
    installed = folder / ".installed"
    if not installed.exists() or installed.read_text() != locked.read_text():
        venv.create(folder, with_pip=True, clear=True)
        _run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install",
             "--require-hashes", "--requirement", str(locked))  # fmt: skip
        installed.write_text(locked.read_text())
    return python


def lock(program: str) -> None:
    """Pin the packages of a program anew, with hashes; needs uv.

    Raises:
        subprocess.CalledProcessError: uv finds no set of packages.
    """
    _run(os.environ.get("UV", "uv"), "pip", "compile", "--universal", "--python-version", "3.11",
         "--generate-hashes", "--no-annotate", "--quiet",
         "--custom-compile-command", "make compat ARGS=--lock",
         str(REQUIREMENTS / f"{program}.in"),
         "--output-file", str(REQUIREMENTS / f"{program}.txt"))  # fmt: skip


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr)  # noqa: S603  # our own words
