"""What a secret that is sent in a header may consist of: the token of a control plane, an API key."""

from __future__ import annotations

import re

MAX_LENGTH = 1_024
"""The head of a request must have room for more than a secret."""
EXPECTED_SECRET = (
    f"1 to {MAX_LENGTH:,} printable ASCII characters, which do not begin or end with a space"
)

_SECRET = re.compile(r"[!-~](?:[ -~]*[!-~])?")
"""What a header can carry unchanged (RFC 9110, section 5.5)."""


def fits_a_header(text: object) -> bool:
    """Return whether a request can carry `text` as a secret."""
    return isinstance(text, str) and len(text) <= MAX_LENGTH and _SECRET.fullmatch(text) is not None
