"""Which of the known names a misspelled one probably means."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 256
"""Characters of the longest text that is compared; no name is longer."""
SIMILARITY = 0.6
"""Least similarity of a match, between 0 and 1, as `difflib` measures it."""


def closest_match(text: str, names: Iterable[str], *, similarity: float = SIMILARITY) -> str:
    """Return the name most similar to `text`, ignoring case; empty if none is similar enough.

    Costs some ten microseconds per name.

    Args:
        text: What the user wrote.
        names: The known names.
        similarity: The least similarity, between 0 and 1.
    """
    if not text or len(text) > LONGEST:
        return ""
    by_folded = {name.casefold(): name for name in names}
    found = get_close_matches(text.casefold(), by_folded, n=1, cutoff=similarity)
    return by_folded[found[0]] if found else ""


def one_of(text: str, names: Iterable[str]) -> str:
    """Return `one of A, B, C`, followed by a suggestion if `text` is similar to one of them."""
    known = tuple(names)
    return f"one of {', '.join(known)}{suggestion(text, known)}"


def suggestion(text: str, names: Iterable[str], form: str = "{}") -> str:
    """Return `; did you mean NAME?`, or nothing if no name is similar to `text`.

    Args:
        text: What the user wrote.
        names: The known names.
        form: How a name is shown, such as `[{}]` or `--{}`.
    """
    found = closest_match(text, names)
    return f"; did you mean {form.format(found)}?" if found else ""
