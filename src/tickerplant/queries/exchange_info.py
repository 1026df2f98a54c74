"""General information: connectivity, server time, and the rules of all symbols."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tickerplant.instrument import RATE_DECIMALS, Instrument, Scale, decimal_text
from tickerplant.queries.query import FlatWeight, Query
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.markets import Markets


class Pong(Struct, frozen=True):
    """An empty object."""


class Time(Struct, frozen=True, rename="camel"):
    """The market clock."""

    server_time: int


def ping(_markets: Markets) -> Pong:
    """Return an empty object."""
    return Pong()


def time(markets: Markets) -> Time:
    """Return the market clock, ms."""
    return Time(markets.now_ms)


# REST pages "Test Connectivity" and "Check Server Time"; the WebSocket API answers both as well.
GENERAL = (
    Query(
        method="ping",
        path="/v1/ping",
        is_market_data=False,
        weight=FlatWeight(1),
        handler=ping,
        doc="Test connectivity.",
    ),
    Query(
        method="time",
        path="/v1/time",
        is_market_data=False,
        weight=FlatWeight(1),
        handler=time,
        doc="The market clock.",
    ),
)


class Rule(Struct, frozen=True, rename="camel"):
    """One of the exchange's own limits."""

    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


# REST general information pages, and the `rateLimits` production lists.
ORDERS_PER_MINUTE = Rule("ORDERS", "MINUTE", 1, 1200)
ORDERS_PER_TEN_SECONDS = Rule("ORDERS", "SECOND", 10, 300)
EXCHANGED_DEBT_USD = 10_000
"""Approximate size in USD of the debts that are exchanged automatically in multi-assets mode."""


class Asset(Struct, frozen=True, kw_only=True, rename="camel"):
    """A margin asset (USDⓈ-M)."""

    asset: str
    margin_available: bool = True
    auto_asset_exchange: str
    """Debt in multi-assets mode from which the asset is bought automatically."""


class PriceFilter(Struct, frozen=True, rename="camel", tag_field="filterType", tag="PRICE_FILTER"):
    """The allowed prices of an order."""

    min_price: str
    max_price: str
    tick_size: str


class LotSize(Struct, frozen=True, rename="camel", tag_field="filterType", tag="LOT_SIZE"):
    """The allowed quantities of a limit order."""

    min_qty: str
    max_qty: str
    step_size: str


class MarketLotSize(
    Struct, frozen=True, rename="camel", tag_field="filterType", tag="MARKET_LOT_SIZE"
):
    """The allowed quantities of a market order."""

    min_qty: str
    max_qty: str
    step_size: str


class MaxNumOrders(Struct, frozen=True, tag_field="filterType", tag="MAX_NUM_ORDERS"):
    """The most open orders of an account."""

    limit: int = 200


class MaxNumAlgoOrders(Struct, frozen=True, tag_field="filterType", tag="MAX_NUM_ALGO_ORDERS"):
    """The most open conditional orders of an account (COIN-M)."""

    limit: int = 20


class MinNotional(Struct, frozen=True, tag_field="filterType", tag="MIN_NOTIONAL"):
    """The least value of an order (USDⓈ-M)."""

    notional: str


class PercentPrice(
    Struct, frozen=True, rename="camel", tag_field="filterType", tag="PERCENT_PRICE"
):
    """The largest distance of an order from the mark price."""

    multiplier_up: str = "1.0500"
    multiplier_down: str = "0.9500"
    multiplier_decimal: str = "4"


class PositionRiskControl(
    Struct, frozen=True, rename="camel", tag_field="filterType", tag="POSITION_RISK_CONTROL"
):
    """The side of a position that is closed to new orders (USDⓈ-M)."""

    position_control_side: str = "NONE"


class Contract(Struct, frozen=True, kw_only=True, rename="camel"):
    """One symbol and its rules; fields with a default are the same for every symbol."""

    symbol: str
    pair: str
    contract_type: str
    delivery_date: int
    onboard_date: int
    status: str | UnsetType
    contract_status: str | UnsetType
    maint_margin_percent: str = "2.5000"
    required_margin_percent: str = "5.0000"
    base_asset: str
    quote_asset: str
    margin_asset: str
    price_precision: int
    quantity_precision: int
    base_asset_precision: int = 8
    quote_precision: int = 8
    underlying_type: str
    underlying_sub_type: tuple[str, ...]
    trigger_protect: str = "0.0500"
    liquidation_fee: str
    market_take_bound: str = "0.05"
    max_move_order_limit: int = 10000
    contract_size: int | UnsetType
    equal_qty_precision: int | UnsetType
    filters: list[Struct]
    order_types: tuple[str, ...] = (
        "LIMIT",
        "MARKET",
        "STOP",
        "STOP_MARKET",
        "TAKE_PROFIT",
        "TAKE_PROFIT_MARKET",
        "TRAILING_STOP_MARKET",
    )
    time_in_force: tuple[str, ...]
    permission_sets: tuple[str, ...]


class ExchangeInfo(Struct, frozen=True, kw_only=True, rename="camel"):
    """The exchange, its limits and its symbols."""

    timezone: str = "UTC"
    server_time: int
    futures_type: str | UnsetType = UNSET
    rate_limits: tuple[Rule, ...]
    exchange_filters: tuple[()] = ()
    assets: tuple[Asset, ...] | UnsetType = UNSET
    symbols: Raw


def exchange_info(markets: Markets) -> Raw:
    """Return the rules and symbols of USDⓈ-M."""
    return _with_time(
        markets,
        lambda: ExchangeInfo(
            server_time=0,
            futures_type="U_MARGINED",
            rate_limits=(_weight(markets), ORDERS_PER_MINUTE, ORDERS_PER_TEN_SECONDS),
            assets=_assets(markets),
            symbols=_symbols(markets),
        ),
    )


