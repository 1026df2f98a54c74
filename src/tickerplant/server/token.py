"""The token of a control plane."""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest

from tickerplant.server.guard import Refusal

AUTHORIZATION = b"authorization"
"""The header of the token."""
_BEARER = b"bearer"


class Token:
    """The token of a control plane, without which its operations are refused.

    Args:
        text: The token; empty if none is needed.
    """

    def __init__(self, text: str = "") -> None:
        self._wanted = text.encode()

    @property
    def is_needed(self) -> bool:
        """Whether requests need it."""
        return bool(self._wanted)

    def opens(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a request may be answered, in a time that does not tell how wrong it is.

        Args:
            headers: Its headers, names in lower case.
        """
        if not self._wanted:
            return True
        scheme, _, given = headers.get(AUTHORIZATION, b"").strip().partition(b" ")
        return compare_digest(given.strip(), self._wanted) and scheme.lower() == _BEARER

    def refusal(self, headers: Mapping[bytes, bytes]) -> Refusal:
        """Return why a request is refused that the token does not open."""
        problem = "the token is not that of this server" if AUTHORIZATION in headers else "no token"
        return Refusal(
            401,
            f"{problem}: send the header 'Authorization: Bearer TOKEN' with the one of "
            "--control-token, or that a test server printed",
            problem,
            (("WWW-Authenticate", 'Bearer realm="tickerplant"'),),
        )
