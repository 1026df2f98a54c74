"""The addresses of a venue: the hosts of the exchange, one base URL for everything, or three URLs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv6Address

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.suggestions import suggestion
from tickerplant.venue import VENUES, Venue

_URL = re.compile(
    r"(?P<kind>ws|http)(?P<secure>s?)://"
    r"(?P<host>[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[(?P<ipv6>[0-9a-f:.]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/[a-z0-9/_-]*)?",
    re.IGNORECASE | re.ASCII,
)
_EXPECTED = "a URL with scheme ws, wss, http or https, a host and an optional port, and no path"
_PARTS = ("base_url", "stream_url", "rest_url", "api_url")


class Hosts(Struct, frozen=True):
    """The addresses of one venue."""

    venue: Venue
    streams: str
    """`ws://host:port` or `wss://host`, without a path."""
    api: str
    """The complete URL of the WebSocket API."""
    rest: str
    """`http://host:port` or `https://host`, without a path."""


def environment_name(venue: Venue, setting: str = "base_url") -> str:
    """Return the name of the environment variable of one of the URLs of `venue`."""
    part = "" if setting == "base_url" else setting.removesuffix("url")
    return f"TICKERPLANT_{venue.name}_{part}url".upper()


def environment_names(venue: Venue) -> tuple[str, ...]:
    """Return the names of all environment variables with URLs of `venue`."""
    return tuple(environment_name(venue, each) for each in _PARTS)


def venue_of_name(name: str) -> Venue:
    """Return the venue with this name, `usdm` or `coinm`."""
    for venue in VENUES:
        if venue.name == name:
            return venue
    names = [venue.name for venue in VENUES]
    raise ConfigError("venue", name, " or ".join(names) + suggestion(str(name), names))


def hosts_of(
    venue: Venue,
    base_url: str | None = None,
    *,
    stream_url: str | None = None,
    rest_url: str | None = None,
    api_url: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Hosts:
    """Return the addresses of `venue`.

    Each is taken from the first that is given: its own argument, `base_url`, its own environment
    variable, the one with a base URL, the exchange.

    Args:
        venue: The venue.
        base_url: Base URL for streams, WebSocket API and REST, which a plant serves on one port.
        stream_url: URL of the streams.
        rest_url: URL of REST.
        api_url: URL of the WebSocket API, with or without its path.
        environ: The environment; see `environment_names`.
    """
    given = {"stream_url": stream_url, "rest_url": rest_url, "api_url": api_url}
    environ = environ or {}

    def endpoint(setting: str) -> _Endpoint | None:
        variable, base_variable = environment_name(venue, setting), environment_name(venue)
        path = venue.api_path if setting == "api_url" else ""
        if given[setting] is not None:
            return _endpoint(setting, given[setting], path)
        if base_url is not None:
            return _endpoint("base_url", base_url)
        if environ.get(variable):
            return _endpoint(variable, environ[variable], path)
        if environ.get(base_variable):
            return _endpoint(base_variable, environ[base_variable])
        return None

    streams, rest, api = map(endpoint, given)
    return Hosts(
        venue=venue,
        streams=streams.url("ws") if streams else f"wss://{venue.stream_host}",
        api=(api.url("ws") if api else f"wss://{venue.api_host}") + venue.api_path,
        rest=rest.url("http") if rest else f"https://{venue.rest_host}",
    )


class _Endpoint(Struct, frozen=True):
    """A server: whether it is reached over TLS, its host, and its port if it has one."""

    is_secure: bool
    authority: str

    def url(self, kind: str) -> str:
        """Return its URL with scheme `ws` or `http`, or the secure one in their place."""
        return f"{kind}{'s' if self.is_secure else ''}://{self.authority}"


def _endpoint(setting: str, url: object, path: str = "") -> _Endpoint:
    """Return the server of a URL, which may have the path `path` and no other."""
    expected = _EXPECTED + (f" but {path}" if path else "")
    match = _URL.fullmatch(url) if isinstance(url, str) else None
    if match is None or match["path"] not in {None, "/", path, f"{path}/"}:
        raise ConfigError(setting, url, expected)
    if match["ipv6"] is not None:
        try:
            IPv6Address(match["ipv6"])
        except AddressValueError:
            raise ConfigError(setting, url, f"{expected}; the host is no IPv6 address") from None
    port = match["port"]
    if port is not None and not 0 < int(port) < 65_536:
        raise ConfigError(setting, url, f"{expected}; ports are 1 to 65535")
    authority = match["host"].lower() + (f":{port}" if port else "")
    return _Endpoint(is_secure=bool(match["secure"]), authority=authority)
