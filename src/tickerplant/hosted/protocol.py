"""What a program and the server that it brings say to each other: lines of JSON over pipes.

    program  ──▶  ReplayRequest or another, then Commands                 standard input
    program  ◀──  Ready or Failed, then Answers                         standard output

Standard error carries the log of the server, one JSON object per line.  The end of standard input
ends the server.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from msgspec import Raw, Struct

from tickerplant import errors
from tickerplant.errors import TickerplantError
from tickerplant.startup.lines import Ready
from tickerplant.venue import USDM

ARGUMENTS = {"--from": "start", "--to": "end"}
"""The argument of `replay()` for options whose name differs."""


class ReplayRequest(Struct, frozen=True, kw_only=True, tag="replay"):
    """Serve recordings."""

    paths: tuple[str, ...]
    venue: str | None
    """The venue of the market; None: that of the recordings."""
    settings: dict[str, Any]
    """Fields of `ReplaySettings`."""


class SimulateRequest(Struct, frozen=True, kw_only=True, tag="simulate"):
    """Serve a simulated market."""

    venue: str
    """The venue of the market."""
    settings: dict[str, Any]
    """Fields of `SimulateSettings`."""


class TestServerRequest(Struct, frozen=True, kw_only=True, tag="test-server"):
    """Serve a simulated market for tests, of both venues."""

    __test__ = False  # pytest shall not collect it

    settings: dict[str, Any]
    """Fields of `TestServerSettings`."""

    @property
    def venue(self) -> str:
        """The venue that is named first."""
        return USDM.name


Request: TypeAlias = ReplayRequest | SimulateRequest | TestServerRequest


class Command(Struct, frozen=True):
    """Set the clock, or only return its state."""

    number: int
    """Returned with the answer."""
    fields: dict[str, Any] = {}
    """Fields of `/plant/v1/clock`; empty: return the state."""


class Problem(Struct, frozen=True):
    """An exception of this package."""

    kind: str
    """Its class."""
    message: str
    attributes: dict[str, str | int | None]


class Failed(Struct, frozen=True, tag="failed", tag_field="event"):
    """Nothing is served."""

    problem: Problem


class Serving(Struct, frozen=True, tag="serving", tag_field="event"):
    """Which venue the market is of; comes before `Ready`."""

    venue: str


class Answer(Struct, frozen=True, tag="answer", tag_field="event"):
    """The answer to a command: the state of the clock, or why it was refused."""

    number: int
    state: Raw = Raw(b"null")
    problem: Problem | None = None


Event: TypeAlias = Ready | Failed | Serving | Answer


def problem_of(error: TickerplantError) -> Problem:
    """Return what `exception_of` makes an equal exception from, in the words of Python arguments."""
    attributes = {
        name: _in_python(value) if isinstance(value, str) else value
        for name, value in vars(error).items()
        if isinstance(value, str | int | None)
    }
    return Problem(type(error).__name__, _in_python(str(error)), attributes)


def exception_of(problem: Problem) -> TickerplantError:
    """Return the exception of a problem: the same class, message and attributes."""
    kind = getattr(errors, problem.kind, TickerplantError)
    error: TickerplantError = kind.__new__(kind)
    error.args = (problem.message,)
    vars(error).update(problem.attributes)
    return error


def _in_python(text: str) -> str:
    """Return `text` with arguments of Python in the place of options."""
    words = []
    for word in text.split(" "):
        option = word.rstrip(",:;.")
        if option.startswith("--"):
            name = ARGUMENTS.get(option) or option[2:].replace("-", "_")
            words.append(name + word[len(option) :])
        else:
            words.append(word)
    return " ".join(words)


def line_of(item: Struct) -> bytes:
    """Return `item` as a line."""
    return msgspec.json.encode(item) + b"\n"


_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_commands = msgspec.json.Decoder(Command)
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
read_request, read_command, read_event = _requests.decode, _commands.decode, _events.decode


def state_answer(number: int, state: Struct) -> Answer:
    """Return the answer to a command that succeeded."""
    return Answer(number, Raw(msgspec.json.encode(state)))
