"""The catalogues of streams and queries as rows and as text: for the command line and the reference."""

from __future__ import annotations

from msgspec import Struct

from tickerplant.protocol.limits import LIMITS
from tickerplant.queries import QUERIES
from tickerplant.queries.query import FlatWeight, LimitWeight, Query, SymbolWeight, Weight
from tickerplant.streams import CATALOGUE
from tickerplant.streams.pattern import Pattern
from tickerplant.streams.spelling import period_text
from tickerplant.streams.stream import Stream
from tickerplant.venue import VENUES, Venue

STREAM_TITLES = (
    "stream",
    *(f"speed on {venue.title}" for venue in VENUES),
    "route",
    "event",
    "what it carries",
)
QUERY_TITLES = (
    "REST path",
    "WS API method",
    "venue",
    "weight",
    "allowance",
    "key",
    "what it returns",
)


_MANY = 4
"""Up to this many choices for a part of a name are all shown."""


class StreamRow(Struct, frozen=True):
    """One stream of the catalogue; `streams --json` prints a list of these."""

    stream: str
    """Its name, with `<symbol>` and the like for the variable parts."""
    parts: dict[str, tuple[str, ...]]
    """The values of each variable part; empty if any symbol, pair or asset may be written."""
    speeds: dict[str, str]
    """Its update speeds in words, by venue; only the venues that have it."""
    route: str
    """The route that delivers it in profiles with split routes."""
    events: tuple[str, ...]
    """The event types of its messages."""
    carries: str
    """What its messages contain."""
    conflation: str
    """What becomes of its messages while a client with `delivery=latest` is behind."""


class ParamRow(Struct, frozen=True):
    """One parameter of a query."""

    name: str
    """Its name."""
    required: bool
    """Whether a request without it is rejected."""
    default: str | None
    """What it is if it is left out."""
    doc: str
    """What it means."""


class QueryRow(Struct, frozen=True):
    """One query on one venue; `queries --json` prints a list of these."""

    rest_path: str | None
    """Null if REST does not have it."""
    method: str | None
    """Its method of the WebSocket API; null if that does not have it."""
    venue: str
    """`usdm` or `coinm`."""
    weight: str
    """Its request weight, or the range of it."""
    weight_rule: str
    """How the weight follows from the parameters."""
    allowance: str | None
    """The name of its separate request limit."""
    requires_key: bool
    """Whether REST requires an API key; any key is accepted."""
    params: list[ParamRow]
    """Its parameters."""
    returns: str
    """What the response contains."""


def stream_rows() -> list[StreamRow]:
    """Return the catalogue of streams."""
    return [
        StreamRow(
            stream=short_name(row.pattern),
            parts=dict(row.pattern.parts),
            speeds={venue.name: speeds_text(row, venue) for venue in row.venues},
            route=row.route,
            events=tuple(row.events),
            carries=row.doc,
            conflation=row.conflation.value,
        )
        for row in CATALOGUE
    ]


def stream_cells(row: StreamRow) -> tuple[str, ...]:
    """Return a stream as cells under `STREAM_TITLES`."""
    speeds = (row.speeds.get(venue.name, "") for venue in VENUES)
    return (row.stream, *speeds, row.route, ", ".join(row.events), row.carries)


def query_rows() -> list[QueryRow]:
    """Return the catalogue of queries, each once for each venue."""
    rows = []
    for query in QUERIES:
        params = [
            ParamRow(
                each.name,
                each.required,
                None if each.default is None else str(each.default),
                each.doc,
            )
            for each in query.params
        ]
        for venue in query.venues:
            path, method = endpoint_names(query, venue)
            rows.append(
                QueryRow(
                    rest_path=path or None,
                    method=method or None,
                    venue=venue.name,
                    weight=weight_range(query.weight),
                    weight_rule=weight_rule(query),
                    allowance=query.allowance or None,
                    requires_key=query.requires_key,
                    params=params,
                    returns=query.doc,
                )
            )
    return rows


def query_cells(row: QueryRow) -> tuple[str, ...]:
    """Return a query as cells under `QUERY_TITLES`."""
    titles = {venue.name: venue.title for venue in VENUES}
    return (
        row.rest_path or "",
        row.method or "",
        titles[row.venue],
        row.weight,
        row.allowance or "",
        "yes" if row.requires_key else "",
        row.returns,
    )


def speeds_text(stream: Stream, venue: Venue) -> str:
    """Return all update speeds of a stream; empty if the venue does not have it."""
    if venue not in stream.venues:
        return ""
    chosen = stream.pattern.parts.get("speed", ())
    periods = [stream.period(venue, {"speed": speed}) for speed in chosen]
    return ", ".join(map(period_text, periods or [stream.period(venue, {})]))


def short_name(pattern: Pattern) -> str:
    """Return a stream name with long lists of choices shortened to their first and last."""
    text = pattern.text
    for choices in pattern.parts.values():
        if len(choices) > _MANY:
            text = text.replace("|".join(choices), f"{choices[0]}…{choices[-1]}")
    return text


def weight_range(weight: Weight) -> str:
    """Return the lowest and the highest weight of a request."""
    match weight:
        case SymbolWeight():
            weights = {weight.one, weight.every}
        case LimitWeight():
            weights = {of for _, of in weight.bands}
        case _:
            return weight_text(weight)
    return f"{min(weights)}-{max(weights)}"


def weight_text(weight: Weight) -> str:
    """Return the rule for the weight of a request."""
    match weight:
        case FlatWeight():
            return str(weight.weight)
        case SymbolWeight():
            return f"{weight.one} with `symbol`, {weight.every} without"
        case LimitWeight():
            bands = ", ".join(f"{of} for `limit` up to {top}" for top, of in weight.bands)
            return f"{bands}; {weight.unlimited} without"
        case _:
            raise TypeError(f"unknown weight rule {weight!r}")


def weight_rule(query: Query) -> str:
    """Return the documented rule for the weight of a query, and the measured one where it differs."""
    documented = weight_text(query.weight)
    if query.measured_weight is None:
        return documented
    measured = weight_text(query.measured_weight)
    if isinstance(query.weight, LimitWeight) and isinstance(query.measured_weight, LimitWeight):
        measured = f"{query.measured_weight.unlimited} without"  # the bands are the same
    return f"{documented}; over REST in the profile `current`, {measured}"


def endpoint_names(query: Query, venue: Venue) -> tuple[str, str]:
    """Return the REST path and the WebSocket API method of a query, each empty if there is none."""
    path = query.path_on(venue) or ""
    return path, query.method or "" if query.has_method(venue) else ""


def allowance_text(query: Query) -> str:
    """Return the separate request limit of a query; empty if only its weight is limited."""
    if query.allowance is None:
        return ""
    minutes = LIMITS.allowance_window_ms // 60_000
    number = LIMITS.allowance(query.allowance)
    return f"{number} {query.allowance} requests per {minutes} minutes"
