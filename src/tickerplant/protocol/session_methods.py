"""The session methods of the WebSocket API, on a server without accounts (general information page)."""

from __future__ import annotations

from collections.abc import Mapping

from tickerplant.errors import RequestError
from tickerplant.protocol.api_reply import SessionStatus
from tickerplant.queries import request_errors

LOGON = "session.logon"
SESSION_METHODS = frozenset({LOGON, "session.status", "session.logout"})
LOGON_PARAMS = ("apiKey", "signature", "timestamp")
REJECTED_KEY = -2015


def answer_session(
    method: str, params: Mapping[str, object], status: SessionStatus
) -> SessionStatus:
    """Return `status`, which is what the other session methods answer.

    Raises:
        RequestError: it is `session.logon`: -1102 for a parameter that is not there, or is neither
            text nor an integer, else -2015, because no key is known.
    """
    if method != LOGON:
        return status
    for name in LOGON_PARAMS:
        if not _is_sent(params.get(name)):
            raise request_errors.not_sent(name)
    raise RequestError(
        REJECTED_KEY,
        "Invalid API-key, IP, or permissions for action; this server has no accounts.",
        401,
    )


def _is_sent(value: object) -> bool:
    """Return whether `value` could be a key, a signature or a time."""
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""
