"""Which of the known names a misspelled one probably means."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

LONGEST = 256
"""Characters of the longest text that is compared; no name is longer."""
SIMILARITY = 0.6
"""Least similarity of a match, between 0 and 1, as `difflib` measures it."""
MOST_SUGGESTED = 3
TIE = 0.1
"""Names that are less similar than the best one by at most this much are suggested too."""


def closest_match(text: str, names: Iterable[str], *, similarity: float = SIMILARITY) -> str:
    """Return the name most similar to `text`, ignoring case; empty if none is similar enough."""
    return next(iter(closest_matches(text, names, similarity=similarity)), "")


def closest_matches(
    text: str, names: Iterable[str], *, similarity: float = SIMILARITY
) -> list[str]:
    """Return the name most similar to `text`, ignoring case, and up to two that are nearly as similar.

    Costs some ten microseconds per name.
    """
    if not text or len(text) > LONGEST:
        return []
    folded = text.casefold()
    by_folded = {name.casefold(): name for name in names}
    found = get_close_matches(folded, by_folded, n=MOST_SUGGESTED, cutoff=similarity)
    ratios = {each: SequenceMatcher(None, each, folded).ratio() for each in found}
    return [by_folded[each] for each in found if ratios[each] >= ratios[found[0]] - TIE]


def one_of(text: str, names: Iterable[str]) -> str:
    """Return `one of A, B, C`, followed by a suggestion if `text` is similar to some of them."""
    known = tuple(names)
    return f"one of {', '.join(known)}{suggestion(text, known)}"


def suggestion(text: str, names: Iterable[str], form: str = "{}") -> str:
    """Return `; did you mean A, B or C?`, or nothing if no name is similar to `text`.

    Args:
        text: What the user wrote.
        names: The known names.
        form: How a name is shown, such as `[{}]` or `--{}`.
    """
    shown = [form.format(each) for each in closest_matches(text, names)]
    if not shown:
        return ""
    last = shown.pop()
    return f"; did you mean {', '.join(shown)} or {last}?" if shown else f"; did you mean {last}?"
