from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path

import pytest
from conversation import SCRIPTS, BarePlayer, hold

from tickerplant.protocol.api_session import REJECTED_KEY
from tickerplant.protocol.client_requests import (
    BAD_ID,
    BAD_PARAMETER,
    UNKNOWN_ERROR,
    UNSUPPORTED_OPERATION,
)
from tickerplant.protocol.rate_limiter import TOO_MANY_REQUESTS
from tickerplant.queries import request_errors
from tickerplant.queries.request_errors import BAD_KEY
from tickerplant.server.rest import BAD_PATH

CONTROL_ERRORS = (
    (0, "Unknown property"),
    (1, "Invalid value type: expected Boolean"),
    (2, "Invalid request: property name must be a string"),
    (2, "Invalid request: request ID must be an unsigned integer"),
    (2, "Invalid request: unknown variant `SUBSCRIBEX`, expected one of `SUBSCRIBE`, "),
    (2, "Invalid request: too many parameters"),
    (2, "Invalid request: missing field `method` at line 1 column "),
    (3, "Invalid JSON: expected value at line 1 column "),
    (4, "Too many subscriptions"),
)
"""The error table of the live subscribing page, and code 4, which it leaves out."""
API_CODES = (
    (400, UNKNOWN_ERROR),
    (400, UNSUPPORTED_OPERATION),
    (400, BAD_PARAMETER),
    (400, BAD_ID),
    (401, REJECTED_KEY),
    (401, BAD_KEY),
    (429, TOO_MANY_REQUESTS),
    (418, TOO_MANY_REQUESTS),
)
REST_CODES = (
    (401, BAD_KEY),
    (404, BAD_PATH),
    (429, TOO_MANY_REQUESTS),
    (418, TOO_MANY_REQUESTS),
)
ANSWERS = "\n".join(
    line for path in SCRIPTS for line in path.read_text().splitlines() if "< " in line
)
REFUSALS = dict(inspect.getmembers(request_errors, inspect.isfunction))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_conversation_goes_as_written(script: Path) -> None:
    asyncio.run(hold(script, BarePlayer()))


@pytest.mark.parametrize(("code", "text"), CONTROL_ERRORS)
def test_every_control_error_has_a_conversation(code: int, text: str) -> None:
    assert f'< {{"error":{{"code":{code},"msg":"{text}' in ANSWERS


@pytest.mark.parametrize(("status", "code"), API_CODES)
def test_every_error_of_the_websocket_api_has_a_conversation(status: int, code: int) -> None:
    assert f'"status":{status},"error":{{"code":{code},' in ANSWERS


@pytest.mark.parametrize(("status", "code"), REST_CODES)
def test_every_error_at_the_door_of_rest_has_a_conversation(status: int, code: int) -> None:
    assert f'< {status} {{"code":{code},' in ANSWERS


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_of_a_request_has_a_conversation(name: str) -> None:
    refuse = REFUSALS[name]
    error = refuse(*("\0" for _ in inspect.signature(refuse).parameters))
    text = re.escape(error.message).replace("\0", ".+")
    assert re.search(f'"code":{error.code},"msg":"{text}"', ANSWERS), (
        "write what a client asks and is answered into tests/conversations"
    )
