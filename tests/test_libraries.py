"""A library that is not installed is named, with the command that installs it."""

from __future__ import annotations

import pytest

from tickerplant.errors import MissingLibraryError, TickerplantError
from tickerplant.libraries import PLOTS, SERVER, TABLES, library, missing_library


def missed(name: str, extra: str = "") -> MissingLibraryError:
    return missing_library(ModuleNotFoundError(name=name), "it", extra)


def test_a_library_that_is_missing_is_named() -> None:
    with pytest.raises(MissingLibraryError) as caught:
        library("nothing_of_that_name", "polars()")
    assert str(caught.value) == (
        "polars() needs nothing_of_that_name, which is not installed: "
        "pip install nothing_of_that_name"
    )
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, TickerplantError)
    assert caught.value.name == "nothing_of_that_name"


def test_the_command_brings_what_the_purpose_needs() -> None:
    assert missed("pyarrow.lib").command.endswith("[tables]'")
    assert missed("numpy", "tables").command.endswith("[tables]'")
    assert missed("matplotlib.figure").command.endswith("[plots]'")
    assert missed("numpy", "plots").command.endswith("[plots]'")
    assert missed("numpy").command == "pip install tickerplant"
    assert {missed(name).command for name in SERVER} == {"pip install tickerplant"}
    assert missed("pandas", "tables").command == "pip install pandas"
    assert not {"aiohttp", "click", "picows"} & (SERVER | TABLES | PLOTS), "the client needs these"
