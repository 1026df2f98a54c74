"""What a server lists, asked over REST when streams stay silent: once, and remembered for a while."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from msgspec import Struct, structs
from msgspec.json import Decoder

from tickerplant.client.rest import RestClient
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.weight import WeightBudget
from tickerplant.messages.readers import UNREADABLE
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
from tickerplant.suggestions import closest_match
from tickerplant.venue import COINM, VENUES, Venue

REMEMBERED_MS = 600_000
"""How long the list of contracts is good for."""
TIMEOUT_S = 10.0
MOST_MEANT = 10
"""Names for which it is looked what was meant, of those that are asked about at once."""
NO_SUCH_PATH = 404

_OF_SYMBOL = frozenset({one_symbol, one_symbol_anywhere})
_OF_PAIR = frozenset({one_pair, one_pair_anywhere, pair_anywhere, one_contract_anywhere})


class _Contract(Struct):
    symbol: str
    pair: str = ""


class _Listed(Struct):
    symbols: list[_Contract]


_listed = Decoder(_Listed).decode


class Listing:
    """Which streams a server will not send anything of, by the list of its contracts.

    Args:
        hosts: Where the venue is served.
        rest: Who is asked for the contracts.
        budget: What may be spent on questions to the other venue.
    """

    def __init__(self, hosts: Hosts, rest: RestClient, budget: WeightBudget) -> None:
        self._hosts = hosts
        self._rest = rest
        self._budget = budget
        self._contracts: list[_Contract] = []
        self._known_ms = -REMEMBERED_MS
        self._other: Venue | None = None

    async def doubts(self, names: Iterable[str]) -> Mapping[str, str] | None:
        """Return why nothing will come of some of `names`; None if the server does not answer."""
        if not await self._is_known():
            return None
        if self._other is not None:
            reason = served_text(self._hosts, self._other)
            return dict.fromkeys(names, reason)
        symbols = {contract.symbol for contract in self._contracts}
        pairs = {contract.pair or contract.symbol for contract in self._contracts}
        doubts: dict[str, str] = {}
        for name in names:
            wrong = _unlisted(self._hosts.venue, name, symbols, pairs)
            if wrong is not None:
                what, listed = wrong
                meant = closest_match(what, listed) if len(doubts) < MOST_MEANT else ""
                doubts[name] = self._reason(name, what, meant)
        return doubts

    def _reason(self, name: str, what: str, meant: str) -> str:
        venue, host = self._hosts.venue.title, self._hosts.rest
        hint = name.replace(what.lower(), meant.lower(), 1) if meant else ""
        return f"{venue} at {host} does not list {what}" + (
            f"; did you mean {hint}?" if hint else ""
        )

    async def _is_known(self) -> bool:
        """Whether it is known what the server lists, or whose venue it serves; ask if it is not."""
        now_ms = self._rest.now_ms()
        if now_ms - self._known_ms < REMEMBERED_MS:
            return True
        self._other = other_named(self._hosts)
        if self._other is not None:
            return True
        try:
            listed = _listed(await self._rest.get_within(TIMEOUT_S, "exchangeInfo"))
        except (RequestError, UpstreamError) as error:
            if not is_elsewhere(error):
                return False
            self._other = await other_served(self._hosts, self._budget)
            if self._other is None:
                return False
        except UNREADABLE:
            return False
        else:
            self._contracts, self._other = listed.symbols, None
        self._known_ms = now_ms
        return True


def is_elsewhere(error: RequestError | UpstreamError) -> bool:
    """Whether a server answered that it does not know the path of a venue."""
    if isinstance(error, RequestError):
        return error.status == NO_SUCH_PATH
    return error.reason.startswith(f"HTTP {NO_SUCH_PATH} ")


def other_named(hosts: Hosts) -> Venue | None:
    """Return the other venue if it is the one of the exchange's host; None if it is not."""
    host = urlsplit(hosts.streams).hostname
    for venue in VENUES:
        if venue is not hosts.venue and host in {
            venue.stream_host,
            venue.api_host,
            venue.rest_host,
        }:
            return venue
    return None


async def other_served(hosts: Hosts, budget: WeightBudget) -> Venue | None:
    """Return the other venue if a server has its name, or answers to its paths; None if not."""
    named = other_named(hosts)
    if named is not None:
        return named
    for venue in VENUES:
        if venue is hosts.venue:
            continue
        rest = RestClient(structs.replace(hosts, venue=venue), budget)
        try:
            await rest.get_within(TIMEOUT_S, "ping")
        except (RequestError, UpstreamError):
            continue
        else:
            return venue
        finally:
            await rest.close()
    return None


def served_text(hosts: Hosts, other: Venue) -> str:
    """Return what is wrong with an address that serves the other venue."""
    return f"{hosts.streams} serves {other.title}, not {hosts.venue.title}"


def _unlisted(
    venue: Venue, name: str, symbols: set[str], pairs: set[str]
) -> tuple[str, set[str]] | None:
    """Return the symbol or pair of a stream that is not listed, and what is; None if it is."""
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
