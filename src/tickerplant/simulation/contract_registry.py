"""The registry of listed contracts, and the events that are published about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import log
from random import Random
from typing import TypeAlias

from msgspec import structs

from tickerplant.events import (
    BookSnapshot,
    Bracket,
    ContractChanged,
    Delivered,
    Event,
    FundingPaid,
    Level,
    MarkPrice,
)
from tickerplant.instrument import Instrument
from tickerplant.market.series import POSITIONING_PERIOD_MS
from tickerplant.simulation.agents import Agents
from tickerplant.simulation.contract_market import ContractMarket
from tickerplant.simulation.contract_profile import contract_profile
from tickerplant.simulation.history_inputs import HistoryInputs
from tickerplant.simulation.indices import BASKET_INTERVAL_S as BASKET_S
from tickerplant.simulation.indices import Basket
from tickerplant.simulation.leverage import brackets
from tickerplant.simulation.mark_price import MarkPriceCalculator
from tickerplant.simulation.news import ListedContract, LiveUnderlying, NewsFlow, basis_to_delivery
from tickerplant.simulation.open_interest import POSITIONING_INTERVAL_S as POSITIONS_S
from tickerplant.simulation.open_interest import Positions
from tickerplant.simulation.scheduler import Action, Scheduler
from tickerplant.simulation.settlements import fundings
from tickerplant.simulation.valuation import FollowerValuation, LeaderValuation, Valuation

UPDATE_ID_START = 4_000_000_000_000
UPDATES_PER_SECOND = 2_000
FIRST_TRADE_ID = 1
"""First trade id of contracts that are listed during the simulation."""
HALTED = "TRADING_HALT"
"""The status of a contract whose trading is halted."""
COMPOSITE_PULL = 0.3
"""Share of its distance to a composite index by which a contract approaches it in a second."""

OpeningEvents: TypeAlias = tuple[BookSnapshot, MarkPrice, *tuple[Event, ...]]
"""Everything that is published of a contract when it opens."""


class ContractRegistry:
    """Lists, trades and settles contracts."""

    def __init__(
        self,
        scheduler: Scheduler,
        tape: list[Event],
        seed: int,
        intensity: float,
        quoting: float = 1.0,
    ) -> None:
        self.news = NewsFlow(scheduler, seed)
        self.contracts: dict[str, ListedContract] = {}
        self._scheduler = scheduler
        self._tape = tape
        self._seed = seed
        self._intensity = intensity
        self._quoting = quoting
        self._plans: dict[int, list[Action]] = {}
        self._former_operations = 0
        self.on_listed: Callable[[], None] = lambda: None
        """Called after a contract started trading during the simulation."""

    @property
    def traded(self) -> list[Instrument]:
        """The contracts that are traded now."""
        return [contract.instrument for contract in self.contracts.values()]

    @property
    def operations(self) -> int:
        """Orders, cancellations and reductions so far, including those of opening books."""
        present = (contract.market.engine.operations for contract in self.contracts.values())
        return self._former_operations + sum(present)

    # Opening

    def list_contract(self, instrument: Instrument, trade_id: int) -> OpeningEvents:
        """Start trading a contract and return its opening events, which are not published yet."""
        profile, now_ms, seed = contract_profile(instrument), self._scheduler.now_ms, self._seed
        underlying = self.news.underlying(instrument.base_asset)
        units = float(10**instrument.price.decimals)
        valuation: Valuation
        if profile.leads:
            valuation = LeaderValuation(underlying.value, units)
        else:
            basis = basis_to_delivery(instrument, now_ms)
            valuation = FollowerValuation(underlying.value.price * units, basis)
        update_id = UPDATE_ID_START + (now_ms // 1000 % 10**9) * UPDATES_PER_SECOND
        market = ContractMarket(instrument, self._scheduler, self._tape, update_id, trade_id)
        random = Random(f"{seed} {instrument.symbol}")
        agents = Agents(
            random,
            market,
            profile.quoting(self._quoting),
            valuation,
            underlying.activity_level,
            self._intensity,
        )
        bids, asks = agents.open()
        inputs = HistoryInputs(instrument, profile, seed, now_ms, bids[0][0])
        contract = ListedContract(
            inputs,
            market,
            agents,
            MarkPriceCalculator(instrument, now_ms),
            Positions(inputs, underlying.activity_level),
            None if underlying.composite else Basket(instrument, seed),
            Random(f"{seed} {instrument.symbol} delays")
            if instrument.quote_asset == "USDC"
            else underlying.delays,
        )
        self.contracts[instrument.symbol] = contract
        opening = self._opening(contract, underlying, bids, asks)
        for due in fundings(inputs, now_ms):  # before the start, but paid from then on
            paid = structs.replace(due, mark_price=opening[1].mark_price)
            self._scheduler.after(paid.time_ms - now_ms, self, partial(self._pay, paid))
        if isinstance(valuation, FollowerValuation):
            underlying.followers[contract] = valuation
        else:
            underlying.leader = contract
            agents.followers.append(lambda: self.news.notify_followers(underlying))
        return opening

    def _opening(
        self,
        contract: ListedContract,
        underlying: LiveUnderlying,
        bids: list[Level],
        asks: list[Level],
    ) -> OpeningEvents:
        now_ms, symbol = self._scheduler.now_ms, contract.market.symbol
        second_ms = now_ms // 1000 * 1000
        further: list[Event] = []
        if underlying.composite is not None:
            underlying.composite_index = underlying.composite.at(second_ms)
            further.append(underlying.composite_index)
        mark = self._mark(contract, underlying, second_ms)
        further.append(contract.positions.at(second_ms, contract.market.volume))
        if contract.basket is not None:
            further.append(contract.basket.at(mark.index_price, second_ms))
        changed = brackets(contract.instrument, contract.contract_profile)
        further.append(ContractChanged(symbol, contract.instrument, changed, second_ms))
        retail = contract.agents.opening_rpi_orders
        if retail is not None:
            further.append(retail)
        snapshot = BookSnapshot(symbol, contract.market.engine.update_id, bids, asks, now_ms)
        return (snapshot, mark, *further)

    # Every second

    def on_second(self, now_ms: int) -> None:
        """Publish the events of a whole second, then run the actions scheduled for it."""
        second, tape = now_ms // 1000, self._tape
        underlyings = self.news.underlyings
        for underlying in underlyings.values():
            if underlying.composite is not None:
                self._compose(underlying, now_ms)
        for contract in self.contracts.values():
            instrument, basket = contract.market.instrument, contract.basket
            if now_ms >= instrument.delivery_date_ms:
                continue
            mark = self._mark(contract, underlyings[instrument.base_asset], now_ms)
            if contract.mark.paid is not None:
                paid = contract.mark.paid
                self._scheduler.after(paid.time_ms - now_ms, self, partial(self._pay, paid))
            tape.append(mark)
            if not contract.market.is_halted:
                price = mark.mark_price * 10**instrument.price.decimals / 10**8
                contract.agents.leverage.mark(price)
            if (
                second % POSITIONS_S == contract.positions.slot
                or now_ms % POSITIONING_PERIOD_MS == 0
            ):
                tape.append(contract.positions.at(now_ms, contract.market.volume))
            if basket is not None and second % BASKET_S == basket.slot:
                tape.append(basket.at(mark.index_price, now_ms))
        for action in self._plans.pop(now_ms, ()):
            action(now_ms)

    def _pay(self, paid: FundingPaid, _: int) -> None:
        self._tape.append(paid)

    def flush(self) -> None:
        """Do nothing: payments are published when they are due."""

    def _compose(self, underlying: LiveUnderlying, now_ms: int) -> None:
        """Publish the composite index and move its contract towards it."""
        if underlying.composite is None or underlying.leader is None:
            return
        underlying.composite_index = underlying.composite.at(now_ms)
        self._tape.append(underlying.composite_index)
        underlying.value.move(COMPOSITE_PULL * log(underlying.index / underlying.value.index))
        underlying.leader.agents.check_quotes()

    def _mark(self, contract: ListedContract, underlying: LiveUnderlying, now_ms: int) -> MarkPrice:
        engine = contract.market.engine
        last = contract.market.last_price
        bid = engine.bids.best or engine.asks.best
        ask = engine.asks.best or engine.bids.best
        return contract.mark.at(
            now_ms,
            underlying.index,
            bid[0] if bid else last,
            ask[0] if ask else last,
            last,
        )

    # Changes of contracts

    def plan(self, time_ms: int, action: Action) -> None:
        """Schedule `action(time_ms)` at a whole second, after the mark prices."""
        self._plans.setdefault(time_ms, []).append(action)

    def announce(self, instrument: Instrument) -> None:
        """Announce the listing of a contract, with its brackets."""
        self._emit_change(instrument, brackets(instrument, contract_profile(instrument)))

    def open(self, instrument: Instrument) -> None:
        """Start trading a contract and publish its opening book."""
        opening = self.list_contract(instrument, FIRST_TRADE_ID)
        changed = [event for event in opening if isinstance(event, ContractChanged)]
        self._tape += changed
        self._tape += [event for event in opening if event not in changed]
        self.on_listed()

    def change(self, instrument: Instrument) -> None:
        """Change a traded contract."""
        contract = self.contracts[instrument.symbol]
        contract.market.change(instrument)
        contract.mark.delivery_date_ms = instrument.delivery_date_ms
        self._emit_change(instrument)

    def halt(self, symbol: str) -> None:
        """Halt trading of a contract and publish its status."""
        market = self.contracts[symbol].market
        market.halt()
        self.change(structs.replace(market.instrument, status=HALTED))

    def resume(self, symbol: str) -> None:
        """Publish that a halted contract is traded again, and go on."""
        market = self.contracts[symbol].market
        self.change(structs.replace(market.instrument, status="TRADING"))
        market.resume()

    def change_brackets(self, symbol: str, scale: float) -> None:
        """Change the brackets of a traded contract."""
        contract = self.contracts[symbol]
        instrument = contract.instrument
        self._emit_change(instrument, brackets(instrument, contract.contract_profile, scale))

    def stop(self, instrument: Instrument) -> int:
        """Stop trading a contract, publish its new state, and return its settlement price."""
        contract = self.contracts.pop(instrument.symbol)
        contract.market.flush()  # what was done in this very millisecond comes before the end
        self._scheduler.cancel_all(contract.market)
        self._former_operations += contract.market.engine.operations
        underlying = self.news.underlyings[instrument.base_asset]
        underlying.followers.pop(contract, None)
        if underlying.leader is contract:
            underlying.leader = None
        self.news.drop(underlying)
        self._emit_change(instrument)
        return contract.mark.settlement

    def deliver(self, instrument: Instrument, price: int) -> None:
        """Publish the settlement price and the delivery of a stopped contract."""
        venue, symbol, pair = instrument.venue, instrument.symbol, instrument.pair
        due_ms = instrument.delivery_date_ms
        self._tape.append(Delivered(venue, symbol, pair, price, due_ms))
        self._emit_change(instrument)

    def close(self, instrument: Instrument) -> None:
        """Publish the removal of a stopped contract."""
        self._emit_change(instrument)

    def _emit_change(self, instrument: Instrument, changed: Sequence[Bracket] = ()) -> None:
        now_ms = self._scheduler.now_ms
        event = ContractChanged(instrument.symbol, instrument, tuple(changed), now_ms)
        self._tape.append(event)
