"""What all kinds of faults have in common: each is a class with its parameters and what it does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

from msgspec import Struct

from tickerplant.documented_fields import first_paragraph
from tickerplant.faults.params import Param, params_of

ActsOn: TypeAlias = Literal[
    "handshake", "connection", "message", "subscription", "api", "rest", "snapshot", "clock"
]
"""What a fault acts on."""
OF_CONNECTIONS = ("connection", "connections")
"""Aims of what acts on connections."""
EXEMPT_HEADER = "X-Tickerplant-Exempt"
"""Handshakes and requests with this header set to `1` are never faulted."""
EXEMPT_KEY = EXEMPT_HEADER.lower().encode()
"""The same as it is looked up."""
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Fault(Struct):
    """Something that goes wrong on demand; the first paragraph of a class says what."""

    kind: ClassVar[str]
    """What it is called; by itself the name of the class, in small letters."""
    acts_on: ClassVar[ActsOn]
    acted_on: ClassVar[str]
    """The same as a plural."""
    aims: ClassVar[tuple[str, ...]]
    """What it can be aimed at."""
    occasion: ClassVar[str]
    """When it can happen, and perhaps what else to use, as clauses."""
    joined: ClassVar[tuple[str, ...] | None] = None
    """The parameters that are joined by `@` in its short form, `close=1001@5m`; None: all."""
    lasts: ClassVar[bool] = False
    """Whether it stays as long as its window is open; else it happens at moments."""
    is_timed: ClassVar[bool] = False
    """Whether it matters in which millisecond a message is written."""
    refused: ClassVar[int] = 0
    """The status with which handshakes and REST requests are answered; 0: as ever."""

    def __init_subclass__(cls) -> None:
        if "kind" not in vars(cls):
            cls.kind = _WORDS.sub("_", cls.__name__).lower()

    @classmethod
    def doc(cls) -> str:
        """Return what it does."""
        return first_paragraph(cls)

    @classmethod
    def params(cls) -> tuple[Param, ...]:
        """Return its parameters."""
        return params_of(cls)

    @classmethod
    def value(cls) -> tuple[str, ...]:
        """Return the parameters in its short form."""
        return tuple(each.name for each in cls.params()) if cls.joined is None else cls.joined

    @classmethod
    def form(cls) -> str:
        """Return the short form: `stall=TIME@MEAN`; the name alone without parameters in it."""
        value = cls.value()
        return f"{cls.kind}={'@'.join(value).upper()}" if value else cls.kind

    @classmethod
    def form_words(cls) -> str:
        """Return the short form and what its values have to be, in words."""
        expected = {each.name: each.expected for each in cls.params()}
        if not (value := cls.value()):
            return f"{cls.kind} alone; what else it needs follows as KEY=VALUE"
        return f"{cls.form()}, {' and '.join(expected[name] for name in value)}"

    def open_ms(self, for_ms: int | None, _given: Mapping[str, object]) -> int | None:
        """Return how long its window stays open, if `for_ms` was given; None: until it is removed.

        Raises:
            ConfigError: Its parameters contradict each other, or that.
        """
        return for_ms

    def refuse(self) -> int:
        """Return the status with which handshakes and REST requests are answered; 0: as ever."""
        return self.refused
