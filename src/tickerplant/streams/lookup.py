"""Finds the rows of the catalogue that match a stream name, by the part after its symbol.

That part has few forms (`@trade`, `@depth20@100ms`), so every form is listed in advance, with its
row and its variable parts; only the symbol is checked each time.  Unknown names cost the same as
known ones, and nothing that clients send is kept.  This runs for each name of a subscription, so
names are split here and not by `stream_name`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from tickerplant.stream_name import fills
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.stream import Stream

Match: TypeAlias = tuple[Stream, Args]
"""A row, and the variable parts of a name that matches its pattern."""
ListedMatch: TypeAlias = tuple[Stream, Args, Sequence[Any]]
"""A row, the variable parts of a name, and the subjects that it refers to now: at least one."""

_SIGN = "@"
"""Separates a symbol from the kind of stream; no symbol or pair contains it."""


class _Form(NamedTuple):
    """A row, and one form of the endings of its names."""

    stream: Stream
    free: str
    """The part that alone precedes the ending; empty if there is more before it."""
    head: Pattern
    """The pattern before the ending."""
    args: dict[str, str]
    """The variable parts in the ending."""


class Lookup:
    """Finds the rows of `streams` that match a name, in their order."""

    def __init__(self, streams: Iterable[Stream]) -> None:
        self._fixed: dict[str, list[Match]] = {}
        """The matches of names without variable parts."""
        self._forms: dict[str, list[_Form]] = {}
        """By the part after the first `@`."""
        for stream in streams:
            text, parts = stream.pattern.text, stream.pattern.parts
            if not parts:
                self._fixed.setdefault(text, []).append((stream, {}))
                continue
            head, _, tail = text.partition(_SIGN)
            free = next((part for part in parts if head == f"<{part}>"), "")
            ending = Pattern(tail)
            for chosen in product(*ending.parts.values()):
                args = dict(zip(ending.parts, chosen, strict=True))
                form = _Form(stream, free, Pattern(head), args)
                self._forms.setdefault(ending.name(**args), []).append(form)

    def matches(self, name: str) -> Sequence[Match]:
        """Return every row whose pattern matches `name`, with the variable parts of the name."""
        head, _, tail = name.partition(_SIGN)
        forms = self._forms.get(tail)
        if forms is None:
            return self._fixed.get(name, ())
        is_free = fills(head)
        found: list[Match] = []
        for stream, free, pattern, args in forms:
            if free:
                if is_free:
                    found.append((stream, {free: head, **args}))
            elif (parts := pattern.match(head)) is not None:
                found.append((stream, {**parts, **args}))
        return found or self._fixed.get(name, ())
