"""A library that is not installed is named, with the command that installs it."""

from __future__ import annotations

import pytest

from tickerplant.errors import MissingLibraryError, TickerplantError
from tickerplant.libraries import library, missing_library


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


@pytest.mark.parametrize(
    ("module", "installed"),
    [
        ("pyarrow.lib", "'tickerplant[tables]'"),
        ("matplotlib.figure", "'tickerplant[plots]'"),
        ("nats", "'tickerplant[bus]'"),
        ("pandas", "pandas"),
    ],
)
def test_the_command_installs_what_brings_the_module(module: str, installed: str) -> None:
    error = missing_library(ModuleNotFoundError(name=module), "it")
    assert error.command == f"pip install {installed}"
