"""The HTTP side of an edge: the plant answers, except what is about the edge itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from tickerplant.bus.calls import Caller, CallFailed
from tickerplant.bus.nodes import MalformedError, decode, encode
from tickerplant.bus.questions import HTTP, HttpAnswer
from tickerplant.edge.backend import UNREADABLE, lost_message
from tickerplant.faults.rows import EXEMPT_KEY
from tickerplant.protocol.client_requests import DISCONNECTED
from tickerplant.queries import find_path
from tickerplant.queries.account_requests import find_account_path
from tickerplant.server.compression import ACCEPTED
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.guard import PLANT_PATHS
from tickerplant.server.http_request import HttpRequest
from tickerplant.server.operations.catalogue import ROUTER
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.operations.pages import READY_PATH
from tickerplant.server.operations.readiness import ReadyState, ready_response
from tickerplant.server.response import Response, problem_response
from tickerplant.server.rest import ASKED_HEADERS, KEY_HEADER, Rest, error_response
from tickerplant.server.token import AUTHORIZATION

RETRY_AFTER_S = 5
"""When a client may ask again that got no answer from the plant."""


class EdgeRest(Rest):
    """The application of a port of an edge.

    Args:
        endpoint: The port.
        plane: What the operations are about that the edge answers itself.
        caller: Asks the plant.
        trouble: Returns why the plant is not there; empty if it is.
        is_beside_plant: Whether the plant is on this machine.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        plane: ControlPlane,
        caller: Caller,
        trouble: Callable[[], str],
        *,
        is_beside_plant: bool,
    ) -> None:
        super().__init__(endpoint, plane)
        self._questions = {}  # the plant answers all of them
        self._caller = caller
        self._trouble = trouble
        self._is_beside_plant = is_beside_plant

    async def answer(self, request: HttpRequest) -> tuple[bool, Response]:
        """Return whether the path exists, and the response."""
        path, headers = request.path, request.headers
        route = ROUTER.find(path)
        if route is not None and route.is_own:
            return await super().answer(request)
        if path == READY_PATH and (trouble := self._trouble()):
            return self._failure(path, trouble)
        passed_on = {EXEMPT_KEY, ACCEPTED, ASKED_HEADERS}
        if path.startswith(PLANT_PATHS):
            passed_on = {EXEMPT_KEY, AUTHORIZATION}
        request = msgspec.structs.replace(
            request,
            headers={name: value for name, value in headers.items() if name in passed_on}
            | ({KEY_HEADER: b"1"} if headers.get(KEY_HEADER) else {}),
            is_from_here=request.is_from_here and self._is_beside_plant,
        )
        asked: asyncio.Future[bytes | CallFailed] = asyncio.get_running_loop().create_future()

        def on_answer(outcome: bytes | CallFailed) -> None:
            if not asked.done():
                asked.set_result(outcome)

        self._caller.call(HTTP, encode(request), on_answer)
        outcome = await asked
        if isinstance(outcome, CallFailed):
            return self._failure(path, outcome.reason)
        try:
            answer: HttpAnswer = decode(outcome, HttpAnswer)
        except MalformedError:
            return self._failure(path, UNREADABLE)
        response = Response(answer.body, answer.status, answer.content_type, answer.headers)
        return answer.is_known, response

    def _failure(self, path: str, reason: str) -> tuple[bool, Response]:
        """Return the response to a request that the plant did not answer."""
        if path == READY_PATH:
            state = ReadyState(ready=False, reason=f"no plant answers: {reason}", warnings=[])
            return True, ready_response(state)
        message, headers = lost_message(reason), (("Retry-After", str(RETRY_AFTER_S)),)
        if ROUTER.find(path) is not None:
            response = problem_response(503, message)
            return True, msgspec.structs.replace(response, headers=headers)
        venue = self._endpoint.venue
        is_known = find_path(venue, path) is not None or bool(find_account_path(venue, path))
        return is_known, error_response(DISCONNECTED, message, 503, headers)
