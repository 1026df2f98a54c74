"""An HTTP request, as it is answered here or passed on by an edge, and what no head may say."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

MAX_PORT = 65_535
_HOST = re.compile(rb"(?:\[[\dA-Fa-f:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[\dA-Fa-f]{2})+)(?::(\d{0,5}))?")
"""A host and perhaps a port (RFC 9110, 7.2)."""
ABSOLUTE = re.compile(rb"[A-Za-z][\w+.-]*://(?:[^/?#@]*@)?([^/?#]*)(.*)", re.DOTALL)
"""A request target with a scheme: its host, and what follows."""


def unsupported(version: str) -> tuple[int, str]:
    """Return the status and the text for a request of a version of HTTP that is not served."""
    return 505, f"HTTP/{version} is not served here, only HTTP/1.1 and HTTP/1.0."


def head_problem(version: str, hosts: Sequence[bytes]) -> tuple[int, str] | None:
    """Return the status and the text for a request that HTTP/1 forbids; None if it does not."""
    if not version.startswith("1."):
        return unsupported(version)
    if len(hosts) > 1:
        return 400, "The header Host occurs more than once."
    if not hosts:
        return None if version == "1.0" else (400, "The header Host is missing.")
    found = _HOST.fullmatch(hosts[0].strip())
    if found is None or int(found[1] or 0) > MAX_PORT:
        return 400, "The host is not a name or an address, with a port or without."
    return None


class HttpRequest(Struct, frozen=True, array_like=True):
    """An HTTP request that was received and guarded, by an edge or by the plant itself."""

    venue: str
    address: str
    """The address of the client."""
    charged_to: str
    """The name whose limits it uses, see `Guard.charged_to`."""
    method: str
    path: str
    """The path, decoded."""
    target: bytes
    """The request target as it was sent, path and query string."""
    headers: dict[bytes, bytes]
    """The headers that matter, names in lower case; of a key only that there is one."""
    body: bytes = b""
    is_from_here: bool = False
    """Whether it was certainly sent on the machine of the plant."""
