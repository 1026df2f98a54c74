"""Libraries that only some installations have, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tickerplant.errors import MissingLibraryError

DISTRIBUTION = "tickerplant"
EXTRAS = {"matplotlib": "plots", "nats": "bus", "pyarrow": "tables"}
"""The extra of the distribution that brings a module."""


def library(name: str, purpose: str) -> Any:
    """Import and return a module.

    Args:
        name: The module, of a library or of this package.
        purpose: What needs it, as the subject of a sentence, such as `arrow()`.

    Raises:
        MissingLibraryError: It, or a library that it imports, is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise missing_library(error, purpose) from None


def is_optional(error: ModuleNotFoundError) -> bool:
    """Whether the module that an import has missed is of a library that an extra brings."""
    return _top(error) in EXTRAS


def missing_library(error: ModuleNotFoundError, purpose: str) -> MissingLibraryError:
    """Return the error that names the command that installs what an import has missed.

    Args:
        error: What the import raised.
        purpose: What needs the module, as the subject of a sentence.
    """
    missing = _top(error)
    extra = EXTRAS.get(missing)
    wanted = f"'{DISTRIBUTION}[{extra}]'" if extra else missing
    return MissingLibraryError(missing, purpose, f"pip install {wanted}")


def _top(error: ModuleNotFoundError) -> str:
    return (error.name or str(error)).partition(".")[0]
