"""The catalogues of streams and queries as rows: for `--json`, and as cells of tables."""

from __future__ import annotations

from msgspec import Struct

from tickerplant.explain.catalogue_text import (
    endpoint_names,
    short_name,
    speeds_text,
    weight_range,
    weight_rule,
)
from tickerplant.queries import QUERIES
from tickerplant.streams import CATALOGUE
from tickerplant.venue import VENUES

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
