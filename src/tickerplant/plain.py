"""Text that somebody else wrote, as it may be shown."""

from __future__ import annotations

LONGEST_LINE = 200
"""Characters that are shown of a text of any length."""


def plain(text: str) -> str:
    """Return `text` without signs that a terminal would obey instead of showing them."""
    return text if text.isprintable() else "".join(s if s.isprintable() else "·" for s in text)


def one_line(text: str) -> str:
    """Return the beginning of `text` on one line, without signs that cannot be shown."""
    shown = " ".join("".join(s if s.isprintable() else " " for s in text).split())
    return shown if len(shown) <= LONGEST_LINE else f"{shown[:LONGEST_LINE]} …"
