"""The arguments of `explain`: URLs, paths, stream names and methods, each with its venue."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from tickerplant.errors import TickerplantError
from tickerplant.protocol.api_session import SESSION_METHODS
from tickerplant.protocol.client_requests import VERSION_PREFIX
from tickerplant.protocol.target import ApiTarget, StreamTarget, parse_target
from tickerplant.queries import Query, find_method, find_path
from tickerplant.queries.account_requests import (
    AccountRequest,
    find_account_method,
    find_account_path,
)
from tickerplant.stream_name import parse_stream_name
from tickerplant.streams import resolve
from tickerplant.streams.spelling import is_inverse
from tickerplant.venue import COINM, USDM, VENUES, Venue

HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
SCHEMES = ("ws", "wss", "http", "https")
_HOSTS = {"dstream": COINM, "dapi": COINM, "fstream": USDM, "fapi": USDM}
"""Parts of the exchange's host names, with their venues."""


class CannotExplain(TickerplantError):  # noqa: N818 - a condition to handle rather than an error
    """An argument is not a URL, path, stream name or method."""


class StreamArgument(Struct, frozen=True):
    """The name of a stream."""

    given: str
    venue: Venue


class ConnectionArgument(Struct, frozen=True):
    """The URL or path of a WebSocket connection."""

    given: str
    venue: Venue
    target: StreamTarget | ApiTarget


class RequestArgument(Struct, frozen=True):
    """A REST path with its parameters, also after an HTTP method, or a method of the WebSocket API."""

    given: str
    venue: Venue
    query: Query | None
    """None for a session method, and for a request about an account."""
    params: Mapping[str, object] | None = None
    """None for a method, which is given without parameters."""
    account: tuple[AccountRequest, ...] = ()
    """The rows of a request about an account: one for each HTTP method, or that of the one given."""
    wrong_http_method: str = ""
    """The HTTP method given, if the path does not have it."""


Argument = StreamArgument | ConnectionArgument | RequestArgument


def parse_argument(given: str, venue: Venue | None = None) -> Argument:
    """Return the parsed argument.

    Args:
        given: A URL, a path with its slash, a stream name or a method of the WebSocket API.  Before a
            URL or path of REST may be an HTTP method and a space.
        venue: Its venue; None infers it from host, path, port or symbol, else takes USDⓈ-M.

    Raises:
        CannotExplain: it is an invalid URL, is not Unicode, or has an HTTP method before what is not
            REST.
        BadTarget: nothing is served at this path.
    """
    # An argument that is not UTF-8 arrives with surrogates.
    if any("\ud800" <= character <= "\udfff" for character in given):
        raise CannotExplain(f"{given!r} is not valid Unicode text")
    http_method, _, rest = given.partition(" ")
    if http_method in HTTP_METHODS and ("://" in rest or rest.startswith("/")):
        return _with_http_method(parse_argument(rest, venue), http_method)
    if "://" in given:
        return _read_url(given, venue)
    if given.startswith("/"):
        return _read_path(given, given, venue or _by_path(given) or USDM)
    method = given.removeprefix(VERSION_PREFIX)
    for candidate in (venue,) if venue else VENUES:
        query = find_method(candidate, method)
        account = find_account_method(candidate, method)
        if query is not None or account is not None or method in SESSION_METHODS:
            return RequestArgument(given, candidate, query, account=(account,) if account else ())
    return StreamArgument(given, venue or venue_of_name(given))


def _with_http_method(argument: Argument, http_method: str) -> RequestArgument:
    """Return the argument as requested with an HTTP method.

    Raises:
        CannotExplain: it is not of REST.
    """
    given = f"{http_method} {argument.given}"
    if not isinstance(argument, RequestArgument):
        raise CannotExplain(f"{given!r} is no request that REST has")
    read_as = "GET" if http_method == "HEAD" else http_method
    rows = tuple(row for row in argument.account if row.http_method == read_as)
    has_method = bool(rows) if argument.account else read_as == "GET"
    return replace(
        argument,
        given=given,
        account=rows or argument.account,
        wrong_http_method="" if has_method else http_method,
    )


def venue_of_name(name: str) -> Venue:
    """Return the only venue that has the stream, else the one whose symbols look like its own."""
    known = [venue for venue in VENUES if resolve(venue, name)]
    if len(known) == 1:
        return known[0]
    return COINM if is_inverse(parse_stream_name(name).symbol) else USDM


def _read_url(given: str, venue: Venue | None) -> Argument:
    try:
        parts = urlsplit(given)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise CannotExplain(f"{given!r} is not a URL: {error}") from None
    if parts.scheme not in SCHEMES or not host:
        raise CannotExplain(f"{given!r} is not a URL with a host and one of {', '.join(SCHEMES)}")
    raw_path = given.partition("://")[2][len(parts.netloc) :].partition("#")[0]
    at_port = {each.default_port: each for each in VENUES}.get(port or 0)
    chosen = venue or _by_host(host) or _by_path(raw_path) or at_port or USDM
    return _read_path(given, raw_path or "/", chosen)


def _read_path(given: str, raw_path: str, venue: Venue) -> Argument:
    path, _, query_string = raw_path.partition("?")
    query = find_path(venue, path)
    if query is not None:
        params = dict(parse_qsl(query_string, keep_blank_values=True))
        return RequestArgument(given, venue, query, params)
    if account := find_account_path(venue, path):
        return RequestArgument(given, venue, None, account=tuple(account.values()))
    return ConnectionArgument(given, venue, parse_target(raw_path, venue))


def _by_host(host: str) -> Venue | None:
    return next((venue for word, venue in _HOSTS.items() if word in host), None)


def _by_path(path: str) -> Venue | None:
    own = ((venue, (venue.rest_prefix + "/", venue.api_path)) for venue in VENUES)
    return next((venue for venue, starts in own if path.startswith(starts)), None)
