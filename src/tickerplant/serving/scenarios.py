"""Scenarios by name or file, as rows and pages of the command line, and on the market of a service."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from tickerplant import logs
from tickerplant.errors import ConfigError
from tickerplant.faults.rule import Rule
from tickerplant.readiness import Readiness
from tickerplant.regular_files import read_regular
from tickerplant.scenarios.board import MOST_RUNNING, ScenarioBoard
from tickerplant.scenarios.library import ENDING, library_names, library_scenario, library_text
from tickerplant.scenarios.parse import MOST_CHARACTERS, parse_scenario
from tickerplant.scenarios.scenario import Scenario
from tickerplant.suggestions import one_of

SCENARIO_TITLES = ("scenario", "duration", "title", "market", "faults")
WIDTH = 96
"""Characters of a line of text."""
_TEXTS = (("What happened", "happened"), ("What it does here", "here"), ("Survive", "survive"))


class ScenarioRow(Struct, frozen=True, kw_only=True):
    """A scenario of the library."""

    name: str
    """Its name in the library, or that of its file."""
    title: str
    duration_ms: int
    """Market time until everything is as it was."""
    market: tuple[str, ...]
    """The levers that it pulls."""
    faults: tuple[str, ...]
    """The faults that it makes."""


class ChangeRow(Struct, frozen=True, kw_only=True):
    """A change of a scenario."""

    at_ms: int
    """Market time from the start of the scenario."""
    change: str
    """What it does, such as `market shock move=-0.12 over=40s`."""


class ScenarioPage(Struct, frozen=True, kw_only=True):
    """One scenario."""

    name: str
    """Its name in the library, or that of its file."""
    title: str
    duration_ms: int
    """Market time until everything is as it was."""
    happened: str
    """What happened in reality."""
    here: str
    """What it does here."""
    survive: str
    """What a client should survive."""
    changes: tuple[ChangeRow, ...]
    """In the order of their times."""


def scenario_named(given: str, setting: str = "--scenario") -> Scenario:
    """Return the scenario of a name in the library, or of a file.

    Args:
        given: The name or the file.
        setting: Where it was given, for errors.

    Raises:
        ConfigError: There is none, the file cannot be read, or it is not a scenario.
    """
    if given in library_names():
        return library_scenario(given)
    return parse_scenario(_file_text(given, setting), given, Path(given).name.removesuffix(ENDING))


def scenario_text(given: str) -> str:
    """Return the TOML of a scenario in the library, or of a file.

    Raises:
        ConfigError: There is none, or the file cannot be read.
    """
    return library_text(given) if given in library_names() else _file_text(given, "--scenario")


def _file_text(path: str, setting: str) -> str:
    if not (path.endswith(ENDING) or "/" in path or Path(path).is_file()):
        names = one_of(path, library_names())
        raise ConfigError(setting, path, f"a file of a scenario ({ENDING}), or {names}")
    try:
        return read_regular(path, MOST_CHARACTERS * 4, pipes=True).decode()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(setting, path, f"a file that can be read ({reason})") from None
    except UnicodeDecodeError as error:
        raise ConfigError(setting, path, f"a TOML file in UTF-8 ({error})") from None


def read_scenarios(given: Iterable[str]) -> list[Scenario]:
    """Return the scenarios of names in the library, or of files.

    Raises:
        ConfigError: One cannot be read, or there are too many.
    """
    scenarios = [scenario_named(each) for each in given]
    if len(scenarios) > MOST_RUNNING:
        raise ConfigError("--scenario", len(scenarios), f"at most {MOST_RUNNING} scenarios")
    return scenarios


def prepare_scenarios(
    scenarios: Sequence[Scenario], board: ScenarioBoard, readiness: Readiness
) -> None:
    """Let scenarios start together with the source.

    Args:
        scenarios: Which ones.
        board: Where they start.
        readiness: Tells when the source begins.

    Raises:
        ConfigError: This market cannot perform one.
    """
    for scenario in scenarios:
        board.check(scenario)

    def start() -> None:
        for scenario in scenarios:
            board.start(scenario)

    if scenarios:
        readiness.on_start = start


def log_scenario(line: str) -> None:
    """Log a line of a scenario: a problem as a warning."""
    (logs.logger().warning if line.startswith("!") else logs.logger().info)(line)


def scenario_rows() -> list[ScenarioRow]:
    """Return the library."""
    return [_row(library_scenario(name)) for name in library_names()]


def _row(scenario: Scenario) -> ScenarioRow:
    actions = [change.action for change in scenario.changes]
    kinds = [
        (change.is_market, action.kind if isinstance(action, Rule) else action.row.name)
        for change, action in zip(scenario.changes, actions, strict=True)
    ]
    return ScenarioRow(
        name=scenario.name,
        title=scenario.title,
        duration_ms=scenario.duration_ms,
        market=tuple(dict.fromkeys(name for is_market, name in kinds if is_market)),
        faults=tuple(dict.fromkeys(name for is_market, name in kinds if not is_market)),
    )


def scenario_cells(row: ScenarioRow) -> tuple[str, ...]:
    """Return a row as text."""
    market, faults = (" ".join(each) or "-" for each in (row.market, row.faults))
    return row.name, clock_text(row.duration_ms), row.title, market, faults


def scenario_page(scenario: Scenario) -> ScenarioPage:
    """Return a scenario as it is printed as JSON."""
    return ScenarioPage(
        name=scenario.name,
        title=scenario.title,
        duration_ms=scenario.duration_ms,
        happened=scenario.happened,
        here=scenario.here,
        survive=scenario.survive,
        changes=tuple(ChangeRow(at_ms=each.at_ms, change=each.text) for each in scenario.changes),
    )


def scenario_lines(scenario: Scenario) -> Iterator[str]:
    """Yield a scenario as text: its title, what is known of it, and its changes in their order."""
    yield f"{scenario.name}: {scenario.title}, {clock_text(scenario.duration_ms)}"
    for heading, field in _TEXTS:
        if text := getattr(scenario, field):
            yield ""
            yield from textwrap.wrap(f"{heading}: {text}", WIDTH)
    yield ""
    for change in scenario.changes:
        yield f"{clock_text(change.at_ms):>9}  {change.text}"
    yield f"{clock_text(scenario.duration_ms):>9}  over: everything is as it was"


def clock_text(time_ms: int) -> str:
    """Return a market time from the start: `1:30`, or `0:00.250`."""
    seconds, milliseconds = divmod(time_ms, 1_000)
    text = f"{seconds // 60}:{seconds % 60:02}"
    return f"{text}.{milliseconds:03}" if milliseconds else text
