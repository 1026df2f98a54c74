"""What payloads carry in each period of the exchange's protocol, as data."""

from __future__ import annotations

from msgspec import Struct

from tickerplant.venue import Venue

REQUEST_WEIGHT_PER_MINUTE = 2400
"""The exchange's budget of request weight, and the default of the limits table."""

FIRST_UNDERLYING_TYPES = ("COIN", "INDEX", "EQUITY", "COMMODITY")
"""The kinds of underlying that were listed at the beginning of 2026."""


class Profile(Struct, frozen=True, kw_only=True):
    """One period of the exchange's protocol; the defaults are those of the first."""

    name: str
    period: str
    pair_everywhere: bool = False
    """USDⓈ-M events carry `ps` too (integration notice, 2026-06-30)."""
    symbol_type: bool = False
    """Events carry `st`, 1 for USDⓈ-M and 2 for COIN-M (2026-06-30)."""
    rest_normal_quantity: bool = False
    """REST aggregate trades carry `nq` too, where the events do (2026-06-09)."""
    mark_average: bool = False
    """Mark prices carry `ap`, their moving average (USDⓈ-M since 2026-03-16)."""
    split_routes: bool = False
    """Market streams are delivered under `/market`, book streams under `/public` (2026-04-23)."""
    base_turnover_decimals: int = 8
    """Decimals of the 24-hour turnover in ticker events of COIN-M (one since 2026-06)."""
    shared_budget: bool = False
    """Both venues charge one budget of request weight (integration notice, 2026-06-30)."""
    unfunded_rate: str | None = None
    """Funding rate sent for contracts without funding; None uses the venue's own."""
    merged_universe: bool = False
    """All-market streams list the contracts of both venues on both hosts, and either host serves
    mark prices and candles of both venues (integration notice, 2026-06-30).
    """
    tradfi_apart: bool = False
    """`!markPrice@arr` sends contracts with trading sessions in a separate frame (documented by
    2026-05).
    """
    largest_liquidation: tuple[str, ...] = ()
    """Names of the venues that send the largest liquidation of each second rather than the latest
    (USDⓈ-M since 2026-04-14).
    """
    settlement_asset_indices: bool = False
    """The settlement assets of COIN-M have asset indices too (2026-06-30)."""
    session_markets: tuple[str, ...] = ("EQUITY", "COMMODITY")
    """The markets whose trading sessions are published."""
    funding_rate_type: bool = False
    """Past funding rates carry their type, and on both venues the mark price (2026-07-28)."""
    funding_info_complete: bool = False
    """`fundingInfo` lists every contract that pays funding, with the time of its last change, not
    only those with their own cap, floor or interval.
    """
    weighted_constituents: bool = False
    """COIN-M index constituents carry price and weight (2026-06-30)."""
    measured_weights: bool = False
    """REST weighs requests as production was measured to, where that is not as documented (`depth`
    without limit on 2026-10-07, others on 2026-08-01; one measurement each).
    """
    statistics_show_weight: bool = True
    """Responses of `/futures/data/…` carry `X-MBX-USED-WEIGHT-1M`; one measurement of 2026-08-01 says
    that they do not any more.
    """
    sorted_day: bool = False
    """The 24-hour ticker of all symbols of USDⓈ-M has its keys in alphabetical order (measured on
    2026-10-07, and by another client).
    """
    four_adl_risks: bool = False
    """`symbolAdlRisk` is `LOW`, `MIDDLE`, `HIGH` or `EXTREMELY_HIGH`, computed every 30 minutes, as
    rows of 2026-08-01 and 2026-09-21 have it; as documented, it is `low`, `medium` or `high`.
    """
    underlying_types: tuple[str, ...] = FIRST_UNDERLYING_TYPES
    """The kinds of underlying that are listed (`exchangeInfo`, 2026-10-07)."""
    paired_pongs: bool = False
    """Only a pong that copies the payload of a ping keeps a stream connection (change log of
    2024-02-09, while the connection pages of early 2026 still let unpaired ones do); on the WebSocket
    API it is so in every profile.
    """

    def carries_rest_normal_quantity(self, venue: Venue) -> bool:
        """Whether REST aggregate trades of `venue` carry the quantity without RPI orders."""
        return venue.has_rpi and self.rest_normal_quantity

    def splits_routes(self, venue: Venue) -> bool:
        """Whether a stream of `venue` is delivered on one of its paths only."""
        return venue.routed and self.split_routes


P2026Q1 = Profile(name="2026q1", period="January to March 2026")
CURRENT = Profile(
    name="current",
    period="from 2026-06-30",
    pair_everywhere=True,
    symbol_type=True,
    rest_normal_quantity=True,
    mark_average=True,
    split_routes=True,
    base_turnover_decimals=1,
    shared_budget=True,
    unfunded_rate="0.00000000",
    merged_universe=True,
    tradfi_apart=True,
    largest_liquidation=("usdm",),
    settlement_asset_indices=True,
    session_markets=("EQUITY", "COMMODITY", "KR_EQUITY", "HK_EQUITY", "CN_EQUITY"),
    funding_rate_type=True,
    funding_info_complete=True,
    weighted_constituents=True,
    measured_weights=True,
    statistics_show_weight=False,
    sorted_day=True,
    four_adl_risks=True,
    underlying_types=(
        *FIRST_UNDERLYING_TYPES,
        *("PREMARKET", "KR_EQUITY", "HK_EQUITY", "CN_EQUITY", "FX"),
    ),
    paired_pongs=True,
)

PROFILES = {profile.name: profile for profile in (P2026Q1, CURRENT)}
