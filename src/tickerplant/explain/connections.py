"""How many connections a set of streams needs, and a URL for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from msgspec import Struct

from tickerplant.explain.stream_note import StreamNote
from tickerplant.profile import Profile
from tickerplant.protocol.limits import LIMITS
from tickerplant.venue import VENUES, Venue

HOST = "127.0.0.1"
_KEPT = "!@/="
"""Signs that clients send as they are, and servers take so."""


class ConnectionNote(Struct, frozen=True, kw_only=True):
    """One connection of those that a set of streams needs."""

    venue: str
    route: str
    """The path prefix, empty where there is none to choose."""
    streams: int
    url: str
    """On the venue's usual port; without names if they do not fit."""
    names_fit: bool
    """Whether the names fit in the URL; if not, SUBSCRIBE is sent with them."""


def plan(notes: Iterable[StreamNote], profile: Profile) -> list[ConnectionNote]:
    """Return the connections on which every stream that exists is delivered, none twice."""
    routes: dict[tuple[str, str], dict[str, None]] = {}
    venues = {venue.name: venue for venue in VENUES}
    for note in notes:
        if note.exists and note.route is not None:
            route = note.route if profile.splits_routes(venues[note.venue]) else ""
            routes.setdefault((note.venue, route), {})[note.stream] = None
    return [
        _connection(venues[venue], route, names[start : start + LIMITS.max_streams])
        for (venue, route), found in routes.items()
        for names in (tuple(found),)
        for start in range(0, len(names), LIMITS.max_streams)
    ]


def _connection(venue: Venue, route: str, names: Sequence[str]) -> ConnectionNote:
    path = f"/{route}/stream" if route else "/stream"
    full = f"{path}?streams={quote('/'.join(names), safe=_KEPT)}"
    fit = len(full) <= LIMITS.max_uri_bytes
    return ConnectionNote(
        venue=venue.name,
        route=route,
        streams=len(names),
        url=f"ws://{HOST}:{venue.default_port}{full if fit else path}",
        names_fit=fit,
    )
