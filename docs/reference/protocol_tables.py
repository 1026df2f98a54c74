"""The tables of the pages about the protocol."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from page_text import Cells, code, one_line, table

from tickerplant.documented_fields import field_docs
from tickerplant.errors import RequestError
from tickerplant.explain.catalogue import (
    allowance_text,
    endpoint_names,
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
from tickerplant.streams.pattern import Pattern
from tickerplant.streams.stream import Stream
from tickerplant.venue import COINM, USDM, VENUES

LONG = 4
"""A part of a stream name with more choices than this has a row of its own."""
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


def stream_name(pattern: Pattern) -> str:
    """Return a name as the page of streams has it: long lists of choices stand elsewhere."""
    text = pattern.text
    for part, choices in pattern.parts.items():
        if len(choices) >= LONG:
            text = text.replace(f"<{part}:{'|'.join(choices)}>", f"<{part}>")
    return text


def streams() -> str:
    """Return the table of all streams."""
    head = ("stream", "event", "USDⓈ-M", "COIN-M", "path", "`latest`", "what it sends")
    return table(head, map(_stream, CATALOGUE))


def _stream(stream: Stream) -> Cells:
    return (
        f"`{stream_name(stream.pattern)}`",
        code(*stream.events) + (" array" if stream.array else ""),
        *(speeds_text(stream, venue) or "no" for venue in (USDM, COINM)),
        stream.route,
        _word(stream.conflation),
        stream.doc,
    )


def _word(conflation: Conflation) -> str:
    return conflation.name.lower().replace("_", " ")


def stream_parts() -> str:
    """Return the table of the parts of stream names with many choices."""
    parts = {
        part: choices
        for stream in CATALOGUE
        for part, choices in stream.pattern.parts.items()
        if len(choices) >= LONG
    }
    return table(("part", "one of"), ((f"`<{part}>`", code(*parts[part])) for part in parts))


def conflations() -> str:
    """Return the table of what a stream becomes with `delivery=latest`."""
    rows = ((_word(each), each.value) for each in Conflation)
    return table(("`latest`", "for a client that is behind"), rows)


def queries() -> str:
    """Return the table of the queries of one venue or both."""
    return _queries(query for query in QUERIES if not _is_shared(query))


def statistics() -> str:
    """Return the table of the queries whose path is the same on both venues."""
    return _queries(query for query in QUERIES if _is_shared(query))


def _is_shared(query: Query) -> bool:
    return (query.path or "").startswith(SHARED_PATHS)


def _queries(rows: Iterable[Query]) -> str:
    return table(("query", "what it answers", "weight", "parameters"), map(_query, rows))


def _query(query: Query) -> Cells:
    places = [(*endpoint_names(query, venue), venue) for venue in query.venues]
    paths = dict.fromkeys(path for path, _, _ in places if path)
    methods = [venue.title for _, method, venue in places if method]
    names = [f"`{path}`" for path in paths]
    if _is_shared(query):
        names = [f"{names[0]} ({', '.join(venue.title for venue in query.venues)})"]
    if methods:
        where = "" if len(methods) == len(VENUES) else f" ({methods[0]})"
        names.append(f"`{query.method}`{where}")
    weight = weight_rule(query)
    if allowance := allowance_text(query):
        weight += f"; {allowance}"
    return ", ".join(names), query.doc, weight, "; ".join(map(_param, query.params))


def _described(param: Param) -> tuple[str, str]:
    return param.name, param.doc


def _param(param: Param) -> str:
    text = f"**`{param.name}`**" if param.required else f"`{param.name}`"
    if param.default is not None:
        text += f" {param.default}"
    return text if _described(param) in COMMON_PARAMS else f"{text}: {param.doc.rstrip('.')}"


COMMON_PARAMS = {
    described
    for described, count in Counter(
        _described(param) for query in QUERIES for param in query.params
    ).items()
    if count >= COMMON
}
"""Name and meaning of the parameters that are described once."""


def query_parameters() -> str:
    """Return the table of the parameters that several queries have."""
    return table(
        ("parameter", "meaning"), ((f"`{name}`", doc) for name, doc in sorted(COMMON_PARAMS))
    )


def account_requests() -> str:
    """Return the table of the paths and methods about accounts."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for row in ACCOUNT_REQUESTS:
        titles, verbs = found.setdefault(row.path or row.method, {"in": {}, "by": {}}).values()
        titles[row.venue.title] = None
        verbs[row.http_method] = None
    rows = ((f"`{it}`", ", ".join(of["by"]), ", ".join(of["in"])) for it, of in found.items())
    return table(("path or method", "HTTP methods", "venue"), rows)


