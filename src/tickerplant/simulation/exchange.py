"""The simulated exchange: its contracts, its calendar and its clock.

All random generators are seeded by the seed and a name (the symbol, the underlying, the sector),
so the same seed, start and contracts give the same events, and the events of a contract hardly
depend on which others are listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tickerplant.errors import ConfigError
from tickerplant.events import Event, Liquidation
from tickerplant.instrument import Instrument
from tickerplant.simulation.contract_calendar import ContractCalendar
from tickerplant.simulation.contract_profile import contract_profile
from tickerplant.simulation.contract_registry import ContractRegistry, OpeningEvents
from tickerplant.simulation.history import SimulatedHistory, first_trade_id
from tickerplant.simulation.history_inputs import HistoryInputs
from tickerplant.simulation.indices import COIN_BUFFERS, AssetIndices
from tickerplant.simulation.insurance_funds import INTERVAL_MS as FUNDS_MS
from tickerplant.simulation.insurance_funds import InsuranceFunds
from tickerplant.simulation.lever_board import LeverBoard
from tickerplant.simulation.scheduler import Action, Scheduler


class SimulatedExchange:
    """An exchange of matching engines on which seeded agents trade.

    Args:
        instruments: The contracts to list, made by `instruments.instruments`.
        seed: Seeds all random generators.
        start_ms: Time of the opening, in milliseconds.
        intensity: Multiplies the rate of orders.
        quoting: Share of the usual quoting of makers, above 0 and at most 1.
        listings: Whether contracts of new coins are listed and delisted from time to time.

    Raises:
        ConfigError: `intensity` is not positive, `quoting` is no share, or there are no instruments.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        seed: int = 1,
        start_ms: int = 0,
        intensity: float = 1.0,
        *,
        quoting: float = 1.0,
        listings: bool = False,
    ) -> None:
        if intensity <= 0:
            raise ConfigError("intensity", intensity, "a number above 0")
        if not 0 < quoting <= 1:
            raise ConfigError("quoting", quoting, "a number above 0 and at most 1")
        if not instruments:
            raise ConfigError("symbols", instruments, "at least one symbol")
        self.instruments = tuple(instruments)
        """The contracts at the start."""
        self._scheduler = Scheduler(start_ms)
        self._tape: list[Event] = []
        self.registry = ContractRegistry(self._scheduler, self._tape, seed, intensity, quoting)
        self.contracts = self.registry.contracts
        self._opening_events: dict[str, OpeningEvents] = {}
        self._inputs_by_symbol: dict[str, HistoryInputs] = {}
        for instrument in sorted(
            self.instruments, key=lambda each: not contract_profile(each).leads
        ):
            trade_id = first_trade_id(instrument, contract_profile(instrument), start_ms)
            opening = self.registry.list_contract(instrument, trade_id)
            self._opening_events[instrument.symbol] = opening
            self._inputs_by_symbol[instrument.symbol] = self.contracts[instrument.symbol].inputs
        news = self.registry.news
        values = {name: news.underlying(name).value for name, _, _ in COIN_BUFFERS}
        self._assets = AssetIndices(values, Random(f"{seed} assets"))
        self._funds = InsuranceFunds()
        second_ms = start_ms // 1000 * 1000
        self.opening_of_venues: tuple[Event, ...] = (
            *self._assets.at(second_ms),
            *self._funds.at(self.registry.traded, second_ms),
        )
        """The opening events that belong to a whole venue."""
        calendar = ContractCalendar(self.registry, seed, start_ms, listings=listings)
        self.levers = LeverBoard(self._scheduler, self.registry, calendar, seed)
        """What changes the market while it runs."""
        self._scheduler.after(1000 - start_ms % 1000, self, self._on_second)

    # History and opening

    def history(self, symbol: str) -> SimulatedHistory:
        """Return the bars and trades before the start; they end where trading begins."""
        return SimulatedHistory(self._inputs_by_symbol[symbol])

    def opening(self, symbol: str) -> OpeningEvents:
        """Return the events that open a contract at the start: its book and mark price first.

        Raises:
            KeyError: `symbol` was not listed at the start, or a second of trading has passed; large
                opening books are dropped then.
        """
        return self._opening_events[symbol]

    # Trading

    @property
    def next_time_ms(self) -> int:
        """Time of the next batch; there always is one."""
        return self._scheduler.next_time_ms

    def step(self) -> tuple[int, list[Event]]:
        """Run everything that is scheduled for the next millisecond.

        Returns:
            Its time and its events in causal order, possibly none.
        """
        self._scheduler.step()
        events = self._tape[:]
        self._tape.clear()
        if Liquidation in map(type, events):
            self._insure(events)
        return self._scheduler.now_ms, events

    @property
    def now_ms(self) -> int:
        """Time of the last batch."""
        return self._scheduler.now_ms

    def at(self, time_ms: int, action: Action) -> None:
        """Run `action(time_ms)` at a market time, before anything else of that millisecond.

        Raises:
            ValueError: `time_ms` is before the last batch.
        """
        if time_ms < self.now_ms:
            raise ValueError(f"{time_ms} is before {self.now_ms}, the time of the market")
        self._scheduler.first_at(time_ms, self, action, time_ms)

    @property
    def order_count(self) -> int:
        """Orders, cancellations and reductions since the start, including opening books."""
        return self.registry.operations

    def flush(self) -> None:
        """Do nothing: the markets of the contracts publish their own changes."""

    def _insure(self, events: Sequence[Event]) -> None:
        for event in events:
            contract = self.contracts.get(event.symbol)
            if isinstance(event, Liquidation) and contract is not None:
                self._funds.take_in(event, contract.instrument)

    def _on_second(self, _: int) -> None:
        """Publish what is due at a whole second."""
        now_ms = self._scheduler.now_ms
        self._opening_events.clear()
        self.registry.news.step()
        before = set(self.contracts)
        self.registry.on_second(now_ms)
        self._tape += self._assets.at(now_ms)
        if now_ms % FUNDS_MS == 0 or self.contracts.keys() - before:  # a new one has a fund at once
            self._tape += self._funds.at(self.registry.traded, now_ms)
        self._scheduler.after(1000, self, self._on_second)
