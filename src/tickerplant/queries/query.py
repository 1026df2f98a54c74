"""What a question is: a row that serves the WebSocket API and REST from the same state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from tickerplant.queries.param import Param
from tickerplant.queries.weight import Weight
from tickerplant.venue import Venue

if TYPE_CHECKING:
    from tickerplant.market.markets import Markets


class Query(Struct, frozen=True, kw_only=True):
    """One thing that can be asked, and what it weighs."""

    method: str | None = None
    """Its name in the WebSocket API, where the venue has one for market data; None: not there."""
    path: str | None = None
    """Its path after the venue's REST prefix, None if REST does not have it."""
    absolute: bool = False
    """Whether `path` is the whole path: the statistics have no prefix of a venue."""
    venues: tuple[Venue, ...]
    of_market: bool = True
    """Whether it asks of the market, and not of the server."""
    weight: Weight
    allowance: str | None = None
    """The budget of requests by which it is counted beside its weight, by the name of its limit:
    `funding` or `statistics`."""
    keyed: bool = False
    """Whether REST answers only who sends an API key; which one is not looked at."""
    params: tuple[Param, ...] = ()
    """What it may carry; anything else (keys, signatures, timestamps) is not looked at."""
    respond: Callable[..., object]
    """Takes the markets and every parameter's value by its argument name."""
    doc: str

    def path_on(self, venue: Venue) -> str | None:
        """Return its whole REST path on `venue`, None if REST does not have it there."""
        if self.path is None or venue not in self.venues:
            return None
        return self.path if self.absolute else venue.rest_prefix + self.path

    def has_method(self, venue: Venue) -> bool:
        """Whether the WebSocket API of `venue` has it: not every venue's tells of the market."""
        has_answer = venue.has_market_api or not self.of_market
        return self.method is not None and venue in self.venues and has_answer

    def weigh(self, raw: Mapping[str, object]) -> int:
        """Return the request weight of asking with `raw`; raises nothing."""
        return self.weight.of(raw)

    def answer(self, markets: Markets, raw: Mapping[str, object]) -> object:
        """Return the answer as `msgspec.json` can encode it, keys in wire order.

        Raises:
            RequestError: the question is refused, with the exchange's code and text.
        """
        values = {param.argument: param.value(markets, raw) for param in self.params}
        return self.respond(markets, **values)
