"""The operation of what the recordings of a replay cover."""

from __future__ import annotations

from tickerplant.control.coverage_state import ReplayCoverage
from tickerplant.errors import RequestError
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.operations.operation import NOT_THERE, Operation, Request

COVERAGE_PATH = "/plant/v1/coverage"
NO_RECORDING = (
    "this market is not played from a recording: only a replay is, `tickerplant replay RECORDING`"
)


async def _read(plane: ControlPlane, _request: Request) -> ReplayCoverage:
    if plane.coverage is None:
        raise RequestError(NOT_THERE, NO_RECORDING, 404)
    return await plane.coverage()


OPERATIONS = (
    Operation(
        method="GET",
        path=COVERAGE_PATH,
        name="coverage",
        summary="What the recordings of a replay cover, and where messages are missing.",
        doc=(
            "It is read from manifests and the heads of blocks, without decompressing anything; files of "
            "lines are read to their end. Until that is done, after half a second, the response is what "
            "is known so far, and `complete` is false. Damage within blocks shows when they are played, "
            "and `tickerplant verify` finds it."
        ),
        handler=_read,
        answers=(ReplayCoverage,),
        statuses={
            404: "The market is not played from a recording.",
            503: "A recording cannot be read any more.",
        },
        is_about_market=True,
    ),
)
