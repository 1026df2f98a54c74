"""Points a client library that knows many addresses at a server, all of them at once.

Nothing of a library is imported, nor anything but the standard library: `point` takes the object
that a program has, and works beside any versions.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from tickerplant.errors import ConfigError

USDM_URL = "http://127.0.0.1:9001"
COINM_URL = "http://127.0.0.1:9002"
ELSEWHERE = "/elsewhere"
"""Below this path of the USDⓈ-M server there is nothing: requests for hosts that a server does not
stand for are sent there, and refused with 404."""

T = TypeVar("T")

_ADDRESS = re.compile(r"\s*(https?|wss?)://", re.IGNORECASE)
_EXCHANGE = re.compile(r"(^|\.)binance", re.IGNORECASE)
_STREAM_PATH = re.compile(
    r"/?|/((public|market|private)/)?(ws|stream)/?|/(public|market|private)/?"
)
_SPOT_OPTIONS: dict[str, Any] = {"fetchCurrencies": False, "fetchMargins": False}
"""What ccxt would ask the spot exchange, signed, while it loads the markets."""


def point(client: T, *, usdm: str = USDM_URL, coinm: str = COINM_URL) -> T:
    """Replace every address that a client knows, so that nothing it does reaches an exchange.

    After the call the client's addresses of USDⓈ-M and COIN-M futures, production, testnet and demo,
    public, signed and WebSocket, are those of the server, and all others (spot, options, wallets)
    lead to a path of the server at which there is nothing.  Call it before the client connects.
    Orders are sent to the server like everything else, which refuses them; still, give a client that
    is not checked yet no real keys.

    Args:
        client: An exchange object of ccxt or ccxt.pro (`binance`, `binanceusdm`, `binancecoinm`), the
            module `binance` of python-binance, or a client or socket manager of it, class or object.
        usdm: The server's URL for USDⓈ-M, without a path.
        coinm: The server's URL for COIN-M.

    Returns:
        The client itself.  An exchange object of ccxt loads futures alone from now on, as spot is
        not there.

    Raises:
        ConfigError: a URL is invalid or the exchange's; the client is of no known kind; it has a
            proxy, or an address that cannot be replaced; the error names it.
    """
    servers = _Servers(_checked("usdm", usdm), _checked("coinm", coinm))
    _refuse_proxies(client, servers)
    replacements = [(each, servers.of(each.url, each.place)) for each in _addresses(client)]
    if all(f"{ELSEWHERE}/" in url for _, url in replacements):
        expected = (
            "an exchange object of ccxt for Binance futures, or python-binance: the module, a class "
            "or an object"
        )
        raise ConfigError("client", _name(client), expected)
    if isinstance(getattr(client, "urls", None), dict):
        _keep_to_futures(client)
    for address, url in replacements:
        address.replace(url)
    for address in _addresses(client):
        if not servers.has(address.url):
            raise ConfigError(address.place, address.url, "an address that can be replaced")
    return client


class _Servers(NamedTuple):
    """The URLs of a server: scheme and host."""

    usdm: str
    coinm: str

    def has(self, url: str) -> bool:
        """Return whether a URL is one of this server."""
        return _base(url) in {base for each in self for base in (each, _as_websocket(each))}

    def of(self, url: str, place: str) -> str:
        """Return the URL to use instead; `place` is the name of the one that is replaced."""
        if self.has(url):
            return url
        # python-binance fills in a subdomain and a top-level domain: nothing is left to fill in.
        parts = urlsplit(url.strip().replace("{}", ""))
        host, path = (parts.hostname or "").rstrip("."), parts.path
        if path.startswith("/futures/data"):
            server = self.coinm if "dapi" in host or "coin" in place.lower() else self.usdm
        elif path.startswith(("/fapi/", "/ws-fapi/")) or path == "/fapi":
            server = self.usdm
        elif path.startswith(("/dapi/", "/ws-dapi/")) or path == "/dapi":
            server = self.coinm
        elif host.startswith(("fstream", "dstream")) and _STREAM_PATH.fullmatch(path):
            server = self.usdm if host.startswith("f") else self.coinm
        else:
            server, path = self.usdm, f"{ELSEWHERE}/{host}{path}"
        is_websocket = parts.scheme.lower().startswith("ws")
        return (_as_websocket(server) if is_websocket else server) + path


class _Address(NamedTuple):
    """A URL that a client has, and what to do to replace it."""

    place: str
    url: str
    holder: Any
    key: Any

    def replace(self, url: str) -> None:
        with suppress(AttributeError, TypeError):  # what cannot be replaced is found afterwards
            if isinstance(self.holder, dict | list):
                self.holder[self.key] = url
            elif url != self.url:
                setattr(self.holder, self.key, url)


def _addresses(client: object) -> Iterator[_Address]:
    """Yield the URLs of a client, those of its classes, and of the parts of its library that it has."""
    if isinstance(client, ModuleType):
        yield from _addresses_of_module(client)
        return
    urls = getattr(client, "urls", None)
    if isinstance(urls, dict):
        yield from _addresses_in("urls", urls)
        yield from _addresses_in("options", getattr(client, "options", {}))
    yield from _addresses_of_object(client, _packages(client), _name(client), set())


def _addresses_of_module(module: ModuleType) -> Iterator[_Address]:
    seen: set[int] = set()
    for name, each in sorted(sys.modules.items()):
        if name != module.__name__ and not name.startswith(f"{module.__name__}."):
            continue
        for key, value in sorted(vars(each).items()):
            if isinstance(value, type) and _package(value) == _package_of(module.__name__):
                yield from _addresses_of_object(value, _packages(value), value.__name__, seen)
            elif isinstance(value, str) and _ADDRESS.match(value):
                yield _Address(f"{name}.{key}", value, each, key)


def _addresses_of_object(
    holder: object, packages: set[str], place: str, seen: set[int]
) -> Iterator[_Address]:
    if id(holder) in seen:
        return
    seen.add(id(holder))
    bases = holder.__mro__[1:] if isinstance(holder, type) else type(holder).__mro__
    for base in bases:
        yield from _addresses_of_object(base, packages, base.__name__, seen)
    for key, value in list(getattr(holder, "__dict__", {}).items()):
        where = f"{place}.{key}"
        if isinstance(value, str) and _ADDRESS.match(value):
            yield _Address(where, value, holder, key)
        elif _package(type(value)) in packages and not callable(value):
            yield from _addresses_of_object(value, packages, where, seen)


def _addresses_in(place: str, holder: Any) -> Iterator[_Address]:
    items = holder.items() if isinstance(holder, dict) else enumerate(holder)
    for key, value in list(items):
        where = f"{place}.{key}"
        if isinstance(value, str) and _ADDRESS.match(value):
            yield _Address(where, value, holder, key)
        elif isinstance(value, dict | list):
            yield from _addresses_in(where, value)


def _keep_to_futures(exchange: Any) -> None:
    """Let an exchange object of ccxt ask for futures only, and refuse one that is connected."""
    for url in getattr(exchange, "clients", None) or ():
        raise ConfigError("clients", url, "an exchange object that is not connected yet")
    options = exchange.options
    options.update(_SPOT_OPTIONS)
    kinds = options.get("fetchMarkets", {}).get("types", ())
    futures = [kind for kind in kinds if kind in {"linear", "inverse"}]
    options["fetchMarkets"] = {
        **options.get("fetchMarkets", {}),
        "types": futures or ["linear", "inverse"],
        "loadAllOptions": False,
    }


def _refuse_proxies(client: object, servers: _Servers) -> None:
    """Refuse what would take requests for this server to another machine first."""
    own = getattr(client, "__dict__", {})
    for key in dir(client):
        value = getattr(client, key, None) if "proxy" in key.lower() else None
        if value and (isinstance(value, str | dict) or (callable(value) and key in own)):
            raise ConfigError(f"{_name(client)}.{key}", value, "no proxy")
    for scheme, proxy in getproxies().items():
        if scheme == "no":
            continue
        for base in servers:
            host = urlsplit(base).hostname or ""
            if not proxy_bypass(host):
                raise ConfigError(
                    f"the environment variable {scheme}_proxy",
                    proxy,
                    f"no proxy for {host}: name it in NO_PROXY",
                )


def _checked(name: str, url: str) -> str:
    """Return scheme and host of a server's URL."""
    expected = "the URL of a server of yours without a path, such as http://127.0.0.1:9001"
    if not isinstance(url, str) or not _ADDRESS.match(url):
        raise ConfigError(name, url, expected)
    parts = urlsplit(url.strip())
    rest = (parts.path.rstrip("/"), parts.query, parts.fragment, parts.username)
    if not parts.hostname or any(rest) or _EXCHANGE.search(parts.hostname):
        raise ConfigError(name, url, expected)
    return re.sub("^ws", "http", _base(url))


def _base(url: str) -> str:
    parts = urlsplit(url.strip())
    return f"{parts.scheme.lower()}://{parts.netloc}"


def _as_websocket(base: str) -> str:
    return re.sub("^http", "ws", base)


def _packages(client: object) -> set[str]:
    """Return the packages whose objects are parts of a client: those of its classes."""
    bases = (client if isinstance(client, type) else type(client)).__mro__
    return {_package(base) for base in bases} - sys.stdlib_module_names


def _package(cls: type) -> str:
    return _package_of(cls.__module__)


def _package_of(module: str) -> str:
    return module.partition(".")[0]


def _name(client: object) -> str:
    if isinstance(client, ModuleType | type):
        return client.__name__
    return str(getattr(client, "id", None) or type(client).__name__)
