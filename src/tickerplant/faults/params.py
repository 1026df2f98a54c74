"""The parameters of faults: how each is written, and what it means."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from typing import Annotated, Any, Literal, TypeAlias, get_type_hints

from msgspec import Struct, structs

from tickerplant.documented_fields import docs_of_classes
from tickerplant.suggestions import one_of
from tickerplant.units import EXPECTED_DURATION, NS_PER_MS, parse_duration_ns, parse_number

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


class Kind(Struct, frozen=True):
    """How a value is written."""

    name: ParamKind
    expected: str
    """What a value has to be, in words; empty if `convert` says it."""
    convert: Callable[[object], Any]
    """Raises ValueError for anything else."""
    choices: tuple[Any, ...] = ()
    """The only values; empty if there are others."""

    def read(self, given: object) -> Any:
        """Return the value that somebody wrote.

        Raises:
            ValueError: It is no such value; the message says what was expected.
        """
        try:
            return self.convert(given)
        except (ValueError, OverflowError) as error:
            raise ValueError(self.expected or str(error)) from None


class Param(Struct, frozen=True):
    """One parameter of a fault."""

    name: str
    kind: Kind
    doc: str
    required: bool = False

    @property
    def expected(self) -> str:
        """What a value has to be, in words."""
        return self.kind.expected


@cache
def params_of(kind: type[Struct]) -> tuple[Param, ...]:
    """Return the fields of a class that say how they are written, in their order."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for field in structs.fields(kind):
        how, *doc = hints[field.name].__metadata__
        if not doc:
            doc = [docs_of_classes(kind.__module__)[kind.__name__].get(field.name, "")]
        found.append(Param(field.name, how, doc[0], field.required))
    return tuple(found)


def read_share(given: object) -> float:
    """Return a share; raises ValueError for anything else."""
    return _within(0, 1, parse_number(given))


def _within(least: float, most: float, number: float) -> float:
    if not least <= number <= most:
        raise ValueError
    return number


def _integer(given: object) -> int:
    number = parse_number(given)
    if number != int(number):
        raise ValueError
    return int(number)


def _duration_ms(given: object) -> int:
    text = given.strip() if isinstance(given, str) else ""
    if not (milliseconds := parse_duration_ns(text) // NS_PER_MS):
        raise ValueError
    return milliseconds


def _offset_ms(given: object) -> int:
    text = given.strip() if isinstance(given, str) else ""
    sign = -1 if text.startswith("-") else 1
    return sign * _duration_ms(text.removeprefix("-" if sign < 0 else "+"))


def _close_code(given: object) -> int:
    if (code := _integer(given)) not in CLOSE_CODES:
        raise ValueError
    return code


def _rate_bytes(given: object) -> int:
    match = _RATE.fullmatch(given.strip().upper()) if isinstance(given, str) else None
    rate = round(float(match[1]) * _UNIT_BYTES[match[2]]) if match else _integer(given)
    return int(_within(1, (1 << 40) - 1, rate))


def _text(given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise ValueError
    return given.strip()


def _chosen(choices: tuple[Any, ...], given: object) -> Any:
    found = next((each for each in choices if str(each) == str(given).strip()), None)
    if found is None or isinstance(given, bool):
        raise ValueError
    return found


def choice(*choices: str) -> Kind:
    """Return the kind of a few words."""
    return Kind("choice", one_of("", choices), partial(_chosen, choices), choices)


def status(*choices: int) -> Kind:
    """Return the kind of a few statuses of HTTP."""
    return Kind("status", one_of("", map(str, choices)), partial(_chosen, choices), choices)


def whole(least: int, most: int) -> Kind:
    """Return the kind of whole numbers between two bounds."""

    def read(given: object) -> int:
        return int(_within(least, most, _integer(given)))

    return Kind("integer", f"a whole number from {least} to {most}", read)


DURATION = Kind("duration", f"{EXPECTED_DURATION}, of at least 1ms", _duration_ms)
"""Durations in ms."""
_OFFSET = Kind(
    "offset", f"{EXPECTED_DURATION}, after - if it is back in time, such as -5s", _offset_ms
)
_SHARE = Kind("share", "a share from 0 to 1 such as 0.1", read_share)
_CODE = Kind("close_code", "a close code (1000-1003, 1007-1014 or 3000-4999)", _close_code)
_RATE_BYTES = Kind("rate", "bytes per second such as 64KB, of at least 1B", _rate_bytes)

Duration: TypeAlias = Annotated[int, DURATION]
MaybeDuration: TypeAlias = Annotated[int | None, DURATION]
Offset: TypeAlias = Annotated[int, _OFFSET]
CloseCode: TypeAlias = Annotated[int, _CODE]
Rate: TypeAlias = Annotated[int, _RATE_BYTES]
Text: TypeAlias = Annotated[str, Kind("text", "a text", _text)]
Share: TypeAlias = Annotated[float | None, _SHARE, "The share of the occasions that it hits."]
Mean: TypeAlias = Annotated[
    int | None, DURATION, "The mean of the random times between two of them."
]
