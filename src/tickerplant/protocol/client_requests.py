"""The requests of clients, read and checked: of stream connections and of the WebSocket API.

A message of a stream client is read in the order JSON, id, method, params (live subscribing page);
the reply names the first thing that is wrong.  What cannot be understood (codes 2, 3 and 4) ends the
connection after the reply, as measured on the exchange; an unknown property or a value of the wrong
type (codes 0 and 1) does not.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tickerplant.errors import RequestError, TickerplantError

_OFFSET = re.compile(r"\(byte (\d+)\)$")
MOST_SHOWN = 200
"""Characters of an unknown method that an error repeats."""
_KINDS = {
    "NoneType": "null",
    "bool": "a boolean",
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "list": "an array",
    "dict": "an object",
    "UnsetType": "missing",
}


class JsonError(TickerplantError):
    """Text that is not JSON; `line` and `column` count from 1, the column in bytes."""

    def __init__(self, line: int, column: int) -> None:
        super().__init__(f"not JSON at line {line} column {column}")
        self.line = line
        self.column = column


def decode_json(text: str | bytes) -> object:
    """Return the JSON value in `text`.

    Raises:
        JsonError: the text is invalid, nested too deeply, or not UTF-8.
    """
    data = _encoded(text)
    try:
        return msgspec.json.decode(data)
    except UnicodeDecodeError:
        offset_bytes = _first_bad_byte(data)
    except msgspec.DecodeError as error:
        offset = _OFFSET.search(str(error))
        offset_bytes = int(offset[1]) if offset else len(data)
    except RecursionError:
        offset_bytes = 0
    raise JsonError(*_position(data, offset_bytes))


def kind(value: object) -> str:
    """Return the JSON type of a decoded value, with its article; UNSET is `missing`."""
    return _KINDS[type(value).__name__]


def place_of(text: str | bytes, value: object) -> str:
    """Return `line L column C` of the last byte of `value` in `text`, or of the text's last byte."""
    data = _encoded(text).rstrip()
    quoted = msgspec.json.encode(value) if isinstance(value, str) else b""
    start = data.find(quoted) if quoted else -1
    line, column = _position(data, (start + len(quoted) if start >= 0 else len(data)) - 1)
    return f"line {line} column {column}"


def _position(data: bytes, offset_bytes: int) -> tuple[int, int]:
    before = data[:offset_bytes]
    line_start = before.rfind(b"\n") + 1
    return before.count(b"\n") + 1, len(before) - line_start + 1


