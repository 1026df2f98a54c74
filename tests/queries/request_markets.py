"""Small markets of two venues that serve requests."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import structs
from stage import BTCUSD_260626, BTCUSD_PERP, BTCUSDT, mark, open_plant, quote, snapshot, trade

from tickerplant.instrument import Instrument
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.profile import P2026Q1, Profile
from tickerplant.queries import Query, find_method, find_path
from tickerplant.venue import USDM, Venue

START_MS = 1_767_600_000_000
"""A Monday, 2026-01-05 08:00 UTC."""

LINEAR = structs.replace(
    BTCUSDT,
    min_price=55680,
    max_price=452_976_400,
    max_quantity=1_000_000,
    max_market_quantity=120_000,
    sub_types=("PoW",),
)
SECOND = structs.replace(LINEAR, symbol="ETHUSDT", pair="ETHUSDT", base_asset="ETH")
INVERSE = structs.replace(BTCUSD_PERP, sub_types=("PoW",))
OTHER_PAIR = structs.replace(
    INVERSE, symbol="ETHUSD_PERP", pair="ETHUSD", base_asset="ETH", contract_size=10
)


def markets_of(*instruments: Instrument, profile: Profile = P2026Q1) -> Markets:
    """Return markets of `instruments`, of one venue, without any events."""
    plant = open_plant(instruments, start_ms=START_MS, profile=profile)
    return plant.venues[instruments[0].venue.name]


def open_market(market: Market) -> None:
    """Give `market` a book, a best price, two trades, a closed aggregate and a mark price."""
    symbol = market.symbol
    bids, asks = [(6_527_990, 4215), (6_527_980, 200)], [(6_528_000, 3763), (6_528_010, 2)]
    for event in (
        snapshot(1000, bids, asks, START_MS - 3, symbol),
        quote(1000, bids[0], asks[0], START_MS - 3, symbol),
        trade(1, START_MS, 6_528_000, 25, symbol=symbol),
        trade(2, START_MS + 1, 6_527_990, 7, sold=True, symbol=symbol),
        mark(START_MS, symbol, -8125 if market.instrument.perpetual else None),
    ):
        market.apply(event)


def linear_markets(profile: Profile = P2026Q1) -> Markets:
    """Return USDⓈ-M with two open markets."""
    return opened(markets_of(LINEAR, SECOND, profile=profile))


def coin_markets(profile: Profile = P2026Q1) -> Markets:
    """Return COIN-M with three open markets of two pairs."""
    return opened(markets_of(INVERSE, BTCUSD_260626, OTHER_PAIR, profile=profile))


def opened(markets: Markets) -> Markets:
    """Open every one of `markets`."""
    for market in markets:
        open_market(market)
    return markets


def by_path(venue: Venue, path: str) -> Query:
    """Return the query of the REST `path`: after the prefix, or complete for statistics."""
    whole = path if path.startswith("/futures/") else venue.rest_prefix + path
    query = find_path(venue, whole)
    assert query is not None, f"{venue.name} has {path}"
    return query


def by_method(method: str) -> Query:
    """Return the query of a WebSocket API method of USDⓈ-M."""
    query = find_method(USDM, method)
    assert query is not None, f"usdm has {method}"
    return query


def get(markets: Markets, path: str, **raw: object) -> object:
    """Return the JSON of a REST response as Python objects."""
    return answered(by_path(markets.venue, path), markets, raw)


def call(markets: Markets, method: str, **raw: object) -> object:
    """Return the JSON of a WebSocket API response as Python objects."""
    return answered(by_method(method), markets, raw)


def answered(query: Query, markets: Markets, raw: Mapping[str, object]) -> object:
    """Return the response after encoding and decoding."""
    decoded: object = msgspec.json.decode(msgspec.json.encode(query.respond(markets, raw)))
    return decoded
