from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from stage import BTCUSD_260626, BTCUSD_PERP, BTCUSDT, BTCUSDT_260626

from tickerplant.instrument import Instrument

settings.register_profile(
    "house", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("quick", settings.get_profile("house"), max_examples=10)
settings.register_profile("ci", settings.get_profile("house"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "house")


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """A program that a test ran logged to a standard error that is closed afterwards.

    It may also have set from which level on libraries are logged.
    """
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def linear() -> Instrument:
    """A USDⓈ-M perpetual: prices of two decimals, quantities of three."""
    return BTCUSDT


@pytest.fixture(scope="session")
def linear_dated() -> Instrument:
    """A USDⓈ-M contract that expires."""
    return BTCUSDT_260626


@pytest.fixture(scope="session")
def inverse() -> Instrument:
    """A COIN-M perpetual of 100 USD a contract."""
    return BTCUSD_PERP


@pytest.fixture(scope="session")
def inverse_dated() -> Instrument:
    """A COIN-M contract that expires."""
    return BTCUSD_260626
