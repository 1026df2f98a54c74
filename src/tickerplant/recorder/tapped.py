"""Which streams of a plant are recorded: those that are named, or the ones that tell most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tickerplant.errors import ConfigError
from tickerplant.streams.spelling import why_doubtful
from tickerplant.venue import Venue

OPTION = "--record-streams"
CONTRACTS = "!contractInfo"
OF_EACH_SYMBOL = ("trade", "bookTicker", "depth@100ms")
OF_ALL_SYMBOLS = ("!markPrice@arr@1s", "!forceOrder@arr", CONTRACTS)


def usual_streams(symbols: Iterable[str]) -> list[str]:
    """Return the streams that are recorded of a venue with `symbols` unless others are named."""
    names = [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in OF_EACH_SYMBOL]
    return [*OF_ALL_SYMBOLS, *names]


def named_streams(names: Sequence[str], venues: Sequence[Venue]) -> dict[str, tuple[str, ...]]:
    """Return the streams that are to be recorded, by the name of their venue.

    A name that both venues may have, such as `!contractInfo`, is recorded of both.

    Raises:
        ConfigError: a name is no stream of these venues.
    """
    chosen: dict[str, list[str]] = {venue.name: [] for venue in venues}
    for name in dict.fromkeys(names):
        doubts = {venue.name: why_doubtful(venue, name) for venue in venues}
        if all(doubts.values()):
            raise ConfigError(OPTION, name, f"a stream ({next(iter(doubts.values()))})")
        for venue_name, doubt in doubts.items():
            if not doubt:
                chosen[venue_name].append(name)
    return {venue_name: tuple(found) for venue_name, found in chosen.items()}
