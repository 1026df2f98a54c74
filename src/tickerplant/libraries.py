"""Libraries that only some installations have, imported when they are needed.

The client and the reading of recordings need none of them.  The extra `server` of the distribution
brings what serves, `bus` what joins several processes, `tables` what makes tables, `plots` what draws;
polars and pandas are the user's own.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from typing import Any

from tickerplant.errors import MissingLibraryError

CORE = "tickerplant-core"
"""The distribution with the code."""
FULL = "tickerplant"
"""The distribution that adds the libraries of the server."""
SERVER = frozenset(
    {
        *("aiofastnet", "cryptography", "httptools", "numpy", "prometheus_client"),
        *("trustme", "uvicorn", "websockets"),
    }
)
"""The modules that the extra `server` brings."""
TABLES = frozenset({"numpy", "pyarrow"})
"""The modules that the extra `tables` brings."""
PLOTS = frozenset({"matplotlib", "numpy"})
"""The modules that the extra `plots` brings."""
BUS = frozenset({"nats"})
"""The modules that the extra `bus` brings; it also brings the program `nats-server`."""
_FOR_READERS = {"tables": TABLES, "plots": PLOTS}
"""The extras that both distributions have."""


def library(name: str, purpose: str, extra: str = "tables") -> Any:
    """Import and return a module.

    Args:
        name: The module, of a library or of this package.
        purpose: What needs it, as the subject of a sentence, such as `arrow()`.
        extra: The extra that brings what the purpose needs, `tables` or `plots`.

    Raises:
        MissingLibraryError: It, or a library that it imports, is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise missing_library(error, purpose, extra) from None


def require_server(purpose: str) -> None:
    """Do nothing if the libraries of the server are installed; none is imported.

    Args:
        purpose: What needs them, as the subject of a sentence.

    Raises:
        MissingLibraryError: One is not installed.
    """
    for name in sorted(SERVER):
        if find_spec(name) is None:
            raise missing_library(ModuleNotFoundError(name=name), purpose)


def is_optional(error: ModuleNotFoundError) -> bool:
    """Whether the module that an import has missed is of a library that is optional."""
    return _top(error) in SERVER | TABLES | BUS | PLOTS


def missing_library(
    error: ModuleNotFoundError, purpose: str, extra: str = ""
) -> MissingLibraryError:
    """Return the error that names the command that installs what an import has missed.

    Args:
        error: What the import raised.
        purpose: What needs the module, as the subject of a sentence.
        extra: The extra that brings what the purpose needs, `tables` or `plots`; empty for the
            server.
    """
    missing = _top(error)
    command = f"pip install {missing}"
    found = [name for name, modules in _FOR_READERS.items() if missing in modules]
    if extra in found:
        command = f"pip install '{_installed()}[{extra}]'"
    elif missing in SERVER:
        command = f"pip install {FULL}"
    elif missing in BUS:
        command = f"pip install '{FULL}[bus]'"
    elif found:
        command = f"pip install '{_installed()}[{found[0]}]'"
    return MissingLibraryError(missing, purpose, command)


def _top(error: ModuleNotFoundError) -> str:
    return (error.name or str(error)).partition(".")[0]


def _installed() -> str:
    """Return the distribution that the user has installed."""
    try:
        distribution(FULL)
    except PackageNotFoundError:
        return CORE
    return FULL
