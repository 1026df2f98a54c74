"""Libraries that are slow to import or optional, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tickerplant.errors import ConfigError


def library(name: str) -> Any:
    """Import and return a module.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        raise ConfigError("library", missing, f"to be installed: pip install {missing}") from None
