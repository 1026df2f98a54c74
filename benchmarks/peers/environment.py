"""The virtual environments of the peers whose library is not one of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venv-bench"
REQUIREMENTS = ROOT / "benchmarks" / "requirements"


def python_of(peer: str) -> Path:
    """Return the Python that runs a peer: ours, or that of its environment, made if need be.

    Raises:
        RuntimeError: the packages cannot be installed; what pip said last is the message.
    """
    locked = REQUIREMENTS / f"{peer}.txt"
    if not locked.exists():
        return Path(sys.executable)
    folder = ENVIRONMENTS / peer
    python = folder / "bin" / "python"
    installed = folder / ".installed"
    if not installed.exists() or installed.read_text() != locked.read_text():
        venv.create(folder, with_pip=True, clear=True)
        ENVIRONMENTS.joinpath(".gitignore").write_text("*\n")
        _install(python, locked)
        installed.write_text(locked.read_text())
    return python


def _install(python: Path, locked: Path) -> None:
    done = subprocess.run(  # noqa: S603  # our own words
        [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install",
         "--require-hashes", "--requirement", locked],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2] or "pip failed")


def lock() -> None:
    """Pin the packages of all peers anew, with hashes: `python -m benchmarks.peers.environment`.

    Needs uv.

    Raises:
        subprocess.CalledProcessError: uv finds no set of packages.
    """
    for wanted in sorted(REQUIREMENTS.glob("*.in")):
        subprocess.run(  # noqa: S603  # our own words
            [os.environ.get("UV", "uv"), "pip", "compile", "--universal",
             "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--quiet",
             "--custom-compile-command", "python -m benchmarks.peers.environment",
             wanted, "--output-file", wanted.with_suffix(".txt")],
            check=True,
        )  # fmt: skip


if __name__ == "__main__":
    lock()
