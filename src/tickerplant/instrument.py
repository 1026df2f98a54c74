"""Instruments, and exact conversion between wire text and integer units.

Prices and quantities are integers internally: a price of "65280.10" on a scale of two decimals is
6528010 units. The text of a number is cached, because the same levels are written again and again;
the caches are cleared when all of the process have `CACHED_NUMBERS` together.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

from msgspec import Struct

from tickerplant.venue import Venue

CACHED_NUMBERS = 1 << 16
"""Most numbers that all scales cache together, of at most `NUMBER_BYTES` each: 16 MiB."""
NUMBER_BYTES = 256
"""Most bytes of a cached number: its text, its integer, and their place in a cache."""

LARGEST = 1 << 56
"""Largest absolute price, quantity, turnover, id and time: a hundred of them fit into 64 bits."""
LONGEST_NUMBER = 64
"""Most characters of a number that is parsed: three times what `LARGEST` needs."""

PERPETUAL_DELIVERY_MS = 4_133_404_800_000
"""The delivery date the exchange gives to contracts that have none."""

TRADIFI_PERPETUAL = "TRADIFI_PERPETUAL"
ANNOUNCED = "PENDING_TRADING"
"""The status of an announced contract, which has rules but no market data."""
CONTRACT_TYPES = ("PERPETUAL", TRADIFI_PERPETUAL, "CURRENT_QUARTER", "NEXT_QUARTER")
COMPOSITE = "INDEX"
"""The underlying type of a contract on a composite index."""

RATE_DECIMALS = 8
"""Mark, index and settlement prices and funding rates have eight decimals on both venues."""
RATE_ONE = int(10**RATE_DECIMALS)
"""The integer that stands for 1 at eight decimals."""

_PLAIN_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def coin_contract_size(base_asset: str) -> int:
    """Return the quote value of one COIN-M contract: 100 USD for BTC, 10 USD for any other coin."""
    return 100 if base_asset == "BTC" else 10


def round_div(numerator: int, denominator: int) -> int:
    """Return the integer nearest to `numerator` / `denominator` (> 0), halves away from zero."""
    if numerator < 0:
        return -((denominator - 2 * numerator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


def decimal_text(units: int, decimals: int) -> str:
    """Return `units` × 10^-`decimals` as plain fixed text, without exponent."""
    if decimals == 0:
        return str(units)
    digits = str(units)
    if len(digits) <= decimals or units < 0:
        # zfill puts zeros after the sign
        digits = digits.zfill(decimals + 1 + (units < 0))
    return f"{digits[:-decimals]}.{digits[-decimals:]}"


def decimal_units(text: str, decimals: int) -> int:
    """Return plain decimal `text` as an integer count of 10^-`decimals`.

    Raises:
        ValueError: `text` is not a plain decimal, is longer than `LONGEST_NUMBER`, or has
            significant digits beyond `decimals`.
    """
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"{text[:LONGEST_NUMBER]!r} is too long for a number")
    whole, _, part = text.partition(".")
    if whole and len(part) == decimals > 0 and text.isascii() and (whole + part).isdecimal():
        return int(whole + part)  # the usual form
    if _PLAIN_DECIMAL.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a plain decimal")
    if len(part) > decimals:
        if part[decimals:].strip("0"):
            raise ValueError(f"{text!r} has more than {decimals} decimals")
        part = part[:decimals]
    return int(whole + part.ljust(decimals, "0"))


def _bounded_units(text: str, decimals: int) -> int:
    units = decimal_units(text, decimals)
    if not -LARGEST <= units <= LARGEST:
        raise ValueError(f"{text!r} is larger than a market can hold")
    return units


class _Cache(dict[Any, Any]):
    """Conversions of one kind, for all scales of as many decimals."""

    every: ClassVar[list[_Cache]] = []
    room: ClassVar[int] = CACHED_NUMBERS

    def __init__(self, convert: Callable[[Any, int], Any], decimals: int) -> None:
        super().__init__()
        self._convert, self._decimals = convert, decimals
        self.every.append(self)

    def __missing__(self, key: Any) -> Any:
        value = self._convert(key, self._decimals)
        if _Cache.room <= 0:
            self.clear_all()
        _Cache.room -= 1
        self[key] = value
        return value

    @classmethod
    def clear_all(cls) -> None:
        for each in cls.every:
            each.clear()
        _Cache.room = CACHED_NUMBERS


_cache = cache(_Cache)


class Scale:
    """A number of decimals with cached conversion: `scale.text[units]` and `scale.units[text]`.

    `units` raises `ValueError` for text that `decimal_units` rejects, and for numbers beyond
    `LARGEST`.
    """

    __slots__ = ("decimals", "text", "units")

    def __init__(self, decimals: int) -> None:
        self.decimals = decimals
        self.text: dict[int, str] = _cache(decimal_text, decimals)
        self.units: dict[str, int] = _cache(_bounded_units, decimals)

    def __repr__(self) -> str:
        return f"Scale({self.decimals})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scale) and other.decimals == self.decimals

    def __hash__(self) -> int:
        return hash(self.decimals)


class Instrument(Struct, frozen=True, kw_only=True):
    """One contract: its names, its scales and its trading rules.

    Sizes and bounds are integers: prices in units of `price`, quantities in units of `quantity`.
    """

    venue: Venue
    symbol: str
    pair: str
    contract_type: str
    """`PERPETUAL`, `TRADIFI_PERPETUAL`, `CURRENT_QUARTER` or `NEXT_QUARTER`."""
    base_asset: str
    quote_asset: str
    margin_asset: str
    price: Scale
    quantity: Scale
    tick_size: int
    step_size: int
    min_price: int
    max_price: int
    min_quantity: int
    max_quantity: int
    max_market_quantity: int
    min_notional: int = 5
    """Smallest order value in whole quote units (USDⓈ-M)."""
    contract_size: int = 1
    """Quote value of one contract (COIN-M); 1 on USDⓈ-M."""
    onboard_date_ms: int = 0
    delivery_date_ms: int = PERPETUAL_DELIVERY_MS
    status: str = "TRADING"
    """Such as `PENDING_TRADING`, `TRADING`, `TRADING_HALT`, `SETTLING`, `DELIVERING`, `CLOSE`."""
    underlying_type: str = "COIN"
    """One of `underlying_types` of a profile."""
    sub_types: tuple[str, ...] = ()
    """Kinds of underlying, such as `PoW` or `Layer-1`."""
    funding_interval_hours: int = 8
    circulating_supply: int = 0
    """Number of units of the base asset in existence; 0 if unknown."""
    funding_cap: int = 2_000_000
    """Largest absolute funding rate, in integers of 10^-8."""

    @property
    def perpetual(self) -> bool:
        """Whether the contract has no term and therefore pays funding, even if its end is announced."""
        return "PERPETUAL" in self.contract_type

    @property
    def composite(self) -> bool:
        """Whether the underlying is a composite index."""
        return self.underlying_type == COMPOSITE

    @property
    def tradfi(self) -> bool:
        """Whether the underlying has trading sessions, such as shares and metals."""
        return self.contract_type == TRADIFI_PERPETUAL

    @property
    def turnover_decimals(self) -> int:
        """Decimals of the turnover unit: price + quantity decimals, or 8 for base coin."""
        if self.venue.inverse:
            return RATE_DECIMALS
        return self.price.decimals + self.quantity.decimals

    def turnover(self, price: int, quantity: int) -> int:
        """Return the value of `quantity` at `price`, in units of `turnover_decimals`.

        USDⓈ-M: quote value, exact. COIN-M: base coin (contracts × size / price), rounded to the
        nearest 10^-8 per trade, so that sums of trades do not depend on their order.
        """
        if self.venue.inverse:
            one = int(10 ** (RATE_DECIMALS + self.price.decimals))
            value = quantity * self.contract_size * one
            return (2 * value + price) // (2 * price)
        return price * quantity

    def can_count(self, price: int, quantity: int) -> bool:
        """Whether a trade's price is positive and its turnover small enough to be added up."""
        if price <= 0 or quantity < 0:
            return False
        if self.venue.inverse:
            return self.turnover(price, quantity) <= LARGEST
        return price * quantity <= LARGEST

    def __hash__(self) -> int:
        return hash(self.symbol)
