"""Patterns of stream names, which both match and build names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from tickerplant.stream_name import FREE, fills

Args: TypeAlias = Mapping[str, str]
"""The variable parts of a stream name, as they are written in it."""

_PART = re.compile(r"<(\w+)(?::([^>]+))?>")


class Pattern:
    """A stream name with variable parts: `<symbol>@depth<levels:5|10|20>@<speed:100|500>ms`.

    A part with alternatives matches one of them; other parts match a lower-case symbol or pair.
    `match` and `name` are each other's inverse.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_of_all = text.startswith("!")
        """Whether its names are of streams that cover all symbols: they begin with `!`."""
        self.parts: dict[str, tuple[str, ...]] = {}
        expression, end = "", 0
        for part in _PART.finditer(text):
            name, choices = part[1], part[2]
            self.parts[name] = tuple(choices.split("|")) if choices else ()
            allowed = "|".join(map(re.escape, self.parts[name])) or FREE
            expression += re.escape(text[end : part.start()]) + f"(?P<{name}>{allowed})"
            end = part.end()
        self._expression = re.compile(expression + re.escape(text[end:]))

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def match(self, name: str) -> Args | None:
        """Return the variable parts of `name`; None if it does not match."""
        found = self._expression.fullmatch(name)
        if found is None:
            return None
        args = found.groupdict()
        for part, choices in self.parts.items():
            if not choices and not fills(args[part]):
                return None
        return args

    def name(self, **args: str) -> str:
        """Return the stream name with its parts filled in."""
        return _PART.sub(lambda part: args[part[1]], self.text)
