"""What an edge asks its plant in the name of clients: admissions, HTTP and WebSocket API requests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import msgspec

from tickerplant.cluster import messages
from tickerplant.cluster.broker import Failed, ask, read_answer
from tickerplant.cluster.edge import EdgeNode
from tickerplant.faults.fault import EXEMPT_KEY
from tickerplant.protocol.actions import Action, Send
from tickerplant.protocol.api_session import ApiError, ApiReply, api_keepalive
from tickerplant.protocol.client_requests import DISCONNECTED, read_api_request
from tickerplant.protocol.close_reasons import BANNED, CLOSE_REASON_BY_NAME
from tickerplant.protocol.keepalive import Keepalive
from tickerplant.protocol.target import ApiTarget
from tickerplant.queries import find_path
from tickerplant.queries.account_requests import find_account_path
from tickerplant.server.backend import Admission, Attempt, Reply
from tickerplant.server.compression import ACCEPTED
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.guard import PLANT_PATHS
from tickerplant.server.http_request import HttpRequest
from tickerplant.server.operations.catalogue import ROUTER
from tickerplant.server.operations.nodes import ReadyState, ready_response
from tickerplant.server.operations.pages import readiness
from tickerplant.server.response import Response, problem_response
from tickerplant.server.rest import ASKED_HEADERS, KEY_HEADER, error_response
from tickerplant.server.token import AUTHORIZATION
from tickerplant.venue import Venue

MAX_WAITING = 32
"""Requests of one connection that wait for the plant; until some are answered, it is not read."""
MAX_WAITING_AT_EDGE = 4_096
"""Requests of all connections that wait; until half of them are answered, none is read."""
RETRY_AFTER_S = 5
"""When a client may ask again that got no answer from the plant."""

_connection_numbers = count(1)


def lost_message(reason: str) -> str:
    """Return the text of an error: a request was not answered because of `reason`."""
    return f"Internal error; the market cannot be reached: {reason}. Please try again."


class RemoteBackend:
    """Asks the plant about the connections of one port; `waiting` are those of the whole edge."""

    def __init__(self, node: EdgeNode, endpoint: Endpoint, waiting: WaitingRequests) -> None:
        self.node, self.endpoint, self.waiting = node, endpoint, waiting

    def admit(self, attempt: Attempt, now_ms: int, decide: Callable[[Admission], object]) -> None:
        """Ask whether somebody may connect, and call `decide` with the decision."""
        del now_ms  # the clock of the plant counts

        def on_answer(said: bytes | Failed) -> None:
            found = read_answer(said, Admission)
            if isinstance(found, Failed):
                unavailable = f"The market cannot be reached: {found.reason}"
                found = Admission(fault_number=0, unavailable=unavailable)
            decide(found)

        question = messages.encode((self.endpoint.venue.name, attempt))
        self.node.ask(messages.ADMIT, question, on_answer)

    def open_api(
        self, target: ApiTarget, address: str, admission: Admission, now_ms: int, reply: Reply
    ) -> RemoteApiRequests:
        """Return the requests of a new WebSocket API connection."""
        return RemoteApiRequests(self, target, address, admission, now_ms, reply)


class WaitingRequests:
    """Counts the requests of all API connections of an edge that wait for the plant."""

    def __init__(self) -> None:
        self.number = 0
        self.is_full = False
        """Whether no connection is read until half of them are answered."""
        self.open: dict[RemoteApiRequests, None] = {}
        """The connections."""

    def add(self) -> None:
        """Count one more."""
        self.number += 1
        self.is_full = self.is_full or self.number >= MAX_WAITING_AT_EDGE

    def remove(self, number: int) -> None:
        """Count fewer; connections that were not read are read again."""
        self.number -= number
        if self.is_full and self.number <= MAX_WAITING_AT_EDGE // 2:
            self.is_full = False
            for each in tuple(self.open):
                each.reply(())


class RemoteApiRequests:
    """The requests of one API connection, which the plant answers in their order."""

    def __init__(
        self,
        backend: RemoteBackend,
        target: ApiTarget,
        address: str,
        admission: Admission,
        now_ms: int,
        reply: Reply,
    ) -> None:
        endpoint = backend.endpoint
        usage = endpoint.rate_limiter.usage_of(address)
        self.keepalive: Keepalive = api_keepalive(
            endpoint.limits, now_ms, endpoint.session_counters, usage
        )
        self.reply = reply
        self._backend, self._waiting = backend, backend.waiting
        self._is_banned = admission.is_banned
        self._question = messages.ApiQuestion(
            venue=endpoint.venue.name,
            connection=next(_connection_numbers),
            address=address,
            opened_ms=now_ms,
            return_rate_limits=target.return_rate_limits,
        )
        self._waiting_count = 0
        self._is_over = False
        self._waiting.open[self] = None

    @property
    def is_full(self) -> bool:
        """Whether so many requests wait that no more may be received for now."""
        is_full = self._waiting_count >= MAX_WAITING or self._waiting.is_full
        return is_full and not self._is_over

    def open(self) -> list[Action]:
        """Disconnect a banned address."""
        return self.keepalive.close(BANNED) if self._is_banned else []

    def receive_text(self, text: str | bytes, now_ms: int) -> list[Action]:
        """Ask the plant; its replies come later."""
        del now_ms  # the clock of the plant counts
        if self.keepalive.closed:
            return []
        data = text.encode() if isinstance(text, str) else text
        question = msgspec.structs.replace(self._question, text=data)
        self._waiting_count += 1
        self._waiting.add()

        def on_answer(said: bytes | Failed) -> None:
            if not self._is_over:
                self._waiting_count -= 1
                self._waiting.remove(1)
                if not self.keepalive.closed:
                    self.reply(self._actions(data, said))

        self._backend.node.ask(messages.API, messages.encode(question), on_answer)
        self._backend.node.pause_count += self.is_full
        return []

    def receive_binary(self, now_ms: int) -> list[Action]:
        """Ask about a binary message like text that is not JSON."""
        return self.receive_text(b"", now_ms)

    def cancel(self) -> None:
        """Reply to nothing more."""
        if not self._is_over:
            self._is_over = True
            self._waiting.open.pop(self, None)
            self._waiting.remove(self._waiting_count)

    def _actions(self, text: bytes, said: bytes | Failed) -> list[Action]:
        """Return what is to be done for an answer to `text`."""
        answered = read_answer(said, messages.ApiAnswer)
        if not isinstance(answered, Failed):
            actions: list[Action] = [Send(reply, code) for reply, code in answered.replies]
            if answered.closing in CLOSE_REASON_BY_NAME:
                actions += self.keepalive.close(CLOSE_REASON_BY_NAME[answered.closing])
            return actions
        self._backend.endpoint.session_counters.errors[DISCONNECTED] += 1
        error = ApiError(DISCONNECTED, lost_message(answered.reason))
        reply = ApiReply(id=read_api_request(text).id, status=503, error=error)
        return [Send(msgspec.json.encode(reply), DISCONNECTED)]


async def answer(
    node: EdgeNode, venue: Venue, is_beside_plant: bool, request: HttpRequest
) -> tuple[bool, Response]:
    """Return whether a path exists, and the answer of the plant; see `Rest.answer`."""
    path, headers = request.path, request.headers
    if path == readiness.path and node.trouble:
        return _failure(venue, path, node.trouble)
    passed_on = {EXEMPT_KEY, ACCEPTED, ASKED_HEADERS}
    if path.startswith(PLANT_PATHS):
        passed_on = {EXEMPT_KEY, AUTHORIZATION}
    question = msgspec.structs.replace(
        request,
        headers={name: value for name, value in headers.items() if name in passed_on}
        | ({KEY_HEADER: b"1"} if headers.get(KEY_HEADER) else {}),
        is_from_here=request.is_from_here and is_beside_plant,
    )
    said = await ask(node.ask, messages.HTTP, messages.encode(question))
    found = read_answer(said, tuple[bool, Response])
    return _failure(venue, path, found.reason) if isinstance(found, Failed) else found


def _failure(venue: Venue, path: str, reason: str) -> tuple[bool, Response]:
    """Return the response to a request that the plant did not answer."""
    if path == readiness.path:
        state = ReadyState(ready=False, reason=f"no plant answers: {reason}", warnings=[])
        return True, ready_response(state)
    message, headers = lost_message(reason), (("Retry-After", str(RETRY_AFTER_S)),)
    if ROUTER.find(path) is not None:
        return True, problem_response(503, message, headers=headers)
    is_known = find_path(venue, path) is not None or bool(find_account_path(venue, path))
    return is_known, error_response(DISCONNECTED, message, 503, headers)
