"""Two small venues to ask questions of."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tickerplant.events import BookSnapshot, BookTicker, Event, MarkPrice, Trade
from tickerplant.instrument import Instrument, Scale
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.market.timers import Timers
from tickerplant.profile import P2026Q1, Profile
from tickerplant.queries import Query, find_method, find_path
from tickerplant.venue import COINM, USDM, Venue

START_MS = 1_767_600_000_000
"""A Monday, 2026-01-05 08:00 UTC."""
DATED_MS = 1_774_598_400_000

LINEAR = Instrument(
    venue=USDM,
    symbol="BTCUSDT",
    pair="BTCUSDT",
    contract_type="PERPETUAL",
    base_asset="BTC",
    quote_asset="USDT",
    margin_asset="USDT",
    price=Scale(2),
    quantity=Scale(3),
    tick_size=10,
    step_size=1,
    min_price=55680,
    max_price=452976400,
    min_quantity=1,
    max_quantity=1_000_000,
    max_market_quantity=120_000,
    sub_types=("PoW",),
)
SECOND = msgspec.structs.replace(LINEAR, symbol="ETHUSDT", pair="ETHUSDT", base_asset="ETH")
INVERSE = Instrument(
    venue=COINM,
    symbol="BTCUSD_PERP",
    pair="BTCUSD",
    contract_type="PERPETUAL",
    base_asset="BTC",
    quote_asset="USD",
    margin_asset="BTC",
    price=Scale(1),
    quantity=Scale(0),
    tick_size=1,
    step_size=1,
    min_price=10000,
    max_price=45209580,
    min_quantity=1,
    max_quantity=1_000_000,
    max_market_quantity=60_000,
    contract_size=100,
    sub_types=("PoW",),
)
DATED = msgspec.structs.replace(
    INVERSE,
    symbol="BTCUSD_260327",
    contract_type="CURRENT_QUARTER",
    delivery_date_ms=DATED_MS,
)
OTHER_PAIR = msgspec.structs.replace(
    INVERSE, symbol="ETHUSD_PERP", pair="ETHUSD", base_asset="ETH", contract_size=10
)


def markets_of(
    *instruments: Instrument, profile: Profile = P2026Q1, start_ms: int = START_MS
) -> Markets:
    """Return markets of `instruments` in which nothing has happened."""
    timers = Timers(start_ms)
    markets = Markets(instruments[0].venue, profile, timers)

    def tell(_market: Market, _event: Event) -> None:
        pass

    for instrument in instruments:
        markets.by_symbol[instrument.symbol] = Market(
            instrument, profile, timers, tell, reserved_snapshot_ids=True
        )
    return markets


def open_market(market: Market, now_ms: int = START_MS) -> None:
    """Give `market` a book, a best price, two trades, a closed aggregate and a mark price."""
    instrument = market.instrument
    symbol = instrument.symbol
    bids, asks = [(6527990, 4215), (6527980, 200)], [(6528000, 3763), (6528010, 2)]
    funded = instrument.perpetual
    for event in (
        BookSnapshot(symbol, 1000, bids, asks, now_ms - 3),
        BookTicker(symbol, 1000, *bids[0], *asks[0], now_ms - 3),
        Trade(symbol, 1, 6528000, 25, False, now_ms),
        Trade(symbol, 2, 6527990, 7, True, now_ms + 1),
        MarkPrice(
            symbol=symbol,
            mark_price=6527540000000,
            index_price=6529012345678,
            estimated_settle_price=6530198765432,
            funding_rate=-8125 if funded else None,
            next_funding_time_ms=now_ms + 1 if funded else 0,
            time_ms=now_ms,
        ),
    ):
        market.apply(event)


def linear_markets(profile: Profile = P2026Q1) -> Markets:
    """Return USDⓈ-M with two open markets."""
    return opened(markets_of(LINEAR, SECOND, profile=profile))


def coin_markets(profile: Profile = P2026Q1) -> Markets:
    """Return COIN-M with three open markets of two pairs."""
    return opened(markets_of(INVERSE, DATED, OTHER_PAIR, profile=profile))


def opened(markets: Markets) -> Markets:
    """Open every one of `markets`."""
    for market in markets:
        open_market(market)
    return markets


def by_path(venue: Venue, path: str) -> Query:
    """Return the query of the REST `path` after the prefix."""
    query = find_path(venue, venue.rest_prefix + path)
    assert query is not None, f"{venue.name} has {path}"
    return query


def by_method(method: str) -> Query:
    """Return the query of a WebSocket API method of USDⓈ-M."""
    query = find_method(USDM, method)
    assert query is not None, f"usdm has {method}"
    return query


def get(markets: Markets, path: str, **raw: object) -> object:
    """Return the JSON that REST answers, as Python objects."""
    return answered(by_path(markets.venue, path), markets, raw)


def call(markets: Markets, method: str, **raw: object) -> object:
    """Return the JSON that the WebSocket API answers, as Python objects."""
    return answered(by_method(method), markets, raw)


def answered(query: Query, markets: Markets, raw: Mapping[str, object]) -> object:
    """Return the answer after a passage through JSON."""
    decoded: object = msgspec.json.decode(msgspec.json.encode(query.answer(markets, raw)))
    return decoded