def limits() -> str:
    """Return the table of the protocol's numbers."""
    return table(
        ("name", "default", "unit", "minimum", "clock", "what it limits", "source"),
        (
            (
                f"`{row.name}`",
                f"{int(row.default)}",
                row.unit,
                f"{row.least}",
                row.clock,
                row.doc,
                row.source,
            )
            for row in LIMIT_ROWS
        ),
    )


def profiles() -> str:
    """Return the table of the differences of the profiles."""
    docs = {"period": "period"} | field_docs(Profile)
    every = tuple(PROFILES.values())
    rows = (
        (doc.rstrip("."), *(_profile_value(getattr(profile, name)) for profile in every))
        for name, doc in docs.items()
    )
    return table(("", *(f"`{name}`" for name in PROFILES)), rows)


def _profile_value(value: object) -> str:
    """Return a value of a profile as text."""
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


def control_errors() -> str:
    """Return the table of the error replies on stream connections."""
    return table(("code", "invalid message", "response"), map(_control_error, ODD_MESSAGES))


def _control_error(text: str) -> Cells:
    try:
        read_request(text, LIMITS.max_name_bytes)
    except ControlError as error:
        return f"{error.code}", f"`{text}`", error.message
    raise ValueError(f"{text} has no error")


def api_errors() -> str:
    """Return the table of the errors in the form of a WebSocket API request."""
    return table(("code", "status", "invalid request", "response"), map(_api_error, ODD_REQUESTS))


def _api_error(text: str) -> Cells:
    problem = read_api_request(text).problem
    if problem is None:
        raise ValueError(f"{text} has no error")
    return f"{problem.code}", f"{problem.status}", f"`{text}`", problem.message


def request_refusals() -> str:
    """Return the table of the errors in the parameters of a request."""
    rows = (
        (f"{error.code}", f"{error.status}", when, f"`{error.message}`")
        for error, when in sorted(_refusals(), key=lambda found: -found[0].code)
    )
    return table(("code", "status", "when", "message"), rows)


def _refusals() -> Iterator[tuple[RequestError, str]]:
    for _, refuse in inspect.getmembers(request_errors, inspect.isfunction):
        blanks = {name: f"<{name}>" for name in inspect.signature(refuse).parameters}
        yield refuse(**blanks), one_line(inspect.getdoc(refuse) or "")


def close_reasons() -> str:
    """Return the table of the reasons for which the server closes a connection."""
    head = ("name", "code", "text of the close frame", "reconnect at once", "ending", "when")
    return table(head, _close_reasons())


def _close_reasons() -> Iterable[Cells]:
    for row in CLOSE_REASONS:
        ending = ending_of_close(row.code).name
        at_once = "yes" if row.should_reconnect else "no"
        yield f"`{row.name}`", f"{row.code}", row.reason, at_once, f"`{ending}`", row.doc
    for name, doc in OTHER_ENDS.items():
        yield f"`{name}`", "", "", "", "", doc


def endings() -> str:
    """Return the table of what the client does when a connection ends."""
    return table(
        ("name", "minimum pause", "when, and what happens"),
        ((f"`{row.name}`", f"{row.min_pause_ms / 1_000:g} s", row.doc) for row in ENDINGS),
    )


TABLES: dict[str, Callable[[], str]] = {
    "account-requests": account_requests,
    "api-errors": api_errors,
    "close-reasons": close_reasons,
    "conflations": conflations,
    "control-errors": control_errors,
    "endings": endings,
    "limits": limits,
    "profiles": profiles,
    "queries": queries,
    "query-parameters": query_parameters,
    "request-refusals": request_refusals,
    "stream-parts": stream_parts,
    "statistics": statistics,
    "streams": streams,
}
