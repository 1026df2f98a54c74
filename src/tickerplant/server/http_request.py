"""An HTTP request, as it is answered here or passed on by an edge."""

from __future__ import annotations

from msgspec import Struct


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
