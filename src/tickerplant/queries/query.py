"""Queries: rows that serve requests of the WebSocket API and REST, and their request weights.

A rejected request has a weight too, so weights follow from the raw parameters, valid or not.

USDⓈ-M responds with an object for one symbol and an array for all. COIN-M always responds with an
array and accepts a pair instead of a symbol. A market without data is left out of an array of
several; a request for it alone gets an error that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from tickerplant.errors import RequestError
from tickerplant.profile import Profile
from tickerplant.queries import request_errors
from tickerplant.queries.param import Param
from tickerplant.venue import VENUES, Venue

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets


class Weight(Protocol):
    """A rule for the weight of a request."""

    def of(self, raw: Mapping[str, object]) -> int:
        """Return the weight of a request with the parameters `raw`; never raises."""


class FlatWeight(Struct, frozen=True):
    """A constant weight."""

    weight: int

    def of(self, raw: Mapping[str, object]) -> int:  # noqa: ARG002 - the weight is constant
        """Return the weight."""
        return self.weight


class SymbolWeight(Struct, frozen=True):
    """A smaller weight for one symbol than for all of them."""

    one: int
    every: int

    def of(self, raw: Mapping[str, object]) -> int:
        """Return the weight for one symbol if `raw` names one."""
        return self.one if raw.get("symbol") else self.every


class LimitWeight(Struct, frozen=True):
    """A weight that grows with the limit; `bands` are pairs (up to this limit, weight)."""

    bands: tuple[tuple[int, int], ...]
    unlimited: int
    """The weight of a request without a readable limit."""

    def of(self, raw: Mapping[str, object]) -> int:
        """Return the weight of the first band that contains the limit, or of the last band."""
        limit = raw.get("limit")
        if isinstance(limit, str) and limit.isascii() and limit.isdecimal() and len(limit) <= 20:
            limit = int(limit)
        if not isinstance(limit, int) or isinstance(limit, bool):
            return self.unlimited
        return next((weight for top, weight in self.bands if limit <= top), self.bands[-1][1])


FUNDING_ALLOWANCE = "funding"
STATISTICS_ALLOWANCE = "statistics"
"""The request budgets of USDⓈ-M that count requests besides their weight: 500 and 1000 requests in
5 minutes.
"""


class Query(Struct, frozen=True, kw_only=True):
    """One kind of request, its parameters and its weight."""

    method: str | None = None
    """Its name in the WebSocket API; None if it has none."""
    path: str | None = None
    """Its path after the venue's REST prefix; None if REST does not have it."""
    absolute: bool = False
    """Whether `path` is complete: the statistics have no venue prefix."""
    venues: tuple[Venue, ...] = VENUES
    is_market_data: bool = True
    """Whether it is about a market, not about the server."""
    weight: Weight
    """As documented."""
    measured_weight: Weight | None = None
    """The weight over REST that production was measured to charge, if not the documented one."""
    allowance: str | None = None
    """The budget that counts it besides its weight: the name of its limit, or None."""
    requires_key: bool = False
    """Whether REST requires an API key; the key is not checked."""
    stays: bool = False
    """Whether its response stays the same for long, but for the time at its beginning."""
    params: tuple[Param, ...] = ()
    """Its parameters; others (keys, signatures, timestamps) are ignored."""
    handler: Callable[..., object]
    """Takes the markets and the value of every parameter by its argument name."""
    doc: str

    def path_on(self, venue: Venue) -> str | None:
        """Return its complete REST path on `venue`, or None."""
        if self.path is None or venue not in self.venues:
            return None
        return self.path if self.absolute else venue.rest_prefix + self.path

    def has_method(self, venue: Venue) -> bool:
        """Whether the WebSocket API of `venue` has it; some have no market-data methods."""
        has_answer = venue.has_market_api or not self.is_market_data
        return self.method is not None and venue in self.venues and has_answer

    def weigh(self, raw: Mapping[str, object]) -> int:
        """Return the documented weight of a request with the parameters `raw`; never raises."""
        return self.weight.of(raw)

    def weigh_over_rest(self, raw: Mapping[str, object], profile: Profile | None) -> int:
        """Return the weight of a REST request in a profile; never raises.

        Without a profile, it is the largest of all.
        """
        if self.measured_weight is None:
            return self.weight.of(raw)
        if profile is None:
            return max(self.weight.of(raw), self.measured_weight.of(raw))
        return (self.measured_weight if profile.measured_weights else self.weight).of(raw)

    def shows_weight_in(self, profile: Profile) -> bool:
        """Whether REST responses carry the used weight."""
        if self.allowance == FUNDING_ALLOWANCE:
            return False  # measured on the exchange
        return profile.statistics_show_weight or not self.absolute

    def respond(self, markets: Markets, raw: Mapping[str, object]) -> object:
        """Return the response as `msgspec.json` can encode it, keys in wire order.

        Raises:
            RequestError: The request is rejected, with the exchange's code and text.
        """
        begun = self.begin(markets, raw)
        return [row for row in begun if row is not None] if isinstance(begun, Iterator) else begun

    def begin(self, markets: Markets, raw: Mapping[str, object]) -> object:
        """Do what `respond` does, except that many rows are returned as `Rows`, not yet made.

        Raises:
            RequestError: as in `respond`; rows that are not made yet raise none.
        """
        values = {param.argument: param.value(markets, raw) for param in self.params}
        return self.handler(markets, **values)


Row = TypeVar("Row")
Rows: TypeAlias = Iterator[Row | None]
"""The rows of a response, made one by one, so that whoever takes them can do something else between
two of them.  None is no row: it only interrupts longer work."""


def for_each_market(
    markets: Markets,
    market: Market | None,
    pair: str | None = None,
    *,
    row: Callable[[Market], Row],
    only_trading: bool = False,
) -> Row | list[Row] | Rows[Row]:
    """Return `row` of `market`, of the markets of `pair`, or of every market.

    With `only_trading`, others are left out of several, as in production.

    Raises:
        RequestError: Both are named, or the named market has no data yet.
    """
    if market is not None:
        if pair is not None:
            raise request_errors.invalid_combination()
        only = row(market)
        return [only] if markets.venue.rest_always_array else only
    several = [
        each
        for each in markets
        if pair in {None, each.instrument.pair}
        and (not only_trading or each.instrument.status == "TRADING")
    ]
    return _rows(several, row)


def _rows(markets: Sequence[Market], row: Callable[[Market], Row]) -> Rows[Row]:
    """Yield `row` of each of the markets that have data."""
    for each in markets:
        try:
            yield row(each)
        except RequestError:
            continue
