"""Which rows of the catalogue a stream name is of, found by what follows its symbol.

What follows the symbol has few forms (`@trade`, `@depth20@100ms`), so every form is listed
beforehand, with the row and the parts it stands for; only the symbol itself is looked at each time.
The work for a name is the same whether it is of a stream or not, and nothing is remembered that
clients say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from tickerplant.streams.pattern import Args, Pattern, fills
from tickerplant.streams.stream import Stream

Match: TypeAlias = tuple[Stream, Args]
"""A row, and the variable parts of a name of its pattern."""
ListedMatch: TypeAlias = tuple[Stream, Args, Sequence[Any]]
"""A row, the variable parts of a name, and whom it is about now: at least one."""

_SIGN = "@"
"""Stands between a symbol and the kind of stream; no symbol or pair has it."""


class _Form(NamedTuple):
    """A row, and what a certain ending of its names stands for."""

    stream: Stream
    free: str
    """The part that is all that stands before the ending; empty if more stands there."""
    head: Pattern
    """What stands before the ending."""
    args: dict[str, str]
    """The parts that stand in the ending."""


class Lookup:
    """Finds the rows of names among `streams`, in their order."""

    def __init__(self, streams: Iterable[Stream]) -> None:
        self._whole: dict[str, list[Match]] = {}
        """The readings of names that have no variable part."""
        self._forms: dict[str, list[_Form]] = {}
        """By what follows the first `@`."""
        for stream in streams:
            text, parts = stream.pattern.text, stream.pattern.parts
            if not parts:
                self._whole.setdefault(text, []).append((stream, {}))
                continue
            head, _, tail = text.partition(_SIGN)
            free = next((part for part in parts if head == f"<{part}>"), "")
            ending = Pattern(tail)
            for chosen in product(*ending.parts.values()):
                args = dict(zip(ending.parts, chosen, strict=True))
                form = _Form(stream, free, Pattern(head), args)
                self._forms.setdefault(ending.name(**args), []).append(form)

    def matches(self, name: str) -> Sequence[Match]:
        """Return every row whose pattern `name` is of, with the name's variable parts."""
        head, _, tail = name.partition(_SIGN)
        forms = self._forms.get(tail)
        if forms is None:
            return self._whole.get(name, ())
        is_free = fills(head)
        found: list[Match] = []
        for stream, free, pattern, args in forms:
            if free:
                if is_free:
                    found.append((stream, {free: head, **args}))
            elif (parts := pattern.match(head)) is not None:
                found.append((stream, {**parts, **args}))
        return found or self._whole.get(name, ())
