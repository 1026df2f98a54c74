"""What the server would do with a URL, a stream or a request, without a server.

Every symbol is taken to be listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from tickerplant.errors import RequestError, TickerplantError
from tickerplant.events import AssetIndex
from tickerplant.formatting import encodable
from tickerplant.hub.hub import UNKNOWN_STREAM, UNKNOWN_SYMBOL, WRONG_ROUTE
from tickerplant.instrument import COMPOSITE, Instrument, Scale
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.market.timers import Timers
from tickerplant.profile import Profile
from tickerplant.protocol.api_session import SESSION_METHODS
from tickerplant.protocol.client_requests import VERSION_PREFIX
from tickerplant.protocol.close_reasons import INVALID_REQUEST
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.target import ApiTarget, BadTarget, StreamTarget, parse_target
from tickerplant.queries import Query, find_method, find_path, request_errors
from tickerplant.queries.account_requests import (
    NO_ORDERS_TEXT,
    AccountRequest,
    find_account_method,
    find_account_path,
)
from tickerplant.streams import find, resolve
from tickerplant.streams.pattern import Args
from tickerplant.streams.spelling import (
    is_inverse,
    only_under,
    period_text,
    spelling_error,
    venue_of_name,
)
from tickerplant.venue import COINM, USDM, VENUES, Venue, venue_of_address

Outcome: TypeAlias = Literal["ok", "silent", "refused"]

HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
SCHEMES = ("ws", "wss", "http", "https")
_UNLISTED = {
    request_errors.invalid_symbol().code,
    request_errors.invalid_pair().code,
    request_errors.invalid_coin_pair().code,
}
"""Error codes for unlisted symbols and pairs; without a market, none is listed."""
_TITLES = {venue.name: venue.title for venue in VENUES}
_ONE = 10**8


class Verdict(Struct, frozen=True, kw_only=True):
    """What the server would do with a URL, a stream or a request."""

    given: str
    """The URL, path, name or method as given."""
    venue: str = ""
    """`usdm` or `coinm`; empty if nothing can be made of it."""
    kind: Literal["stream", "connection", "request", "nothing"]
    """What it is; `nothing` if it is none of the others."""
    outcome: Outcome
    """`ok`, `silent`: acknowledged, and nothing comes, or `refused`."""
    reason: str = ""
    """Why, or what else is worth knowing, in the server's own words."""
    sends: str = ""
    """What its messages or its answer contain."""
    route: str = ""
    """The route that delivers a stream in profiles with split routes."""
    speed_ms: int | None = None
    """The update speed of a stream, 0 for real time; null for anything else."""
    weight: int | None = None
    """The weight of a request, and that of opening a connection of the WebSocket API."""
    streams: list[Verdict] = []
    """The streams of a connection."""


class Verdicts(Struct, frozen=True, kw_only=True):
    """The verdicts on all that was given; `explain --json` prints one."""

    profile: str
    """The protocol profile that was assumed."""
    routing: str
    """`lenient` or `strict`."""
    verdicts: list[Verdict]
    """In the order of what was given."""

    @property
    def is_ok(self) -> bool:
        """Whether nothing would be refused or stay silent."""
        return all(each.outcome == "ok" for one in self.verdicts for each in (one, *one.streams))

    @property
    def is_nothing(self) -> bool:
        """Whether nothing can be made of any of it."""
        return all(each.kind == "nothing" for each in self.verdicts)

    def lines(self) -> Iterator[str]:
        """Yield a line for each verdict, with those on the streams of a connection below it."""
        for one in self.verdicts:
            for indent, each in (("", one), *(("  ", stream) for stream in one.streams)):
                yield f"{each.outcome:7}  {indent}{each.given}: {_text(each)}"
        yield ""
        how = "symbols were checked by format only, not against a market"
        yield f"In profile {self.profile}, routing {self.routing}; {how}."


def explain(
    given: Iterable[str], profile: Profile, *, strict: bool = False, venue: Venue | None = None
) -> Verdicts:
    """Return the verdicts on `given`.

    Args:
        given: URLs and paths, each perhaps after an HTTP method; names of streams; methods of the
            WebSocket API.
        profile: The protocol profile.
        strict: Whether a stream stays silent on the wrong route, as on the exchange.
        venue: Their venue; None infers it for each from host, path, port or symbol.
    """
    judge = _Judge(profile, strict)
    return Verdicts(
        profile=profile.name,
        routing="strict" if strict else "lenient",
        verdicts=[judge.verdict(each, venue) for each in given],
    )


class _Nothing(TickerplantError):  # noqa: N818 - a condition to handle rather than an error
    pass


