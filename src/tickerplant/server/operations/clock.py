"""The operations of the time of a market: its clock, what its clients have read, what a replay covers."""

from __future__ import annotations

from typing import Annotated

from tickerplant.control.clock_state import (
    LONGEST_WAIT_S,
    RESPONSE_TIMEOUT_S,
    ClockFields,
    ClockState,
)
from tickerplant.control.coverage_state import ReplayCoverage
from tickerplant.errors import RequestError
from tickerplant.server import settling
from tickerplant.server.operations.control_plane import ControlPlane, Steering
from tickerplant.server.operations.operation import NOT_THERE, Fields, operation

NO_CLOCK = (
    "this server has no clock that can be read or set: only a replay and a simulation have one, "
    "`tickerplant replay RECORDING` or `tickerplant simulate`"
)
NO_CLOCK_STATUS = {404: "The market has no clock that can be read or set: a relay."}
NO_RECORDING = (
    "this market is not played from a recording: only a replay is, `tickerplant replay RECORDING`"
)
OTHERS = (
    "the clients of this market are connected to several processes, and none of them knows what the "
    "others' clients have read: only a server of one process can tell, such as a test server"
)
WAITS = range(int(LONGEST_WAIT_S) + 1)


def _steering(plane: ControlPlane) -> Steering:
    if plane.steering is None:
        raise RequestError(NOT_THERE, NO_CLOCK, 404)
    return plane.steering


@operation("GET", "/plant/v1/clock", statuses=NO_CLOCK_STATUS, is_about_market=True)
def clock(plane: ControlPlane) -> ClockState:
    """The clock of a replay or a simulation."""
    return _steering(plane).state()


@operation(
    "POST",
    "/plant/v1/clock",
    body=ClockFields,
    example={"paused": True},
    statuses={**NO_CLOCK_STATUS, 409: "It is not possible now; nothing is changed."},
)
async def set_clock(
    plane: ControlPlane,
    fields: Fields,
    wait: Annotated[
        float,
        "How long to wait for the end of a seek or a step, which goes on after that.",
        WAITS,
    ] = RESPONSE_TIMEOUT_S,
) -> ClockState:
    """Set the clock: speed, pause, seek, step.

    The fields come as a JSON object, as parameters of the query, or both; the object takes precedence.
    They take effect in the order speed, pause, seek or step.
    """
    return await _steering(plane).steer(fields, wait)


@operation(
    "POST",
    "/plant/v1/settle",
    statuses={409: "The clients are connected to several processes."},
)
async def settle(
    plane: ControlPlane,
    wait: Annotated[
        float, "The longest wait, on the clock of the machine.", WAITS
    ] = RESPONSE_TIMEOUT_S,
    cut_after_ms: Annotated[
        int | None,
        "Wait also for the client of each connection that the server has ended after this market time, "
        "ms since 1970: until it is connected again, with at least the same streams, or was refused.",
    ] = None,
) -> settling.SettledPage:
    """Wait until all clients have read what was sent to them.

    Each connection gets a ping. Its pong says that the client's library has received all that was sent
    before; what the program does with it may follow. Where a fault holds back what is sent, the bytes
    that wait in the sockets count instead. `settled` is false if a client has not read everything in
    time, and `unsettled` names it.
    """
    if plane.edges is not None:
        raise RequestError(NOT_THERE, OTHERS, 409)
    return await settling.settle(plane.endpoints, wait, cut_after_ms)


@operation(
    "GET",
    "/plant/v1/coverage",
    statuses={
        404: "The market is not played from a recording.",
        503: "A recording cannot be read any more.",
    },
    is_about_market=True,
)
async def coverage(plane: ControlPlane) -> ReplayCoverage:
    """What the recordings of a replay cover, and where messages are missing.

    It is read from manifests and the heads of blocks, without decompressing anything; files of lines are
    read to their end. Until that is done, after half a second, the response is what is known so far, and
    `complete` is false. Damage within blocks shows when they are played, and `tickerplant verify` finds
    it.
    """
    if plane.coverage is None:
        raise RequestError(NOT_THERE, NO_RECORDING, 404)
    return await plane.coverage()
