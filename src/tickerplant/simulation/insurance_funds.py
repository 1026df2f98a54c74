"""The insurance funds of USDⓈ-M, which keep the surplus of forced orders."""

from __future__ import annotations

from collections.abc import Iterable

from tickerplant.events import InsuranceFund, Liquidation
from tickerplant.instrument import RATE_ONE, Instrument
from tickerplant.simulation.underlyings import COINS
from tickerplant.units import MINUTE_MS
from tickerplant.venue import USDM

MAJOR = frozenset(coin.name for coin in COINS[:6])
"""The coins whose contracts share the largest fund."""
FIRST_BALANCES = {
    "major": (("USDT", 612_408_115 * RATE_ONE), ("USDC", 38_770_902 * RATE_ONE)),
    "other": (("USDT", 287_115_640 * RATE_ONE),),
    "tradfi": (("USDT", 18_650_244 * RATE_ONE),),
}
INTERVAL_MS = 5 * MINUTE_MS
"""Period in which the balances are published."""


class InsuranceFunds:
    """The balances of all funds."""

    def __init__(self) -> None:
        self._balances = {fund: dict(first) for fund, first in FIRST_BALANCES.items()}

    def take_in(self, forced: Liquidation, instrument: Instrument) -> None:
        """Add what a forced order gained over its bankruptcy price to the contract's fund."""
        if instrument.venue is not USDM:
            return
        better = forced.average_price - forced.price
        if forced.side == "BUY":
            better = -better
        scale = instrument.price.decimals + instrument.quantity.decimals
        gain = max(better, 0) * forced.filled_quantity * RATE_ONE // int(10**scale)
        fund, asset = self._balances[_fund(instrument)], instrument.margin_asset
        fund[asset] = fund.get(asset, 0) + gain

    def at(self, listed: Iterable[Instrument], now_ms: int) -> list[InsuranceFund]:
        """Return the funds of the listed contracts."""
        sharing: dict[str, list[str]] = {}
        for instrument in listed:
            if instrument.venue is USDM:
                sharing.setdefault(_fund(instrument), []).append(instrument.symbol)
        return [
            InsuranceFund(
                symbol=fund,
                symbols=tuple(sharing[fund]),
                balances=tuple(self._balances[fund].items()),
                time_ms=now_ms,
            )
            for fund in self._balances
            if fund in sharing
        ]


def _fund(instrument: Instrument) -> str:
    if instrument.tradfi:
        return "tradfi"
    return "major" if instrument.base_asset in MAJOR else "other"
