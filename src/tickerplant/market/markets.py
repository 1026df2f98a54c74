"""The markets of one venue, as streams and queries see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tickerplant.events import AssetIndex, Delivered, InsuranceFund
from tickerplant.instrument import ANNOUNCED, Instrument
from tickerplant.market.candle_texts import CandleTexts
from tickerplant.market.candles import Candles
from tickerplant.market.contract_series import (
    DATED_TYPES,
    Contract,
    ContractSeries,
    Stretch,
    former_contract,
)
from tickerplant.market.history import MarketHistory
from tickerplant.market.market import Market
from tickerplant.market.series import FundingSeries
from tickerplant.market.timers import Timers
from tickerplant.profile import REQUEST_WEIGHT_PER_MINUTE, Profile
from tickerplant.units import MINUTE_MS
from tickerplant.venue import Venue

SETTLEMENT_INDICES = frozenset({"BTCUSD", "ETHUSD", "BNBUSD", "SOLUSD"})
"""Indices of the assets that COIN-M contracts settle in (integration notice D.3, 2026-06-30)."""
RETAINED_DELIVERIES = 100
"""Most settlements kept per pair."""
RETAINED_FORMER = 100
"""Removed contracts whose funding payments are kept; the one removed first goes first."""


class Markets:
    """Every market of `venue`, by symbol, in the order of listing."""

    def __init__(self, venue: Venue, profile: Profile, timers: Timers) -> None:
        self.venue = venue
        self.profile = profile
        self.by_symbol: dict[str, Market] = {}
        """Read-only; use `add`, `remove` and `clear`."""
        self.others: tuple[Markets, ...] = ()
        """The other venues whose markets are listed here too (merged universe)."""
        self.asset_indices: dict[str, AssetIndex] = {}
        """The latest index of each margin asset, by symbol."""
        self.insurance_funds: dict[str, InsuranceFund] = {}
        """The insurance funds by their names."""
        self.deliveries: dict[str, list[Delivered]] = {}
        """Settlements by pair, oldest first."""
        self.former_fundings: dict[str, FundingSeries] = {}
        """The funding payments of contracts that were removed, by symbol."""
        self.former_dropped = 0
        """Removed contracts whose funding payments made room for others."""
        self.request_weight_per_minute = REQUEST_WEIGHT_PER_MINUTE
        """The request weight that clients are told; a server with other limits sets it."""
        self.candle_texts = CandleTexts()
        """Writes the candles that clients ask for."""
        self._timers = timers
        self._series: dict[tuple[str, str], ContractSeries] = {}
        """The series of dated contracts, by pair and type."""
        self._former: dict[str, Contract] = {}
        """Contracts that were delivered before the first event, as far as they were asked for."""
        self._by_pair: dict[str, list[Market]] = {}
        """The markets of each pair, in the order of listing; filled on demand."""

    @property
    def now_ms(self) -> int:
        """The market clock, milliseconds since the epoch."""
        return self._timers.now_ms

    @property
    def universe(self) -> list[Market]:
        """The markets of the venue, and those of other venues that are listed here."""
        return [market for markets in (self, *self.others) for market in markets]

    def find_in_universe(self, symbol: str) -> Market | None:
        """Return the market of `symbol` in the universe, or None."""
        for markets in (self, *self.others):
            market = markets.by_symbol.get(symbol)
            if market is not None:
                return market
        return None

    def of_pair(self, pair: str) -> list[Market]:
        """Return the markets of `pair`, the perpetual one last; empty if the pair is unknown."""
        found = self._listed_of(pair)
        return sorted(found, key=lambda market: market.instrument.delivery_date_ms)

    def contract(self, pair: str, contract_type: str) -> Market | None:
        """Return the market whose contract on `pair` has that type now, or None."""
        for market in self._listed_of(pair):
            if market.instrument.contract_type == contract_type:
                return market
        return None

    def _listed_of(self, pair: str) -> Sequence[Market]:
        if not self._by_pair:
            for market in self:
                self._by_pair.setdefault(market.instrument.pair, []).append(market)
        return self._by_pair.get(pair, ())

    def add(self, market: Market) -> None:
        """List a market, replacing one of the same symbol."""
        self.by_symbol[market.symbol] = market
        self.former_fundings.pop(market.symbol, None)
        self.contract_changed(market)

    def remove(self, symbol: str) -> None:
        """Remove the market of `symbol`, but keep its funding payments."""
        former, gone = self.former_fundings, self.by_symbol.pop(symbol)
        if gone.instrument.perpetual:
            former[symbol] = gone.fundings
        if len(former) > RETAINED_FORMER:
            del former[next(iter(former))]
            self.former_dropped += 1
        self._end_series(gone)
        self._forget()

    def contract_changed(self, market: Market) -> None:
        """Continue the series of the type that a contract has now, after it was added or changed."""
        self._forget()
        instrument = market.instrument
        key = instrument.pair, instrument.contract_type
        self._end_series(market, key)
        if key[1] not in DATED_TYPES or instrument.status == ANNOUNCED:
            return
        if key not in self._series:
            self._series[key] = ContractSeries(key[1], self._former_contract)
        if self._series[key].present is not market.kept:
            self._series[key].begin(market.kept, self.now_ms // MINUTE_MS * MINUTE_MS)

    def _end_series(self, market: Market, but: tuple[str, str] | None = None) -> None:
        """Let the series of a contract end with the present minute, but for one of them."""
        for key, series in self._series.items():
            if series.present is market.kept and key != but:
                series.end(-(-self.now_ms // MINUTE_MS) * MINUTE_MS)

    def stretches(self, pair: str, contract_type: str) -> list[Stretch]:
        """Return the contracts of a pair that have or had a type, oldest first, and when."""
        series = self._series.get((pair, contract_type))
        if series is not None:
            return series.stretches
        present = self.contract(pair, contract_type)
        return [] if present is None else [present.stretch]

    def candles(self, pair: str, contract_type: str) -> tuple[Instrument, Candles] | None:
        """Return the candles of the contracts of a pair that have or had a type, and the last of them."""
        stretches = self.stretches(pair, contract_type)
        if not stretches:
            return None
        series, last = self._series.get((pair, contract_type)), stretches[-1].contract
        return last.instrument, last.candles if series is None else series.candles

    def delivered(self, symbol: str) -> Contract | None:
        """Return the contract of a symbol that was delivered, or None."""
        pair = symbol.rpartition("_")[0]
        for contract_type in DATED_TYPES:
            for stretch in self.stretches(pair, contract_type):
                if stretch.contract.instrument.symbol == symbol:
                    return stretch.contract
        return None

    def _former_contract(self, instrument: Instrument, history: MarketHistory) -> Contract:
        symbol = instrument.symbol
        if symbol in self.by_symbol:
            return self.by_symbol[symbol].kept
        if symbol not in self._former:
            self._former[symbol] = former_contract(instrument, history)
        return self._former[symbol]

    def _forget(self) -> None:
        """Drop what follows from the contracts."""
        self._by_pair.clear()
        self.candle_texts.clear()

    def clear(self) -> None:
        """Remove all markets, and what is kept of former ones."""
        for kept in (self.by_symbol, self.former_fundings, self._series, self._former):
            kept.clear()
        self._forget()
        self.asset_indices.clear()
        self.insurance_funds.clear()
        self.deliveries.clear()

    def listed_asset_indices(self) -> list[AssetIndex]:
        """Return the latest index of every asset that the profile includes, in order of arrival."""
        every = self.profile.settlement_asset_indices
        return [
            index
            for symbol, index in self.asset_indices.items()
            if every or symbol not in SETTLEMENT_INDICES
        ]

    def settlements(self, pair: str) -> list[Delivered]:
        """Return the settlements of the dated contracts of `pair`, oldest first."""
        listed = self.of_pair(pair)
        history = listed[-1].kept.history if listed else None
        before = () if history is None else history.deliveries()
        return [*before, *self.deliveries.get(pair, ())]

    def add_delivery(self, delivered: Delivered) -> None:
        """Store the settlement of a contract."""
        settled = self.deliveries.setdefault(delivered.pair, [])
        settled.append(delivered)
        del settled[:-RETAINED_DELIVERIES]

    def __iter__(self) -> Iterator[Market]:
        return iter(self.by_symbol.values())

    def __len__(self) -> int:
        return len(self.by_symbol)
