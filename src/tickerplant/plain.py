"""Text that somebody else wrote, as it may be shown."""

from __future__ import annotations


def plain(text: str) -> str:
    """Return `text` without signs that a terminal would obey instead of showing them."""
    return text if text.isprintable() else "".join(s if s.isprintable() else "·" for s in text)
