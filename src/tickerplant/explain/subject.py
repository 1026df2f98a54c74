"""What the user wants explained: a URL, a path, a stream or a method, and of which venue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from tickerplant.errors import TickerplantError
from tickerplant.instrument import CONTRACT_TYPES
from tickerplant.protocol.api_session import SESSION_METHODS
from tickerplant.protocol.client_requests import VERSION_PREFIX
from tickerplant.protocol.target import ApiTarget, StreamTarget, parse_target
from tickerplant.queries import Query, find_method, find_path
from tickerplant.streams import resolve
from tickerplant.streams.spelling import is_inverse
from tickerplant.venue import COINM, USDM, VENUES, Venue

SCHEMES = ("ws", "wss", "http", "https")
_HOSTS = {"dstream": COINM, "dapi": COINM, "fstream": USDM, "fapi": USDM}
"""Words of the exchange's host names, and the venue that they stand for."""
_CONTRACT_TYPE = re.compile(rf"_({'|'.join(CONTRACT_TYPES).lower()})$")
"""What stands after the pair in names of continuous contracts."""


class CannotExplain(TickerplantError):  # noqa: N818 - it says what cannot be done, not that
    """What the user gave is nothing that could be explained."""


class Name(Struct, frozen=True):
    """A stream, by its name alone."""

    given: str
    venue: Venue


class Address(Struct, frozen=True):
    """What a WebSocket connection is opened to."""

    given: str
    venue: Venue
    target: StreamTarget | ApiTarget


class Question(Struct, frozen=True):
    """A REST path with its parameters, or a method of the WebSocket API."""

    given: str
    venue: Venue
    query: Query | None
    """None for a session method, which is no question about the market."""
    params: Mapping[str, object] | None = None
    """None if it was named without any."""


Subject = Name | Address | Question


def read_subject(given: str, venue: Venue | None = None) -> Subject:
    """Return what `given` stands for.

    Args:
        given: A URL, a path with its slash, a stream name or a method of the WebSocket API.
        venue: Whose it is; None lets host, path, port or form tell, and USDⓈ-M where they do not.

    Raises:
        CannotExplain: it is a URL of nothing that is served, or is not Unicode.
        BadTarget: it is a path of nothing that is served.
    """
    # An argument that is not UTF-8 arrives with surrogates, which nothing can be sent as.
    if any("\ud800" <= sign <= "\udfff" for sign in given):
        raise CannotExplain(f"{given!r} is not Unicode, as every name and URL is")
    if "://" in given:
        return _read_url(given, venue)
    if given.startswith("/"):
        return _read_path(given, given, venue or _by_path(given) or USDM)
    method = given.removeprefix(VERSION_PREFIX)
    for candidate in (venue,) if venue else VENUES:
        query = find_method(candidate, method)
        if query is not None or method in SESSION_METHODS:
            return Question(given, candidate, query)
    return Name(given, venue or venue_of_name(given))


def venue_of_name(name: str) -> Venue:
    """Return the only venue that knows a stream, else the one its symbol has the form of."""
    known = [venue for venue in VENUES if resolve(venue, name)]
    if len(known) == 1:
        return known[0]
    return COINM if is_inverse(_CONTRACT_TYPE.sub("", name.partition("@")[0])) else USDM


def _read_url(given: str, venue: Venue | None) -> Subject:
    try:
        parts = urlsplit(given)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise CannotExplain(f"{given!r} is no URL: {error}") from None
    if parts.scheme not in SCHEMES or not host:
        raise CannotExplain(f"{given!r} is no URL with a host and one of {', '.join(SCHEMES)}")
    raw_path = given.partition("://")[2][len(parts.netloc) :].partition("#")[0]
    at_port = {each.default_port: each for each in VENUES}.get(port or 0)
    chosen = venue or _by_host(host) or _by_path(raw_path) or at_port or USDM
    return _read_path(given, raw_path or "/", chosen)


def _read_path(given: str, raw_path: str, venue: Venue) -> Subject:
    path, _, query_string = raw_path.partition("?")
    query = find_path(venue, path)
    if query is not None:
        params = dict(parse_qsl(query_string, keep_blank_values=True))
        return Question(given, venue, query, params)
    return Address(given, venue, parse_target(raw_path, venue))


def _by_host(host: str) -> Venue | None:
    return next((venue for word, venue in _HOSTS.items() if word in host), None)


def _by_path(path: str) -> Venue | None:
    own = ((venue, (venue.rest_prefix + "/", venue.api_path)) for venue in VENUES)
    return next((venue for venue, starts in own if path.startswith(starts)), None)