class _Judge(Struct, frozen=True):
    profile: Profile
    strict: bool

    def verdict(self, given: str, venue: Venue | None) -> Verdict:
        """Return the verdict on one argument."""
        try:
            return self._of_text(given, venue)
        except (_Nothing, BadTarget) as error:
            return Verdict(
                given=encodable(given), kind="nothing", outcome="refused", reason=str(error)
            )

    def _of_text(self, given: str, venue: Venue | None) -> Verdict:
        # An argument that is not UTF-8 arrives with surrogates.
        if any("\ud800" <= character <= "\udfff" for character in given):
            raise _Nothing(f"{given!r} is not valid Unicode text")
        http_method, _, rest = given.partition(" ")
        if http_method not in HTTP_METHODS or not ("://" in rest or rest.startswith("/")):
            http_method, rest = "", given
        if "://" in rest:
            return self._of_path(given, *_path_of_url(rest, venue), http_method)
        if rest.startswith("/"):
            return self._of_path(given, rest, venue or venue_of_address(rest) or USDM, http_method)
        method = given.removeprefix(VERSION_PREFIX)
        for candidate in (venue,) if venue else VENUES:
            if account := find_account_method(candidate, method):
                return _of_account(given, candidate, [account])
            if query := find_method(candidate, method):
                return _request(given, candidate, query.weigh({}), query.doc)
            if method in SESSION_METHODS:
                doc = "The login session of the connection; this server has no accounts."
                return _request(given, candidate, LIMITS.session_weight, doc)
        return self._of_stream(given, venue or venue_of_name(given), None)

    def _of_path(self, given: str, raw_path: str, venue: Venue, http_method: str) -> Verdict:
        """Return the verdict on a path."""
        path, _, query_string = raw_path.partition("?")
        read_as = {"HEAD": "GET", "": "GET"}.get(http_method, http_method)
        if query := find_path(venue, path):
            if read_as != "GET":
                return _wrong_method(given, venue, path, http_method)
            params = dict(parse_qsl(query_string, keep_blank_values=True))
            weight = query.weigh_over_rest(params, self.profile)
            return _request(given, venue, weight, query.doc, self._refusal(query, venue, params))
        if account := find_account_path(venue, path):
            rows = [row for row in account.values() if row.http_method == read_as]
            if http_method and not rows:
                return _wrong_method(given, venue, path, http_method)
            return _of_account(given, venue, rows or [*account.values()])
        if http_method:
            raise _Nothing(f"{given!r} is no request that REST has")
        return self._of_target(given, venue, parse_target(raw_path, venue))

    def _refusal(self, query: Query, venue: Venue, params: Mapping[str, object]) -> str:
        markets = Markets(venue, self.profile, Timers(0))
        for param in query.params:
            try:
                param.value(markets, params)
            except RequestError as error:
                if error.code not in _UNLISTED:
                    return str(error)
        return ""

    def _of_target(self, given: str, venue: Venue, target: StreamTarget | ApiTarget) -> Verdict:
        if isinstance(target, ApiTarget):
            replies = "Replies of the WebSocket API."
            asked = _request(given, venue, LIMITS.handshake_weight, replies)
            return replace(asked, kind="connection")
        count = len(target.names)
        reason = "" if count else "no streams yet: add them with SUBSCRIBE"
        if count > LIMITS.max_streams:
            closed = f"{INVALID_REQUEST.code} {INVALID_REQUEST.reason}"
            reason = f"too many streams: closed after an error 4, with {closed}"
        envelope = "combined" if target.combined else "raw"
        return Verdict(
            given=given,
            venue=venue.name,
            kind="connection",
            outcome="refused" if count > LIMITS.max_streams else "ok",
            reason=reason,
            sends=f"Messages of {count} of at most {LIMITS.max_streams} streams, {envelope}.",
            streams=[self._of_stream(name, venue, target.route) for name in target.names],
        )

    def _of_stream(self, name: str, venue: Venue, route: str | None) -> Verdict:
        """Return the verdict on a stream; `route` is that of its connection, None without one."""
        resolved = resolve(venue, name)
        outcome: Outcome = "silent"
        if resolved is None:
            why = f"{UNKNOWN_STREAM}: {spelling_error(venue, name)}"
            return Verdict(given=name, venue=venue.name, kind="stream", outcome=outcome, reason=why)
        markets = _markets_with(resolved[1], venue, self.profile)
        stream, args = find(markets, name) or resolved
        splits = route is not None and self.profile.splits_routes(venue)
        is_elsewhere = splits and stream.route != (route or "public")
        if is_elsewhere and self.strict:
            reason = f"{WRONG_ROUTE}: {only_under(stream)}"
        elif not stream.subjects(markets, args):
            reason = f"{UNKNOWN_SYMBOL}: {_why_unlisted(args, venue)}"
        else:
            outcome, reason = "ok", f"on the exchange {only_under(stream)}" if is_elsewhere else ""
        return Verdict(
            given=name,
            venue=venue.name,
            kind="stream",
            outcome=outcome,
            reason=reason,
            sends=stream.doc,
            route=stream.route,
            speed_ms=stream.period(venue, args),
        )


