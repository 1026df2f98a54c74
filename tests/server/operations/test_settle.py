from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from loopback import looped

from tickerplant.server.endpoint import Endpoint
from tickerplant.server.operations.clock import settle
from tickerplant.server.operations.control_plane import ControlPlane


@looped
async def test_a_market_of_several_processes_does_not_know_what_their_clients_have_read() -> None:
    plane = ControlPlane(welcome=str, edges=cast("Any", object()))
    answer = await settle.answer(plane, cast("Endpoint", None), "", b"wait=1s", {}, b"")
    assert answer.status == 409
    assert "only a server of one process" in msgspec.json.decode(answer.body)["error"]


@pytest.mark.parametrize("query", [b"wait=601s", b"wait=soon", b"cut_after_ms=-1", b"since=1"])
@looped
async def test_what_cannot_be_waited_for_is_refused(query: bytes) -> None:
    plane = ControlPlane(welcome=str)
    answer = await settle.answer(plane, cast("Endpoint", None), "", query, {}, b"")
    assert answer.status == 400
