"""The scenarios that were started on a market: several at once, each at market times of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from tickerplant.errors import ConfigError
from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import FaultClock
from tickerplant.faults.rule import Rule
from tickerplant.scenarios.library import ENDING, library_scenario
from tickerplant.scenarios.parse import parse_scenario
from tickerplant.scenarios.run import ScenarioRun, Stage
from tickerplant.scenarios.scenario import Scenario, ScenarioState
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.levers import LIST, Lever
from tickerplant.suggestions import one_of

MOST_RUNNING = 16
"""Scenarios that wait or run at a time; another one is refused."""
MOST_OVER = 64
"""Scenarios that are over and still listed; the oldest is forgotten."""

SENT = "the scenario that was sent"
"""What errors call a text without a name."""
REQUEST_KEYS = ("scenario", "toml", "name")
LONGEST_NAME = 100
"""Characters of the name of a scenario that was sent."""


def scenario_of(given: Mapping[str, object]) -> Scenario:
    """Return the scenario of a request: `{"scenario": NAME}`, or `{"toml": TEXT, "name": FILE}`.

    Raises:
        ConfigError: There is none of that name, or the text is not a scenario.
    """
    for key, value in given.items():
        if key not in REQUEST_KEYS:
            raise ConfigError("a key", key, one_of(key, REQUEST_KEYS))
        if not isinstance(value, str):
            raise ConfigError(key, value, "a text")
    if ("scenario" in given) == ("toml" in given):
        both = "scenario and toml" if "toml" in given else None
        expected = "the name of a scenario in the library; or toml, the text of one"
        raise ConfigError("scenario", both, expected)
    if "scenario" in given:
        if "name" in given:
            raise ConfigError("name", given["name"], "toml beside it: scenario is a name already")
        return library_scenario(str(given["scenario"]))
    text = str(given["toml"])
    if "name" not in given:
        return parse_scenario(text, SENT)
    origin = str(given["name"])
    name = origin.removesuffix(ENDING)
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise ConfigError("name", origin, f"1 to {LONGEST_NAME} printable characters")
    return parse_scenario(text, origin, name)


def refuse_market_changes(scenario: Scenario) -> None:
    """Do nothing if a scenario has only faults."""
    if scenario.market_changes:
        place = scenario.market_changes[0].place
        expected = (
            "a scenario that has only faults, or a simulated market (tickerplant simulate); "
            f"{place} changes the market"
        )
        raise ConfigError("scenario", scenario.name, expected)


class ScenarioBoard:
    """The scenarios of one market: those that wait, that run, and the last that are over."""

    def __init__(
        self,
        clock: FaultClock,
        faults: FaultBoard,
        exchange: SimulatedExchange | None,
        log: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._stage = Stage(clock, faults, exchange, log)
        self._runs: dict[str, ScenarioRun] = {}
        self._over: deque[ScenarioRun] = deque(maxlen=MOST_OVER)
        self.started = 0
        """Scenarios started so far."""

    def __iter__(self) -> Iterator[ScenarioRun]:
        """Yield those that are listed, the oldest first."""
        self._sort_out()
        yield from self._over
        yield from self._runs.values()

    def start(self, scenario: Scenario, at_ms: int | None = None) -> str:
        """Start a scenario, and return its id, such as `s1`.

        Raises:
            ConfigError: This market cannot do what the scenario asks for, too many are running, or
                the time is past; nothing has started.
        """
        now_ms = self._stage.clock.now_ms
        start_ms = now_ms if at_ms is None else at_ms
        if start_ms < now_ms:
            raise ConfigError("at", at_ms, f"a market time that is not past: {now_ms} or later")
        self._sort_out()
        if len(self._runs) >= MOST_RUNNING:
            expected = f"at most {MOST_RUNNING} at a time; stop one first"
            raise ConfigError("the number of running scenarios", len(self._runs) + 1, expected)
        self.check(scenario)
        self.started += 1
        run = ScenarioRun(f"s{self.started}", scenario, start_ms, self._stage)
        self._runs[run.id] = run
        run.begin()
        return run.id

    def check(self, scenario: Scenario) -> None:
        """Refuse a scenario that this market cannot perform."""
        if self._stage.exchange is None:
            refuse_market_changes(scenario)
        listed: set[str] = set()
        for change in scenario.changes:
            lever = change.action
            if not _is_about(change.action, listed):
                try:
                    self._check(change.action)
                except ConfigError as error:
                    raise error.within(change.place) from None
            if isinstance(lever, Lever) and lever.row is LIST:
                listed.update(lever.symbols)

    def _check(self, action: Lever | Rule) -> None:
        exchange = self._stage.exchange
        if isinstance(action, Rule):
            self._stage.faults.check(action)
        elif exchange is not None:
            exchange.levers.check(action)

    def stop(self, run_id: str) -> None:
        """Stop a scenario: its levers are released, its faults removed, and nothing more comes of it.

        Raises:
            KeyError: There is none of this id that waits or runs.
        """
        self._sort_out()
        self._runs[run_id].stop()
        self._sort_out()

    def clear(self) -> None:
        """Stop all scenarios."""
        for run in self._runs.values():
            run.stop()
        self._sort_out()

    def states(self) -> list[ScenarioState]:
        """Return the scenarios that are listed, the oldest first."""
        return [run.state() for run in self]

    def _sort_out(self) -> None:
        """Move those that are over to the others."""
        for run_id, run in list(self._runs.items()):
            if run.is_over:
                self._over.append(self._runs.pop(run_id))


def _is_about(action: Lever | Rule, listed: set[str]) -> bool:
    """Whether a change is about a contract that the scenario lists before."""
    if isinstance(action, Lever):
        return not listed.isdisjoint(action.symbols)
    symbol = action.aim.symbol or action.aim.stream.partition("@")[0]
    return symbol.upper() in listed
