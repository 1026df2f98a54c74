"""What a payload carries in each period of the protocol, as data."""

from __future__ import annotations

from msgspec import Struct

from tickerplant.venue import Venue


class Profile(Struct, frozen=True, kw_only=True):
    """One period of the exchange's protocol."""

    name: str
    period: str
    pair_everywhere: bool
    """USDⓈ-M events carry `ps` too (integration notice, 2026-06-30)."""
    symbol_type: bool
    """Events carry `st`, 1 for USDⓈ-M and 2 for COIN-M (2026-06-30)."""
    rest_normal_quantity: bool
    """REST aggregate trades carry `nq` too, where the events do (2026-06-09)."""
    mark_average: tuple[str, ...]
    """Names of the venues whose mark price carries `ap` (USDⓈ-M since 2026-03-16)."""
    split_routes: bool
    """Market streams are delivered under `/market`, book streams under `/public` (2026-04-23)."""
    base_turnover_decimals: int
    """Decimals of the 24-hour turnover in ticker events of COIN-M (one since 2026-06)."""
    shared_budget: bool
    """Both venues charge one budget of request weight (integration notice, 2026-06-30)."""
    unfunded_rate: str | None
    """How a contract without funding prints its rate; None leaves it to the venue's row."""

    def carries_pair(self, venue: Venue) -> bool:
        """Whether events of `venue` have the pair beside the symbol."""
        return venue.always_pair or self.pair_everywhere

    def carries_mark_average(self, venue: Venue) -> bool:
        """Whether mark prices of `venue` have the moving average."""
        return venue.name in self.mark_average

    def carries_rest_normal_quantity(self, venue: Venue) -> bool:
        """Whether REST aggregate trades of `venue` have the quantity without RPI orders."""
        return venue.has_rpi and self.rest_normal_quantity

    def splits_routes(self, venue: Venue) -> bool:
        """Whether a stream of `venue` is delivered on one of its paths only."""
        return venue.routed and self.split_routes

    def rate_without_funding(self, venue: Venue) -> str:
        """Return what mark prices of `venue` print where a contract pays no funding."""
        return venue.unfunded_rate if self.unfunded_rate is None else self.unfunded_rate


P2026Q1 = Profile(
    name="2026q1",
    period="January to March 2026",
    pair_everywhere=False,
    symbol_type=False,
    rest_normal_quantity=False,
    mark_average=(),
    split_routes=False,
    base_turnover_decimals=8,
    shared_budget=False,
    unfunded_rate=None,
)
P2026Q2 = Profile(
    name="2026q2",
    period="2026-03-06 to 2026-06-29",
    pair_everywhere=False,
    symbol_type=False,
    rest_normal_quantity=False,
    mark_average=("usdm",),
    split_routes=True,
    base_turnover_decimals=8,
    shared_budget=False,
    unfunded_rate=None,
)
CURRENT = Profile(
    name="current",
    period="from 2026-06-30",
    pair_everywhere=True,
    symbol_type=True,
    rest_normal_quantity=True,
    mark_average=("usdm", "coinm"),
    split_routes=True,
    base_turnover_decimals=1,
    shared_budget=True,
    unfunded_rate="0.00000000",
)

PROFILES = {profile.name: profile for profile in (P2026Q1, P2026Q2, CURRENT)}
