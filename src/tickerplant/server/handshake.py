"""How a WebSocket connection begins: the answer to the upgrade request, and the session it opens."""

from __future__ import annotations

from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from tickerplant.protocol.account import Account
from tickerplant.protocol.api_session import ApiSession
from tickerplant.protocol.stream_session import StreamSession
from tickerplant.protocol.target import ApiTarget, BadTarget, StreamTarget, parse_target
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.faulty import RETRY_AFTER_MS
from tickerplant.server.faulty_connection import ConnectionFaults

LOST_RETRY_S = 5
"""How long a client is told to wait while the upstream is lost."""

Target = StreamTarget | ApiTarget
Session = StreamSession | ApiSession


def answer_handshake(
    request: Request,
    wire: ServerProtocol,
    endpoint: Endpoint,
    address: str,
    now_ms: int,
    faults: ConnectionFaults | None,
) -> tuple[Response, Target | None]:
    """Return the answer to an upgrade request, and what is opened, None if nothing is."""
    try:
        target = parse_target(request.path, endpoint.venue, endpoint.limits)
    except BadTarget as bad:
        return wire.reject(bad.status, bad.message + "\n"), None
    wait_ms = endpoint.budget.attempt(address, now_ms)
    if wait_ms:
        response = wire.reject(429, "Too many connection attempts.\n")
        response.headers["Retry-After"] = str(-(-wait_ms // 1_000))
        return response, None
    if endpoint.lost is not None and isinstance(target, StreamTarget):
        response = wire.reject(503, f"Upstream lost: {endpoint.lost}.\n")
        response.headers["Retry-After"] = str(LOST_RETRY_S)
        return response, None
    if faults is not None and (status := faults.handshake_status()):
        response = wire.reject(status, "Refused by a fault on demand.\n")
        if status != 503:
            response.headers["Retry-After"] = str(RETRY_AFTER_MS // 1_000)
        return response, None
    response = wire.accept(request)
    if response.status_code != 101:
        return response, None
    if isinstance(target, ApiTarget):
        response.headers["x-mbx-uuid"] = str(wire.id)
    return response, target


def open_session(
    target: Target, endpoint: Endpoint, address: str, account: Account, now_ms: int
) -> Session:
    """Return the session of a new connection to `target`, in which nothing was said yet."""
    limits, counters = endpoint.limits, endpoint.session_counters
    if isinstance(target, StreamTarget):
        return StreamSession(target, limits, now_ms, counters, account)
    return ApiSession(
        target,
        endpoint.answerer,
        endpoint.budget,
        address,
        limits,
        now_ms,
        counters,
        endpoint.forwarding.wants,
    )
