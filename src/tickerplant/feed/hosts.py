"""The addresses of a venue: the hosts of the exchange, or one base URL for everything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv6Address

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.venue import VENUES, Venue

_BASE = re.compile(
    r"(?P<kind>ws|http)(?P<secure>s?)://"
    r"(?P<host>[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[(?P<ipv6>[0-9a-f:.]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?/?",
    re.IGNORECASE | re.ASCII,
)
_EXPECTED = "a URL with scheme ws, wss, http or https, a host and an optional port, and no path"


class Hosts(Struct, frozen=True):
    """The addresses of one venue."""

    venue: Venue
    streams: str
    """`ws://host:port` or `wss://host`, without a path."""
    api: str
    """The complete URL of the WebSocket API."""
    rest: str
    """`http://host:port` or `https://host`, without a path."""


def environment_name(venue: Venue) -> str:
    """Return the name of the environment variable with the base URL of `venue`."""
    return f"TICKERPLANT_{venue.name.upper()}_URL"


def venue_of_name(name: str) -> Venue:
    """Return the venue with this name, `usdm` or `coinm`.

    Raises:
        ConfigError: there is no such venue.
    """
    for venue in VENUES:
        if venue.name == name:
            return venue
    raise ConfigError("venue", name, " or ".join(venue.name for venue in VENUES))


def hosts_of(
    venue: Venue, base_url: str | None = None, environ: Mapping[str, str] | None = None
) -> Hosts:
    """Return the addresses of `venue`.

    Args:
        venue: The venue.
        base_url: Base URL for streams, WebSocket API and REST, which a plant serves on one port.
        environ: The environment, used if there is no `base_url`; see `environment_name`.  Without
            either the addresses are those of the exchange.

    Raises:
        ConfigError: the base URL is invalid, or has a path or a query.
    """
    setting, base = "base_url", base_url
    if base is None:
        setting = environment_name(venue)
        base = (environ or {}).get(setting) or None
    if base is None:
        return Hosts(
            venue=venue,
            streams=f"wss://{venue.stream_host}",
            api=f"wss://{venue.api_host}{venue.api_path}",
            rest=f"https://{venue.rest_host}",
        )
    secure, authority = _parts(setting, base)
    streams = f"ws{secure}://{authority}"
    return Hosts(
        venue=venue,
        streams=streams,
        api=streams + venue.api_path,
        rest=f"http{secure}://{authority}",
    )


def _parts(setting: str, base: str) -> tuple[str, str]:
    """Return `s` for a secure scheme, else an empty text; and host and port."""
    match = _BASE.fullmatch(base)
    if match is None:
        raise ConfigError(setting, base, _EXPECTED)
    if match["ipv6"] is not None:
        try:
            IPv6Address(match["ipv6"])
        except AddressValueError:
            raise ConfigError(setting, base, f"{_EXPECTED}; the host is no IPv6 address") from None
    port = match["port"]
    if port is not None and not 0 < int(port) < 65_536:
        raise ConfigError(setting, base, f"{_EXPECTED}; ports are 1 to 65535")
    return match["secure"].lower(), match["host"].lower() + (f":{port}" if port else "")
