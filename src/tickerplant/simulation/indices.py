"""Indices that are not about one contract alone: composite indices, and those of margin assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from tickerplant.events import AssetIndex, CompositeIndex, CompositePart
from tickerplant.instrument import RATE_ONE
from tickerplant.market.figures import nearest
from tickerplant.simulation.coins import BY_NAME, INDEX, INDEX_SHARES
from tickerplant.simulation.value import CoinValue

STABLE = ("USDT", "USDC", "FDUSD")
"""Margin assets that are held at one USD."""
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
"""What a stable asset keeps of its distance in a second."""


class Composite:
    """A composite index: fixed quantities of several assets."""

    def __init__(self, symbol: str, parts: Sequence[tuple[str, int, CoinValue]]) -> None:
        self._symbol = symbol
        self._parts = tuple(parts)

    def at(self, now_ms: int) -> CompositeIndex:
        """Return the index and what makes it; the percentages add up to 1 exactly."""
        prices = [round(value.index * RATE_ONE) for _, _, value in self._parts]
        worths = [weight * price for (_, weight, _), price in zip(self._parts, prices, strict=True)]
        total = sum(worths)
        shares = [nearest(worth * RATE_ONE, total) for worth in worths]
        shares[0] += RATE_ONE - sum(shares)
        parts = tuple(
            CompositePart(name, "USDT", weight, share, price)
            for (name, weight, _), share, price in zip(self._parts, shares, prices, strict=True)
        )
        return CompositeIndex(self._symbol, nearest(total, RATE_ONE), parts, now_ms)


def index_weights() -> tuple[tuple[str, int], ...]:
    """Return the coins of the composite index and their quantities, in integers of 10^-8."""
    return tuple(
        (name, round(share * INDEX.price / BY_NAME[name].price * RATE_ONE))
        for name, share in INDEX_SHARES
    )


class AssetIndices:
    """What margin assets count for in multi-assets mode.

    Args:
        values: The coins of `COIN_BUFFERS`.
        random: Moves the stable assets.
    """

    def __init__(self, values: Mapping[str, CoinValue], random: Random) -> None:
        self._values = values
        self._random = random
        self._pegs = {name: random.gauss(0, PEG_SPREAD) for name in STABLE}

    def at(self, now_ms: int) -> list[AssetIndex]:
        """Return the indices of all assets at the next second."""
        shock = PEG_SPREAD * float((1 - PEG_KEEP**2) ** 0.5)
        for name, off in self._pegs.items():
            self._pegs[name] = off * PEG_KEEP + self._random.gauss(0, shock)
        stable = [
            asset_index(name, round((1 + off) * RATE_ONE), *STABLE_BUFFERS, now_ms)
            for name, off in self._pegs.items()
        ]
        coins = [
            asset_index(name, round(self._values[name].index * RATE_ONE), buffer, automatic, now_ms)
            for name, buffer, automatic in COIN_BUFFERS
        ]
        return coins + stable


def asset_index(
    name: str, index: int, buffer: int, automatic_buffer: int, now_ms: int
) -> AssetIndex:
    """Return the index of an asset; its rates are the index less and plus the buffers."""
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
    """Return the product of two integers of 10^-8, to the nearest, halves to the even one."""
    whole, rest = divmod(first * second, RATE_ONE)
    return whole + int(2 * rest > RATE_ONE or (2 * rest == RATE_ONE and whole % 2 == 1))
