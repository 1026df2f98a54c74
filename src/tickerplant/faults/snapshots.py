"""What faults do to the answers to requests."""

from __future__ import annotations

from collections.abc import Mapping

from tickerplant.faults.board import FaultBoard


def touches_answer(board: FaultBoard) -> bool:
    """Whether any fault that is on may change an answer."""
    return bool(board.on("snapshot") or board.on("clock"))


def changed_answer(
    board: FaultBoard,  # noqa: ARG001
    venue_name: str,  # noqa: ARG001
    name: str,  # noqa: ARG001
    params: Mapping[str, object],  # noqa: ARG001
    body: bytes,
) -> bytes:
    """Return what faults make of an answer.

    Args:
        board: The rules.
        venue_name: The venue that was asked.
        name: The path of a REST request, or the method of a WebSocket API request.
        params: The parameters of the request.
        body: The answer.
    """
    return body
