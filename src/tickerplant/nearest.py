"""Which of the names that exist was probably meant by one that does not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 256
"""Characters of the longest text that is compared; no name is longer."""
ALIKE = 0.6
"""How much of two names has to be the same, of 1."""


def nearest(text: str, names: Iterable[str], *, alike: float = ALIKE) -> str:
    """Return the one of `names` that is most like `text`, whatever the case; empty if none is.

    The work grows with the number of names: tens of microseconds for each.

    Args:
        text: What somebody wrote.
        names: What exists.
        alike: The least likeness, between 0 and 1.
    """
    if not text or len(text) > LONGEST:
        return ""
    by_folded = {name.casefold(): name for name in names}
    found = get_close_matches(text.casefold(), by_folded, n=1, cutoff=alike)
    return by_folded[found[0]] if found else ""


def one_of(text: str, names: Iterable[str]) -> str:
    """Return `one of A, B, C`, with a suggestion at the end if `text` is like one of them."""
    known = tuple(names)
    return f"one of {', '.join(known)}{suggestion(text, known)}"


def suggestion(text: str, names: Iterable[str], form: str = "{}") -> str:
    """Return `; did you mean NAME?` for the nearest of `names`, empty if none is like `text`.

    Args:
        text: What somebody wrote.
        names: What exists.
        form: How a name is shown, such as `[{}]` or `--{}`.
    """
    found = nearest(text, names)
    return f"; did you mean {form.format(found)}?" if found else ""