def _encoded(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def _first_bad_byte(data: bytes) -> int:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return len(data)


ApiId: TypeAlias = int | str | None

UNKNOWN_ERROR = -1000
DISCONNECTED = -1001
OVERLOADED = -1008
UNSUPPORTED_OPERATION = -1020
BAD_PARAMETER = -1130
BAD_ID = -1135

VERSION_PREFIX = "v1/"
"""An optional prefix of methods; those of other versions are other methods."""
RETURN_RATE_LIMITS = "returnRateLimits"

_WORD = re.compile(r"[a-zA-Z0-9_-]{1,36}")


class ApiRequest(Struct, frozen=True):
    """A request; `problem` is the error if it is invalid."""

    id: ApiId
    method: str = ""
    """Without its version."""
    params: dict[str, object] = {}
    """Without `returnRateLimits`.  Clients that sign send further parameters: unknown ones are ignored,
    where the exchange has codes -1101, -1103 and -1104."""
    return_rate_limits: bool | None = None
    """Whether the reply shows the rate limits; None leaves it to the connection."""
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


RequestId: TypeAlias = int | str | None

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
PROPERTY = "combined"
"""The only property there is."""
LARGEST_ID = 2**64 - 1

UNKNOWN_PROPERTY = 0
INVALID_VALUE_TYPE = 1
INVALID_REQUEST = 2
INVALID_JSON = 3
TOO_MANY_SUBSCRIPTIONS = 4


class Request(Struct, frozen=True):
    """A well-formed message: `names` for SUBSCRIBE and UNSUBSCRIBE, `value` for SET_PROPERTY."""

    method: str
    id: RequestId
    names: tuple[str, ...] = ()
    value: bool = False


class ControlError(TickerplantError):
    """A message that is answered with an error; `id` is UNSET if the message has no valid one."""

    def __init__(self, code: int, message: str, request_id: RequestId | UnsetType = UNSET) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.id = request_id

    @property
    def is_final(self) -> bool:
        """Whether the error ends the connection."""
        return self.code not in {UNKNOWN_PROPERTY, INVALID_VALUE_TYPE}


def read_request(text: str | bytes, max_name_bytes: int) -> Request:
    """Return the request in `text`.

    Raises:
        ControlError: the request is invalid; contains the code and text of the reply.
    """
    try:
        message = decode_json(text)
    except JsonError as error:
        raise ControlError(
            INVALID_JSON,
            f"Invalid JSON: expected value at line {error.line} column {error.column}",
        ) from None
    if not isinstance(message, dict):
        raise _invalid(f"expected an object, got {kind(message)}")
    request_id = _request_id(message)
    method = _method(message, text, request_id)
    params = message.get("params", UNSET)
    match method:
        case "SUBSCRIBE" | "UNSUBSCRIBE":
            names = _names(params, max_name_bytes, request_id)
            return Request(method, request_id, names=names)
        case "SET_PROPERTY":
            return Request(method, request_id, value=_value(params, request_id))
        case "GET_PROPERTY":
            _property(params, 1, request_id)
        case _:
            _arguments(params, 0, request_id)
    return Request(method, request_id)


def _request_id(message: dict[str, object]) -> RequestId:
    """Return the id; strings and null are accepted because official clients send them."""
    request_id = message.get("id", UNSET)
    if request_id is None or isinstance(request_id, str):
        return request_id
    if type(request_id) is int and 0 <= request_id <= LARGEST_ID:
        return request_id
    raise _invalid("request ID must be an unsigned integer")


def _method(message: dict[str, object], text: str | bytes, request_id: RequestId) -> str:
    method = message.get("method", UNSET)
    if method is UNSET:
        raise _invalid(f"missing field `method` at {place_of(text, None)}", request_id)
    if isinstance(method, str) and method in METHODS:
        return method
    shown = method[:MOST_SHOWN] if isinstance(method, str) else kind(method)
    choices = ", ".join(f"`{known}`" for known in METHODS)
    raise _invalid(
        f"unknown variant `{shown}`, expected one of {choices} at {place_of(text, method)}",
        request_id,
    )


def _names(params: object, max_name_bytes: int, request_id: RequestId) -> tuple[str, ...]:
    if not isinstance(params, list):
        raise _invalid(f"params is {kind(params)}, expected an array of strings", request_id)
    for index, name in enumerate(params):
        if not isinstance(name, str):
            raise _invalid(f"params[{index}] is {kind(name)}, expected a string", request_id)
        if len(name.encode()) > max_name_bytes:
            raise _invalid(f"params[{index}] is longer than {max_name_bytes} bytes", request_id)
    return tuple(dict.fromkeys(params))


def _value(params: object, request_id: RequestId) -> bool:
    arguments = _property(params, 2, request_id)
    value = arguments[1] if len(arguments) > 1 else None
    if not isinstance(value, bool):
        raise ControlError(INVALID_VALUE_TYPE, "Invalid value type: expected Boolean", request_id)
    return value


def _property(params: object, most: int, request_id: RequestId) -> list[object]:
    arguments = _arguments(params, most, request_id)
    if not arguments or not isinstance(arguments[0], str):
        raise _invalid("property name must be a string", request_id)
    if arguments[0] != PROPERTY:
        raise ControlError(UNKNOWN_PROPERTY, "Unknown property", request_id)
    return arguments


def _arguments(params: object, most: int, request_id: RequestId) -> list[object]:
    if params is None or params is UNSET:
        return []
    if not isinstance(params, list):
        raise _invalid(f"params is {kind(params)}, expected an array", request_id)
    if len(params) > most:
        raise _invalid("too many parameters", request_id)
    return params


def _invalid(message: str, request_id: RequestId | UnsetType = UNSET) -> ControlError:
    return ControlError(INVALID_REQUEST, f"Invalid request: {message}", request_id)


def disconnected() -> RequestError:
    """Return the error of a request that was forwarded and got no response (error-code pages)."""
    message = "Internal error; unable to process your request. Please try again."
    return RequestError(DISCONNECTED, message, 503)


def overloaded() -> RequestError:
    """Return the error of a request when too many are waiting already (error-code pages)."""
    message = (
        "Server is currently overloaded with other requests. Please try again in a few minutes."
    )
    return RequestError(OVERLOADED, message, 503)


def unknown_error() -> RequestError:
    """Return the error of a request that met a fault of ours (error-code pages)."""
    message = "An unknown error occured while processing the request."
    return RequestError(UNKNOWN_ERROR, message, 500)
