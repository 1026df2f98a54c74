"""The messages of a stream client, read and checked (live subscribing page).

A message is read in the order JSON, id, method, params; the first thing wrong is what the reply
names. What cannot be understood (codes 2, 3 and 4) ends the connection after the reply, as measured
on the exchange; a property that does not exist or gets the wrong type (codes 0 and 1) does not.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from tickerplant.errors import TickerplantError
from tickerplant.protocol.json_text import JsonError, decode_json, kind, place_of

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
    """A message that is answered with an error; `id` is UNSET if the message has no usable one."""

    def __init__(self, code: int, message: str, request_id: RequestId | UnsetType = UNSET) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.id = request_id

    @property
    def is_final(self) -> bool:
        """Whether the connection ends with it."""
        return self.code not in {UNKNOWN_PROPERTY, INVALID_VALUE_TYPE}


def read_request(text: str | bytes, max_name_bytes: int) -> Request:
    """Return the request in `text`.

    Raises:
        ControlError: it is not a request this protocol knows; has the code and text to answer.
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
    shown = method if isinstance(method, str) else kind(method)
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
