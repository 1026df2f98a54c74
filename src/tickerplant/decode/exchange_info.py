"""The instruments in a response to `exchangeInfo`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from tickerplant.errors import DecodeError
from tickerplant.instrument import (
    LARGEST,
    PERPETUAL_DELIVERY_MS,
    RATE_DECIMALS,
    Instrument,
    Scale,
    decimal_units,
)
from tickerplant.messages.readers import UNREADABLE
from tickerplant.venue import Venue

MAX_DECIMALS = 2 * RATE_DECIMALS
"""The most decimals; no contract has as many."""
LONGEST_SYMBOL = 64
"""Characters in the longest accepted symbol; real ones have a third of that."""

_RESERVED = re.compile(r"""[\s@!/<>"'`\\]""")
"""Characters that no symbol has: they have a meaning in stream names, URLs or text."""


class Listing(NamedTuple):
    """The contracts in a response."""

    instruments: list[Instrument]
    """In the order of the response."""
    skipped: list[str]
    """The symbols that were skipped, each with the reason."""


class _Filter(Struct, frozen=True, rename="camel"):
    """A rule of any type; test networks write the keys of every type, with null for missing ones."""

    filter_type: str
    min_price: str | None = None
    max_price: str | None = None
    tick_size: str | None = None
    min_qty: str | None = None
    max_qty: str | None = None
    step_size: str | None = None
    notional: str | None = None


class _Symbol(Struct, frozen=True, kw_only=True, rename="camel"):
    """One symbol of a response."""

    symbol: str
    pair: str
    contract_type: str
    delivery_date: Annotated[int, Meta(ge=0)]
    onboard_date: Annotated[int, Meta(ge=0, le=LARGEST)] = 0
    status: str | None = None
    contract_status: str | None = None
    base_asset: str
    quote_asset: str
    margin_asset: str
    price_precision: int
    quantity_precision: int
    underlying_type: str = "COIN"
    underlying_sub_type: tuple[str, ...] = ()
    contract_size: Annotated[int, Meta(ge=1, le=LARGEST)] = 1
    filters: tuple[_Filter, ...]


class _Named(Struct, frozen=True):
    """Only the name of a symbol, for one that is skipped."""

    symbol: str


class _Response(Struct, frozen=True):
    symbols: list[Raw]


_decode_response = msgspec.json.Decoder(_Response).decode
_decode_symbol = msgspec.json.Decoder(_Symbol).decode
_decode_name = msgspec.json.Decoder(_Named).decode


def instruments_of(response: bytes, venue: Venue) -> Listing:
    """Return the contracts in `response`, the body of an `exchangeInfo` response of `venue`.

    Prices and quantities are scaled by `pricePrecision` and `quantityPrecision`; a tick may be
    coarser.  Funding interval, funding cap and circulating supply, which a response does not
    contain, have the defaults of `Instrument`, and so has the smallest order value on COIN-M.
    Contract types and statuses are not interpreted.  A delivery date after every calendar means
    none, and a smallest order value below 1 (contracts quoted in BTC) becomes 0.  Contracts that
    cannot be read, or whose name cannot be part of a stream name, are skipped.

    Raises:
        DecodeError: It is not such a response.
    """
    try:
        symbols = _decode_response(response).symbols
    except UNREADABLE as error:
        raise DecodeError(f"not a response to exchangeInfo: {error}") from None
    listing = Listing([], [])
    for number, raw in enumerate(symbols):
        try:
            listing.instruments.append(_instrument(_decode_symbol(raw), venue))
        except (*UNREADABLE, ValueError) as error:
            listing.skipped.append(f"{_name(raw, number)}: {error}")
    return listing


def _name(raw: Raw, number: int) -> str:
    try:
        name = _decode_name(raw).symbol
    except UNREADABLE:
        return f"symbols[{number}]"
    return name if _can_be_name(name) else f"symbols[{number}]"


def _can_be_name(name: str) -> bool:
    """Whether a contract or pair may have the name.

    Stream names contain it in lower case, and must lead back to it in upper case.
    """
    return (
        0 < len(name) <= LONGEST_SYMBOL
        and name.isprintable()
        and name == name.lower().upper()
        and _RESERVED.search(name) is None
    )


def _instrument(symbol: _Symbol, venue: Venue) -> Instrument:
    for field, name in (("symbol", symbol.symbol), ("pair", symbol.pair)):
        if not _can_be_name(name):
            raise ValueError(f"{field} is {name[:LONGEST_SYMBOL]!a}, which is not a valid name")
    filters = {each.filter_type: each for each in symbol.filters}
    price, quantity = Scale(symbol.price_precision), Scale(symbol.quantity_precision)
    for name, scale in (("pricePrecision", price), ("quantityPrecision", quantity)):
        if not 0 <= scale.decimals <= MAX_DECIMALS:
            raise ValueError(f"{name} is {scale.decimals}")
    prices = _rule(filters, "PRICE_FILTER")
    lots = _rule(filters, "LOT_SIZE")
    market_lots = filters.get("MARKET_LOT_SIZE", lots)
    instrument = Instrument(
        venue=venue,
        symbol=symbol.symbol,
        pair=symbol.pair,
        contract_type=symbol.contract_type,
        base_asset=symbol.base_asset,
        quote_asset=symbol.quote_asset,
        margin_asset=symbol.margin_asset,
        price=price,
        quantity=quantity,
        tick_size=_step(prices.tick_size, price, "tickSize"),
        step_size=_step(lots.step_size, quantity, "stepSize"),
        min_price=_units(prices.min_price, price, "minPrice"),
        max_price=_units(prices.max_price, price, "maxPrice"),
        min_quantity=_units(lots.min_qty, quantity, "minQty"),
        max_quantity=_units(lots.max_qty, quantity, "maxQty"),
        max_market_quantity=_units(market_lots.max_qty, quantity, "maxQty"),
        contract_size=symbol.contract_size,
        onboard_date_ms=symbol.onboard_date,
        delivery_date_ms=min(symbol.delivery_date, PERPETUAL_DELIVERY_MS),
        status=_status(symbol, venue),
        underlying_type=symbol.underlying_type,
        sub_types=symbol.underlying_sub_type,
    )
    notional = filters.get("MIN_NOTIONAL")
    if notional is None or notional.notional is None:
        return instrument
    minimum = _units(notional.notional, Scale(MAX_DECIMALS), "notional")
    return msgspec.structs.replace(instrument, min_notional=minimum // 10**MAX_DECIMALS)


def _status(symbol: _Symbol, venue: Venue) -> str:
    name = "contractStatus" if venue.inverse else "status"
    status = symbol.contract_status if venue.inverse else symbol.status
    if status is None:
        raise ValueError(f"there is no {name}, as symbols of {venue.title} have it")
    return status


def _rule(filters: Mapping[str, _Filter], name: str) -> _Filter:
    if name not in filters:
        raise ValueError(f"there is no filter {name}")
    return filters[name]


def _units(text: str | None, scale: Scale, name: str) -> int:
    if text is None:
        raise ValueError(f"there is no {name}")
    return decimal_units(text, scale.decimals)


def _step(text: str | None, scale: Scale, name: str) -> int:
    units = _units(text, scale, name)
    if units <= 0:
        raise ValueError(f"{name} is {text}")
    return units
