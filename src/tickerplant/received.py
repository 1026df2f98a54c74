"""How much is read of what another process sends: an answer, a message, a line."""

from __future__ import annotations

import asyncio

MAX_BYTES = 1 << 25
"""Longest answer or message that is read; the longest of the exchange, `exchangeInfo`, has about 1 MB."""
MAX_LINE_BYTES = 1 << 22
"""Longest line that is read from a pipe."""


def excess(what: str, size: int, most: int = MAX_BYTES) -> str:
    """Return why `size` bytes are too many; empty if they are not."""
    if size <= most:
        return ""
    return f"{what} has {size:,} bytes or more, and at most {most:,} are read"


async def next_line(lines: asyncio.StreamReader) -> bytes:
    """Return the next line; instead of one that is longer than their limit, words that say so."""
    try:
        return await lines.readline()
    except ValueError:
        return b"a line that is too long\n"
