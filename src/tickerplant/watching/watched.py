"""What is watched, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tickerplant.client.market import MarketClient
from tickerplant.stdio import FAILED


class Watched(Struct, frozen=True):
    """What is to be watched."""

    market: MarketClient
    names: tuple[str, ...]
    hints: Mapping[str, str]
    """What is wrong with names, by name."""
    seconds: float | None


def status_of(market: MarketClient, *, is_interrupted: bool) -> int:
    """Return the exit status: that of a failure if nothing came until the time was up."""
    return 0 if is_interrupted or market.counters.messages else FAILED
