"""The instruments that an answer to `exchangeInfo` tells of."""

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
"""More decimals than any contract has."""
LONGEST_SYMBOL = 64
"""Characters of the longest name of a contract that is taken; real ones have a third of that."""

_STRUCTURE = re.compile(r"""[\s@!/<>"'`\\]""")
"""What no name of a contract has: signs that structure the names of streams, URLs and texts."""


class Listing(NamedTuple):
    """What an answer tells of."""

    instruments: list[Instrument]
    """In the order of the answer."""
    left_out: list[str]
    """The symbols that could not be read, each with the reason."""


class _Filter(Struct, frozen=True, rename="camel"):
    """A rule of any kind; a test network writes those of every kind, and null where it has none."""

    filter_type: str
    min_price: str | None = None
    max_price: str | None = None
    tick_size: str | None = None
    min_qty: str | None = None
    max_qty: str | None = None
    step_size: str | None = None
    notional: str | None = None


class _Symbol(Struct, frozen=True, kw_only=True, rename="camel"):
    """One symbol of the answer."""

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
    """The name of a symbol that cannot be read otherwise."""

    symbol: str


class _Answer(Struct, frozen=True):
    symbols: list[Raw]


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_symbol = msgspec.json.Decoder(_Symbol).decode
_decode_name = msgspec.json.Decoder(_Named).decode


def instruments_of(answer: bytes, venue: Venue) -> Listing:
    """Return what `answer`, the body of an `exchangeInfo` answer of `venue`, tells of.

    The scales are those that prices and quantities are printed with (`pricePrecision`,
    `quantityPrecision`); a tick may be coarser.  Not told, and therefore as `Instrument` has it by
    default, are funding interval and cap and the circulating supply; on COIN-M the smallest order
    value too.  A contract type or status is kept as it is written, a delivery beyond every year as
    none, and a smallest order value below 1 (contracts that are quoted in BTC) becomes 0.  Left out
    is, beside what cannot be read, what no streams could be named after.

    Raises:
        DecodeError: it is not such an answer.
    """
    try:
        symbols = _decode_answer(answer).symbols
    except UNREADABLE as error:
        raise DecodeError(f"not an answer to exchangeInfo: {error}") from None
    listing = Listing([], [])
    for number, raw in enumerate(symbols):
        try:
            listing.instruments.append(_instrument(_decode_symbol(raw), venue))
        except (*UNREADABLE, ValueError) as error:
            listing.left_out.append(f"{_name(raw, number)}: {error}")
    return listing


def _name(raw: Raw, number: int) -> str:
    """Return what a contract that is left out is called."""
    try:
        name = _decode_name(raw).symbol
    except UNREADABLE:
        return f"symbols[{number}]"
    return name if _can_be_name(name) else f"symbols[{number}]"


def _can_be_name(name: str) -> bool:
    """Whether a contract or a pair may have the name: streams of it could be told apart.

    Names of streams have it in lower case, and it is found by them in upper case.
    """
    return (
        0 < len(name) <= LONGEST_SYMBOL
        and name.isprintable()
        and name == name.lower().upper()
        and _STRUCTURE.search(name) is None
    )


def _instrument(symbol: _Symbol, venue: Venue) -> Instrument:
    for field, name in (("symbol", symbol.symbol), ("pair", symbol.pair)):
        if not _can_be_name(name):
            raise ValueError(f"{field} is {name[:LONGEST_SYMBOL]!a}, which is no name")
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
    least = _units(notional.notional, Scale(MAX_DECIMALS), "notional")
    return msgspec.structs.replace(instrument, min_notional=least // 10**MAX_DECIMALS)


def _status(symbol: _Symbol, venue: Venue) -> str:
    """Return the status; the venues name it differently."""
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
