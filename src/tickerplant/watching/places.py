"""Whose streams and questions they are, and which of the names are none."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from tickerplant.errors import ConfigError
from tickerplant.explain.subject import venue_of_name
from tickerplant.streams.spelling import why_doubtful
from tickerplant.venue import VENUES, Venue


def venue_named(name: str) -> Venue | None:
    """Return the venue of a setting; None if it is to be told by something else."""
    return next((venue for venue in VENUES if venue.name == name), None)


def venue_of_url(url: str | None) -> Venue | None:
    """Return the venue whose usual port, or host at the exchange, a base URL has."""
    if url is None:
        return None
    parts = urlsplit(url)
    for venue in VENUES:
        hosts = (venue.stream_host, venue.api_host, venue.rest_host)
        if parts.port == venue.default_port or parts.hostname in hosts:
            return venue
    return None


def venue_of_streams(names: Iterable[str]) -> Venue:
    """Return the venue whose streams `names` are; if they differ the one that lacks the fewest."""
    names = tuple(names)
    told = {venue_of_name(name) for name in names}
    return told.pop() if len(told) == 1 else min(VENUES, key=lambda venue: _lacks(venue, names))


def _lacks(venue: Venue, names: Iterable[str]) -> int:
    return sum(bool(why_doubtful(venue, name)) for name in names)


def hints_of(venue: Venue, names: Iterable[str]) -> dict[str, str]:
    """Return what is wrong with the names of which nothing is expected."""
    return {name: f"doubtful, {why}" for name in names if (why := why_doubtful(venue, name))}


def check_text(what: str, text: str) -> None:
    """Let text pass that can be sent.

    Raises:
        ConfigError: it is not Unicode: an argument that is not UTF-8 arrives with surrogates.
    """
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ConfigError(what, text, "Unicode, as every name and value is")
