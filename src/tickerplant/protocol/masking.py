"""Standing for what may be a key: its size, and a digest by which it can be recognised."""

from __future__ import annotations

import re
from hashlib import blake2s

MORE_THAN_A_SYMBOL = 25
"""Letters and digits without a break that no symbol has, and every key: those have 32 at least."""

_LONG_RUN = re.compile(rf"(?:[^\W_]|[+=]){{{MORE_THAN_A_SYMBOL},}}")


def sized(data: str | bytes) -> str:
    """Return the size of `data` and a digest by which the same data can be recognised."""
    encoded = data.encode("utf-8", "replace") if isinstance(data, str) else data
    plural = "" if len(encoded) == 1 else "s"
    return f"{len(encoded)} byte{plural} #{blake2s(encoded, digest_size=4).hexdigest()}"


def masked(text: str) -> str:
    """Return `text`, such as a traceback, with the size and a digest of whatever may be a key."""
    return _LONG_RUN.sub(lambda run: f"[{sized(run[0])}]", text)