class _Written(Struct):
    """What was written for a venue, without the time, and what it follows from."""

    origin: list[object]
    start: bytes
    end: bytes


_written: WeakKeyDictionary[Markets, _Written] = WeakKeyDictionary()
_TIME = b'"serverTime":0'


def _with_time(markets: Markets, info: Callable[[], ExchangeInfo]) -> Raw:
    """Return `info` with the time of now; it is made again only when something has changed."""
    origin: list[object] = [market.instrument for market in markets]
    origin += markets.listed_asset_indices()
    origin.append(markets.request_weight_per_minute)
    written = _written.get(markets)
    if written is None or written.origin != origin:  # mostly the same objects, which is seen fast
        start, _, end = msgspec.json.encode(info()).partition(_TIME)
        _written[markets] = written = _Written(origin, start + _TIME[:-1], end)
    return Raw(b"%b%d%b" % (written.start, markets.now_ms, written.end))


def _assets(markets: Markets) -> tuple[Asset, ...]:
    """Return the margin assets: the quote assets, and the assets of multi-assets mode."""
    quoted = dict.fromkeys(market.instrument.margin_asset for market in markets)
    debts = {asset: str(-EXCHANGED_DEBT_USD) for asset in quoted}
    for index in markets.listed_asset_indices():
        asset = index.symbol.removesuffix("USD")
        if asset not in debts and index.index > 0:
            debts[asset] = _round_debt(index.index)
    return tuple(Asset(asset=asset, auto_asset_exchange=debt) for asset, debt in debts.items())


def _round_debt(index: int) -> str:
    """Return the debt of an asset with that index, to one significant digit."""
    units = EXCHANGED_DEBT_USD * 10 ** (2 * RATE_DECIMALS) // index
    digit = int(10 ** (len(str(units)) - 1))
    return decimal_text(-(units // digit * digit), RATE_DECIMALS)


def coin_exchange_info(markets: Markets) -> Raw:
    """Return the rules and symbols of COIN-M."""
    return _with_time(
        markets,
        lambda: ExchangeInfo(
            server_time=0,
            rate_limits=(_weight(markets), ORDERS_PER_MINUTE),
            symbols=_symbols(markets),
        ),
    )


def _weight(markets: Markets) -> Rule:
    return Rule("REQUEST_WEIGHT", "MINUTE", 1, markets.request_weight_per_minute)


@lru_cache(maxsize=8)
def encoded_symbols(instruments: tuple[Instrument, ...]) -> Raw:
    """Return the symbols as JSON, cached by their instruments."""
    return Raw(msgspec.json.encode([_contract(instrument) for instrument in instruments]))


def _symbols(markets: Markets) -> Raw:
    return encoded_symbols(tuple(market.instrument for market in markets))


def _contract(instrument: Instrument) -> Contract:
    inverse = instrument.venue.inverse
    return Contract(
        symbol=instrument.symbol,
        pair=instrument.pair,
        contract_type=instrument.contract_type,
        delivery_date=instrument.delivery_date_ms,
        onboard_date=instrument.onboard_date_ms,
        status=UNSET if inverse else instrument.status,
        contract_status=instrument.status if inverse else UNSET,
        base_asset=instrument.base_asset,
        quote_asset=instrument.quote_asset,
        margin_asset=instrument.margin_asset,
        price_precision=instrument.price.decimals,
        quantity_precision=instrument.quantity.decimals,
        underlying_type=instrument.underlying_type,
        underlying_sub_type=instrument.sub_types,
        liquidation_fee="0.015000" if inverse else "0.012500",
        contract_size=instrument.contract_size if inverse else UNSET,
        equal_qty_precision=4 if inverse else UNSET,
        filters=_filters(instrument),
        time_in_force=("GTC", "IOC", "FOK", "GTX") + (() if inverse else ("GTD",)),
        permission_sets=("GRID",) if inverse else ("GRID", "COPY"),
    )


def _filters(instrument: Instrument) -> list[Struct]:
    """Return the filters; clients find the tick size in the first one."""
    price, quantity = instrument.price, instrument.quantity
    least, step = _bound(quantity, instrument.min_quantity), quantity.text[instrument.step_size]
    filters: list[Struct] = [
        PriceFilter(
            min_price=_bound(price, instrument.min_price),
            max_price=_bound(price, instrument.max_price),
            tick_size=price.text[instrument.tick_size],
        ),
        LotSize(min_qty=least, max_qty=_bound(quantity, instrument.max_quantity), step_size=step),
        MarketLotSize(
            min_qty=least,
            max_qty=_bound(quantity, instrument.max_market_quantity),
            step_size=step,
        ),
        MaxNumOrders(),
    ]
    if instrument.venue.inverse:
        return [*filters, MaxNumAlgoOrders(), PercentPrice()]
    notional = MinNotional(str(instrument.min_notional))
    return [*filters, notional, PercentPrice(), PositionRiskControl()]


def _bound(scale: Scale, units: int) -> str:
    """Return a bound as the exchange writes it: whole numbers without decimals."""
    text = scale.text[units]
    whole, _, part = text.partition(".")
    return text if part.strip("0") else whole


_QUERY = Query(
    path="/v1/exchangeInfo",
    venues=(USDM,),
    weight=FlatWeight(1),
    stays=True,
    handler=exchange_info,
    doc="The symbols, their scales and their rules.",
)

QUERIES = (
    *GENERAL,
    _QUERY,
    msgspec.structs.replace(_QUERY, venues=(COINM,), handler=coin_exchange_info),
)
