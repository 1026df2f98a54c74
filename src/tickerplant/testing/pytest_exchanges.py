"""The exchanges of a run of pytest: what markers ask for, what tests share, and what they left on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tickerplant.errors import TickerplantError
from tickerplant.suggestions import one_of
from tickerplant.testing.exchanges import ARGUMENTS, Exchange, exchange
from tickerplant.testing.waiting import asked, place

PORTS = ("usdm_port", "coinm_port")
OF_A_TEST = frozenset({"scenario", "faults"})
"""What a marker asks for a test alone, also where tests share an exchange."""


class PytestExchanges:
    """The exchanges that are open, each with the test, module or session that it is for."""

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._open: dict[Exchange, str] = {}
        self._shared: dict[str, dict[str, tuple[Any, str]]] = {}
        """What the shared exchange of each module, or the session, is, and which test asked for it."""

    @contextmanager
    def of_marker(
        self, node: pytest.Item, items: Sequence[pytest.Item], left: list[str]
    ) -> Iterator[Exchange]:
        """Open the exchange of a test, a module or a session until the block ends."""
        wanted = self._wanted(node, items)
        with self._opened(wanted, node.nodeid or "this session", left) as opened:
            yield opened

    @contextmanager
    def of_calls(self, left: list[str]) -> Iterator[Callable[..., Exchange]]:
        """Yield a function that opens exchanges until the block ends."""
        with ExitStack() as stack:

            def make(**arguments: Any) -> Exchange:
                return stack.enter_context(self._opened(arguments, place(), left))

            yield make

    @contextmanager
    def during(self, item: pytest.Item, shared: Exchange) -> Iterator[list[str]]:
        """Let a shared exchange be as the marker of a test says until the block ends.

        Yields:
            A list that has what the test left on when the block has ended, a sentence each.
        """
        left: list[str] = []
        asked = arguments_of(item)
        self._check_shared(item, asked)
        if not shared.is_running:
            shared.close()
            shared.open()
            left.append("the exchange had ended before this test; a new one was started")
        with _said_to(item.nodeid):
            shared.forget_faults()
            before = shared.rules()
            for fault in exchange(faults=asked.get("faults", ())).settings.faults:
                shared.fault(fault)
            if asked.get("scenario") is not None:
                shared.scenario(asked["scenario"])
            own = shared.rules().keys() - before.keys()
        yield left
        if shared.is_running:
            left += shared.never_happened()
            left += shared.put_back(before, silent=own)

    def has(self, one: object) -> bool:
        """Return whether an object is one of these exchanges."""
        return any(each is one for each in self._open)

    def sections(self) -> list[tuple[str, str]]:
        """Return the sections of the report of a failed test: one for each open exchange."""
        return [(f"exchange of {whose}", opened.report()) for opened, whose in self._open.items()]

    def _wanted(self, node: pytest.Item, items: Sequence[pytest.Item]) -> dict[str, Any]:
        if self._scope == "function":
            return arguments_of(node)
        wanted: dict[str, tuple[Any, str]] = {}
        for item in items:
            if node in item.listchain() and "exchange" in getattr(item, "fixturenames", ()):
                for name, value in arguments_of(item, strict=False).items():
                    if name not in OF_A_TEST:
                        wanted.setdefault(name, (value, item.nodeid))
        self._shared[node.nodeid] = wanted
        return {name: value for name, (value, _) in wanted.items()}

    def _check_shared(self, item: pytest.Item, asked: Mapping[str, Any]) -> None:
        """Let a test fail whose marker asks for another exchange than the one that it shares."""
        chain = (each.nodeid for each in reversed(item.listchain()))
        shared = next(self._shared[each] for each in chain if each in self._shared)
        for name, value in asked.items():
            if name in OF_A_TEST:
                continue
            others, whose = shared[name]
            if exchange(**{name: value}).settings != exchange(**{name: others}).settings:
                pytest.fail(
                    f"{place_of(item)}: the marker asks for exchange({name}={value!r}), but with "
                    f"--exchange-scope={self._scope} the tests share one exchange, and {whose} asked "
                    f"for {name}={others!r} first: give all of them the same, use the scope function, "
                    "or open another exchange with the fixture make_exchange",
                    pytrace=False,
                )

    @contextmanager
    def _opened(
        self, arguments: Mapping[str, Any], whose: str, left: list[str]
    ) -> Iterator[Exchange]:
        with _said_to(whose):
            self._check_ports(arguments, whose)
            opened = exchange(**arguments).open()
        self._open[opened] = whose
        try:
            yield opened
        finally:
            del self._open[opened]
            try:
                if opened.is_running:
                    left += asked(opened.never_happened)
            finally:
                opened.close()

    def _check_ports(self, arguments: Mapping[str, Any], whose: str) -> None:
        for name in PORTS:
            port = arguments.get(name)
            for opened, owner in self._open.items():
                if port in opened.ports:
                    pytest.fail(
                        f"{whose}: {name}={port} is a port of the exchange of {owner}, which is open: "
                        f"leave {name} out, and a free port is picked",
                        pytrace=False,
                    )


def arguments_of(item: pytest.Item, *, strict: bool = True) -> dict[str, Any]:
    """Return what the markers of a test ask for; a marker of its own counts more than its module's."""
    asked: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("exchange"))):
        if mark.args and strict:
            pytest.fail(
                f"{place_of(item)}: the marker exchange has the argument {mark.args[0]!r} without a "
                f"name: write @pytest.mark.exchange(seed=7), for example",
                pytrace=False,
            )
        for name, value in mark.kwargs.items():
            if name in ARGUMENTS:
                asked[name] = value
            elif strict:
                pytest.fail(
                    f"{place_of(item)}: the marker exchange has no argument {name!r}; expected "
                    f"{one_of(name, ARGUMENTS)}",
                    pytrace=False,
                )
    return asked


def place_of(item: pytest.Item) -> str:
    """Return where a test is: its file, line and name."""
    path, line, name = item.location
    return f"{path}:{(line or 0) + 1}: {name}"


@contextmanager
def _said_to(whose: str) -> Iterator[None]:
    """Let what cannot be served fail a test with a sentence, without a traceback."""
    try:
        yield
    except TickerplantError as error:
        text = f"{whose}: the exchange cannot be opened: {error}"
        raise pytest.fail.Exception(text, pytrace=False) from None
