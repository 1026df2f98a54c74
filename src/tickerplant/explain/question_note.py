"""What asking one question takes: its parameters, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from tickerplant.errors import RequestError
from tickerplant.explain.subject import Question
from tickerplant.explain.words import allowance_text, ways, weight_text
from tickerplant.market.markets import Markets
from tickerplant.market.timers import Timers
from tickerplant.profile import Profile
from tickerplant.protocol.api_session import LOGON, LOGON_PARAMS
from tickerplant.protocol.limits import LIMITS
from tickerplant.queries import request_errors
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
"""Codes for symbols and pairs that are not listed; without a market none is."""


class ParamNote(Struct, frozen=True, kw_only=True):
    """One parameter."""

    name: str
    doc: str
    required: bool
    default: str | None
    given: str | None = None


class QuestionNote(Struct, frozen=True, kw_only=True):
    """What is to be known of one question."""

    given: str
    venue: str
    asks: str
    """What is answered."""
    path: str = ""
    """Where REST has it, empty if it does not."""
    method: str = ""
    """What the WebSocket API calls it, empty if it does not have it."""
    weight: int
    """Of the question as it was given."""
    weight_rule: str
    allowance: str | None = None
    """Beside the weight, or instead of it."""
    keyed: bool = False
    """Whether REST wants an API key; any will do."""
    params: list[ParamNote] = []
    refused: bool = False
    """Whether the question as it was given is answered with an error."""
    remarks: list[str] = []
    """What would be refused or is not looked at."""


def note_question(question: Question, profile: Profile) -> QuestionNote:
    """Return what asking `question` takes; whether its symbol is listed is not looked at."""
    query, venue = question.query, question.venue
    if query is None:
        return _session_note(question)
    params = question.params or {}
    path, method = ways(query, venue)
    asked = question.params is not None
    refusals = list(_refusals(query, venue, profile, params)) if asked else []
    return QuestionNote(
        given=question.given,
        venue=venue.name,
        asks=query.doc,
        path=path,
        method=method,
        weight=query.weigh(params),
        weight_rule=weight_text(query.weight),
        allowance=allowance_text(query) or None,
        keyed=query.requires_key,
        params=[_param(param, params) for param in query.params],
        refused=bool(refusals),
        remarks=[*refusals, *_ignored(query, params)] if asked else [],
    )


def _session_note(question: Question) -> QuestionNote:
    method = question.given.rpartition("/")[2]
    return QuestionNote(
        given=question.given,
        venue=question.venue.name,
        asks="The session of the connection; this server has no accounts.",
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
    nothing = Markets(venue, profile, Timers(0))
    for param in query.params:
        try:
            param.value(nothing, params)
        except RequestError as error:
            if error.code not in _UNLISTED:
                yield f"refused: {error}"


def _ignored(query: Query, params: Mapping[str, object]) -> Iterator[str]:
    for name in params.keys() - {param.name for param in query.params}:
        yield f"{name} is not looked at"
