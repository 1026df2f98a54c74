"""What a row of the list of faults consists of, and how the values of its parameters are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from tickerplant.suggestions import one_of
from tickerplant.units import EXPECTED_DURATION, NS_PER_MS, parse_duration_ns, parse_number

ActsOn: TypeAlias = Literal[
    "handshake", "connection", "message", "subscription", "api", "rest", "snapshot", "clock"
]
"""What a fault acts on."""
ParamKind: TypeAlias = Literal[
    "share",
    "duration",
    "offset",
    "close_code",
    "status",
    "rate",
    "integer",
    "number",
    "choice",
    "text",
]

CLOSE_CODES = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))
"""Codes that a close frame may have (RFC 6455, section 7.4)."""

_RATE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(B|KB|MB)")
_UNIT_BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20}


class Param(Struct, frozen=True, kw_only=True):
    """One parameter of a fault."""

    name: str
    kind: ParamKind
    doc: str
    required: bool = False
    default: Any = None
    """The value if it is not given, as `read` returns it."""
    least: float | None = None
    """The least value of a number."""
    most: float | None = None
    """The largest value of a number."""
    choices: tuple[Any, ...] = ()
    """The only values of a `choice` or a `status`."""

    @property
    def expected(self) -> str:
        """What a value has to be, in words."""
        return _EXPECTED[self.kind](self)

    def read(self, given: object) -> Any:
        """Return the value that somebody wrote: a duration or an offset in ms, a rate in bytes per second.

        Raises:
            ValueError: It is no such value.
        """
        try:
            return _READERS[self.kind](self, given)
        except (ValueError, OverflowError):
            raise ValueError(self.expected) from None


class FaultRow(Struct, frozen=True):
    """One kind of fault."""

    name: str
    acts_on: ActsOn
    doc: str
    params: tuple[Param, ...] = ()
    lasts: bool = False
    """Whether it stays as long as its window is open; else it happens at moments."""
    aims: tuple[str, ...] = ()
    """What it can be aimed at, if that differs from other faults that act on the same."""
    instead: str = ""
    """What does similar things on other occasions, as a clause; empty if nothing does."""
    joined: tuple[str, ...] | None = None
    """The parameters that are joined by `@` in its short form, `close=1001@5m`; None: all."""

    @property
    def value(self) -> tuple[str, ...]:
        """The parameters in its short form."""
        every = tuple(param.name for param in self.params)
        return every if self.joined is None else self.joined

    @property
    def form(self) -> str:
        """The short form: `stall=TIME@MEAN`; the name alone without parameters in it."""
        return f"{self.name}={'@'.join(self.value).upper()}" if self.value else self.name

    @property
    def aim_names(self) -> tuple[str, ...]:
        """What it can be aimed at."""
        return self.aims or AIMS[self.acts_on]

    @property
    def occasion(self) -> str:
        """When it can happen, and what else to use, as clauses."""
        return "; ".join(filter(None, (OCCASIONS[self.acts_on], self.instead)))

    def param(self, name: str) -> Param | None:
        """Return a parameter by its name; None if it has no such parameter."""
        return next((each for each in self.params if each.name == name), None)


AIMS: dict[ActsOn, tuple[str, ...]] = {
    "handshake": ("venue", "path"),
    "connection": ("venue", "stream", "connection", "connections"),
    "message": ("venue", "stream", "connection", "connections"),
    "subscription": ("venue", "stream", "connection", "connections"),
    "api": ("venue", "method", "connection", "connections"),
    "rest": ("venue", "path"),
    "snapshot": ("venue", "symbol", "path", "method"),
    "clock": ("venue", "stream", "connection", "connections", "path", "method"),
}
"""What faults can be aimed at, by what they act on."""

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

SHARE = Param(name="share", kind="share", doc="The share of the occasions that it hits.")
MEAN = Param(name="mean", kind="duration", doc="The mean of the random times between two of them.")


def _integer(given: object) -> int:
    number = parse_number(given)
    if number != int(number):
        raise ValueError
    return int(number)


def _within(param: Param, number: float) -> None:
    below = param.least is not None and number < param.least
    if below or (param.most is not None and number > param.most):
        raise ValueError


def _read_share(_param: Param, given: object) -> float:
    share = parse_number(given)
    if not 0 <= share <= 1:
        raise ValueError
    return share


def _read_duration(_param: Param, given: object) -> int:
    return duration_ms(given)


def duration_ms(given: object) -> int:
    """Return a duration of at least 1 ms, in ms.

    Raises:
        ValueError: It is not such a duration.
    """
    text = given.strip() if isinstance(given, str) else ""
    if not (milliseconds := parse_duration_ns(text) // NS_PER_MS):
        raise ValueError(EXPECTED_DURATION)
    return milliseconds


def _read_offset(_param: Param, given: object) -> int:
    text = given.strip() if isinstance(given, str) else ""
    sign = -1 if text.startswith("-") else 1
    return sign * duration_ms(text.removeprefix("-" if sign < 0 else "+"))


def _read_close_code(_param: Param, given: object) -> int:
    code = _integer(given)
    if code not in CLOSE_CODES:
        raise ValueError
    return code


def _read_choice(param: Param, given: object) -> Any:
    found = next((each for each in param.choices if str(each) == str(given).strip()), None)
    if found is None or isinstance(given, bool):
        raise ValueError
    return found


def _read_rate(_param: Param, given: object) -> int:
    match = _RATE.fullmatch(given.strip().upper()) if isinstance(given, str) else None
    rate = round(float(match[1]) * _UNIT_BYTES[match[2]]) if match else _integer(given)
    if not 1 <= rate < 1 << 40:
        raise ValueError
    return rate


def _read_integer(param: Param, given: object) -> int:
    number = _integer(given)
    _within(param, number)
    return number


def _read_number(param: Param, given: object) -> float:
    number = parse_number(given)
    _within(param, number)
    return number


def _read_text(_param: Param, given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise ValueError
    return given.strip()


def _number_words(param: Param) -> str:
    words = "a whole number" if param.kind == "integer" else "a number"
    if param.least is not None and param.most is not None:
        return f"{words} from {param.least:g} to {param.most:g}"
    if param.least is not None:
        return f"{words} of at least {param.least:g}"
    return words if param.most is None else f"{words} of at most {param.most:g}"


_READERS: dict[ParamKind, Callable[[Param, object], Any]] = {
    "share": _read_share,
    "duration": _read_duration,
    "offset": _read_offset,
    "close_code": _read_close_code,
    "status": _read_choice,
    "choice": _read_choice,
    "rate": _read_rate,
    "integer": _read_integer,
    "number": _read_number,
    "text": _read_text,
}
_EXPECTED: dict[ParamKind, Callable[[Param], str]] = {
    "share": lambda _: "a share from 0 to 1 such as 0.1",
    "duration": lambda _: f"{EXPECTED_DURATION}, of at least 1ms",
    "offset": lambda _: f"{EXPECTED_DURATION}, after - if it is back in time, such as -5s",
    "close_code": lambda _: "a close code (1000-1003, 1007-1014 or 3000-4999)",
    "status": lambda param: one_of("", map(str, param.choices)),
    "choice": lambda param: one_of("", map(str, param.choices)),
    "rate": lambda _: "bytes per second such as 64KB, of at least 1B",
    "integer": _number_words,
    "number": _number_words,
    "text": lambda _: "a text",
}
