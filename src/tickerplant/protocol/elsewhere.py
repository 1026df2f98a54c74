"""Questions that are asked elsewhere: when, how many at once, and what is said if that fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from tickerplant.errors import RequestError
from tickerplant.queries.query import Query

MAX_PENDING = 32
"""Most requests of one connection that wait for an answer from elsewhere."""
DISCONNECTED = -1001
OVERLOADED = -1008

Elsewhere: TypeAlias = Callable[[Query, Mapping[str, object]], bool]
"""Whether a question is to be asked elsewhere, because the answer is not known here.

May raise `RequestError` for a question that is wrong.
"""


def nowhere(_query: Query, _params: Mapping[str, object]) -> bool:
    """Let every question be answered here."""
    return False


def disconnected() -> RequestError:
    """Return what is answered if nobody answered elsewhere (error-code pages)."""
    message = "Internal error; unable to process your request. Please try again."
    return RequestError(DISCONNECTED, message, 503)


def overloaded() -> RequestError:
    """Return what is answered if too many wait already (error-code pages)."""
    message = (
        "Server is currently overloaded with other requests. Please try again in a few minutes."
    )
    return RequestError(OVERLOADED, message, 503)
