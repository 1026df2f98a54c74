"""The response to one HTTP request."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec import Struct

JSON = "application/json;charset=UTF-8"
TEXT = "text/plain; charset=utf-8"

Headers: TypeAlias = tuple[tuple[str, str], ...]


class Response(Struct, frozen=True):
    """The response to one request."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Headers = ()
    stays: bool = False
    """Whether the body serves further requests, perhaps with another time at its beginning."""


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an operation failed."""

    error: str
    """The problem, and what was expected."""
    field: str = ""
    """The field that is wrong; missing if it is none."""


def problem_response(status: int, error: str, field: str = "", headers: Headers = ()) -> Response:
    """Return the response to an operation that failed."""
    body = msgspec.json.encode(Problem(error=error, field=field))
    return Response(body, status, headers=headers)
