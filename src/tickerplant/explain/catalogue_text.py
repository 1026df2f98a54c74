"""Rows of the stream and query catalogues as text, for the command line and the reference pages."""

from __future__ import annotations

from tickerplant.protocol.limits import LIMITS
from tickerplant.queries.query import FlatWeight, LimitWeight, Query, SymbolWeight, Weight
from tickerplant.streams.pattern import Pattern
from tickerplant.streams.spelling import period_text
from tickerplant.streams.stream import Stream
from tickerplant.venue import Venue

_MANY = 4
"""Up to this many choices for a part of a name are all shown."""


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
    """Return the rule for the weight of a request.

    Raises:
        TypeError: the rule is of an unknown class.
    """
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
