"""Rows of the tables in words: for the command line and the reference pages alike."""

from __future__ import annotations

from tickerplant.protocol.limits import LIMITS
from tickerplant.queries.query import FlatWeight, LimitWeight, Query, SymbolWeight, Weight
from tickerplant.streams.pattern import Pattern
from tickerplant.streams.spelling import period_text
from tickerplant.streams.stream import Stream
from tickerplant.venue import Venue

_MANY = 4
"""Most choices of a part of a name that are all shown."""


def speeds_text(stream: Stream, venue: Venue) -> str:
    """Return every update speed of a row on `venue`, empty if it is not there."""
    if venue not in stream.venues:
        return ""
    chosen = stream.pattern.parts.get("speed", ())
    periods = [stream.period(venue, {"speed": speed}) for speed in chosen]
    return ", ".join(map(period_text, periods or [stream.period(venue, {})]))


def short_name(pattern: Pattern) -> str:
    """Return a stream name with only the ends of long lists of what a part can be."""
    text = pattern.text
    for choices in pattern.parts.values():
        if len(choices) > _MANY:
            text = text.replace("|".join(choices), f"{choices[0]}…{choices[-1]}")
    return text


def weight_range(weight: Weight) -> str:
    """Return the least and the most that a question can weigh."""
    match weight:
        case SymbolWeight():
            weights = {weight.one, weight.every}
        case LimitWeight():
            weights = {of for _, of in weight.bands}
        case _:
            return weight_text(weight)
    return f"{min(weights)}-{max(weights)}"


def weight_text(weight: Weight) -> str:
    """Return the rule by which a question weighs, in words.

    Raises:
        TypeError: there are no words for this rule yet.
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
            raise TypeError(f"there are no words for {weight!r}")


def ways(query: Query, venue: Venue) -> tuple[str, str]:
    """Return the REST path and the WebSocket API method of a question, empty where there is none."""
    path = query.path_on(venue) or ""
    return path, query.method or "" if query.has_method(venue) else ""


def allowance_text(query: Query) -> str:
    """Return how often an address may ask, weight apart; empty if only weight counts."""
    if query.allowance is None:
        return ""
    minutes = LIMITS.allowance_window_ms // 60_000
    number = LIMITS.allowance(query.allowance)
    return f"{number} questions about {query.allowance} per {minutes} minutes"
