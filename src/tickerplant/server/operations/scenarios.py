"""The operations of scenarios: timed changes of the market and of the exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import UNSET, Struct, UnsetType

from tickerplant.errors import RequestError
from tickerplant.scenarios.library import library_names, library_scenario
from tickerplant.scenarios.scenario import ScenarioState
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.operations.operation import NOT_THERE, Fields, operation

if TYPE_CHECKING:  # an edge runs none
    from tickerplant.scenarios.board import ScenarioBoard

NO_SCENARIOS = "this server runs no scenarios"
NO_SCENARIOS_STATUS = {404: "The server runs none."}
MAX_TOML_BYTES = 1 << 18


class LibraryScenario(Struct, frozen=True, kw_only=True):
    """A scenario of the library."""

    name: str
    title: str
    here: str
    """What it does."""
    duration_ms: int
    """The market time after which everything that it changed is as it was."""
    needs_simulation: bool
    """Whether it changes the market: only a simulated one can be changed."""


class ScenariosPage(Struct, frozen=True, kw_only=True):
    """The scenarios of a server."""

    scenarios: list[ScenarioState]
    """Those that wait, run, or are over, the oldest first; of the last, the latest are kept."""
    library: list[LibraryScenario]
    """Those that can be started by name."""


class ScenarioFields(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be started: `scenario`, or `toml`."""

    scenario: str | UnsetType = UNSET
    """The name of a scenario in the library."""
    toml: str | UnsetType = UNSET
    """The text of a scenario, TOML."""
    name: str | UnsetType = UNSET
    """What to call the one in `toml`, in errors and lists: such as the name of its file."""


def _board(plane: ControlPlane) -> ScenarioBoard:
    if plane.scenarios is None:
        raise RequestError(NOT_THERE, NO_SCENARIOS, 404)
    return plane.scenarios


def _page(plane: ControlPlane) -> ScenariosPage:
    library = [library_scenario(name) for name in library_names()]
    return ScenariosPage(
        scenarios=_board(plane).states(),
        library=[
            LibraryScenario(
                name=each.name,
                title=each.title,
                here=each.here,
                duration_ms=each.duration_ms,
                needs_simulation=bool(each.market_changes),
            )
            for each in library
        ],
    )


@operation("GET", "/plant/v1/scenarios", statuses=NO_SCENARIOS_STATUS, is_about_market=True)
def scenarios(plane: ControlPlane) -> ScenariosPage:
    """The scenarios that were started, and those of the library."""
    return _page(plane)


@operation(
    "POST",
    "/plant/v1/scenarios",
    body=ScenarioFields,
    max_body_bytes=MAX_TOML_BYTES,
    example={"scenario": "flash-crash"},
    statuses={**NO_SCENARIOS_STATUS, 409: "The market is over."},
)
def start_scenario(plane: ControlPlane, fields: Fields) -> ScenarioState:
    """Start a scenario now; the response is the scenario with its `id`."""
    from tickerplant.scenarios.board import scenario_of  # noqa: PLC0415  # a plant has it imported

    board = _board(plane)
    plane.refuse_if_over()
    scenario_id = board.start(scenario_of(fields))
    return next(each for each in board.states() if each.id == scenario_id)


@operation("DELETE", "/plant/v1/scenarios", statuses=NO_SCENARIOS_STATUS)
def stop_scenarios(plane: ControlPlane) -> ScenariosPage:
    """Stop all scenarios: their levers are released, and their faults removed."""
    _board(plane).clear()
    return _page(plane)


@operation("DELETE", "/plant/v1/scenarios/{id}", statuses={404: "No such scenario waits or runs."})
def stop_scenario(
    plane: ControlPlane,
    id_: Annotated[str, "the id of a scenario that waits or runs, such as `s1`."],
) -> ScenariosPage:
    """Stop a scenario."""
    board = _board(plane)
    try:
        board.stop(id_)
    except KeyError:
        running = [each.id for each in board.states() if each.state != "over"]
        shown = ", ".join(running) or "none does"
        reason = f"no scenario {id_} waits or runs now: {shown}"
        raise RequestError(NOT_THERE, reason, 404) from None
    return _page(plane)
