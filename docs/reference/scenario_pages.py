"""The pages of the scenarios: one each, and their index, from the files of the library."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import partial

from page_text import page, table

from tickerplant.scenarios.library import library_names, library_scenario, library_text
from tickerplant.scenarios.scenario import Scenario
from tickerplant.serving.scenarios import clock_text
from tickerplant.units import MINUTE_MS

FOLDER = "../scenarios"
TEXTS = (
    ("What happened", "happened"),
    ("What it does here", "here"),
    ("What a client should survive", "survive"),
)
PICTURE = (
    "A run of the simulation with a fixed seed; time counts from the start of the scenario.\n"
    "Dotted lines are changes: of the market in blue, faults in red."
)


def scenario_page(name: str) -> str:
    """Return the page of a scenario."""
    scenario = library_scenario(name)
    given = tomllib.loads(library_text(name))
    return page(
        scenario.title,
        f"`{name}` takes {scenario.duration_ms / MINUTE_MS:g} minutes of market time.",
        *(f"## {heading}\n\n{given[key].strip()}" for heading, key in TEXTS),
        f"## Picture\n\n{PICTURE}\n\n![{scenario.title}](../images/scenarios/{name}.svg)",
        f"## Run it\n\n{_commands(scenario)}",
        "## Changes",
        table(
            ("time", "change"),
            ((clock_text(each.at_ms), f"`{each.text}`") for each in scenario.changes),
        ),
        f"## File\n\n```toml\n{library_text(name)}```",
        see_also=(
            "[Rehearse the worst day](../how-to/rehearse-the-worst-day.md): at runtime, in a test, "
            "and a scenario of your own."
        ),
    )


def _commands(scenario: Scenario) -> str:
    """Return how to run a scenario."""
    commands = [f"tickerplant simulate --scenario {scenario.name}"]
    where = "A simulated market performs it."
    if not scenario.market_changes:
        where = "It has only faults, so a replay and a relay perform it too."
        commands.append(f"tickerplant relay --scenario {scenario.name}")
    lines = "\n".join(commands)
    return f"{where}\n\n```bash\n{lines}\n```"


def index_page() -> str:
    """Return the index of the scenarios."""
    scenarios = [library_scenario(name) for name in library_names()]
    return page(
        "Scenarios",
        "Days that markets and exchanges have had, as files of timed changes: each is the same to the "
        "byte whenever it runs with the same seed.\n"
        "[Rehearse the worst day](../how-to/rehearse-the-worst-day.md) says how to run one, and how "
        "to write your own.",
        "## Market and exchange",
        "\n".join(_entry(each) for each in scenarios if each.market_changes),
        "## Exchange only",
        "These have only faults, so they also run on a replay and a relay.",
        "\n".join(_entry(each) for each in scenarios if not each.market_changes),
        see_also=(
            "[Faults](../reference/faults.md) and [levers](../reference/levers.md), of which "
            "scenarios are made."
        ),
    )


def _entry(scenario: Scenario) -> str:
    kinds = dict.fromkeys(each.action.row.name for each in scenario.changes)
    shown = ", ".join(kinds)
    return f"- [{scenario.title}]({scenario.name}.md): `{scenario.name}`; {shown}."


PAGES: dict[str, Callable[[], str]] = {
    f"{FOLDER}/index.md": index_page,
    **{f"{FOLDER}/{name}.md": partial(scenario_page, name) for name in library_names()},
}
