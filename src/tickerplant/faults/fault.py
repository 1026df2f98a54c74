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
_OF_CONNECTIONS = ("connection", "connections")
AIMS: dict[ActsOn, tuple[str, ...]] = {
    "handshake": ("venue", "path"),
    "connection": ("venue", "stream", *_OF_CONNECTIONS),
    "message": ("venue", "stream", *_OF_CONNECTIONS),
    "subscription": ("venue", "stream", *_OF_CONNECTIONS),
    "api": ("venue", "method", *_OF_CONNECTIONS),
    "rest": ("venue", "path"),
    "snapshot": ("venue", "symbol", "path", "method"),
    "clock": ("venue", "stream", *_OF_CONNECTIONS, "path", "method"),
}
"""What faults can be aimed at, by what they act on."""
ACTED_ON: dict[ActsOn, str] = {
    "handshake": "handshakes",
    "connection": "connections",
    "message": "messages",
    "subscription": "subscriptions",
    "api": "WebSocket API requests",
    "rest": "REST requests",
    "snapshot": "snapshots",
    "clock": "times",
}
OCCASIONS: dict[ActsOn, str] = {
    "handshake": "it acts when a client connects",
    "connection": "it acts on connections that are open while it is on",
    "message": "it acts on messages of streams that are sent while it is on",
    "subscription": "it acts when a client subscribes, and not on subscriptions that run",
    "api": "it acts on requests of the WebSocket API",
    "rest": "it acts on REST requests",
    "snapshot": "it acts on answers that have a book",
    "clock": "it acts on messages and answers that have a time",
}
"""When faults can happen, by what they act on."""
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
    joined: ClassVar[tuple[str, ...] | None] = None
    """The parameters that are joined by `@` in its short form, `close=1001@5m`; None: all."""
    lasts: ClassVar[bool] = False
    """Whether it stays as long as its window is open; else it happens at moments."""
    aims: ClassVar[tuple[str, ...]] = ()
    """What it can be aimed at, if that differs from other faults that act on the same."""
    instead: ClassVar[str] = ""
    """What does similar things on other occasions, as a clause; empty if nothing does."""
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

    @classmethod
    def aim_names(cls) -> tuple[str, ...]:
        """Return what it can be aimed at."""
        return cls.aims or AIMS[cls.acts_on]

    @classmethod
    def occasion(cls) -> str:
        """Return when it can happen, and what else to use, as clauses."""
        return "; ".join(filter(None, (OCCASIONS[cls.acts_on], cls.instead)))

    def open_ms(self, for_ms: int | None, _given: Mapping[str, object]) -> int | None:
        """Return how long its window stays open, if `for_ms` was given; None: until it is removed.

        Raises:
            ConfigError: Its parameters contradict each other, or that.
        """
        return for_ms

    def refuse(self) -> int:
        """Return the status with which handshakes and REST requests are answered; 0: as ever."""
        return self.refused
