"""Why a name is not a stream of a venue, and which name was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

from tickerplant.stream_name import parse_stream_name
from tickerplant.streams import CATALOGUE, find, resolve
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.stream import Stream
from tickerplant.streams.subjects import one_pair, one_symbol
from tickerplant.suggestions import closest_match
from tickerplant.venue import COINM, USDM, VENUES, Venue

if TYPE_CHECKING:
    from tickerplant.market.markets import Markets

_CHOICES = re.compile(r":[^>]+>")
_INVERSE = re.compile(r"[^@!/]+usd(_perp|_\d{6})?", re.IGNORECASE)
"""The form of symbols and pairs of COIN-M."""
_FREE = "x"
"""Placeholder for a symbol or pair in the names that are compared."""
_MIN_SIMILARITY = 0.75
_SYMBOLS = {"symbol": "symbol", "pair": "pair", "assetSymbol": "asset index"}
"""The free parts of names, in words."""


def unknown_reason(venue: Venue, name: str) -> str:
    """Return why no server of `venue` is expected to send the stream; empty if one is."""
    found = resolve(venue, name)
    if found is None:
        return spelling_error(venue, name)
    stream, args = found
    listed = COINM if is_inverse(args.get("symbol", args.get("pair", ""))) else USDM
    # Streams with other subjects may cover both venues.
    if stream.subjects not in {one_symbol, one_pair} or listed is venue:
        return ""
    return f"its symbol has the form of one of {listed.title}, not of {venue.title}"


def remedy(markets: Markets, name: str) -> str:
    """Return why the stream `name` stays silent here and what to do, in one line.

    It is known to be silent: if the name and its symbol are right, the path is wrong.
    """
    found = find(markets, name)
    if found is None:
        return spelling_error(markets.venue, name)
    stream, args = found
    if stream.subjects(markets, args):
        return only_under(stream)
    return unknown_reason(markets.venue, name) or _why_unlisted(markets, name, args)


def only_under(stream: Stream) -> str:
    """Return the path that delivers a stream, in words."""
    return f"delivered under /{stream.route} only"


def _why_unlisted(markets: Markets, name: str, args: Args) -> str:
    part = next((part for part in _SYMBOLS if part in args), "")
    if not part:
        return "none of its subjects is listed now"
    symbol = args[part].upper()
    listed = _listed(markets, part, symbol[:1])
    if symbol in listed:
        return f"the stream does not cover {symbol}"
    text = f"no such {_SYMBOLS[part]} is listed now"
    alike = closest_match(symbol, listed)
    return f"{text}; did you mean {name.replace(args[part], alike.lower(), 1)}?" if alike else text


def _listed(markets: Markets, part: str, initial: str) -> set[str]:
    """Return the values that a part of a name can have now; only those with `initial`, for speed."""
    if part == "assetSymbol":
        found = set(markets.asset_indices)
    elif part == "pair":
        found = {market.instrument.pair for market in markets.universe}
    else:
        found = {market.symbol for market in markets.universe}
    return {each for each in found if each.startswith(initial)}


def venue_of_name(name: str) -> Venue:
    """Return the only venue that has the stream, else the one whose symbols look like its own."""
    known = [venue for venue in VENUES if resolve(venue, name)]
    if len(known) == 1:
        return known[0]
    return COINM if is_inverse(parse_stream_name(name).symbol) else USDM


def is_inverse(symbol: str) -> bool:
    """Return whether a symbol or pair has the form of COIN-M."""
    return _INVERSE.fullmatch(symbol) is not None


def spelling_error(venue: Venue, name: str) -> str:
    """Return what is wrong with a stream name that is unknown on `venue`, in one line."""
    bare = "".join(name.split())
    if bare != name:
        return "a name contains no blanks" + (f": {bare}" if resolve(venue, bare) else "")
    if "/" in name and all(resolve(venue, each) for each in name.split("/")):
        return "several names in one; only a URL joins them by /"
    meant = _other_case(venue, name)
    if meant:
        return f"names are case-sensitive: {meant}"
    wrong_part = next(_wrong_parts(venue, name), "")
    if wrong_part:
        return wrong_part
    others = [other for other in VENUES if other is not venue and resolve(other, name)]
    if others:
        return f"a stream of {others[0].title}, not of {venue.title}"
    meant = _similar(venue, name)
    return "no stream has this name" + (f"; did you mean {meant}?" if meant else "")


def period_text(period_ms: int) -> str:
    """Return an update speed in words."""
    return f"{period_ms} ms" if period_ms else "real time"


def _split(name: str) -> tuple[str, str]:
    """Return the symbol of a name, empty without one, and the rest."""
    parsed = parse_stream_name(name)
    head = "" if parsed.is_of_all else parsed.topic
    return head, name[len(head) :]


@lru_cache
def _tails(venue: Venue) -> dict[str, str]:
    """Return the part after the symbol of each name in the catalogue, by the same in lower case."""
    tails: dict[str, str] = {}
    for stream in CATALOGUE:
        if venue in stream.venues:
            parts = stream.pattern.parts
            for chosen in product(*(choices or (_FREE,) for choices in parts.values())):
                name = stream.pattern.name(**dict(zip(parts, chosen, strict=True)))
                tail = _split(name)[1]
                tails.setdefault(tail.lower(), tail)
    return tails


def _other_case(venue: Venue, name: str) -> str:
    """Return the stream name that differs from `name` in case only; empty if there is none."""
    head, tail = _split(name)
    for meant in (head.lower() + tail, head.lower() + _tails(venue).get(tail.lower(), "")):
        if resolve(venue, meant):
            return meant
    return ""


def _wrong_parts(venue: Venue, name: str) -> Iterator[str]:
    """Yield a text for each part of a name that does not have one of its allowed values."""
    for stream in CATALOGUE:
        if venue not in stream.venues:
            continue
        found = Pattern(_CHOICES.sub(">", stream.pattern.text)).match(name)
        for part, choices in stream.pattern.parts.items() if found else ():
            if found and choices and found[part] not in choices:
                text = f"its {part} is one of {', '.join(choices)}, not {found[part]}"
                yield text + _without_speed(venue, name) if part == "speed" else text


def _without_speed(venue: Venue, name: str) -> str:
    """Return the speed of the same stream without a speed in its name, in words."""
    bare = name.rpartition("@")[0]
    known = resolve(venue, bare)
    if known is None:
        return ""
    stream, args = known
    return f"; the one of {period_text(stream.period(venue, args))} is {bare}"


def _similar(venue: Venue, name: str) -> str:
    head, tail = _split(name)
    close = closest_match(tail, _tails(venue).values(), similarity=_MIN_SIMILARITY)
    return head.lower() + close if close and resolve(venue, head.lower() + close) else ""
