from __future__ import annotations

import gc
import io
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.internal.conjecture import providers
from stage import BTCUSD_260626, BTCUSD_PERP, BTCUSDT, BTCUSDT_260626

from tickerplant import logs
from tickerplant.instrument import Instrument

settings.register_profile(
    "house",
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    database=None,
    print_blob=True,
)
settings.register_profile("quick", settings.get_profile("house"), max_examples=6)
settings.register_profile(
    "fresh",
    settings.get_profile("house"),
    max_examples=100,
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
)
settings.load_profile("house")

LIMIT_S = 30
"""After this a test hangs: seconds of the machine where it opens sockets, else of its processor."""
SLOW_LIMIT_S = 100
"""After this a test of the slow tier hangs."""
AGAIN_S = 0.5
"""How often a test that hangs is told so: asyncio swallows what is raised in a callback."""
TESTS = Path(__file__).parent
GUARDED = {"socket.bind", "socket.connect", "subprocess.Popen"}
"""Audit events that only tests with the mark `sockets`, or `slow`, may cause."""
_is_guarded = False


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the workers of `--numprocesses auto`: one for each core, whatever else is installed."""
    return os.cpu_count() or 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test of the slow tier that does not say why it is there.

    Raises:
        UsageError: Its mark has no reason.
    """
    for item in items:
        for mark in item.iter_markers("slow"):
            if not (mark.args and mark.args[0]):
                raise pytest.UsageError(f"{item.nodeid}: the mark `slow` expects a reason")


def pytest_configure(config: pytest.Config) -> None:
    """Let examples depend on nothing but their test, unless they shall be fresh.

    Hypothesis also draws constants of the modules that happen to be imported.
    """
    if config.getoption("hypothesis_profile") != "fresh":
        providers._get_local_constants = lambda: providers._local_constants


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say in the last line what was skipped, and why."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and (skipped := reporter.stats.get("skipped")):
        reasons = Counter(each.longrepr[2].removeprefix("Skipped: ") for each in skipped)
        why = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common())
        reporter.write_line(f"{len(skipped)} skipped ({why})")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, which shall not look at thousands of tests again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _is_guarded and event in GUARDED and (event != "socket.bind" or type(args[1]) is tuple):
        raise AssertionError(f"{event}: mark this test with `@pytest.mark.sockets`")


sys.addaudithook(_audit)


@pytest.fixture(autouse=True)
def sockets_only_where_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    global _is_guarded  # noqa: PLW0603  # an audit hook cannot be removed, only switched
    _is_guarded = not any(map(request.node.get_closest_marker, ("sockets", "slow")))
    yield
    _is_guarded = False


@pytest.fixture(autouse=True)
def bounded(request: pytest.FixtureRequest) -> Iterator[None]:
    """End a test that hangs, and say where it stood.

    A test in memory is bounded by what it computes, so that a busy machine cannot fail it.
    """
    marks = {mark.name for mark in request.node.iter_markers()}
    is_real = bool(marks & {"sockets", "slow"})
    limit_s = SLOW_LIMIT_S if "slow" in marks else LIMIT_S
    timer, sign = (
        (signal.ITIMER_REAL, signal.SIGALRM) if is_real else (signal.ITIMER_PROF, signal.SIGPROF)
    )

    def hang(_sign: int, frame: FrameType | None) -> None:
        while frame is not None and TESTS not in Path(frame.f_code.co_filename).parents:
            frame = frame.f_back
        if frame is None:
            return  # it is over, and pytest makes its report
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        seconds = "seconds" if is_real else "seconds of the processor"
        pytest.fail(f"not over after {limit_s} {seconds} at {where}", pytrace=True)

    before = signal.signal(sign, hang)
    signal.setitimer(timer, limit_s, AGAIN_S)
    yield
    signal.setitimer(timer, 0)
    signal.signal(sign, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Bound a test no longer when it is over: its report may take its time."""
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)


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


@pytest.fixture
def log() -> io.StringIO:
    """What the program logs during a test."""
    stream = io.StringIO()
    logs.configure(stream=stream)
    return stream


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
