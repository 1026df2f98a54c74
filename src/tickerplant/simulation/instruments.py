"""The contracts of the simulated exchange, with the exchange's rules.

Tick, lot, precision, smallest notional and contract size are those of the exchange's own
`exchangeInfo`; the rows are in `underlyings`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice, zip_longest

from msgspec import structs

from tickerplant.errors import ConfigError
from tickerplant.instrument import (
    PERPETUAL_DELIVERY_MS,
    TRADIFI_PERPETUAL,
    Instrument,
    Scale,
    coin_contract_size,
    decimal_units,
)
from tickerplant.profile import FIRST_UNDERLYING_TYPES
from tickerplant.quarters import deliveries_ms, delivery_code
from tickerplant.simulation.underlyings import (
    COINS,
    INDEX,
    PREMARKET,
    TRADFI,
    UNDERLYINGS,
    UNUSUAL,
    Underlying,
    circulating_supply,
    generate_underlyings,
    underlying_named,
)
from tickerplant.stream_name import upper_case
from tickerplant.suggestions import suggestion
from tickerplant.units import DAY_MS
from tickerplant.venue import COINM, USDM

QUOTES = ("USDT", "USDC")
"""The assets in which contracts of USDⓈ-M are quoted."""
IN_USDC = (
    *("BTC", "ETH", "BNB", "SOL", "XRP", "DOGE", "SUI", "LINK", "1000PEPE", "AVAX", "1000SHIB"),
    *("BCH", "LTC", "NEAR", "ARB", "FIL", "1000BONK", "ADA", "AAVE", "UNI"),
)
"""The coins that are quoted in USDC too, the first of them always."""
USDC_LISTED_MS = 1_704_285_000_000
"""When the first contracts in USDC were listed (2024-01-03)."""
USDC_DECIMALS = {"BTCUSDC": 1}
"""Decimals in which prices are written, where they differ from those in USDT."""
PERPETUAL_COINM = ("BTC", "ETH", "BNB")
DATED = (("BTC", "CURRENT_QUARTER"), ("BTC", "NEXT_QUARTER"), ("ETH", "CURRENT_QUARTER"))
"""The dated contracts of either venue."""
BOUNDS = (1 / 100, 60)
"""Lowest and highest price allowed, as multiples of the price at the start."""
LARGEST_ORDER_USD = 50_000_000
MARKET_ORDER_SHARE = 8
"""The largest order is this many times the largest market order."""
LISTED_BEFORE_START_MS = 30 * DAY_MS
"""Least age of a contract, so that it has some history."""


def instruments(
    start_ms: int,
    symbols: Sequence[str] | None = None,
    symbol_count: int | None = None,
    underlying_types: Collection[str] = FIRST_UNDERLYING_TYPES,
) -> tuple[Instrument, ...]:
    """Return the contracts that are listed at `start_ms`.

    Args:
        start_ms: Start of the simulation; decides which quarterly contracts exist.
        symbols: List only these.
        symbol_count: List this many; beyond the standard ones, pairs in USDC and coins of unusual
            names come in turn, then generated coins.
        underlying_types: List contracts of these kinds of underlying, unless `symbols` name others.

    Raises:
        ConfigError: A symbol is not listed, or the count is not positive.
    """
    if symbol_count is not None and symbol_count < 1:
        raise ConfigError("symbol_count", symbol_count, "at least 1")
    standard = _standard(start_ms)
    listed = [each for each in standard if each.underlying_type in underlying_types]
    if symbol_count is not None and symbol_count > len(listed):
        generated = (_perpetual_usdm(coin, start_ms) for coin in generate_underlyings())
        more = chain(_further(start_ms), generated)
        listed += islice(more, symbol_count - len(listed))
    if symbols is None:
        return tuple(listed[:symbol_count])
    by_symbol = {each.symbol: each for each in (*listed, *standard, *_further(start_ms))}
    chosen = tuple(dict.fromkeys(map(upper_case, symbols)))
    for symbol in chosen:
        if symbol not in by_symbol:
            some = ", ".join(each.symbol for each in standard)
            expected = f"some of {some}, or of the further ones in {' and '.join(QUOTES)}"
            raise ConfigError("symbols", symbol, f"{expected}{suggestion(symbol, by_symbol)}")
    return tuple(by_symbol[symbol] for symbol in chosen)[:symbol_count]


def _standard(start_ms: int) -> list[Instrument]:
    return [
        *(_perpetual_usdm(coin, start_ms) for coin in COINS),
        *_dated(start_ms, "USDT"),
        _perpetual_usdm(UNDERLYINGS[IN_USDC[0]], start_ms, "USDC"),
        *(_perpetual_coinm(UNDERLYINGS[name], start_ms) for name in PERPETUAL_COINM),
        *_dated(start_ms, "USD"),
        *(_perpetual_usdm(coin, start_ms) for coin in (INDEX, *TRADFI, PREMARKET)),
    ]


def _further(start_ms: int) -> Iterator[Instrument]:
    """Yield the contracts of coins with unusual names, and the further ones in USDC, in turn."""
    for name, quoted in zip_longest(UNUSUAL, IN_USDC[1:]):
        yield _perpetual_usdm(underlying_named(name), start_ms)
        if quoted is not None:
            yield _perpetual_usdm(underlying_named(quoted), start_ms, "USDC")


def coin_and_quote(symbol: str) -> tuple[Underlying, str]:
    """Return underlying and quote of a perpetual contract of USDⓈ-M that may be listed."""
    for quote in QUOTES:
        name = symbol.removesuffix(quote)
        if name != symbol and name.isalnum():
            return underlying_named(name), quote
    expected = f"a coin followed by {' or '.join(QUOTES)}, such as NEWUSDT"
    raise ConfigError("symbols", symbol, expected)


def new_perpetual(coin: Underlying, onboard_date_ms: int, quote: str = "USDT") -> Instrument:
    """Return the perpetual contract of an underlying, listed at `onboard_date_ms`."""
    symbol = f"{coin.name}{quote}"
    contract = _contract(
        coin,
        quote,
        symbol,
        TRADIFI_PERPETUAL if coin in TRADFI else "PERPETUAL",
        onboard_date_ms,
        price_decimals=USDC_DECIMALS.get(symbol, coin.price_decimals),
    )
    return structs.replace(
        contract,
        min_notional=coin.min_notional,
        sub_types=(coin.sub_type if quote == "USDT" else quote,),
        underlying_type=coin.underlying_type,
        funding_interval_hours=coin.funding_interval_hours,
        funding_cap=coin.funding_cap,
    )


def new_dated(
    before: Instrument, contract_type: str, onboard_date_ms: int, delivery_date_ms: int
) -> Instrument:
    """Return the dated contract that succeeds `before` on the same pair."""
    return structs.replace(
        before,
        symbol=f"{before.pair}_{delivery_code(delivery_date_ms)}",
        contract_type=contract_type,
        onboard_date_ms=onboard_date_ms,
        delivery_date_ms=delivery_date_ms,
        status="TRADING",
    )


def _perpetual_usdm(coin: Underlying, start_ms: int, quote: str = "USDT") -> Instrument:
    listed_ms = max(coin.onboard_date_ms, USDC_LISTED_MS if quote == "USDC" else 0)
    return new_perpetual(coin, min(listed_ms, start_ms - LISTED_BEFORE_START_MS), quote)


def _perpetual_coinm(coin: Underlying, start_ms: int) -> Instrument:
    onboard_date_ms = min(coin.onboard_date_ms, start_ms - LISTED_BEFORE_START_MS)
    symbol = f"{coin.name}USD_PERP"
    contract = _contract(coin, "USD", symbol, "PERPETUAL", onboard_date_ms)
    return structs.replace(contract, sub_types=(coin.sub_type,))


def _dated(start_ms: int, quote: str) -> Iterator[Instrument]:
    """Yield the dated contracts in an asset."""
    earlier_ms, listed_ms, current_ms, next_ms = deliveries_ms(start_ms)
    for name, contract_type in DATED:
        is_current = contract_type == "CURRENT_QUARTER"
        term_ms = (earlier_ms, current_ms) if is_current else (listed_ms, next_ms)
        symbol = f"{name}{quote}_{delivery_code(term_ms[1])}"
        yield _contract(UNDERLYINGS[name], quote, symbol, contract_type, *term_ms)


def _contract(
    coin: Underlying,
    quote: str,
    symbol: str,
    contract_type: str,
    onboard_date_ms: int,
    delivery_date_ms: int = PERPETUAL_DELIVERY_MS,
    price_decimals: int | None = None,
) -> Instrument:
    """Return a contract with the rules that all of its underlying have; in USD it is of COIN-M."""
    inverse = quote == "USD"
    price = Scale(_decimals(coin.tick) if price_decimals is None else price_decimals)
    quantity = Scale(0 if inverse else _decimals(coin.step))
    tick = decimal_units(coin.tick, price.decimals)
    step = 1 if inverse else decimal_units(coin.step, quantity.decimals)
    contract_size = coin_contract_size(coin.name) if inverse else 1
    usd = contract_size if inverse else coin.price
    largest = _round_units(LARGEST_ORDER_USD / usd * 10**quantity.decimals)
    ticks = coin.price * 10**price.decimals / tick
    lowest, highest = (round(ticks * bound) * tick for bound in BOUNDS)
    return Instrument(
        venue=COINM if inverse else USDM,
        symbol=symbol,
        pair=f"{coin.name}{quote}",
        contract_type=contract_type,
        base_asset=coin.name,
        circulating_supply=circulating_supply(coin),
        quote_asset=quote,
        margin_asset=coin.name if inverse else quote,
        price=price,
        quantity=quantity,
        step_size=step,
        min_quantity=step,
        max_quantity=largest,
        max_market_quantity=largest // MARKET_ORDER_SHARE,
        contract_size=contract_size,
        onboard_date_ms=onboard_date_ms,
        delivery_date_ms=delivery_date_ms,
        tick_size=tick,
        min_price=max(lowest, tick),
        max_price=highest,
    )


def _decimals(text: str) -> int:
    """Return the number of decimals that `text` needs, without trailing zeros."""
    return len(text.partition(".")[2].rstrip("0"))


def _round_units(units: float) -> int:
    """Round down to two significant digits."""
    power = int(10 ** max(len(str(int(units))) - 2, 0))
    return int(units) // power * power
