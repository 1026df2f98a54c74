"""How much there is of a coin, as those who count coins say."""

from __future__ import annotations

from random import Random

from tickerplant.simulation.coins import Coin

MILLION = 10**6
IN_CIRCULATION = {
    "BTC": 19.95,
    "ETH": 120.7,
    "SOL": 545.0,
    "XRP": 59_900.0,
    "BNB": 139.0,
    "DOGE": 151_200.0,
    "ADA": 35_800.0,
    "AVAX": 426.0,
    "LINK": 696.0,
    "TRX": 94_700.0,
    "DOT": 1_620.0,
    "LTC": 76.4,
    "BCH": 19.9,
    "UNI": 630.0,
    "NEAR": 1_270.0,
    "SUI": 3_620.0,
    "APT": 710.0,
    "FIL": 690.0,
    "ATOM": 470.0,
    "ETC": 153.0,
    "AAVE": 15.2,
    "ARB": 5_500.0,
    "OP": 1_880.0,
    "1000PEPE": 420_690.0,
}
"""Millions of coins."""
INVENTED_VALUE_USD = (2e7, 4e8)
"""What all coins of an invented kind are worth together: least and most."""


def circulating_supply(coin: Coin) -> int:
    """Return how many coins there are; 0 of what is no coin."""
    if coin.underlying_type != "COIN":
        return 0
    known = IN_CIRCULATION.get(coin.name)
    if known is not None:
        return round(known * MILLION)
    return round(Random(f"supply {coin.name}").uniform(*INVENTED_VALUE_USD) / coin.price)
