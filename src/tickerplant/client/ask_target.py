"""What `ask` sends: a method of the WebSocket API, or a path of REST."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct

from tickerplant.client.rest import full_path
from tickerplant.errors import ConfigError, RequestError
from tickerplant.queries import find_method, find_path
from tickerplant.queries.param import INTEGER, Param
from tickerplant.venue import Venue

EXPECTED = "a method such as ticker.price or a path such as /fapi/v1/depth, without a host"

_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_BOOLEANS = {"true": True, "false": False}


class AskTarget(Struct, frozen=True):
    """A method or path, and the parameters that were written behind it."""

    name: str
    is_rest: bool
    params: dict[str, Any]


def find_target(venue: Venue, method_or_path: object) -> AskTarget:
    """Return what to send to `venue`.

    What contains a slash is a path.  Any other name is a method of the WebSocket API, unless only
    REST has it on this venue, such as `klines`.
    """
    if not isinstance(method_or_path, str) or not method_or_path or "://" in method_or_path:
        raise ConfigError("method_or_path", method_or_path, EXPECTED)
    name, _, query = method_or_path.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    if is_path(venue, name):
        return AskTarget(name, is_rest=True, params=given)
    return AskTarget(name, is_rest=False, params=typed_params(venue, name, given))


def is_path(venue: Venue, name: str) -> bool:
    """Whether `name` is a path of REST, and not a method of the WebSocket API."""
    if "/" in name:
        return True
    is_method = find_method(venue, name) is not None
    return not is_method and find_path(venue, full_path(name, venue)) is not None


def typed_params(venue: Venue, method: str, texts: Mapping[str, str]) -> dict[str, object]:
    """Return parameters that were written as text as a method takes them: integers as numbers."""
    query = find_method(venue, method)
    numeric = {param.name for param in query.params if _is_integer(param)} if query else set()
    return {name: _value(text) if name in numeric else text for name, text in texts.items()}


class _NoMarkets:
    """Stands in for markets: parsing an integer needs none."""

    def __getattr__(self, name: str) -> Any:
        raise RequestError(0, f"no integer depends on {name}")


_NO_MARKETS: Any = _NoMarkets()


def _is_integer(param: Param) -> bool:
    """Whether a parameter takes integers: other values are rejected as such."""
    try:
        param.read(_NO_MARKETS, param.name, "x")
    except RequestError as error:
        return INTEGER in error.message
    return False


def _value(text: str) -> object:
    if _INTEGER.fullmatch(text):
        return int(text)
    return _BOOLEANS.get(text, text)
