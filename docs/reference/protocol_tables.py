"""The tables of the pages about the protocol."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial

from page_text import Cells, Table, code

from tickerplant.documented_fields import field_docs
from tickerplant.explain.catalogue import (
    allowance_text,
    endpoint_names,
    short_name,
    speeds_text,
    weight_rule,
)
from tickerplant.feed.reconnect import ENDINGS, ending_of_close
from tickerplant.profile import PROFILES, Profile
from tickerplant.protocol.client_requests import ControlError, read_api_request, read_request
from tickerplant.protocol.close_reasons import CLOSE_REASONS, OTHER_ENDS
from tickerplant.protocol.limits import LIMIT_ROWS, LIMITS
from tickerplant.queries import QUERIES, request_errors
from tickerplant.queries.account_requests import ACCOUNT_REQUESTS
from tickerplant.queries.param import Param
from tickerplant.queries.query import Query
from tickerplant.streams import CATALOGUE
from tickerplant.streams.conflation import Conflation
from tickerplant.venue import COINM, USDM, VENUES

COMMON = 3
"""A parameter that so many queries have in the same way is described once."""

SHARED_PATHS = "/futures/data/"

ODD_MESSAGES = (
    '{"method": "SUBSCRIBE", "params": ["btcusdt@trade"',
    "[]",
    '{"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": -1}',
    '{"params": ["btcusdt@trade"], "id": 1}',
    '{"method": "subscribe", "params": ["btcusdt@trade"], "id": 1}',
    '{"method": "SUBSCRIBE", "params": "btcusdt@trade", "id": 1}',
    '{"method": "SUBSCRIBE", "params": [7], "id": 1}',
    '{"method": "LIST_SUBSCRIPTIONS", "params": ["btcusdt@trade"], "id": 1}',
    '{"method": "GET_PROPERTY", "params": [], "id": 1}',
    '{"method": "GET_PROPERTY", "params": ["joined"], "id": 1}',
    '{"method": "SET_PROPERTY", "params": ["combined", "yes"], "id": 1}',
)
"""Messages with one error each, for the examples on the page."""

ODD_REQUESTS = (
    '{"id": 1, "method": "ticker.book"',
    '"ticker.book"',
    '{"id": 1}',
    '{"id": 1, "method": "ticker.book", "params": []}',
    '{"id": [], "method": "ticker.book"}',
    '{"id": 1, "method": "ticker.book", "params": {"returnRateLimits": 1}}',
)
"""WebSocket API requests with one error each."""


def streams() -> Iterator[Cells]:
    """Yield all streams."""
    for stream in CATALOGUE:
        yield (
            f"`{short_name(stream.pattern)}`",
            code(*stream.events) + (" array" if stream.array else ""),
            *(speeds_text(stream, venue) or "no" for venue in (USDM, COINM)),
            stream.route,
            _word(stream.conflation),
            stream.doc,
        )


def conflations() -> Iterator[Cells]:
    """Yield what becomes of messages that wait with `delivery=latest`."""
    for each in Conflation:
        yield _word(each), each.value


def _word(conflation: Conflation) -> str:
    return conflation.name.lower().replace("_", " ")


def queries(*, are_shared: bool) -> Iterator[Cells]:
    """Yield the queries whose path is the same on both venues, or the others."""
    for query in QUERIES:
        if (query.path or "").startswith(SHARED_PATHS) == are_shared:
            weight = "; ".join(filter(None, (weight_rule(query), allowance_text(query))))
            params = "; ".join(map(_param, query.params))
            yield ", ".join(_places(query, are_shared=are_shared)), query.doc, weight, params


def _places(query: Query, *, are_shared: bool) -> Iterator[str]:
    places = [(*endpoint_names(query, venue), venue.title) for venue in query.venues]
    for path in dict.fromkeys(path for path, _, _ in places if path):
        venues = f" ({', '.join(title for _, _, title in places)})" if are_shared else ""
        yield f"`{path}`{venues}"
    titles = [title for _, method, title in places if method]
    if titles:
        where = "" if len(titles) == len(VENUES) else f" ({titles[0]})"
        yield f"`{query.method}`{where}"


def _param(param: Param) -> str:
    text = f"**`{param.name}`**" if param.required else f"`{param.name}`"
    if param.default is not None:
        text += f" {param.default}"
    common = param.name, param.doc
    return text if common in query_parameters() else f"{text}: {param.doc.rstrip('.')}"


@cache
def query_parameters() -> tuple[tuple[str, str], ...]:
    """Return name and meaning of the parameters that are described once."""
    counted = Counter((param.name, param.doc) for query in QUERIES for param in query.params)
    return tuple(sorted(described for described, count in counted.items() if count >= COMMON))


def account_requests() -> Iterator[Cells]:
    """Yield the paths and methods about accounts, those together that are the same in the rest."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for row in ACCOUNT_REQUESTS:
        verbs, titles = found.setdefault(row.path or row.method, ({}, {}))
        verbs[row.http_method or "WebSocket API"] = titles[row.venue.title] = None
    together: dict[tuple[str, ...], list[str]] = {}
    for name, parts in found.items():
        together.setdefault(tuple(map(", ".join, parts)), []).append(name)
    for by, names in together.items():
        yield *by, code(*names)


