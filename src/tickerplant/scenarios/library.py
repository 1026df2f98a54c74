"""The library: the scenarios that come with the program, one file each."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from tickerplant.errors import ConfigError
from tickerplant.scenarios.parse import parse_scenario
from tickerplant.scenarios.scenario import Scenario
from tickerplant.suggestions import one_of

ENDING = ".toml"
_FOLDER = files("tickerplant.scenarios").joinpath("library")


@cache
def library_names() -> tuple[str, ...]:
    """Return the names of the scenarios, sorted."""
    found = (each.name for each in _FOLDER.iterdir() if each.name.endswith(ENDING))
    return tuple(sorted(name.removesuffix(ENDING) for name in found))


def library_text(name: str) -> str:
    """Return a scenario of the library as TOML."""
    if name not in library_names():
        raise ConfigError("scenario", name, one_of(name, library_names()))
    return _FOLDER.joinpath(name + ENDING).read_text(encoding="utf-8")


@cache
def library_scenario(name: str) -> Scenario:
    """Return a scenario of the library."""
    return parse_scenario(library_text(name), name + ENDING, name)
