"""Why the server closes a connection, as rows."""

from __future__ import annotations

from msgspec import Struct


class CloseReason(Struct, frozen=True, kw_only=True):
    """One reason: its close frame, and whether the client should reconnect."""

    name: str
    """Label in logs and metrics."""
    code: int
    """Status code of the close frame (RFC 6455, section 7.4)."""
    reason: str
    """Text of the close frame, at most 123 bytes."""
    should_reconnect: bool
    """Whether the client may reconnect at once and do the same again."""
    doc: str


TOO_MANY_REQUESTS = CloseReason(
    name="too_many_requests",
    code=1008,
    reason="Too many requests",
    should_reconnect=False,
    doc="More messages, or more pings and pongs, than a connection may send.",
)
INVALID_REQUEST = CloseReason(
    name="invalid_request",
    code=1008,
    reason="Invalid request",
    should_reconnect=False,
    doc="A malformed message or too many streams; the error reply goes before it.",
)
INVALID_ID = CloseReason(
    name="invalid_id",
    code=1008,
    reason="disconnected",
    should_reconnect=False,
    doc="A WebSocket API request whose id is not an integer, a short word or null.",
)
BANNED = CloseReason(
    name="banned",
    code=1008,
    reason="IP banned",
    should_reconnect=False,
    doc="The address kept sending requests after exhausting its request weight.",
)
PONG_TIMEOUT = CloseReason(
    name="pong_timeout",
    code=1008,
    reason="Pong timeout",
    should_reconnect=True,
    doc="No pong answered a ping within the time limit; on the WebSocket API, and in the profile "
    "`current`, only a copy of its payload does.",
)
EXPIRED = CloseReason(
    name="expired",
    code=1001,
    reason="Connection expired",
    should_reconnect=True,
    doc="The connection reached its maximum age, 24 hours unless set otherwise.",
)
SLOW_CONSUMER = CloseReason(
    name="slow_consumer",
    code=1008,
    reason="Slow consumer: too much unread data",
    should_reconnect=True,
    doc="The client reads more slowly than its streams flow: subscribe to fewer, or read faster.",
)
STALLED = CloseReason(
    name="stalled",
    code=1008,
    reason="Slow consumer: stopped reading",
    should_reconnect=True,
    doc="The client read nothing for too long although data waited for it (`max_unread_ms`), or "
    "while a replay waited for it (`stall_timeout_ms`).",
)
FRAME_TOO_BIG = CloseReason(
    name="frame_too_big",
    code=1009,
    reason="Message too big",
    should_reconnect=False,
    doc="A message longer than a client may send; the text continues with the limit.",
)
PROTOCOL_ERROR = CloseReason(
    name="protocol_error",
    code=1002,
    reason="Protocol error",
    should_reconnect=False,
    doc="A frame that violates the WebSocket protocol (RFC 6455); the text continues with the rule.",
)
INVALID_DATA = CloseReason(
    name="invalid_data",
    code=1007,
    reason="Invalid data",
    should_reconnect=False,
    doc="Text that is not UTF-8, in a message or in a close frame; the text continues with which.",
)
MESSAGE_TIMEOUT = CloseReason(
    name="message_timeout",
    code=1008,
    reason="Message incomplete",
    should_reconnect=True,
    doc="A message of the client was not complete in time.",
)
GOING_AWAY = CloseReason(
    name="going_away",
    code=1001,
    reason="Server shutdown",
    should_reconnect=True,
    doc="The server is stopping.",
)
ENDED = CloseReason(
    name="ended",
    code=1000,
    reason="The market is over",
    should_reconnect=False,
    doc="The recording has ended (`replay --exit-at-end`), or the time of the simulation is up "
    "(`simulate --duration`); every message before was sent.",
)
UPSTREAM_LOST = CloseReason(
    name="upstream_lost",
    code=1013,
    reason="Upstream lost",
    should_reconnect=True,
    doc="The server has lost its upstream, so messages may be missing. "
    "Until it is back, stream handshakes may be answered 503 with `Retry-After`.",
)
BUS_LOST = CloseReason(
    name="bus_lost",
    code=1013,
    reason="Bus lost: messages may be missing",
    should_reconnect=True,
    doc="This worker or edge was cut off from its plant, and could not make the streams of the "
    "connection whole again. Until the plant is back, stream handshakes may be answered 503 with "
    "`Retry-After`.",
)
CONTROL_PLANE = CloseReason(
    name="control_plane",
    code=1001,
    reason="Closed by the operator",
    should_reconnect=True,
    doc="An operator closed it: `DELETE /plant/v1/connections/{id}`.",
)

CLOSE_REASONS = (
    TOO_MANY_REQUESTS,
    INVALID_REQUEST,
    INVALID_ID,
    BANNED,
    PONG_TIMEOUT,
    EXPIRED,
    SLOW_CONSUMER,
    STALLED,
    FRAME_TOO_BIG,
    PROTOCOL_ERROR,
    INVALID_DATA,
    MESSAGE_TIMEOUT,
    GOING_AWAY,
    ENDED,
    UPSTREAM_LOST,
    BUS_LOST,
    CONTROL_PLANE,
)

CLOSE_REASON_BY_NAME = {each.name: each for each in CLOSE_REASONS}

OTHER_ENDS = {
    "fault": "A fault on demand closed or cut it.",
    "client": "The client closed it properly.",
    "lost": "It ended without a close frame: the client is gone, or the network failed.",
}
"""Ends that are no close of the server, and what they mean, by name."""

EXPLANATIONS = {**{each.name: each.doc for each in CLOSE_REASONS}, **OTHER_ENDS}
"""What every end of a connection means, by name."""
