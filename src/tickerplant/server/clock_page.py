"""The page of the clock of a replay: where it is, and with POST, where it should be.

What is wanted comes as a JSON object, as parameters of the query, or both; the object counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from tickerplant.errors import ConfigError, RequestError
from tickerplant.server.rest import Page, Post, Response, problem_response

CLOCK_PATH = "/plant/v1/clock"
NO_CLOCK = (
    "this server has no clock that can be read or set: only a replay has one, "
    "`tickerplant replay RECORDING`"
)

_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class Steering(Protocol):
    """A source whose clock can be set."""

    def state(self) -> Struct:
        """Return where it is."""
        ...

    async def steer(self, given: Mapping[str, object]) -> Struct:
        """Do what is wanted; return where it is then.

        Raises:
            ConfigError: a field is unknown, or its value cannot be used.
            RequestError: that is not possible now.
        """
        ...


def clock_pages(steering: Steering | None) -> Mapping[str, Page]:
    """Return the page by its path."""
    if steering is None:
        return {CLOCK_PATH: _no_clock}
    return {CLOCK_PATH: lambda: Response(msgspec.json.encode(steering.state()))}


def clock_posts(steering: Steering | None) -> Mapping[str, Post]:
    """Return what answers those who set the clock, by its path."""

    async def post(query_string: bytes, body: bytes) -> Response:
        if steering is None:
            return _no_clock()
        try:
            state = await steering.steer(_fields(query_string, body))
        except ConfigError as error:
            return problem_response(400, str(error), error.setting)
        except RequestError as error:
            return problem_response(error.status, error.message)
        return Response(msgspec.json.encode(state))

    return {CLOCK_PATH: post}


def _no_clock() -> Response:
    return problem_response(404, NO_CLOCK)


def _fields(query_string: bytes, body: bytes) -> dict[str, object]:
    """Return what is wanted.

    Raises:
        ConfigError: the body is no JSON object.
    """
    fields: dict[str, object] = dict(
        parse_qsl(query_string.decode("utf-8", "replace"), keep_blank_values=True)
    )
    if body.strip():
        try:
            fields |= _decode_object(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            shown = body[:60].decode("utf-8", "replace")
            raise ConfigError("body", shown, 'a JSON object such as {"speed": 10}') from None
    return fields
