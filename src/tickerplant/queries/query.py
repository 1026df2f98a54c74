"""What a question costs of the budget of its address.

A refused question costs too, so a weight is told from the raw parameters, whatever they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import Struct

from tickerplant.errors import RequestError
from tickerplant.queries import request_errors
from tickerplant.queries.param import Param
from tickerplant.venue import Venue

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets


class Weight(Protocol):
    """A rule by which a question weighs."""

    def of(self, raw: Mapping[str, object]) -> int:
        """Return the weight of a question with the parameters `raw`; raises nothing."""
        ...


class FlatWeight(Struct, frozen=True):
    """Always the same."""

    weight: int

    def of(self, raw: Mapping[str, object]) -> int:  # noqa: ARG002 - the rule looks at nothing
        """Return the one weight."""
        return self.weight


class SymbolWeight(Struct, frozen=True):
    """Less for one symbol than for all of them."""

    one: int
    every: int

    def of(self, raw: Mapping[str, object]) -> int:
        """Return the weight of one symbol if one is named."""
        return self.one if raw.get("symbol") else self.every


class LimitWeight(Struct, frozen=True):
    """The more rows are asked for, the more; `bands` are pairs (up to this limit, weight)."""

    bands: tuple[tuple[int, int], ...]
    unlimited: int
    """The weight of a question that names no limit, or none that can be read."""

    def of(self, raw: Mapping[str, object]) -> int:
        """Return the weight of the first band that holds the limit, else that of the last."""
        limit = raw.get("limit")
        if isinstance(limit, str) and limit.isdecimal() and len(limit) <= 20:
            limit = int(limit)
        if not isinstance(limit, int) or isinstance(limit, bool):
            return self.unlimited
        return next((weight for top, weight in self.bands if limit <= top), self.bands[-1][1])


FUNDING_ALLOWANCE = "funding"
STATISTICS_ALLOWANCE = "statistics"
"""The request budgets of USDⓈ-M that count requests besides their weight: 500 and 1000 requests in
5 minutes."""


class Query(Struct, frozen=True, kw_only=True):
    """One thing that can be asked, and what it weighs."""

    method: str | None = None
    """Its name in the WebSocket API, where the venue has one for market data; None: not there."""
    path: str | None = None
    """Its path after the venue's REST prefix, None if REST does not have it."""
    absolute: bool = False
    """Whether `path` is the whole path: the statistics have no prefix of a venue."""
    venues: tuple[Venue, ...]
    is_market_data: bool = True
    """Whether it asks of the market, and not of the server."""
    weight: Weight
    allowance: str | None = None
    """The budget of requests by which it is counted beside its weight, by the name of its limit:
    `funding` or `statistics`."""
    requires_key: bool = False
    """Whether REST answers only who sends an API key; which one is not looked at."""
    params: tuple[Param, ...] = ()
    """What it may carry; anything else (keys, signatures, timestamps) is not looked at."""
    handler: Callable[..., object]
    """Takes the markets and every parameter's value by its argument name."""
    doc: str

    def path_on(self, venue: Venue) -> str | None:
        """Return its whole REST path on `venue`, None if REST does not have it there."""
        if self.path is None or venue not in self.venues:
            return None
        return self.path if self.absolute else venue.rest_prefix + self.path

    def has_method(self, venue: Venue) -> bool:
        """Whether the WebSocket API of `venue` has it: not every venue's tells of the market."""
        has_answer = venue.has_market_api or not self.is_market_data
        return self.method is not None and venue in self.venues and has_answer

    def weigh(self, raw: Mapping[str, object]) -> int:
        """Return the request weight of asking with `raw`; raises nothing."""
        return self.weight.of(raw)

    def respond(self, markets: Markets, raw: Mapping[str, object]) -> object:
        """Return the answer as `msgspec.json` can encode it, keys in wire order.

        Raises:
            RequestError: the question is refused, with the exchange's code and text.
        """
        values = {param.argument: param.value(markets, raw) for param in self.params}
        return self.handler(markets, **values)


Row = TypeVar("Row")


def accept_all(_market: Market) -> bool:
    """Let every market be listed."""
    return True


def for_each_market(
    markets: Markets,
    market: Market | None,
    pair: str | None,
    row: Callable[[Market], Row],
    listed: Callable[[Market], bool] = accept_all,
) -> Row | list[Row]:
    """Return `row` of `market`, of the markets of `pair`, or of every market.

    Only those that are `listed` are among several; the one that is named need not be.

    Raises:
        RequestError: both are named, or the one market has no answer yet.
    """
    if market is not None:
        if pair is not None:
            raise request_errors.invalid_combination()
        only = row(market)
        return [only] if markets.venue.rest_always_array else only
    several = []
    for each in markets:
        if listed(each) and pair in {None, each.instrument.pair}:
            try:
                several.append(row(each))
            except RequestError:
                continue
    return several
