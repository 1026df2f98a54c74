"""A request for every golden response, by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tickerplant.profile import P2026Q1, Profile
from tickerplant.queries import QUERIES, Query
from tickerplant.venue import COINM, USDM, Venue

GOLDENS = Path(__file__).parents[1] / "goldens" / "queries"

Raw = dict[str, object]


class GoldenRequest(NamedTuple):
    """A request to a venue. `target` is a REST path after the prefix, or a method."""

    venue: Venue
    name: str
    target: str
    raw: Raw

    @property
    def query(self) -> Query:
        """The row that serves it."""
        for query in QUERIES:
            if self.venue in query.venues and self.target in {query.path, query.method}:
                return query
        raise LookupError(f"{self.venue.name} answers nothing at {self.target}")


_PERIOD: Raw = {"period": "5m"}
_ONE: dict[Venue, Raw] = {USDM: {"symbol": "BTCUSDT"}, COINM: {"symbol": "BTCUSD_PERP"}}
_PAIR: dict[Venue, Raw] = {USDM: {"pair": "BTCUSDT"}, COINM: {"pair": "BTCUSD"}}
_MINUTE: Raw = {"interval": "1m"}
_ALL: Raw = {}


def _both(venue: Venue) -> list[GoldenRequest]:
    """Return the requests that both venues serve."""
    one, pair = _ONE[venue], _PAIR[venue]
    holders = one if venue is USDM else pair
    contract = pair | {"contractType": "PERPETUAL"}
    dated = pair | {"contractType": "CURRENT_QUARTER"}
    rows: list[tuple[str, str, Raw]] = [
        ("ping", "/v1/ping", _ALL),
        ("time", "/v1/time", _ALL),
        ("exchangeInfo", "/v1/exchangeInfo", _ALL),
        ("depth", "/v1/depth", one),
        ("trades", "/v1/trades", one),
        ("historicalTrades", "/v1/historicalTrades", one),
        ("aggTrades", "/v1/aggTrades", one),
        ("klines", "/v1/klines", one | _MINUTE),
        ("continuousKlines", "/v1/continuousKlines", contract | _MINUTE),
        ("indexPriceKlines", "/v1/indexPriceKlines", pair | _MINUTE),
        ("markPriceKlines", "/v1/markPriceKlines", one | _MINUTE),
        ("premiumIndexKlines", "/v1/premiumIndexKlines", one | _MINUTE),
        ("premiumIndex", "/v1/premiumIndex", one),
        ("fundingRate", "/v1/fundingRate", one),
        ("fundingInfo", "/v1/fundingInfo", _ALL),
        ("ticker.price", "/v1/ticker/price", one),
        ("ticker.bookTicker", "/v1/ticker/bookTicker", one),
        ("ticker.24hr", "/v1/ticker/24hr", one),
        ("openInterest", "/v1/openInterest", one),
        ("constituents", "/v1/constituents", one if venue is USDM else {"symbol": "BTCUSD"}),
        ("basis", "/futures/data/basis", (contract if venue is USDM else dated) | _PERIOD),
    ]
    rows += [
        (name, f"/futures/data/{name}", holders | _PERIOD)
        for name in (
            "globalLongShortAccountRatio",
            "topLongShortAccountRatio",
            "topLongShortPositionRatio",
        )
    ]
    past = (one if venue is USDM else contract) | _PERIOD
    rows.append(("openInterestHist", "/futures/data/openInterestHist", past))
    return [GoldenRequest(venue, f"rest.{name}", target, raw) for name, target, raw in rows]


def _linear() -> list[GoldenRequest]:
    """Return the requests that only USDⓈ-M serves."""
    one, pair = _ONE[USDM], _PAIR[USDM]
    rows: list[tuple[str, str, Raw]] = [
        ("rpiDepth", "/v1/rpiDepth", one),
        ("v2.ticker.price", "/v2/ticker/price", one),
        ("premiumIndex.all", "/v1/premiumIndex", _ALL),
        ("ticker.price.all", "/v1/ticker/price", _ALL),
        ("ticker.bookTicker.all", "/v1/ticker/bookTicker", _ALL),
        ("ticker.24hr.all", "/v1/ticker/24hr", _ALL),
        ("takerlongshortRatio", "/futures/data/takerlongshortRatio", one | _PERIOD),
        ("delivery-price", "/futures/data/delivery-price", pair),
        ("indexInfo", "/v1/indexInfo", _ALL),
        ("assetIndex", "/v1/assetIndex", {"symbol": "ADAUSD"}),
        ("assetIndex.all", "/v1/assetIndex", _ALL),
        ("insuranceBalance", "/v1/insuranceBalance", one),
        ("insuranceBalance.all", "/v1/insuranceBalance", _ALL),
        ("symbolAdlRisk", "/v1/symbolAdlRisk", one),
        ("symbolAdlRisk.all", "/v1/symbolAdlRisk", _ALL),
        ("tradingSchedule", "/v1/tradingSchedule", _ALL),
    ]
    methods: list[tuple[str, str, Raw]] = [
        ("depth", "depth", one),
        ("ticker.price", "ticker.price", one),
        ("ticker.price.no_rate_limits", "ticker.price", one | {"returnRateLimits": False}),
        ("ticker.price.all", "ticker.price", _ALL),
        ("ticker.book", "ticker.book", one),
        ("ticker.book.all", "ticker.book", _ALL),
        ("ping", "ping", _ALL),
        ("time", "time", _ALL),
    ]
    return [
        *(GoldenRequest(USDM, f"rest.{name}", target, raw) for name, target, raw in rows),
        *(
            GoldenRequest(USDM, f"wsapi.{name}.response", target, raw)
            for name, target, raw in methods
        ),
    ]


def _coin() -> list[GoldenRequest]:
    """Return the requests that only COIN-M serves."""
    raw = _PAIR[COINM] | {"contractType": "PERPETUAL"} | _PERIOD
    return [GoldenRequest(COINM, "rest.takerBuySellVol", "/futures/data/takerBuySellVol", raw)]


REQUESTS = (*_both(USDM), *_both(COINM), *_linear(), *_coin())
BY_NAME = {
    (golden_request.venue.name, golden_request.name): golden_request for golden_request in REQUESTS
}


def golden_path(golden_request: GoldenRequest, profile: Profile) -> Path:
    """Return the path of the golden response in a profile that differs from the first."""
    return GOLDENS / golden_request.venue.name / profile.name / f"{golden_request.name}.json"


def golden_response(golden_request: GoldenRequest, profile: Profile) -> Any:
    """Return the golden response in a profile."""
    own = golden_path(golden_request, profile)
    path = own if own.exists() else golden_path(golden_request, P2026Q1)
    return msgspec.json.decode(path.read_bytes())
