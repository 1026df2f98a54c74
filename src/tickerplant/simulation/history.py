"""The generated history of a simulated contract.

At the start only the minutes of the last day and the trades of the current minute are generated.
Older history is generated on demand, is consistent with everything returned before, and may be
dropped from the caches: the seed always generates it again.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from msgspec import structs

from tickerplant.events import Delivered, FundingPaid, Trade
from tickerplant.instrument import Instrument
from tickerplant.market.bar_arrays import between
from tickerplant.market.bars import Bars
from tickerplant.market.history import Predecessor
from tickerplant.market.tape import TIME_FIELD, Rows, trades
from tickerplant.quarters import SINCE_MS, deliveries_ms, terms_until
from tickerplant.simulation.contract_profile import DAY_S, ContractProfile
from tickerplant.simulation.history_bars import day_bars, fill_quiet_bars, with_ids_from
from tickerplant.simulation.history_inputs import TRADES_PER_FILL, TRADES_PER_ORDER, HistoryInputs
from tickerplant.simulation.instruments import DATED, new_dated
from tickerplant.simulation.open_interest import PastPositions
from tickerplant.simulation.past_series import INDEX, MARK, PREMIUM_INDEX, PriceSeries, TradedSeries
from tickerplant.simulation.past_trades import PastTrades
from tickerplant.simulation.recent_trades import recent_minutes, recent_trades
from tickerplant.simulation.settlements import deliveries, fundings
from tickerplant.units import MINUTE_MS

ID_MARGIN = 3
"""First trade id of the simulation, relative to the expected number of trades before it."""
_DATED = frozenset(f"{name}{quote}" for name, _ in DATED for quote in ("USDT", "USD"))
"""Pairs that have had dated contracts since their listing."""


def first_trade_id(instrument: Instrument, contract_profile: ContractProfile, start_ms: int) -> int:
    """Return the id of the first trade after the start, with room for the trades of all history."""
    lived_s = (start_ms - instrument.onboard_date_ms) / 1000
    rate_per_s = contract_profile.orders_per_s * TRADES_PER_ORDER
    return int(ID_MARGIN * rate_per_s * max(lived_s, DAY_S)) + 1_000_000


class SimulatedHistory:
    """Bars and trades before the start, consistent with each other and generated on demand."""

    def __init__(self, inputs: HistoryInputs) -> None:
        self.inputs = inputs
        self._next_id = first_trade_id(inputs.instrument, inputs.contract_profile, inputs.start_ms)

    # Trades

    @property
    def day(self) -> Bars:
        """Minutes that cover the 24 hours before the start and up to a minute more."""
        day = with_ids_from(day_bars(self.inputs), self._first_recent_id)
        return fill_quiet_bars(np.concatenate((day, recent_minutes(self.inputs, self._recent))))

    @property
    def begins_ms(self) -> int:
        """Open time of the minute of the listing."""
        return min(self.inputs.listed_ms(MINUTE_MS), self.ends_ms)

    @property
    def ends_ms(self) -> int:
        """Open time of the first minute of `day`; of a contract that was delivered, its delivery."""
        delivered_ms = self.inputs.instrument.delivery_date_ms
        return delivered_ms if delivered_ms <= self.inputs.start_ms else self.inputs.day_span[0]

    def bars(self, length_ms: int, from_ms: int, until_ms: int) -> Bars:
        """Return bars that those of `length_ms` in [`from_ms`, `until_ms`) consist of."""
        day_ms = self.inputs.day_span[0]
        bars = TradedSeries(self.inputs).bars(length_ms, from_ms, min(until_ms, day_ms))
        bars = with_ids_from(bars, self._first_recent_id)
        if until_ms <= day_ms:
            return bars
        return np.concatenate((bars, between(self.day, from_ms, until_ms)))

    @cached_property
    def trades(self) -> tuple[Trade, ...]:
        """The trades of the current minute before the start."""
        first = np.searchsorted(self._recent[TIME_FIELD], self.inputs.path.present_ms)
        return tuple(trades(self.inputs.instrument.symbol, self._recent[first:]))

    @cached_property
    def last_trade(self) -> Trade:
        """The last trade before the start."""
        return trades(self.inputs.instrument.symbol, self._recent[-1:])[0]

    @cached_property
    def older_trades(self) -> PastTrades:
        """The trades before the current minute, since the listing."""
        return PastTrades(self.inputs, self._next_id, self._present_ids)

    @cached_property
    def older_aggregates(self) -> PastTrades:
        """The aggregates of `older_trades`."""
        return PastTrades(self.inputs, self._next_id, self._present_ids, aggregates=True)

    @cached_property
    def first_aggregate_id(self) -> int:
        """Id of the aggregate that the first of `trades` opens."""
        return int((self._next_id - len(self.trades)) / TRADES_PER_FILL)

    # Published prices, funding and positions

    @property
    def marks(self) -> PriceSeries:
        """Bars of the mark price."""
        return PriceSeries(self.inputs, MARK)

    @property
    def indices(self) -> PriceSeries:
        """Bars of the index price."""
        return PriceSeries(self.inputs, INDEX)

    @property
    def premiums(self) -> PriceSeries:
        """Bars of the premium index."""
        return PriceSeries(self.inputs, PREMIUM_INDEX)

    def fundings(
        self, start_ms: int | None = None, end_ms: int | None = None, limit: int | None = None
    ) -> tuple[FundingPaid, ...]:
        """Return the funding payments since the listing and before the start."""
        last_ms = self.inputs.start_ms - 1  # what is due by the start may be paid a little later
        end_ms = last_ms if end_ms is None else min(end_ms, last_ms)
        return fundings(self.inputs, start_ms, end_ms, limit)

    def deliveries(self) -> tuple[Delivered, ...]:
        """Return the settlements of the pair's dated contracts since the listing."""
        return deliveries(self.inputs) if self.inputs.instrument.pair in _DATED else ()

    def predecessors(self, contract_type: str) -> list[Predecessor]:
        """Return the pair's contracts that had a type and have it no more, oldest first."""
        inputs, before = self.inputs, self.inputs.instrument
        if (before.base_asset, contract_type) not in DATED:
            return []
        price = round(inputs.contract_profile.price * 10**before.price.decimals)
        found = []
        for from_ms, until_ms, due_ms in terms_until(contract_type, inputs.start_ms):
            listed_ms = max(deliveries_ms(due_ms - 1)[0], SINCE_MS["NEXT_QUARTER"])
            contract = new_dated(before, "CURRENT_QUARTER", min(listed_ms, from_ms), due_ms)
            past = structs.replace(inputs, instrument=contract, last_price=price)
            found.append(Predecessor(contract, SimulatedHistory(past), from_ms, until_ms))
        return found

    @property
    def positions(self) -> PastPositions:
        """The positioning at every five minutes of the last month."""
        return PastPositions(self.inputs)

    @property
    def _present_ids(self) -> tuple[int, int]:
        """Ids of the first trade in the current minute and of the aggregate that it opens."""
        return self._next_id - len(self.trades), self.first_aggregate_id

    @property
    def _recent(self) -> Rows:
        return recent_trades(self.inputs, self._next_id)

    @cached_property
    def _first_recent_id(self) -> int:
        return int(self._recent["trade_id"][0])
