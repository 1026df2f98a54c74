"""The digests in manifests of format 1: each line has one of the line before it.

A manifest of format 2 has one digest of all its lines, in a file of its own (`manifest.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from msgspec import Struct

DIGITS = 16
"""Of a digest: it detects accidental loss, and is not a signature."""
MISSING_BEFORE = (
    "the line before it is not the one that preceded it when it was written: lines are missing "
    "or were changed"
)
NOT_CHAINED = "it has no digest of the line before it, and earlier lines do"


class _Line(Struct):
    prev: str = ""


class Chain(Struct):
    """How far the lines of a manifest prove each other."""

    flaws: list[tuple[int, str]]
    """Numbers of lines, from 1, and what is wrong with their place."""
    last: int = 0
    """The number of the line that should be the last; 0 if it is not there."""
    is_chained: bool = False
    unproven_lines: int = 0
    """Lines at the beginning without digests."""


def chain_of(lines: Iterable[bytes], last: str) -> Chain:
    """Follow the digests in `lines`, which have no ends, to the line with the digest `last`."""
    found, before, number = Chain([]), "", 0
    for number, line in enumerate(lines, 1):
        prev = _prev_of(line)
        if prev and prev != before:
            found.flaws.append((number, MISSING_BEFORE))
        elif prev == "" and found.is_chained:
            found.flaws.append((number, NOT_CHAINED))
        if prev and not found.is_chained:
            found.is_chained = True
            found.unproven_lines = number - 1 if number > 2 else 0
        before = sha256(line).hexdigest()[:DIGITS]
        if before == last:
            found.last = number
    if not found.is_chained and not (last and number == 1):
        found.unproven_lines = number
    return found


def _prev_of(line: bytes) -> str | None:
    """Return the digest in a line, empty if it has none; None if the line is damaged."""
    try:
        return msgspec.json.decode(line, type=_Line).prev
    except (ValueError, RecursionError):
        return None
