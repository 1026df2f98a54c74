"""Proxies that the environment names."""

from __future__ import annotations

from os import environ
from urllib.parse import urlsplit

NO_PROXY = ("no_proxy", "NO_PROXY")
"""Both spellings: some libraries read one, some the other, and some the first that is there."""
_NAMES = frozenset(f"{each}_proxy" for each in ("all", "http", "https", "socks", "ws", "wss"))
LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
"""Hosts that no other machine can reach."""


def proxies(host: str) -> list[str]:
    """Return the names of the variables that name a proxy which takes requests for `host`."""
    given = ",".join(environ[each] for each in NO_PROXY if each in environ)
    exempt = given.replace(" ", "").split(",")
    ends = tuple(f".{each.lstrip('*.')}" for each in exempt if each.strip("*."))
    if "*" in exempt or f".{host}".endswith(ends):
        return []
    return sorted(name for name, value in environ.items() if value and name.lower() in _NAMES)


def unused_text(url: str) -> str:
    """Return, as the end of a sentence, which proxies the client does not use for a URL."""
    host = urlsplit(url).hostname or ""
    unused = [] if host in LOCAL else proxies(host)
    return f" (not used: {', '.join(unused)})" if unused else ""
