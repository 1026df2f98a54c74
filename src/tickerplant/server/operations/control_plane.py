"""What the operations of a server are about: the server itself, and what drives its plant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Literal, NoReturn, Protocol, TypeAlias

from msgspec import Struct

from tickerplant.control.clock_state import ClockState
from tickerplant.control.coverage_state import ReplayCoverage
from tickerplant.errors import RequestError
from tickerplant.faults.board import FaultBoard
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.operations.nodes import Edges, NodesPage, ReadyState
from tickerplant.server.token import Token
from tickerplant.truth.truth import Truth

if TYPE_CHECKING:  # an edge has none of these
    from tickerplant.scenarios.board import ScenarioBoard
    from tickerplant.simulation.exchange import SimulatedExchange


Origin: TypeAlias = Literal["simulation", "replay", "relay"]
"""What a market is."""


class Steering(Protocol):
    """A source whose clock can be set."""

    def state(self) -> ClockState:
        """Return the state of its clock."""

    async def steer(self, given: Mapping[str, object], wait_s: float = ...) -> ClockState:
        """Set the clock; return its state when that is done, or after `wait_s`.

        Raises:
            ConfigError: a field is unknown, or its value cannot be used.
            RequestError: that is not possible now.
        """


def _only_at_the_plant() -> NoReturn:
    raise RuntimeError("an edge was asked for what only its plant knows")


class ControlPlane(Struct, kw_only=True, eq=False):
    """What operations read and change."""

    welcome: Callable[[], str]
    """Returns the text of `/`."""
    token: Token = Token()
    """Opens the operations of `/plant/v1/`."""
    endpoints: tuple[Endpoint, ...] = ()
    """The ports of this process."""
    profile_name: str = ""
    origin: Origin = "simulation"
    """What the market is."""
    sources: Mapping[str, str] = {}
    """Where the messages of a relay come from, by venue name."""
    shared_budget: bool = False
    """Whether both venues share the limits."""
    ready: Callable[[], ReadyState] = _only_at_the_plant
    """Returns whether the market is served."""
    metrics: Callable[[], Awaitable[bytes]] = _only_at_the_plant
    """Returns the metrics, as Prometheus reads them."""
    nodes: Callable[[], NodesPage] = _only_at_the_plant
    """Returns the processes that serve the market."""
    faults: FaultBoard | None = None
    """What goes wrong on demand."""
    steering: Steering | None = None
    """The source, if its clock can be set."""
    coverage: Callable[[], Awaitable[ReplayCoverage]] | None = None
    """Returns what the recordings cover that are played; None if there are none."""
    truth: Truth | None = None
    """Keeps what was; None if nothing does."""
    exchange: SimulatedExchange | None = None
    """The simulated exchange; None if the market is not simulated."""
    scenarios: ScenarioBoard | None = None
    """The scenarios that run; None if none can."""
    now_ms: Callable[[], int] = _only_at_the_plant
    """Returns market time."""
    edges: Edges | None = None
    """The processes on the bus that have clients of this plant; None if it serves alone."""

    def refuse_if_over(self) -> None:
        """Do nothing while market time may advance.

        Raises:
            RequestError: the market is over.
        """
        if self.steering is not None and self.steering.state().state == "over":
            raise RequestError(0, "the market is over: nothing would come of it", 409)
