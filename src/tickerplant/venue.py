"""The two venues, as rows: all differences between USDⓈ-M and COIN-M outside instruments."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

VenueName: TypeAlias = Literal["usdm", "coinm"]
"""The name of a venue: USDⓈ-M or COIN-M futures."""


class Venue(Struct, frozen=True, kw_only=True):
    """One exchange venue: its paths, ports, number rules and speeds."""

    name: str
    """Tickerplant's name: `usdm` or `coinm`."""
    title: str
    """The exchange's name for it."""
    stream_host: str
    """The exchange's host of the streams, over TLS (market-stream connection page)."""
    api_host: str
    """The exchange's host of the WebSocket API (WebSocket API general information page)."""
    rest_host: str
    """The exchange's REST host (REST general information page)."""
    default_port: int
    rest_prefix: str
    """First segment of every REST path."""
    api_path: str
    """Path of the WebSocket API."""
    has_market_api: bool
    """Whether the WebSocket API has market-data methods (COIN-M documents none)."""
    symbol_type: int
    """The `st` field of profile `current`: 1 for USDⓈ-M, 2 for COIN-M."""
    inverse: bool
    """Whether quantities are contracts of a fixed quote value, and turnover is in base coin."""
    always_pair: bool
    """Whether events carry the pair (`ps`) in every profile."""
    rest_always_array: bool
    """Whether ticker endpoints respond with an array even for one symbol."""
    has_rpi: bool
    """Whether there are retail price improvement (RPI) orders: aggregate trades carry `nq`, the
    quantity without them (since 2025-12-31), and REST trades are marked if they are one.
    """
    typed_trades: bool
    """Whether single trades carry `st` in profiles that have it (a COIN-M capture of 2026-09 lacks
    it)."""
    routed: bool
    """Whether profile `current` splits the stream paths of this venue into `/public` and `/market`."""
    mini_ticker_ms: int
    ticker_ms: int
    all_book_ticker_ms: int
    """Pace of `!bookTicker`; 0 is real time."""
    kline_window_days: int | None
    """Widest window of a candle request; None is unlimited."""
    default_funding_count: int
    """Funding times in a response to a request with neither times nor a limit."""
    funding_carries_mark: bool
    """Whether past funding rates carry the mark price in every profile."""
    unfunded_rate: str
    """Funding rate sent for a dated contract, which has none (first profile)."""

    def __hash__(self) -> int:
        return hash(self.name)


USDM = Venue(
    name="usdm",
    title="USDⓈ-M",
    stream_host="fstream.binance.com",
    api_host="ws-fapi.binance.com",
    rest_host="fapi.binance.com",
    default_port=9001,
    rest_prefix="/fapi",
    api_path="/ws-fapi/v1",
    has_market_api=True,
    symbol_type=1,
    inverse=False,
    always_pair=False,
    rest_always_array=False,
    has_rpi=True,
    typed_trades=True,
    routed=True,
    mini_ticker_ms=2000,  # <symbol>@miniTicker page: 2 s
    ticker_ms=2000,
    all_book_ticker_ms=5000,
    kline_window_days=None,
    default_funding_count=200,
    funding_carries_mark=True,
    unfunded_rate="0.00000000",
)

COINM = Venue(
    name="coinm",
    title="COIN-M",
    stream_host="dstream.binance.com",
    api_host="ws-dapi.binance.com",
    rest_host="dapi.binance.com",
    default_port=9002,
    rest_prefix="/dapi",
    api_path="/ws-dapi/v1",
    has_market_api=False,
    symbol_type=2,
    inverse=True,
    always_pair=True,
    rest_always_array=True,
    has_rpi=False,
    typed_trades=False,
    routed=False,
    mini_ticker_ms=500,
    ticker_ms=500,
    all_book_ticker_ms=0,  # All Book Tickers page: real time
    kline_window_days=200,
    default_funding_count=100,
    funding_carries_mark=False,
    unfunded_rate="",
)

VENUES = (USDM, COINM)
_HOSTS = {"dstream": COINM, "dapi": COINM, "fstream": USDM, "fapi": USDM}
"""Parts of the exchange's host names, with their venues."""


def venue_of_address(path: str, host: str = "", port: int | None = None) -> Venue | None:
    """Return the venue that a host of the exchange, a path or a default port belongs to, if any."""
    whole = f"{path.partition('?')[0]}/"
    by_host = next((venue for word, venue in _HOSTS.items() if word in host), None)
    for venue in VENUES:
        if whole.startswith((f"{venue.rest_prefix}/", f"{venue.api_path}/")):
            return by_host or venue
    return by_host or next((venue for venue in VENUES if venue.default_port == port), None)
