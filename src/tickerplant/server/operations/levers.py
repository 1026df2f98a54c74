"""The operations of levers: what changes the simulated market while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tickerplant.errors import RequestError
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.operations.operation import NOT_THERE, Operation, Request, Schema
from tickerplant.simulation.levers import LEVER_ROWS, LeverRow, LeverState, parse_lever

if TYPE_CHECKING:  # an edge has no exchange
    from tickerplant.simulation.lever_board import LeverBoard

LEVERS_PATH = "/plant/v1/levers"
NO_LEVERS = (
    "this market has no levers: only a simulated one has, `tickerplant simulate` and "
    "`tickerplant test-server`"
)
NO_LEVERS_STATUS = {404: "The market is not simulated."}
_JSON_TYPES = {"number": "number", "flag": "boolean"}


class LeversPage(Struct, frozen=True, kw_only=True):
    """The levers of the market."""

    levers: list[LeverState]
    """Those that are pulled, the oldest first."""
    kinds: tuple[LeverRow, ...]
    """Those that there are."""


def _board(plane: ControlPlane) -> LeverBoard:
    if plane.exchange is None:
        raise RequestError(NOT_THERE, NO_LEVERS, 404)
    return plane.exchange.levers


def _page(plane: ControlPlane) -> LeversPage:
    return LeversPage(levers=_board(plane).state(), kinds=LEVER_ROWS)


def _pull(plane: ControlPlane, request: Request) -> LeverState:
    board = _board(plane)
    plane.refuse_if_over()
    lever_id = board.pull(parse_lever(request.fields), plane.now_ms() + 1)
    return next(each for each in board.state() if each.id == lever_id)


def _release(plane: ControlPlane, request: Request) -> LeversPage:
    board = _board(plane)
    try:
        board.release(request.id, plane.now_ms() + 1)
    except KeyError:
        pulled = ", ".join(each.id for each in board.state()) or "none is"
        raise RequestError(
            NOT_THERE, f"no lever {request.id} is pulled now: {pulled}", 404
        ) from None
    return _page(plane)


def _release_all(plane: ControlPlane, _request: Request) -> LeversPage:
    board = _board(plane)
    for each in board.state():
        if each.state != "releasing":
            board.release(each.id, plane.now_ms() + 1)
    return _page(plane)


def _body() -> Schema:
    """Return the schema of a lever that is to be pulled."""
    params = {param.name: param for row in LEVER_ROWS for param in row.params}
    properties: Schema = {
        "market": {"enum": [row.name for row in LEVER_ROWS], "description": "The lever."},
        "symbols": {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            "description": "The contracts; all that match if missing.",
        },
        "venue": {"enum": ["usdm", "coinm"], "description": "The venue; both if missing."},
        "for": {"type": "string", "description": "How long it holds, such as `60s`."},
    }
    for name, param in params.items():
        kind = _JSON_TYPES.get(param.kind, "string")
        properties[name] = {"type": kind, "description": param.doc}
    return {"type": "object", "required": ["market"], "properties": properties}


OPERATIONS = (
    Operation(
        method="GET",
        path=LEVERS_PATH,
        name="levers",
        summary="The levers of the simulated market: those that are pulled, and all there are.",
        handler=lambda plane, _: _page(plane),
        answers=(LeversPage,),
        statuses=NO_LEVERS_STATUS,
        is_about_market=True,
    ),
    Operation(
        method="POST",
        path=LEVERS_PATH,
        name="pullLever",
        summary="Pull a lever: it takes effect in the next millisecond of market time.",
        doc=(
            "The body names the lever in `market`, beside its parameters, and `symbols`, `venue` and "
            "`for` where it has them; the response is the lever with its `id`."
        ),
        handler=_pull,
        body=_body,
        answers=(LeverState,),
        statuses={**NO_LEVERS_STATUS, 409: "The market is over."},
        example={"market": "shock", "symbols": ["BTCUSDT"], "move": -0.12, "over": "40s"},
    ),
    Operation(
        method="DELETE",
        path=LEVERS_PATH,
        name="releaseLevers",
        summary="Release all levers.",
        handler=_release_all,
        answers=(LeversPage,),
        statuses=NO_LEVERS_STATUS,
    ),
    Operation(
        method="DELETE",
        path=f"{LEVERS_PATH}/{{id}}",
        name="releaseLever",
        summary="Release a lever; the response has those that are left.",
        id_doc="the id of a lever that is pulled, such as `l1`.",
        handler=_release,
        answers=(LeversPage,),
        statuses={404: "No such lever is pulled, or the market is not simulated."},
    ),
)
