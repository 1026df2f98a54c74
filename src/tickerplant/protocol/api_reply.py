"""The replies of the WebSocket API, as structs whose fields stand in wire order."""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct, UnsetType

from tickerplant.protocol.api_request import ApiId


class RateLimit(Struct, frozen=True, kw_only=True, rename="camel"):
    """The one rate limit of market data: request weight per clock minute."""

    rate_limit_type: str = "REQUEST_WEIGHT"
    interval: str = "MINUTE"
    interval_num: int = 1
    limit: int
    count: int


class Retry(Struct, frozen=True, kw_only=True, rename="camel"):
    """When a refused client may come back; both in ms since 1970."""

    server_time: int
    retry_after: int


class ApiError(Struct, frozen=True):
    """What went wrong."""

    code: int
    msg: str
    data: Retry | UnsetType = UNSET


class SessionStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """A connection on which nobody is logged on, because there are no accounts here."""

    api_key: None = None
    authorized_since: None = None
    connected_since: int
    return_rate_limits: bool
    server_time: int


class ApiReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """One reply: with a `result` or an `error`, never both."""

    id: ApiId
    status: int = 200
    result: Raw | SessionStatus | UnsetType = UNSET
    error: ApiError | UnsetType = UNSET
    rate_limits: tuple[RateLimit, ...] | UnsetType = UNSET
