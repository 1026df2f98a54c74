"""The operations of the clock of a replay or a simulation."""

from __future__ import annotations

from msgspec import Struct

from tickerplant.control.clock_state import (
    LONGEST_WAIT_S,
    RESPONSE_TIMEOUT_S,
    ClockFields,
    ReplayState,
    SimulationState,
)
from tickerplant.errors import RequestError
from tickerplant.server.operations.control_plane import ControlPlane, Steering
from tickerplant.server.operations.operation import NOT_THERE, Operation, QueryParam, Request

CLOCK_PATH = "/plant/v1/clock"
NO_CLOCK = (
    "this server has no clock that can be read or set: only a replay and a simulation have one, "
    "`tickerplant replay RECORDING` or `tickerplant simulate`"
)


def _steering(plane: ControlPlane) -> Steering:
    if plane.steering is None:
        raise RequestError(NOT_THERE, NO_CLOCK, 404)
    return plane.steering


def _read(plane: ControlPlane, _request: Request) -> Struct:
    return _steering(plane).state()


async def _set(plane: ControlPlane, request: Request) -> Struct:
    return await _steering(plane).steer(request.fields, request.params["wait"])


OPERATIONS = (
    Operation(
        method="GET",
        path=CLOCK_PATH,
        name="clock",
        summary="The clock of a replay or a simulation.",
        handler=_read,
        answers=(SimulationState, ReplayState),
        statuses={404: "The market has no clock that can be read or set: a relay."},
        is_about_market=True,
    ),
    Operation(
        method="POST",
        path=CLOCK_PATH,
        name="setClock",
        summary="Set the clock: speed, pause, seek, step.",
        doc=(
            "The fields come as a JSON object, as parameters of the query, or both; the object takes "
            "precedence. They take effect in the order speed, pause, seek or step."
        ),
        handler=_set,
        params=(
            QueryParam(
                name="wait",
                kind="duration",
                doc="How long to wait for the end of a seek or a step, which goes on after that.",
                default=RESPONSE_TIMEOUT_S,
                most=LONGEST_WAIT_S,
            ),
        ),
        body=ClockFields,
        answers=(SimulationState, ReplayState),
        statuses={
            404: "The market has no clock that can be read or set: a relay.",
            409: "It is not possible now; nothing is changed.",
        },
        example={"paused": True},
    ),
)