def limits() -> Iterator[Cells]:
    """Yield the protocol's numbers."""
    for row in LIMIT_ROWS:
        numbers = f"{int(row.default)}", row.unit, f"{row.least}"
        yield f"`{row.name}`", *numbers, row.clock, row.doc, row.source


def profiles() -> Iterator[Cells]:
    """Yield the differences of the profiles."""
    for name, doc in {"period": "period", **field_docs(Profile)}.items():
        values = (_profile_value(getattr(profile, name)) for profile in PROFILES.values())
        yield doc.rstrip("."), *values


def _profile_value(value: object) -> str:
    titles = {venue.name: venue.title for venue in VENUES}
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "the venue's own"
        case tuple():
            return ", ".join(f"{titles.get(part, part)}" for part in value) or "none"
        case _:
            return f"{value}"


def control_errors() -> Iterator[Cells]:
    """Yield the error replies on stream connections.

    Raises:
        ValueError: an example has no error.
    """
    for text in ODD_MESSAGES:
        try:
            read_request(text, LIMITS.max_name_bytes)
        except ControlError as error:
            yield f"{error.code}", f"`{text}`", error.message
        else:
            raise ValueError(f"{text} has no error")


def api_errors() -> Iterator[Cells]:
    """Yield the errors in the form of a WebSocket API request.

    Raises:
        ValueError: an example has no error.
    """
    for text in ODD_REQUESTS:
        problem = read_api_request(text).problem
        if problem is None:
            raise ValueError(f"{text} has no error")
        yield f"{problem.code}", f"{problem.status}", f"`{text}`", problem.message


def request_refusals() -> list[Cells]:
    """Return the errors in the parameters of a request, by their code."""
    found = []
    for _, refuse in inspect.getmembers(request_errors, inspect.isfunction):
        blanks = {name: f"<{name}>" for name in inspect.signature(refuse).parameters}
        found.append((refuse(**blanks), inspect.getdoc(refuse) or ""))
    found.sort(key=lambda each: -each[0].code)
    return [(f"{it.code}", f"{it.status}", when, f"`{it.message}`") for it, when in found]


def close_reasons() -> Iterator[Cells]:
    """Yield the reasons for which a connection ends."""
    for row in CLOSE_REASONS:
        at_once = "yes" if row.should_reconnect else "no"
        ending = ending_of_close(row.code).name
        yield f"`{row.name}`", f"{row.code}", row.reason, at_once, f"`{ending}`", row.doc
    for name, doc in OTHER_ENDS.items():
        yield f"`{name}`", "", "", "", "", doc


def endings() -> Iterator[Cells]:
    """Yield what the client does when a connection ends."""
    for row in ENDINGS:
        yield f"`{row.name}`", f"{row.min_pause_ms / 1_000:g} s", row.doc


QUERY_HEAD = "query | what it answers | weight | parameters"
TABLES: dict[str, Callable[[], str]] = {
    "account-requests": Table("by | venue | path or method", account_requests),
    "api-errors": Table("code | status | invalid request | response", api_errors),
    "close-reasons": Table(
        "name | code | text of the close frame | reconnect at once | ending | when", close_reasons
    ),
    "conflations": Table("`latest` | for a client that is behind", conflations),
    "control-errors": Table("code | invalid message | response", control_errors),
    "endings": Table("name | minimum pause | when, and what happens", endings),
    "limits": Table("name | default | unit | minimum | clock | what it limits | source", limits),
    "profiles": Table(f" | {' | '.join(map(code, PROFILES))}", profiles),
    "queries": Table(QUERY_HEAD, partial(queries, are_shared=False)),
    "query-parameters": Table(
        "parameter | meaning", lambda: ((code(name), doc) for name, doc in query_parameters())
    ),
    "request-refusals": Table("code | status | when | message", request_refusals),
    "statistics": Table(QUERY_HEAD, partial(queries, are_shared=True)),
    "streams": Table("stream | event | USDⓈ-M | COIN-M | path | `latest` | what it sends", streams),
}
