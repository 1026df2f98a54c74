"""The requests of a WebSocket API client, read and checked (general information page)."""

from __future__ import annotations

import re
from typing import TypeAlias

from msgspec import UNSET, Struct

from tickerplant.errors import RequestError
from tickerplant.protocol.json_text import JsonError, decode_json, kind

ApiId: TypeAlias = int | str | None

UNKNOWN_ERROR = -1000
UNSUPPORTED_OPERATION = -1020
BAD_PARAMETER = -1130
BAD_ID = -1135

VERSION_PREFIX = "v1/"
"""What may stand before a method; the methods of other versions are other methods."""
RETURN_RATE_LIMITS = "returnRateLimits"

_WORD = re.compile(r"[a-zA-Z0-9_-]{1,36}")


class ApiRequest(Struct, frozen=True):
    """A request; if it cannot be understood, `problem` is the answer to it."""

    id: ApiId
    method: str = ""
    """Without its version."""
    params: dict[str, object] = {}
    """Without `returnRateLimits`. Clients that sign send more than a method asks for: what it does
    not ask for is not looked at, where the exchange knows codes -1101, -1103 and -1104."""
    return_rate_limits: bool | None = None
    """What the request says about its reply; None leaves it to the connection."""
    problem: RequestError | None = None


def read_api_request(text: str | bytes) -> ApiRequest:
    """Return the request in `text`, with a `problem` if there is one; raises nothing."""
    try:
        message = decode_json(text)
    except JsonError as error:
        return ApiRequest(None, problem=RequestError(UNKNOWN_ERROR, f"Malformed request: {error}."))
    if not isinstance(message, dict):
        return ApiRequest(None, problem=_malformed("the message", message, "an object"))
    request_id = message.get("id")
    if not _is_id(request_id):
        return ApiRequest(None, problem=_bad_id())
    method = message.get("method", UNSET)
    if not isinstance(method, str):
        return ApiRequest(request_id, problem=_malformed("method", method, "a string"))
    params = message.get("params")
    if not isinstance(params, dict | None):
        return ApiRequest(request_id, problem=_malformed("params", params, "an object"))
    return _request(request_id, method.removeprefix(VERSION_PREFIX), params or {})


def _request(request_id: ApiId, method: str, params: dict[str, object]) -> ApiRequest:
    return_rate_limits = params.pop(RETURN_RATE_LIMITS, None)
    if not isinstance(return_rate_limits, bool | None):
        problem = RequestError(
            BAD_PARAMETER, f"Data sent for parameter '{RETURN_RATE_LIMITS}' is not valid."
        )
        return ApiRequest(request_id, problem=problem)
    return ApiRequest(request_id, method, params, return_rate_limits)


def _is_id(value: object) -> bool:
    match value:
        case None:
            return True
        case str():
            return _WORD.fullmatch(value) is not None
        case bool():
            return False
        case int():
            return -(2**63) <= value < 2**63
        case _:
            return False


def _bad_id() -> RequestError:
    return RequestError(
        BAD_ID,
        "Invalid 'id' in JSON request; expected an integer, "
        "a string matching '^[a-zA-Z0-9-_]{1,36}$', or null.",
    )


def _malformed(field: str, value: object, expected: str) -> RequestError:
    return RequestError(
        UNKNOWN_ERROR, f"Malformed request: {field} is {kind(value)}, expected {expected}."
    )
