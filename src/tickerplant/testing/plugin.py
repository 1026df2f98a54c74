"""The pytest plugin: the fixtures `exchange` and `make_exchange`, and the marker `exchange`.

pytest imports it in every run, so that it imports nothing else before a test uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from tickerplant.testing.exchanges import Exchange
    from tickerplant.testing.pytest_exchanges import PytestExchanges

SCOPES = ("function", "module", "session")
FIXTURES = frozenset({"exchange", "make_exchange"})
OF_TEST = "exchange_of_this_test"
"""The fixture that puts a shared exchange back after each test."""
LEFT = "exchange"
"""The property of a test's report that says what the test left on, and what never happened."""
MARKER = (
    "exchange(*, seed, symbols, scenario, speed='step', start, limits, faults, intensity, quoting, "
    "usdm_port, coinm_port): what the fixture `exchange` is; the arguments are those of "
    "tickerplant.testing.exchange"
)
EXCHANGES: pytest.StashKey[PytestExchanges] = pytest.StashKey()
LEFT_ON: pytest.StashKey[list[tuple[str, str]]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the setting of the scope."""
    text = f"scope of the fixture `exchange` of tickerplant: {', '.join(SCOPES)}"
    parser.getgroup("tickerplant").addoption("--exchange-scope", choices=SCOPES, help=text)
    parser.addini("exchange_scope", f"{text} [function]", default="function")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and check the setting of the scope."""
    config.addinivalue_line("markers", MARKER)
    if config.getini("exchange_scope") not in SCOPES:
        given, path = config.getini("exchange_scope"), config.inipath
        raise pytest.UsageError(
            f"{path}: exchange_scope is {given!r}; expected one of {', '.join(SCOPES)}"
        )
    config.stash[LEFT_ON] = []
    config.pluginmanager.register(_Notes(config))


def scope_of(config: pytest.Config) -> Literal["function", "module", "session"]:
    """Return the scope of the exchanges of a run."""
    scope: Literal["function", "module", "session"] = config.getoption(
        "exchange_scope"
    ) or config.getini("exchange_scope")
    return scope


def _scope(fixture_name: str, config: pytest.Config) -> Literal["function", "module", "session"]:  # noqa: ARG001  # pytest passes both
    return scope_of(config)


def exchanges_of(config: pytest.Config) -> PytestExchanges:
    """Return the exchanges of a run."""
    if EXCHANGES not in config.stash:
        from tickerplant.testing.pytest_exchanges import PytestExchanges  # noqa: PLC0415  # see above

        config.stash[EXCHANGES] = PytestExchanges(scope_of(config))
    return config.stash[EXCHANGES]


@pytest.fixture(scope=_scope)
def exchange(request: pytest.FixtureRequest) -> Iterator[Exchange]:
    """A simulated exchange for this test, as the marker `exchange` says; see tickerplant.testing."""
    left: list[str] = []
    with exchanges_of(request.config).of_marker(
        request.node, request.session.items, left
    ) as opened:
        yield opened
    _tell(request.node, left)


@pytest.fixture(scope=_scope)
def make_exchange(request: pytest.FixtureRequest) -> Iterator[Callable[..., Exchange]]:
    """A function that opens an exchange of its own; its arguments are those of the marker."""
    left: list[str] = []
    with exchanges_of(request.config).of_calls(left) as make:
        yield make
    _tell(request.node, left)


def _tell(node: pytest.Item | pytest.Collector, left: list[str]) -> None:
    """Let the summary say what a test left on, and what has never happened in it."""
    if isinstance(node, pytest.Item):
        node.user_properties.extend((LEFT, each) for each in left)


@pytest.fixture
def exchange_of_this_test(request: pytest.FixtureRequest, exchange: Exchange) -> Iterator[None]:
    """Let a shared exchange be as the test's marker says, and afterwards as it was before."""
    exchanges = exchanges_of(request.config)
    if not exchanges.has(exchange):  # the suite has a fixture of its own of this name
        yield
        return
    with exchanges.during(request.node, exchange) as left:
        yield
    _tell(request.node, left)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let a test put back the exchange that it shares with others."""
    names: list[str] = getattr(item, "fixturenames", [])
    if "exchange" in names and OF_TEST not in names and scope_of(item.config) != "function":
        names.insert(0, OF_TEST)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Import what exchanges need, here and in the process that starts them, before the first test.

    A test may have replaced files and modules when it wants one.
    """
    asking = (item for item in session.items if _asks(item))
    if not session.config.option.collectonly and next(asking, None) is not None:
        from tickerplant.hosted.nursery import prepare  # noqa: PLC0415  # see above

        prepare()
        exchanges_of(session.config)


def _asks(item: pytest.Item) -> bool:
    return not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, None]:
    """Add what the exchange says to the report of a test that failed."""
    report = (yield).get_result()
    is_asked = EXCHANGES in item.config.stash and _asks(item)
    if is_asked and report.failed and call.when != "teardown":
        report.sections.extend(item.config.stash[EXCHANGES].sections())


class _Notes:
    """Tells at the end of a run what tests left on; also of the workers of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._left = config.stash[LEFT_ON]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            found = (str(text) for name, text in report.user_properties if name == LEFT)
            self._left.extend((report.nodeid, text) for text in found)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._left:
            terminalreporter.section("exchange")
            for nodeid, text in self._left:
                terminalreporter.line(f"{nodeid}: {text}")
