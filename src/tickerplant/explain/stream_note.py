"""What one stream carries on one connection, or why it stays silent there."""

from __future__ import annotations

from msgspec import Struct

from tickerplant.explain.pretence import pretend, why_silent
from tickerplant.hub.hub import UNKNOWN_STREAM, UNKNOWN_SYMBOL, WRONG_ROUTE
from tickerplant.profile import Profile
from tickerplant.streams import find, resolve
from tickerplant.streams.spelling import only_under, why_unknown
from tickerplant.streams.stream import Route
from tickerplant.venue import Venue


class StreamNote(Struct, frozen=True, kw_only=True):
    """What is to be known of one subscription."""

    stream: str
    venue: str
    carries: str = ""
    """What its messages tell."""
    events: list[str] = []
    array: bool = False
    speed_ms: int | None = None
    """0 is real time; None for an unknown stream."""
    route: Route | None = None
    """The path under which profiles with split routes deliver it."""
    silent: str | None = None
    """Why nothing is ever sent: the reason by which the server counts it, and more; None if it is."""
    remark: str | None = None
    """What else should be known."""

    @property
    def exists(self) -> bool:
        """Whether it is delivered on some connection of the venue."""
        return self.speed_ms is not None and not (self.silent or "").startswith(UNKNOWN_SYMBOL)


def note_stream(
    name: str, venue: Venue, profile: Profile, *, route: str | None = None, strict: bool = False
) -> StreamNote:
    """Return what `name` is on `venue`; whether its symbol is listed is not looked at.

    Args:
        name: As it would be subscribed.
        venue: Whose connection it is.
        profile: The period of the protocol.
        route: Path prefix of the connection, empty without one; None if it is not chosen yet.
        strict: Whether the wrong route is silent here, as it is on the exchange.
    """
    resolved = resolve(venue, name)
    if resolved is None:
        why = f"{UNKNOWN_STREAM}: {why_unknown(venue, name)}"
        return StreamNote(stream=name, venue=venue.name, silent=why)
    plant = pretend(resolved[1], profile, strict=route is not None)
    stream, args = find(plant.venues[venue.name], name) or resolved
    wrong_route = only_under(stream)
    silent = why_silent(plant, name, args, venue, route or "")
    remark = None
    if silent == WRONG_ROUTE:
        silent, remark = (
            (f"{silent}: {wrong_route}", None)
            if strict
            else (None, f"on the exchange {wrong_route}")
        )
    return StreamNote(
        stream=name,
        venue=venue.name,
        carries=stream.doc,
        events=list(stream.events),
        array=stream.array,
        speed_ms=stream.period(venue, args),
        route=stream.route,
        silent=silent,
        remark=remark,
    )
