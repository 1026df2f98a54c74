"""A row of the catalogue: all that the outside may know of a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from tickerplant.streams.pace import Pace, Periodic, Subjects
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.subjects import FindSubjects
from tickerplant.venue import VENUES, Venue

Route: TypeAlias = Literal["public", "market"]
"""The traffic class that later profiles deliver a stream under (USDⓈ-M path split)."""

Activity: TypeAlias = Literal["periodic", "event", "rare"]
"""Whether silence means something: `steady` tells every period whatever happens, `busy` whenever its
market changes, `rare` may say nothing for days."""

Period: TypeAlias = Callable[[Venue, Args], int]
Build: TypeAlias = Callable[[Any, Any, int, Args], Struct | None]
"""Subject, what its pace gives, time of sending (ms), parts of the name → message, or None when
there is nothing to tell yet.  The subject is one of those that `about` finds."""


class Payload(Struct, frozen=True, tag_field="e"):
    """One message of a stream.

    Fields have readable names, in the order of the wire; `e` comes first.  A field that is unset
    in a profile is left out of the message.
    """


class Stream(Struct, frozen=True, kw_only=True):
    """What may be subscribed to."""

    pattern: Pattern
    events: tuple[str, ...]
    """The `e` of its messages; more than one where they differ by subject."""
    follows: tuple[type, ...]
    """Kinds of events that it follows."""
    subjects: FindSubjects
    """Whom it is about."""
    pace: Callable[[int, Subjects], Pace]
    period: Period
    """Update speed in milliseconds; 0 is real time."""
    build: Build
    route: Route
    venues: tuple[Venue, ...] = VENUES
    array: bool = False
    """Whether one message lists all that is due."""
    separate: Callable[[Any], bool] | None = None
    """Which subjects are listed in a second message of the same period."""
    rare: bool = False
    """Whether it tells what seldom happens."""
    doc: str

    @property
    def activity(self) -> Activity:
        """How often something is to be heard of it."""
        if self.rare:
            return "rare"
        return "periodic" if self.pace is Periodic else "event"

    @property
    def follows_one(self) -> bool:
        """Whether its messages are made from events of one symbol."""
        return bool(self.follows) and not self.pattern.is_of_all


def real_time(venue: Venue, args: Args) -> int:
    """Return the speed of a stream that tells every event at once."""
    del venue, args
    return 0


def every_ms(milliseconds: int) -> Period:
    """Return the speed of a stream that has the same on both venues."""

    def period(venue: Venue, args: Args) -> int:
        del venue, args
        return milliseconds

    return period


def named_ms(default: int) -> Period:
    """Return the speed of a stream that may name it (`@100ms`), or has `default`."""

    def period(venue: Venue, args: Args) -> int:
        del venue
        return int(args.get("speed", default))

    return period
