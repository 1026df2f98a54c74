"""Whether what a fault is aimed at exists on a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from tickerplant.errors import ConfigError
from tickerplant.faults.rule import Rule, is_pattern, matches
from tickerplant.market.markets import Markets
from tickerplant.queries import QUERIES
from tickerplant.server.endpoint import Endpoint
from tickerplant.streams import CATALOGUE, find
from tickerplant.streams.spelling import remedy
from tickerplant.suggestions import suggestion
from tickerplant.venue import Venue


def check_aim(rule: Rule, endpoints: Sequence[Endpoint]) -> None:
    """Do nothing if what a rule is aimed at exists.

    Raises:
        ConfigError: It does not; the message names the field and what was expected.
    """
    aim = rule.aim
    served = [each for each in endpoints if aim.venue in {"", each.venue.name}]
    if not served:
        names = ", ".join(each.venue.name for each in endpoints)
        raise ConfigError("venue", aim.venue, f"a venue that is served here: {names}")
    if aim.stream:
        _check_stream(aim.stream, str(rule.given["stream"]), served)
    if aim.connection and not any(
        each.identity == aim.connection for endpoint in served for each in endpoint.connections
    ):
        expected = "the id of an open connection, as /plant/v1/connections lists them"
        raise ConfigError("connection", aim.connection, expected)
    venues = [each.venue for each in served]
    if aim.path:
        _check_name("path", aim.path, {path for each in QUERIES for path in _paths(each, venues)})
    if aim.method:
        methods = {each.method for each in QUERIES if any(map(each.has_method, venues))}
        _check_name("method", aim.method, {name for name in methods if name})
    if aim.symbol and not any(_knows_elsewhere(each) for each in served):
        symbols = {symbol for each in served for symbol in each.hub.markets.by_symbol}
        _check_name("symbol", aim.symbol, symbols)


def _paths(query: object, venues: Iterable[Venue]) -> Iterator[str]:
    for venue in venues:
        path = query.path_on(venue)  # type: ignore[attr-defined]
        if path is not None:
            yield path


def _check_name(field: str, given: str, known: Iterable[str]) -> None:
    names = sorted(known)
    if not any(matches(given, name) for name in names):
        what = f"a pattern of a {field}" if is_pattern(given) else f"a {field}"
        raise ConfigError(field, given, f"{what} that is served{suggestion(given, names)}")


def _knows_elsewhere(endpoint: Endpoint) -> bool:
    """Whether what there is is decided elsewhere: upstream, or at the plant."""
    return endpoint.hub.accepts_unknown or endpoint.hub.silent_elsewhere is not None


def _check_stream(pattern: str, given: str, served: Sequence[Endpoint]) -> None:
    if any(_knows_elsewhere(each) or _has_stream(each, pattern) for each in served):
        return
    if is_pattern(given):
        expected = "a pattern of streams of this market such as btcusdt@depth*"
    else:
        expected = f"a stream of this market; {remedy(served[0].hub.markets, given)}"
    raise ConfigError("stream", given, expected)


def _has_stream(endpoint: Endpoint, pattern: str) -> bool:
    markets = endpoint.hub.markets
    return any(matches(pattern, name) and find(markets, name) for name in _names(markets))


def _names(markets: Markets) -> Iterator[str]:
    """Yield the names of all streams of a market."""
    values = {
        "symbol": [symbol.lower() for symbol in markets.by_symbol],
        "pair": sorted({each.instrument.pair.lower() for each in markets}),
        "assetSymbol": [symbol.lower() for symbol in markets.asset_indices],
    }
    for stream in CATALOGUE:
        if markets.venue not in stream.venues:
            continue
        parts = stream.pattern.parts
        choices = [parts[part] or values.get(part, ()) for part in parts]
        for chosen in product(*choices):
            yield stream.pattern.name(**dict(zip(parts, chosen, strict=True)))
