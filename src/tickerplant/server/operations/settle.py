"""The operation that waits until clients have read what was sent to them."""

from __future__ import annotations

from tickerplant.control.clock_state import LONGEST_WAIT_S, RESPONSE_TIMEOUT_S
from tickerplant.errors import RequestError
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.operations.operation import NOT_THERE, Operation, QueryParam, Request
from tickerplant.server.settling import SettledPage, settle

SETTLE_PATH = "/plant/v1/settle"
OTHERS = (
    "the clients of this market are connected to several processes, and none of them knows what the "
    "others' clients have read: only a server of one process can tell, such as a test server"
)


async def _settle(plane: ControlPlane, request: Request) -> SettledPage:
    if plane.edges is not None:
        raise RequestError(NOT_THERE, OTHERS, 409)
    return await settle(plane.endpoints, request.params["wait"], request.params["cut_after_ms"])


OPERATIONS = (
    Operation(
        method="POST",
        path=SETTLE_PATH,
        name="settle",
        summary="Wait until all clients have read what was sent to them.",
        doc=(
            "Each connection gets a ping. Its pong says that the client's library has received all that "
            "was sent before; what the program does with it may follow. Where a fault holds back what "
            "is sent, the bytes that wait in the sockets count instead. `settled` is false if a client "
            "has not read everything in time, and `unsettled` names it."
        ),
        handler=_settle,
        params=(
            QueryParam(
                name="wait",
                kind="duration",
                doc="The longest wait, on the clock of the machine.",
                default=RESPONSE_TIMEOUT_S,
                most=LONGEST_WAIT_S,
            ),
            QueryParam(
                name="cut_after_ms",
                kind="integer",
                doc=(
                    "Wait also for the client of each connection that the server has ended after this "
                    "market time, ms since 1970: until it is connected again, with at least the same "
                    "streams, or was refused."
                ),
            ),
        ),
        answers=(SettledPage,),
        statuses={409: "The clients are connected to several processes."},
    ),
)
