"""The spot markets that index prices are made of."""

from __future__ import annotations

from random import Random

from tickerplant.events import IndexBasket, IndexConstituent
from tickerplant.instrument import RATE_ONE, Instrument

FEWEST, MOST = 4, 7
"""Spot markets of an index."""
SPREAD = 0.00008
"""Standard deviation of a spot price around the index, relative to it."""
INTERVAL_S = 10
"""A basket is told once in so many seconds."""
USDT_MARKETS = (
    ("binance", "{}USDT"),
    ("okex", "{}-USDT"),
    ("coinbase", "{}-USDT"),
    ("bybit", "{}USDT"),
    ("kucoin", "{}-USDT"),
    ("gateio", "{}_USDT"),
    ("mxc", "{}USDT"),
    ("bitget", "{}USDT"),
)
USD_MARKETS = (
    ("coinbase", "{}-USD"),
    ("kraken", "{}/USD"),
    ("bitstamp", "{}/USD"),
    ("gemini", "{}USD"),
    ("lmax", "{}/USD"),
    ("bitfinex", "{}USD"),
    ("cryptocom", "{}_USD"),
)
METAL_MARKETS = (
    ("lbma", "{}/USD"),
    ("comex", "{}USD"),
    ("oanda", "{}_USD"),
    ("saxo", "{}USD"),
    ("swissquote", "{}/USD"),
)
SHARE_MARKETS = (
    ("nasdaq", "{}"),
    ("nyse", "{}"),
    ("cboe", "{}"),
    ("iex", "{}"),
    ("memx", "{}"),
)


class Basket:
    """The spot markets of a contract's index; those of one pair are the same and say the same."""

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self._symbol = instrument.symbol
        self._name = f"{seed} basket {instrument.pair}"
        random = Random(self._name)
        self.slot = random.randrange(INTERVAL_S)
        """The second of ten at which it is told."""
        listed = _markets(instrument)
        count = random.randint(FEWEST, min(MOST, len(listed)))
        chosen = sorted(random.sample(range(1, len(listed)), count - 1))
        markets = [listed[at] for at in (0, *chosen)]
        self._names = [(name, form.format(instrument.base_asset)) for name, form in markets]
        sizes = [random.uniform(0.5, 1.5) for _ in markets]
        weights = [int(size / sum(sizes) * RATE_ONE) for size in sizes]
        weights[-1] = RATE_ONE - sum(weights[:-1])
        self._weights = weights

    def at(self, index_price: int, now_ms: int) -> IndexBasket:
        """Return what each market says, so that their weighted mean is `index_price` exactly.

        The mean is exact when it is rounded to the nearest 10^-8.
        """
        gauss, weights = Random(f"{self._name} {now_ms}").gauss, self._weights
        prices = [round(index_price * (1 + gauss(0, SPREAD))) for _ in weights[1:]]
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


def _markets(instrument: Instrument) -> tuple[tuple[str, str], ...]:
    """Return where a thing is bought for good, and how its name is written there."""
    if instrument.underlying_type == "EQUITY":
        return SHARE_MARKETS
    if instrument.underlying_type == "COMMODITY":
        return METAL_MARKETS
    return USD_MARKETS if instrument.venue.inverse else USDT_MARKETS
