"""The explanation of one request: its parameters, weight and allowance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from tickerplant.errors import RequestError
from tickerplant.explain.arguments import RequestArgument
from tickerplant.explain.catalogue_text import allowance_text, endpoint_names, weight_rule
from tickerplant.market.markets import Markets
from tickerplant.market.timers import Timers
from tickerplant.profile import Profile
from tickerplant.protocol.api_session import LOGON, LOGON_PARAMS
from tickerplant.protocol.limits import LIMITS
from tickerplant.queries import request_errors
from tickerplant.queries.account_requests import NO_ORDERS_TEXT, AccountRequest
from tickerplant.queries.param import Param
from tickerplant.queries.query import Query
from tickerplant.venue import Venue

_UNLISTED = frozenset(
    each().code
    for each in (
        request_errors.invalid_symbol,
        request_errors.invalid_pair,
        request_errors.invalid_coin_pair,
    )
)
"""Error codes for unlisted symbols and pairs; without a market, none is listed."""


class ParamNote(Struct, frozen=True, kw_only=True):
    """One parameter."""

    name: str
    """Its name."""
    doc: str
    """What it means."""
    required: bool
    """Whether a request without it is rejected."""
    default: str | None
    """What it is if it is left out."""
    given: str | None = None
    """Its value in the request; None if it is not given."""


class RequestNote(Struct, frozen=True, kw_only=True):
    """The explanation of one request."""

    given: str
    """The request as given."""
    venue: str
    """`usdm` or `coinm`."""
    returns: str
    """What the response contains."""
    path: str = ""
    """Its REST path; empty if REST does not have it."""
    method: str = ""
    """Its method of the WebSocket API; empty if that does not have it."""
    weight: int
    """The weight of the request as given."""
    weight_rule: str
    """How the weight follows from the parameters."""
    allowance: str | None = None
    """A separate request limit, in addition to the weight or instead of it."""
    keyed: bool = False
    """Whether REST requires an API key; any key is accepted."""
    params: list[ParamNote] = []
    """Its parameters, given or not."""
    refused: bool = False
    """Whether the request as given is rejected with an error."""
    remarks: list[str] = []
    """Why it is rejected, and which parameters are ignored."""


def note_request(request: RequestArgument, profile: Profile) -> RequestNote:
    """Return the explanation of a request; its symbol is taken to be listed."""
    query, venue = request.query, request.venue
    if request.account:
        return _account_note(request, request.account)
    if query is None:
        return _session_note(request)
    params = request.params or {}
    path, method = endpoint_names(query, venue)
    has_params = request.params is not None
    refusals = [] if not request.wrong_http_method else [_wrong_method(request, path)]
    refusals += _refusals(query, venue, profile, params) if has_params else ()
    return RequestNote(
        given=request.given,
        venue=venue.name,
        returns=query.doc,
        path=path,
        method=method,
        weight=query.weigh_over_rest(params, profile) if has_params else query.weigh(params),
        weight_rule=weight_rule(query),
        allowance=allowance_text(query) or None,
        keyed=query.requires_key,
        params=[_param(param, params) for param in query.params],
        refused=bool(refusals),
        remarks=[*refusals, *_ignored(query, params)] if has_params else [],
    )


def _account_note(request: RequestArgument, rows: Sequence[AccountRequest]) -> RequestNote:
    refusal = request_errors.bad_key()
    remarks = [f"{NO_ORDERS_TEXT}: {refusal.status} {refusal.code} {refusal.message}"]
    if request.wrong_http_method:
        remarks = [_wrong_method(request, rows[0].path)]
    return RequestNote(
        given=request.given,
        venue=request.venue.name,
        returns="An account, its orders or its user stream.",
        path=rows[0].path,
        method=rows[0].method,
        weight=min(row.weight for row in rows),
        weight_rule=", ".join(f"{row.http_method} {row.weight}".strip() for row in rows),
        refused=True,
        remarks=remarks,
    )


def _wrong_method(request: RequestArgument, path: str) -> str:
    return f"rejected: 405 -5000 Path {path}, Method {request.wrong_http_method} is invalid"


def _session_note(request: RequestArgument) -> RequestNote:
    method = request.given.rpartition("/")[2]
    return RequestNote(
        given=request.given,
        venue=request.venue.name,
        returns="The login session of the connection; this server has no accounts.",
        method=method,
        weight=LIMITS.session_weight,
        weight_rule=str(LIMITS.session_weight),
        params=[
            ParamNote(name=name, doc="Any.", required=True, default=None)
            for name in (LOGON_PARAMS if method == LOGON else ())
        ],
    )


def _param(param: Param, params: Mapping[str, object]) -> ParamNote:
    given = params.get(param.name)
    return ParamNote(
        name=param.name,
        doc=param.doc,
        required=param.required,
        default=None if param.default is None else str(param.default),
        given=None if given is None else str(given),
    )


def _refusals(
    query: Query, venue: Venue, profile: Profile, params: Mapping[str, object]
) -> Iterator[str]:
    markets = Markets(venue, profile, Timers(0))
    for param in query.params:
        try:
            param.value(markets, params)
        except RequestError as error:
            if error.code not in _UNLISTED:
                yield f"rejected: {error}"


def _ignored(query: Query, params: Mapping[str, object]) -> Iterator[str]:
    for name in params.keys() - {param.name for param in query.params}:
        yield f"{name} is ignored"
