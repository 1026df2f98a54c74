"""The versions of the program, of Python and of the libraries, for bug reports."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

from msgspec import Struct

from tickerplant import __version__
from tickerplant.libraries import DISTRIBUTION

_NAME = re.compile(r"[\w.-]*")
"""The library in a requirement such as `aiohttp[speedups]>=3.12`."""


class Versions(Struct, frozen=True):
    """What `tickerplant version --json` prints."""

    version: str
    """That of Tickerplant."""
    python: str
    """That of Python."""
    platform: str
    """System, release and processor."""
    libraries: dict[str, str | None]
    """The version of each library, by name; null for one that is not installed."""


def versions() -> Versions:
    """Return the versions of what is installed."""
    names = sorted({each for text in _requirements() for each in _NAME.findall(text)[:1]})
    return Versions(
        __version__,
        platform.python_version(),
        f"{platform.system()} {platform.release()} {platform.machine()}",
        {name: _version_of(name) for name in names},
    )


def _requirements() -> list[str]:
    """Return what the program requires, with all extras; nothing if it runs from plain files."""
    try:
        return requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []


def _version_of(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
