"""One operation of the server as a row: its path, what it takes and answers, and what carries it out.

Routing, `/plant/v1/openapi.json` and the reference page of operations are made from the rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from inspect import isawaitable
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from tickerplant.errors import ConfigError, RequestError
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.guard import PLANT_PATHS
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.response import JSON, Response, problem_response
from tickerplant.suggestions import one_of
from tickerplant.units import EXPECTED_DURATION, NS_PER_S, parse_duration_ns

Method: TypeAlias = Literal["GET", "POST", "DELETE"]
Schema: TypeAlias = dict[str, Any]
"""A JSON Schema."""

NOT_THERE = 0
"""The code of an error about something that is not there; it is not sent."""
LARGEST = 2**63 - 1
"""The largest integer of a query."""
LONGEST_ID = 200
"""Characters of what a path names that are looked for."""
MAX_SHOWN = 60
"""Characters of a wrong value that an error repeats."""

_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class QueryParam(Struct, frozen=True, kw_only=True):
    """A parameter of the query of an operation."""

    name: str
    doc: str
    kind: Literal["integer", "text", "duration"] = "text"
    """A duration is text such as `30s`; the handler gets seconds."""
    choices: tuple[str, ...] = ()
    """What a text may be; empty if it may be any."""
    default: int | str | float | None = None
    """What the handler gets if it is missing."""
    required: bool = False
    least: float = 0
    most: float = LARGEST
    """The bounds of an integer, or of a duration in seconds."""

    def parse(self, text: str) -> int | str | float:
        """Return the value of the parameter.

        Raises:
            ConfigError: it cannot be used.
        """
        if self.kind == "text":
            if self.choices and text not in self.choices:
                raise ConfigError(self.name, text[:MAX_SHOWN], one_of(text, self.choices))
            return text
        value: float | None = None
        if self.kind == "integer":
            if text.isascii() and text.isdecimal() and len(text) < 20:
                value = int(text)
            bounds = f"from {self.least:,} to {self.most:,}" if self.most < LARGEST else "from 0"
            expected = f"a whole number {bounds}"
        else:
            try:
                value = parse_duration_ns(text) / NS_PER_S
            except ValueError:
                value = None
            expected = f"{EXPECTED_DURATION}, at most {self.most:g}s"
        if value is None or not self.least <= value <= self.most:
            raise ConfigError(self.name, text[:MAX_SHOWN], expected)
        return value


class Request(Struct, frozen=True, kw_only=True):
    """What an operation is to do."""

    endpoint: Endpoint
    """The port that was asked."""
    id: str = ""
    """What the path names, if it has an `{id}`."""
    params: Mapping[str, Any] = {}
    """The parameters of the row, by name; those that are missing have their default."""
    fields: Mapping[str, Any] = {}
    """The fields of the body, and those of the query that are no parameters of the row."""
    headers: Mapping[bytes, bytes] = {}
    """The headers, names in lower case."""


Answer: TypeAlias = Struct | Response
Handler: TypeAlias = Callable[[ControlPlane, Request], Answer | Awaitable[Answer]]
"""Carries out an operation.

Raises:
    ConfigError: a field cannot be used: answered with 400 and the field.
    RequestError: it is not possible: answered with its status.
"""


class Operation(Struct, frozen=True, kw_only=True):
    """One operation of the server."""

    method: Method
    path: str
    """The path; `{id}` stands for a part that names something."""
    name: str
    """A name of its own, in lower camel case: the `operationId` of OpenAPI."""
    summary: str
    """What it does, in a few words."""
    handler: Handler
    doc: str = ""
    """Further sentences."""
    id_doc: str = ""
    """What the `{id}` of the path names."""
    params: tuple[QueryParam, ...] = ()
    body: type[Struct] | Callable[[], Schema] | None = None
    """The fields that it takes: a class with their types and docs, or a function that returns their
    JSON Schema; None if it takes none."""
    max_body_bytes: int = 0
    """The longest body, where it is more than the limit `max_body_bytes`."""
    answers: tuple[type[Struct], ...] = ()
    """What it may answer; empty if that is no JSON object of a class."""
    content_type: str = JSON
    statuses: Mapping[int, str] = {}
    """What it answers other than 200, and when."""
    example: Mapping[str, Any] = {}
    """A body that can be sent."""
    is_public: bool = False
    """Whether it is answered without the token, like the pages outside of `/plant/v1/`."""
    is_about_market: bool = False
    """Whether another machine may ask it of a server without a token: it reads, and tells nothing about
    other clients."""
    is_own: bool = False
    """Whether it is about the process that answers; others are about the plant and all its edges."""

    def request(
        self,
        endpoint: Endpoint,
        id_given: str,
        query_string: bytes,
        headers: Mapping[bytes, bytes],
        body: bytes,
    ) -> Request:
        """Return what is asked for.

        Raises:
            ConfigError: a parameter is unknown or missing, its value cannot be used, or the body is no
                JSON object.
        """
        fields: dict[str, Any] = dict(
            parse_qsl(query_string.decode("utf-8", "replace"), keep_blank_values=True)
        )
        given = {each.name: fields.pop(each.name) for each in self.params if each.name in fields}
        if self.body is None:
            known = [each.name for each in self.params]
            for name in fields:
                if self.path.startswith(PLANT_PATHS):
                    expected = one_of(name, known) if known else "no parameters"
                    raise ConfigError("parameter", name[:MAX_SHOWN], expected)
            if body.strip():
                raise ConfigError("body", _shown(body), "no body")
        elif body.strip():
            fields |= self._decoded(body)
        return Request(
            endpoint=endpoint,
            id=id_given[:LONGEST_ID],  # a longer one is of nothing, whatever follows
            params=dict(self._parsed(given)),
            fields=fields,
            headers=headers,
        )

    def _decoded(self, body: bytes) -> dict[str, Any]:
        try:
            return _decode_object(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            example = msgspec.json.encode(self.example).decode()
            raise ConfigError("body", _shown(body), f"a JSON object such as {example}") from None

    def _parsed(self, given: Mapping[str, str]) -> Iterable[tuple[str, int | str | float | None]]:
        for each in self.params:
            if each.required and not given.get(each.name):
                raise ConfigError(
                    each.name, None, f"{each.doc[0].lower()}{each.doc[1:].rstrip('.')}"
                )
            yield each.name, each.parse(given[each.name]) if each.name in given else each.default

    async def answer(
        self,
        plane: ControlPlane,
        endpoint: Endpoint,
        id_given: str,
        query_string: bytes,
        headers: Mapping[bytes, bytes],
        body: bytes,
    ) -> Response:
        """Carry it out; return the response, which may say why that is not possible."""
        try:
            answer = self.handler(
                plane, self.request(endpoint, id_given, query_string, headers, body)
            )
            if isawaitable(answer):
                answer = await answer
        except ConfigError as error:
            return problem_response(400, str(error), error.setting)
        except RequestError as error:
            return problem_response(error.status, error.message)
        if isinstance(answer, Response):
            return answer
        return Response(msgspec.json.encode(answer))


def _shown(body: bytes) -> str:
    return body[:MAX_SHOWN].decode("utf-8", "replace")
