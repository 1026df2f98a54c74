"""Indices: spot baskets of contracts, composite indices, and the asset indices of margin assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from tickerplant.events import (
    AssetIndex,
    CompositeIndex,
    CompositePart,
    IndexBasket,
    IndexConstituent,
)
from tickerplant.instrument import RATE_ONE, Instrument, round_div
from tickerplant.simulation.underlyings import INDEX, INDEX_SHARES, UNDERLYINGS
from tickerplant.simulation.valuation import FairValue

STABLE = ("USDT", "USDC", "FDUSD")
"""Margin assets pegged to one USD."""
STABLE_BUFFERS = (10_000, 5_000)
COIN_BUFFERS = (
    ("BTC", 5_000_000, 2_500_000),
    ("ETH", 5_000_000, 2_500_000),
    ("BNB", 5_000_000, 2_500_000),
    ("XRP", 10_000_000, 5_000_000),
    ("ADA", 10_000_000, 5_000_000),
    ("SOL", 7_500_000, 3_750_000),
    ("DOGE", 10_000_000, 5_000_000),
)
"""Coins that are margin assets; their buffers, and those of the automatic exchange, in 10^-8."""
PEG_SPREAD = 0.00012
"""Standard deviation of a stable asset around one USD."""
PEG_KEEP = 0.999
"""Share of its distance from one USD that a stable asset keeps after a second."""


class Composite:
    """A composite index: fixed quantities of several assets."""

    def __init__(self, symbol: str, parts: Sequence[tuple[str, int, FairValue]]) -> None:
        self._symbol = symbol
        self._parts = tuple(parts)

    def at(self, now_ms: int) -> CompositeIndex:
        """Return the index and its parts; the percentages add up to 1 exactly."""
        prices = [round(value.index * RATE_ONE) for _, _, value in self._parts]
        worths = [weight * price for (_, weight, _), price in zip(self._parts, prices, strict=True)]
        total = sum(worths)
        shares = [round_div(fair_value * RATE_ONE, total) for fair_value in worths]
        shares[0] += RATE_ONE - sum(shares)
        parts = tuple(
            CompositePart(name, "USDT", weight, share, price)
            for (name, weight, _), share, price in zip(self._parts, shares, prices, strict=True)
        )
        return CompositeIndex(self._symbol, round_div(total, RATE_ONE), parts, now_ms)


def index_weights() -> tuple[tuple[str, int], ...]:
    """Return the coins of the composite index and their quantities, in integers of 10^-8."""
    return tuple(
        (name, round(share * INDEX.price / UNDERLYINGS[name].price * RATE_ONE))
        for name, share in INDEX_SHARES
    )


class AssetIndices:
    """The indices of margin assets in multi-assets mode."""

    def __init__(self, values: Mapping[str, FairValue], random: Random) -> None:
        self._values = values
        self._random = random
        self.pegs = {name: random.gauss(0, PEG_SPREAD) for name in STABLE}

    def at(self, now_ms: int) -> list[AssetIndex]:
        """Return the indices of all assets at the next second."""
        shock = PEG_SPREAD * float((1 - PEG_KEEP**2) ** 0.5)
        for name, off in self.pegs.items():
            self.pegs[name] = off * PEG_KEEP + self._random.gauss(0, shock)
        stable = [
            asset_index(name, round((1 + off) * RATE_ONE), *STABLE_BUFFERS, now_ms)
            for name, off in self.pegs.items()
        ]
        coins = [
            asset_index(name, round(self._values[name].index * RATE_ONE), buffer, automatic, now_ms)
            for name, buffer, automatic in COIN_BUFFERS
        ]
        return coins + stable


def asset_index(
    name: str, index: int, buffer: int, automatic_buffer: int, now_ms: int
) -> AssetIndex:
    """Return the index of an asset; its rates are the index minus and plus the buffers."""
    return AssetIndex(
        symbol=f"{name}USD",
        index=index,
        bid_buffer=buffer,
        ask_buffer=buffer,
        bid_rate=_product(index, RATE_ONE - buffer),
        ask_rate=_product(index, RATE_ONE + buffer),
        auto_exchange_bid_buffer=automatic_buffer,
        auto_exchange_ask_buffer=automatic_buffer,
        auto_exchange_bid_rate=_product(index, RATE_ONE - automatic_buffer),
        auto_exchange_ask_rate=_product(index, RATE_ONE + automatic_buffer),
        time_ms=now_ms,
    )


def _product(first: int, second: int) -> int:
    """Return the product of two integers of 10^-8, rounded half to even."""
    whole, rest = divmod(first * second, RATE_ONE)
    return whole + int(2 * rest > RATE_ONE or (2 * rest == RATE_ONE and whole % 2 == 1))


MIN_SPOT_MARKETS, MAX_SPOT_MARKETS = 4, 7
"""Spot markets of an index."""
SPOT_SPREAD = 0.00008
"""Standard deviation of a spot price around the index, relative to it."""
BASKET_INTERVAL_S = 10
"""Period in which a basket is published."""
COIN_MARKETS = (
    "binance {}{}, okex {}-{}, coinbase {}-{}, bybit {}{}, "
    "kucoin {}-{}, gateio {}_{}, mxc {}{}, bitget {}{}"
)
"""Spot markets, and how they name an underlying: with one asset, or with the quote too."""
USD_MARKETS = (
    "coinbase {}-USD, kraken {}/USD, bitstamp {}/USD, gemini {}USD, "
    "lmax {}/USD, bitfinex {}USD, cryptocom {}_USD"
)
TRADFI_MARKETS = {
    "COMMODITY": "lbma {}/USD, comex {}USD, oanda {}_USD, saxo {}USD, swissquote {}/USD",
    "FX": "ebs {}/USD, oanda {}_USD, saxo {}USD, swissquote {}/USD, lmax {}/USD",
    "EQUITY": "nasdaq {}, nyse {}, cboe {}, iex {}, memx {}",
    "KR_EQUITY": "krx {}, nextrade {}, lseg {}.KS, xetra {}",
    "HK_EQUITY": "hkex {}, lseg {}.HK, otcm {}, xetra {}",
    "CN_EQUITY": "szse {}, sse {}, lseg {}.SZ, hkex {}",
}
"""By the kind of underlying; other kinds trade on the markets of coins."""


class Basket:
    """The spot markets of a contract's index; contracts of one pair have the same basket."""

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self._symbol = instrument.symbol
        self._name = f"{seed} basket {instrument.pair}"
        random = Random(self._name)
        self.slot = random.randrange(BASKET_INTERVAL_S)
        """The second of the period at which it is published."""
        listed = _markets(instrument)
        count = random.randint(MIN_SPOT_MARKETS, min(MAX_SPOT_MARKETS, len(listed)))
        chosen = sorted(random.sample(range(1, len(listed)), count - 1))
        markets = [listed[at] for at in (0, *chosen)]
        assets = instrument.base_asset, instrument.quote_asset
        self._names = [(name, form.format(*assets)) for name, form in markets]
        sizes = [random.uniform(0.5, 1.5) for _ in markets]
        weights = [int(size / sum(sizes) * RATE_ONE) for size in sizes]
        weights[-1] = RATE_ONE - sum(weights[:-1])
        self._weights = weights

    def at(self, index_price: int, now_ms: int) -> IndexBasket:
        """Return the spot prices; their weighted mean is `index_price` exactly.

        The mean is exact when rounded to the nearest 10^-8.
        """
        gauss, weights = Random(f"{self._name} {now_ms}").gauss, self._weights
        prices = [round(index_price * (1 + gauss(0, SPOT_SPREAD))) for _ in weights[1:]]
        before = sum(map(int.__mul__, prices, weights))
        prices.append(round((index_price * RATE_ONE - before) / weights[-1]))
        rows = zip(self._names, prices, weights, strict=True)
        return IndexBasket(
            self._symbol,
            tuple(
                IndexConstituent(exchange, name, price, weight)
                for (exchange, name), price, weight in rows
            ),
            now_ms,
        )


def _markets(instrument: Instrument) -> list[list[str]]:
    """Return the spot markets of an underlying, and the format of its symbol there."""
    usual = USD_MARKETS if instrument.venue.inverse else COIN_MARKETS
    listed = TRADFI_MARKETS.get(instrument.underlying_type, usual)
    return [each.split() for each in listed.split(", ")]