def _request(given: str, venue: Venue, weight: int, sends: str, refusal: str = "") -> Verdict:
    return Verdict(
        given=given,
        venue=venue.name,
        kind="request",
        outcome="refused" if refusal else "ok",
        reason=refusal,
        sends=sends,
        weight=weight,
    )


def _of_account(given: str, venue: Venue, rows: Sequence[AccountRequest]) -> Verdict:
    error = request_errors.bad_key()
    why = f"{error.status} {error.code} {error.message} ({NO_ORDERS_TEXT})"
    weight = min(row.weight for row in rows)
    return _request(given, venue, weight, "An account, its orders or its user stream.", why)


def _wrong_method(given: str, venue: Venue, path: str, http_method: str) -> Verdict:
    return _request(given, venue, 0, "", f"405 -5000 Path {path}, Method {http_method} is invalid")


def _path_of_url(url: str, venue: Venue | None) -> tuple[str, Venue]:
    """Return the path of a URL with its query string, and its venue."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _Nothing(f"{url!r} is not a URL: {error}") from None
    if parts.scheme not in SCHEMES or not host:
        raise _Nothing(f"{url!r} is not a URL with a host and one of {', '.join(SCHEMES)}")
    raw_path = url.partition("://")[2][len(parts.netloc) :].partition("#")[0]
    return raw_path or "/", venue or venue_of_address(raw_path, host, port) or USDM


def _why_unlisted(args: Args, venue: Venue) -> str:
    listed = COINM if is_inverse(args.get("symbol", args.get("pair", ""))) else USDM
    if listed is venue:
        return "the stream is not available for symbols of this form"
    return f"it looks like a symbol of {listed.title}"


def _markets_with(args: Args, venue: Venue, profile: Profile) -> Markets:
    """Return the markets of a venue where the contract and the asset that are named are listed."""
    timers = Timers(0)
    by_venue = {each.name: Markets(each, profile, timers) for each in VENUES}
    anything = "anyusd" if venue is COINM else "any"
    contract = _contract(args.get("symbol") or args.get("pair") or anything, args)
    market = Market(contract, profile, timers, lambda *_: None, lambda *_: False)
    by_venue[contract.venue.name].add(market)
    asset = args.get("assetSymbol", "anyusd").upper()
    index = AssetIndex(asset, _ONE, 0, 0, _ONE, _ONE, 0, 0, _ONE, _ONE, 0)
    by_venue[USDM.name].asset_indices[asset] = index
    found = by_venue.pop(venue.name)
    if profile.merged_universe:
        found.others = tuple(by_venue.values())
    return found


def _contract(named: str, args: Args) -> Instrument:
    """Return a contract with the symbol or pair that is named, on the venue its form belongs to."""
    symbol = named.upper()
    pair = symbol.partition("_")[0] if "symbol" in args else symbol
    inverse = is_inverse(symbol)
    return Instrument(
        venue=COINM if inverse else USDM,
        # On COIN-M the name of a contract is never that of its pair.
        symbol=f"{pair}_PERP" if inverse and symbol == pair else symbol,
        pair=pair,
        contract_type=args.get("contractType", "PERPETUAL").upper(),
        base_asset="",
        quote_asset="",
        margin_asset="",
        price=Scale(2),
        quantity=Scale(0 if inverse else 3),
        tick_size=1,
        step_size=1,
        min_price=1,
        max_price=_ONE,
        min_quantity=1,
        max_quantity=_ONE,
        max_market_quantity=_ONE,
        underlying_type=COMPOSITE,
    )


def _text(verdict: Verdict) -> str:
    """Return a verdict in words: why, or what is sent and what it costs."""
    if verdict.outcome != "ok":
        return verdict.reason
    facts = [_TITLES[verdict.venue]]
    if verdict.speed_ms is not None:
        facts += [period_text(verdict.speed_ms), verdict.route]
    if verdict.weight is not None:
        facts.append(f"weight {verdict.weight}")
    more = f" But {verdict.reason}." if verdict.reason else ""
    return f"{', '.join(facts)}: {verdict.sends}{more}"
