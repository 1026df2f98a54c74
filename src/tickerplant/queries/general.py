"""Questions about the server itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tickerplant.queries.query import Query
from tickerplant.queries.weight import Flat
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.markets import Markets


class Pong(Struct, frozen=True):
    """Nothing: the answer is that there is one."""


class Time(Struct, frozen=True, rename="camel"):
    """What time it is in the market."""

    server_time: int


def ping(_markets: Markets) -> Pong:
    """Return an empty object."""
    return Pong()


def time(markets: Markets) -> Time:
    """Return the market clock, ms."""
    return Time(markets.now_ms)


# REST pages "Test Connectivity" and "Check Server Time"; the WebSocket API answers both as well.
QUERIES = (
    Query(
        method="ping",
        path="/v1/ping",
        venues=(USDM, COINM),
        of_market=False,
        weight=Flat(1),
        respond=ping,
        doc="Test that the server answers.",
    ),
    Query(
        method="time",
        path="/v1/time",
        venues=(USDM, COINM),
        of_market=False,
        weight=Flat(1),
        respond=time,
        doc="The market clock.",
    ),
)
