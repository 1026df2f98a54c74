"""A row of the catalogue: everything that other rooms know about a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from tickerplant.streams.conflation import Conflation
from tickerplant.streams.pace import Pace, Periodic, Subjects
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.subjects import FindSubjects
from tickerplant.venue import VENUES, Venue

Route: TypeAlias = Literal["public", "market"]
"""The path under which profile `current` delivers a stream (USDⓈ-M path split)."""

Activity: TypeAlias = Literal["periodic", "event", "rare"]
"""When a stream sends messages: `periodic` in every period, `event` whenever its market changes,
`rare` perhaps not for days."""

Period: TypeAlias = Callable[[Venue, Args], int]
Build: TypeAlias = Callable[[Any, Any, int, Args], Struct | None]
"""Subject, value from the pace, send time (ms), parts of the name → message, or None if there is
nothing to send yet.  The subject is one of those that `Stream.subjects` finds."""


class Payload(Struct, frozen=True, tag_field="e"):
    """One message of a stream.

    Fields have readable names, in the order of the wire; `e` comes first.  A field that is unset
    in a profile is left out of the message.
    """


class Stream(Struct, frozen=True, kw_only=True):
    """A stream, or several whose names follow one pattern."""

    pattern: Pattern
    events: tuple[str, ...]
    """The `e` of its messages; several if it differs by subject."""
    follows: tuple[type, ...] = ()
    """The kinds of events that its messages are made from; none if it is periodic."""
    subjects: FindSubjects
    """Finds the subjects that a name refers to."""
    pace: Callable[[int, Subjects], Pace]
    period: Period
    """Update speed in milliseconds; 0 is real time."""
    build: Build
    route: Route = "market"
    conflation: Conflation
    """What becomes of its messages while they wait for a client with `delivery=latest`."""
    venues: tuple[Venue, ...] = VENUES
    array: bool = False
    """Whether one message lists all subjects that are due."""
    separate: Callable[[Any], bool] | None = None
    """Whether a subject is listed in a second message of the same period."""
    rare: bool = False
    """Whether its events may not happen for days."""
    doc: str

    @property
    def activity(self) -> Activity:
        """When it sends messages."""
        if self.rare:
            return "rare"
        return "periodic" if self.pace is Periodic else "event"

    @property
    def follows_one(self) -> bool:
        """Whether its messages are made from events of one symbol."""
        return bool(self.follows) and not self.pattern.is_of_all


def real_time(_venue: Venue, _args: Args) -> int:
    """Return the speed of a stream that sends every event at once."""
    return 0


def every_ms(milliseconds: int) -> Period:
    """Return a speed that is the same on both venues."""

    def period(_venue: Venue, _args: Args) -> int:
        return milliseconds

    return period


def named_ms(default: int) -> Period:
    """Return the speed in the name (`@100ms`), or `default` if there is none."""

    def period(_venue: Venue, args: Args) -> int:
        return int(args.get("speed", default))

    return period
