"""The operations of levers: what changes the simulated market while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct

from tickerplant.errors import RequestError
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.operations.operation import NOT_THERE, Fields, Schema, operation
from tickerplant.simulation.levers import LEVER_ROWS, LeverRow, LeverState, parse_lever

if TYPE_CHECKING:  # an edge has no exchange
    from tickerplant.simulation.lever_board import LeverBoard

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


@operation("GET", "/plant/v1/levers", statuses=NO_LEVERS_STATUS, is_about_market=True)
def levers(plane: ControlPlane) -> LeversPage:
    """The levers of the simulated market: those that are pulled, and all there are."""
    return _page(plane)


@operation(
    "POST",
    "/plant/v1/levers",
    body=_body,
    example={"market": "shock", "symbols": ["BTCUSDT"], "move": -0.12, "over": "40s"},
    statuses={**NO_LEVERS_STATUS, 409: "The market is over."},
)
def pull_lever(plane: ControlPlane, fields: Fields) -> LeverState:
    """Pull a lever: it takes effect in the next millisecond of market time.

    The body names the lever in `market`, beside its parameters, and `symbols`, `venue` and `for` where
    it has them; the response is the lever with its `id`.
    """
    board = _board(plane)
    plane.refuse_if_over()
    lever_id = board.pull(parse_lever(fields), plane.now_ms() + 1)
    return next(each for each in board.state() if each.id == lever_id)


@operation("DELETE", "/plant/v1/levers", statuses=NO_LEVERS_STATUS)
def release_levers(plane: ControlPlane) -> LeversPage:
    """Release all levers."""
    board = _board(plane)
    for each in board.state():
        if each.state != "releasing":
            board.release(each.id, plane.now_ms() + 1)
    return _page(plane)


@operation(
    "DELETE",
    "/plant/v1/levers/{id}",
    statuses={404: "No such lever is pulled, or the market is not simulated."},
)
def release_lever(
    plane: ControlPlane, id_: Annotated[str, "the id of a lever that is pulled, such as `l1`."]
) -> LeversPage:
    """Release a lever; the response has those that are left."""
    board = _board(plane)
    try:
        board.release(id_, plane.now_ms() + 1)
    except KeyError:
        pulled = ", ".join(each.id for each in board.state()) or "none is"
        raise RequestError(NOT_THERE, f"no lever {id_} is pulled now: {pulled}", 404) from None
    return _page(plane)
