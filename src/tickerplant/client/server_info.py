"""What a server says about itself over REST: its contracts, its venue and its profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from msgspec import Struct, structs
from msgspec.json import Decoder

from tickerplant.client.rest import RestClient
from tickerplant.errors import ConfigError, RequestError, UpstreamError
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.weight import REFUSALS, WeightBudget
from tickerplant.formatting import printable
from tickerplant.messages.readers import UNREADABLE
from tickerplant.profile import CURRENT, PROFILES
from tickerplant.streams import resolve
from tickerplant.streams.spelling import is_inverse
from tickerplant.streams.subjects import (
    one_contract_anywhere,
    one_pair,
    one_pair_anywhere,
    one_symbol,
    one_symbol_anywhere,
    pair_anywhere,
)
from tickerplant.suggestions import closest_match, suggestion
from tickerplant.venue import COINM, VENUES, Venue

CACHED_MS = 600_000
"""How long the list of contracts is reused."""
TIMEOUT_S = 10.0
MAX_SUGGESTIONS = 10
"""Maximum number of names in one check for which a similar symbol is searched."""
NO_SUCH_PATH, BAD_PATH = 404, -5000
"""The status and the code of an exchange that does not have a path (REST error codes page)."""
AUTO = "auto"
"""Stands for the profile of the server."""
MAX_SHOWN = 40
"""Characters of an unknown profile that an error shows."""
PROFILE_PATH = "/plant/v1/profile"
"""Path at which a plant reports its profile."""

_OF_SYMBOL = frozenset({one_symbol, one_symbol_anywhere})
_OF_PAIR = frozenset({one_pair, one_pair_anywhere, pair_anywhere, one_contract_anywhere})


class _Contract(Struct):
    symbol: str
    pair: str = ""


class _Listed(Struct):
    symbols: list[_Contract]


class _Profile(Struct):
    profile: str


_decode_listed = Decoder(_Listed).decode
_decode_profile = Decoder(_Profile).decode


class Listing:
    """The contracts that a server lists, fetched once and cached for ten minutes."""

    def __init__(self, hosts: Hosts, rest: RestClient, budget: WeightBudget) -> None:
        self._hosts = hosts
        self._rest = rest
        self._budget = budget
        self._contracts: list[_Contract] = []
        self._fetched_ms = -CACHED_MS
        self._other: Venue | None = None

    async def unavailable(self, names: Iterable[str]) -> Mapping[str, str] | None:
        """Return why some of `names` will never send anything; None if the server does not respond."""
        if not await self._is_fetched():
            return None
        if self._other is not None:
            return dict.fromkeys(names, wrong_venue_text(self._hosts, self._other))
        symbols = {contract.symbol for contract in self._contracts}
        pairs = {contract.pair or contract.symbol for contract in self._contracts}
        reasons: dict[str, str] = {}
        for name in names:
            found = _unlisted(self._hosts.venue, name, symbols, pairs)
            if found is not None:
                what, listed = found
                similar = closest_match(what, listed) if len(reasons) < MAX_SUGGESTIONS else ""
                reasons[name] = self._reason(name, what, similar)
        return reasons

    async def unlisted_reason(self, symbol: str) -> str:
        """Return that a symbol is not listed, and which similar one is.

        Empty if it is listed, or the server does not respond.
        """
        if not await self._is_fetched():
            return ""
        if self._other is not None:
            return wrong_venue_text(self._hosts, self._other)
        symbols = {contract.symbol for contract in self._contracts}
        if symbol in symbols:
            return ""
        where = f"{self._hosts.venue.title} at {self._hosts.rest}"
        return f"{where} does not list {symbol}{suggestion(symbol, symbols)}"

    def _reason(self, name: str, what: str, similar: str) -> str:
        hint = name.replace(what.lower(), similar.lower(), 1) if similar else ""
        question = f"; did you mean {hint}?" if hint else ""
        return f"{self._hosts.venue.title} at {self._hosts.rest} does not list {what}{question}"

    async def _is_fetched(self) -> bool:
        """Fetch the contracts unless they are cached; return whether it is known what is listed."""
        now_ms = self._rest.now_ms()
        if now_ms - self._fetched_ms < CACHED_MS:
            return True
        self._other = other_venue_by_host(self._hosts)
        if self._other is not None:
            return True
        try:
            listed = _decode_listed(await self._rest.fetch("exchangeInfo", {}, timeout_s=TIMEOUT_S))
        except (RequestError, UpstreamError) as error:
            if not is_unknown_path(error):
                return False
            self._other = await other_venue_served(self._hosts, self._budget)
            if self._other is None:
                return False
        except UNREADABLE:
            return False
        else:
            self._contracts, self._other = listed.symbols, None
        self._fetched_ms = now_ms
        return True


def is_unknown_path(error: RequestError | UpstreamError) -> bool:
    """Whether a server responded that it does not have the path of a venue."""
    if isinstance(error, RequestError):
        return error.status == NO_SUCH_PATH or error.code == BAD_PATH
    return error.reason.startswith((f"HTTP {NO_SUCH_PATH} ", f"HTTP {NO_SUCH_PATH},"))


def other_venue_by_host(hosts: Hosts) -> Venue | None:
    """Return the other venue if the host is one of its hosts at the exchange, else None."""
    host = urlsplit(hosts.streams).hostname
    for venue in VENUES:
        if venue is not hosts.venue and host in {
            venue.stream_host,
            venue.api_host,
            venue.rest_host,
        }:
            return venue
    return None


async def other_venue_served(hosts: Hosts, budget: WeightBudget) -> Venue | None:
    """Return the other venue if a server has its host name or serves its paths, else None."""
    by_host = other_venue_by_host(hosts)
    if by_host is not None:
        return by_host
    for venue in VENUES:
        if venue is hosts.venue:
            continue
        rest = RestClient(structs.replace(hosts, venue=venue), budget)
        try:
            await rest.fetch("ping", {}, timeout_s=TIMEOUT_S)
        except (RequestError, UpstreamError):
            continue
        else:
            return venue
        finally:
            await rest.close()
    return None


def wrong_venue_text(hosts: Hosts, other: Venue) -> str:
    """Return the message for an address that serves the other venue."""
    return f"{hosts.streams} serves {other.title}, not {hosts.venue.title}"


def _unlisted(
    venue: Venue, name: str, symbols: set[str], pairs: set[str]
) -> tuple[str, set[str]] | None:
    """Return the unlisted symbol or pair of a stream and all that are listed; None if it is listed."""
    found = resolve(venue, name)
    if found is None:
        return None
    stream, args = found
    if stream.subjects in _OF_SYMBOL:
        what, listed = args.get("symbol", ""), symbols
    elif stream.subjects in _OF_PAIR:
        what, listed = args.get("pair", ""), pairs
    else:
        return None
    is_own = is_inverse(what) == (venue is COINM)  # the other venue may list the others
    what = what.upper()
    return (what, listed) if what and is_own and what not in listed else None


async def upstream_profile(rest: RestClient) -> str:
    """Return the profile of the server; that of the exchange, which reports none, is the current one.

    A server is the exchange if it has the address of the exchange, or has nothing at the path where a
    plant says its profile.  Nothing is concluded from any other response.
    """
    hosts = rest.hosts
    if hosts.rest == f"https://{hosts.venue.rest_host}":
        return CURRENT.name
    try:
        name = _decode_profile(await rest.get(PROFILE_PATH)).profile
    except (RequestError, UpstreamError) as error:
        if is_unknown_path(error):
            return CURRENT.name
        if isinstance(error, RequestError):
            if error.status in REFUSALS:
                raise
            raise _unknown_profile(hosts, f"answers HTTP {error.status}") from None
        if not error.reason.startswith(("HTTP 3", "HTTP 4")):
            raise
        raise _unknown_profile(hosts, f"answers {error.reason}") from None
    except UNREADABLE:
        raise _unknown_profile(hosts, "answers something else than a profile") from None
    if name not in PROFILES:
        raise _unknown_profile(hosts, f"says {printable(name[:MAX_SHOWN])!r}")
    return name


def _unknown_profile(hosts: Hosts, answer: str) -> ConfigError:
    """Return the error that a server does not say which profile it has."""
    expected = (
        f"the name of the profile, {', '.join(PROFILES)}, because {hosts.rest}{PROFILE_PATH} {answer}; "
        "a plant of this version says it without a token"
    )
    return ConfigError("--profile", AUTO, expected)
