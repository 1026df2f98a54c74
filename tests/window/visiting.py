"""The fixtures of tests that look at the window; a test module names this in `pytest_plugins`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from browsing import MARKET, Plant, Visits
from playwright.sync_api import Browser, expect
from programs import PATIENCE_S

from benchmarks import chromium

START_OF_MARKET = "90s"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for a module: Playwright's event loop may not be there in tests of others."""
    if problem := chromium.missing():
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
    expect.set_options(timeout=1_000 * PATIENCE_S)
    with chromium.browser() as browser:
        yield browser


@pytest.fixture
def visits(browser: Browser) -> Iterator[Visits]:
    """Opens pages in which things may go wrong."""
    visits = Visits(browser)
    yield visits
    visits.close()


@pytest.fixture
def visit(visits: Visits) -> Iterator[Visits]:
    """Opens pages in which nothing may go wrong."""
    yield visits
    assert visits.problems == []


@pytest.fixture(scope="module")
def market() -> Iterator[Plant]:
    """A market of some minutes that stands still."""
    with Plant(*MARKET) as plant:
        plant.control.step(START_OF_MARKET)
        yield plant
