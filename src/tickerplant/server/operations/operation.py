"""One operation of the server as a function: its signature and its docstring say what it takes and does.

Routing, `/plant/v1/openapi.json` and the reference page of operations are made from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from inspect import Parameter, isawaitable, signature
from keyword import iskeyword
from types import NoneType
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from tickerplant.documented_fields import paragraphs
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
Fields: TypeAlias = Mapping[str, Any]
"""The fields of the body, and those of the query that are no parameters."""
Headers: TypeAlias = Mapping[bytes, bytes]
"""The headers, names in lower case."""

NOT_THERE = 0
"""The code of an error about something that is not there; it is not sent."""
LARGEST = 2**63 - 1
"""The largest integer of a query."""
LONGEST_ID = 200
"""Characters of what a path names that are looked for."""
MAX_SHOWN = 60
"""Characters of a wrong value that an error repeats."""
GIVEN = ("plane", "endpoint", "id_", "fields", "headers")
"""What an operation may take beside parameters of the query: the control plane, the port that was asked,
what the path names, the fields of the body, and the headers."""

_WORD = re.compile(r"_([a-z])")
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


class QueryParam(Struct, frozen=True, kw_only=True):
    """A parameter of the query of an operation."""

    name: str
    doc: str
    kind: Any
    """`int`; `float`, seconds that are written as a duration such as `30s`; `str`; or a Literal."""
    default: Any = None
    """The value if it is missing."""
    required: bool = False
    least: float = 0
    most: float = LARGEST
    """The bounds of a number."""

    @property
    def argument(self) -> str:
        """What its function calls it."""
        return f"{self.name}_" if iskeyword(self.name) else self.name

    def read(self, text: str) -> Any:
        """Return the value of the parameter.

        Raises:
            ConfigError: it cannot be used.
        """
        if self.kind not in {int, float}:
            choices = get_args(self.kind)
            if choices and text not in choices:
                raise ConfigError(self.name, text[:MAX_SHOWN], one_of(text, choices))
            return text
        value: float | None = None
        if self.kind is float:
            expected = f"{EXPECTED_DURATION}, at most {self.most:g}s"
            with suppress(ValueError):
                value = parse_duration_ns(text) / NS_PER_S
        else:
            span = f"from {self.least:,} to {self.most:,}" if self.most < LARGEST else "from 0"
            expected = f"a whole number {span}"
            if text.isascii() and text.isdecimal() and len(text) < 20:
                value = int(text)
        if value is None or not self.least <= value <= self.most:
            raise ConfigError(self.name, text[:MAX_SHOWN], expected)
        return value

    def schema(self) -> Schema:
        """Return how it is written."""
        schema: Schema = {"type": "string"}
        if self.kind is int:
            schema = {"type": "integer", "minimum": self.least, "maximum": self.most}
        elif self.kind is float:
            schema["examples"] = ["30s"]
        elif choices := get_args(self.kind):
            schema["enum"] = list(choices)
        if self.default is not None:
            schema["default"] = f"{self.default:g}s" if self.kind is float else self.default
        return schema


class Operation(Struct, frozen=True, kw_only=True):
    """One operation of the server."""

    method: Method
    path: str
    """The path; `{id}` stands for a part that names something."""
    function: Callable[..., Any]
    """Carries it out; returns a Struct or a Response, or something to wait for that does.  A ConfigError
    is answered with 400 and the field, a RequestError with its status."""
    body: type[Struct] | Callable[[], Schema] | None = None
    """The fields that it takes: a class with their types and docs, or a function that returns their
    JSON Schema; None if it takes none."""
    max_body_bytes: int = 0
    """The longest body, where it is more than the limit `max_body_bytes`."""
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
    name: str
    """A name of its own, in lower camel case: the `operationId` of OpenAPI."""
    summary: str
    doc: str = ""
    """Further sentences."""
    id_doc: str = ""
    """What the `{id}` of the path names."""
    takes: tuple[str, ...] = ()
    params: tuple[QueryParam, ...] = ()
    answers: tuple[type[Struct], ...] = ()
    """What it may answer; empty if that is no JSON object of a class."""

    def arguments(self, query_string: bytes, body: bytes) -> dict[str, Any]:
        """Return the parameters and the fields, as its function calls them.

        Raises:
            ConfigError: a parameter is unknown, missing, repeated or wrong, or the body is no object.
        """
        fields: dict[str, Any] = {}
        query = query_string.decode("utf-8", "replace")
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in fields and self.path.startswith(PLANT_PATHS):
                raise ConfigError(name[:MAX_SHOWN], value[:MAX_SHOWN], "one value, not several")
            fields[name] = value
        names = [each.name for each in self.params]
        given = {name: fields.pop(name) for name in names if name in fields}
        if self.body is not None:
            fields |= self._decoded(body) if body.strip() else {}
        elif fields and self.path.startswith(PLANT_PATHS):
            expected = one_of(next(iter(fields)), names) if names else "no parameters"
            raise ConfigError("parameter", next(iter(fields))[:MAX_SHOWN], expected)
        elif body.strip():
            raise ConfigError("body", _shown(body), "no body")
        found: dict[str, Any] = {"fields": fields}
        for each in self.params:
            if each.required and not given.get(each.name):
                expected = f"{each.doc[0].lower()}{each.doc[1:].rstrip('.')}"
                raise ConfigError(each.name, None, expected)
            text = given.get(each.name)
            found[each.argument] = each.default if text is None else each.read(text)
        return found

    def _decoded(self, body: bytes) -> dict[str, Any]:
        try:
            return _decode_object(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            example = msgspec.json.encode(self.example).decode()
            raise ConfigError("body", _shown(body), f"a JSON object such as {example}") from None

    async def answer(
        self,
        plane: ControlPlane,
        endpoint: Endpoint,
        id_given: str,
        query_string: bytes,
        headers: Headers,
        body: bytes,
    ) -> Response:
        """Carry it out; return the response, which may say why that is not possible."""
        given = {"plane": plane, "endpoint": endpoint, "headers": headers}
        given["id_"] = id_given[:LONGEST_ID]  # a longer one is of nothing, whatever follows
        try:
            given |= self.arguments(query_string, body)
            answer = self.function(**{name: given[name] for name in self.takes})
            if isawaitable(answer):
                answer = await answer
        except ConfigError as error:
            return problem_response(400, str(error), error.setting)
        except RequestError as error:
            return problem_response(error.status, error.message)
        return answer if isinstance(answer, Response) else Response(msgspec.json.encode(answer))


def operation(
    method: Method, path: str, doc: str = "", **row: Any
) -> Callable[[Callable[..., Any]], Operation]:
    """Return what makes an operation of a function.

    Its name is that of the operation, the first paragraph of its docstring the summary, and further ones
    the doc, unless that is given.  It takes what it needs of `GIVEN`; `id_` and all that follow are
    `Annotated` with a sentence, and a number with a `range` of its bounds.  The classes that it returns
    are the answers.
    """

    def make(function: Callable[..., Any]) -> Operation:
        hints = get_type_hints(function, include_extras=True)
        summary, *more = paragraphs(function)
        returned = hints["return"]
        answers = (returned,) if isinstance(returned, type) else get_args(returned)
        return Operation(
            method=method,
            path=path,
            function=function,
            name=_WORD.sub(lambda found: found[1].upper(), function.__name__),
            summary=summary,
            doc=doc or " ".join(more),
            id_doc=hints["id_"].__metadata__[0] if "id_" in hints else "",
            takes=tuple(signature(function).parameters),
            params=tuple(
                _param(each, *get_args(hints[name]))
                for name, each in signature(function).parameters.items()
                if name not in GIVEN
            ),
            answers=tuple(each for each in answers if each is not Response),
            **row,
        )

    return make


def _param(
    parameter: Parameter, kind: Any, doc: str, bounds: range = range(LARGEST + 1)
) -> QueryParam:
    """Return a parameter that is annotated with a sentence, and perhaps with bounds."""
    required = parameter.default is Parameter.empty
    if get_origin(kind) is not Literal:  # it may be missing
        kind = next((each for each in get_args(kind) if each is not NoneType), kind)
    return QueryParam(
        name=parameter.name.removesuffix("_"),
        doc=doc,
        kind=kind,
        default=None if required else parameter.default,
        required=required,
        least=bounds[0],
        most=bounds[-1],
    )


def _shown(body: bytes) -> str:
    return body[:MAX_SHOWN].decode("utf-8", "replace")
