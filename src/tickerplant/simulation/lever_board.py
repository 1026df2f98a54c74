"""The levers that are pulled: what each one does, and what they do together.

Factors of levers that overlap multiply, premiums and funding rates add up, and a contract is
halted until the last of its halts ends. What holds is computed anew from all levers whenever one
begins or ends, so nothing of a lever is left when it is released.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import log, log1p, sqrt
from random import Random

from tickerplant.errors import ConfigError
from tickerplant.instrument import Instrument
from tickerplant.simulation.conditions import ORDINARY, Conditions
from tickerplant.simulation.contract_calendar import QUARTERS, ContractCalendar
from tickerplant.simulation.contract_profile import DAY_S, usd_quantity
from tickerplant.simulation.contract_registry import ContractRegistry
from tickerplant.simulation.instruments import coin_and_quote
from tickerplant.simulation.lever_effects import path_shares, premium_of_rate, wave
from tickerplant.simulation.levers import (
    ACTIVITY,
    DELIST,
    DELIVER,
    DEPTH,
    FUNDING,
    HALT,
    LIQUIDATIONS,
    LIST,
    MAKERS,
    ONE_SIDED,
    SHOCK,
    VOLATILITY,
    Lever,
    LeverPhase,
    LeverState,
    Value,
)
from tickerplant.simulation.news import ListedContract, LiveUnderlying
from tickerplant.simulation.scheduler import Scheduler
from tickerplant.simulation.underlyings import COINS, INDEX_SHARES
from tickerplant.simulation.valuation import PREMIUM
from tickerplant.suggestions import one_of
from tickerplant.venue import VENUES

MOST_LEVERS = 64
"""Most levers that wait or are on at a time; one more is refused."""
RETURN_MS = 5_000
"""Time in which the premium of a shock that is released goes back."""
HERD = 0.6
"""Largest surprise of a step of a shock, in usual moves of a second; it decides who trades."""
CLOSED_SHARE = 3.0
"""Fall of the open interest that traders want, relative to the size of a shock."""
LEAST_OPEN = 0.4
"""Smallest share of the open interest that they want in a shock."""
WAVE_OPEN = 0.85
"""The same share in a wave of liquidations."""
SECOND_MS = 1_000


class _Pulled:
    """A lever that was pulled."""

    def __init__(self, lever: Lever, number: int, seed: int, since_ms: int) -> None:
        self.lever = lever
        self.id = f"l{number}"
        self.since_ms = since_ms
        self.until_ms = None if lever.for_ms is None else since_ms + lever.for_ms
        self.phase: LeverPhase = "waiting"
        self.is_released = False
        """Whether its end was asked for, which takes place when market time goes on."""
        self.random = Random(f"{seed} lever {number} {lever.row.name}")
        self.is_recovering = False
        """Whether the move of a shock is over."""
        self.rate = 0.0
        """The funding rate that is added."""
        self.premiums: dict[str, float] = {}
        """Logarithm of the price over the index that is added, by underlying."""
        self.symbols = lever.symbols
        """The contracts that it is about; of those it lists, the symbols."""

    def is_about(self, instrument: Instrument) -> bool:
        """Whether a contract is one of those it names."""
        lever = self.lever
        if lever.venue and instrument.venue.name != lever.venue:
            return False
        return not self.symbols or instrument.symbol in self.symbols


class LeverBoard:
    """The levers of one simulated exchange."""

    def __init__(
        self,
        scheduler: Scheduler,
        registry: ContractRegistry,
        calendar: ContractCalendar,
        seed: int,
    ) -> None:
        self._scheduler = scheduler
        self._registry = registry
        self._calendar = calendar
        self._seed = seed
        self._pulled: dict[str, _Pulled] = {}
        self._expected: dict[str, float] = {}
        """Logarithm of each underlying's fair value after the latest step of a path."""
        self.counts: Counter[str] = Counter()
        """Levers pulled so far, by name."""
        self._begin: dict[str, Callable[[_Pulled], None]] = {
            SHOCK.name: self._begin_shock,
            LIQUIDATIONS.name: self._begin_wave,
            FUNDING.name: self._begin_funding,
            LIST.name: self._list,
            DELIST.name: self._delist,
            DELIVER.name: self._deliver,
        }
        registry.on_listed = self._refresh

    # Requests

    def pull(self, lever: Lever, time_ms: int) -> str:
        """Let a lever take effect at a market time, before anything else of that millisecond.

        Returns:
            Its id.

        Raises:
            ConfigError: There is no such contract, or the lever makes no sense for it, or too many
                levers are pulled.
            ValueError: `time_ms` is before the last batch.
        """
        if time_ms < self._scheduler.now_ms:
            raise ValueError(f"{time_ms} is before {self._scheduler.now_ms}, the market's time")
        if len(self._pulled) >= MOST_LEVERS:
            name = lever.row.name
            raise ConfigError("market", name, f"at most {MOST_LEVERS} levers at a time")
        self.check(lever)
        pulled = _Pulled(lever, self.counts.total() + 1, self._seed, time_ms)
        self.counts[lever.row.name] += 1
        self._pulled[pulled.id] = pulled
        self._scheduler.first_at(time_ms, self, partial(self._start, pulled), 0)
        return pulled.id

    def release(self, lever_id: str, time_ms: int) -> None:
        """End a lever at a market time, before anything else of that millisecond.

        A lever that still waits never begins. What is already moved, listed or delivered stays;
        announced listings and deliveries take place.

        Raises:
            KeyError: No lever of that id waits or is on.
            ValueError: `time_ms` is before the last batch.
        """
        pulled = self._pulled[lever_id]
        if time_ms < self._scheduler.now_ms:
            raise ValueError(f"{time_ms} is before {self._scheduler.now_ms}, the market's time")
        if pulled.is_released:
            return
        pulled.is_released = True
        self._scheduler.first_at(time_ms, self, partial(self._end, pulled), 0)

    def check(self, lever: Lever) -> None:
        """Check that there are contracts for a lever now."""
        traded = {each.symbol: each for each in self._registry.traded}
        if lever.row is LIST:
            self._check_new(lever, traded)
            return
        matching = [each for each in traded.values() if lever.venue in ("", each.venue.name)]
        for symbol in lever.symbols:
            if symbol not in {each.symbol for each in matching}:
                raise ConfigError("symbols", symbol, one_of(symbol, (e.symbol for e in matching)))
        if not matching:
            expected = one_of("", [each.name for each in VENUES if each.name != lever.venue])
            raise ConfigError("venue", lever.venue, f"{expected}: no contract of it is listed")
        named = [each for each in matching if not lever.symbols or each.symbol in lever.symbols]
        if lever.row is DELIVER:
            self._check_dated(lever, named, matching)
        if lever.row is FUNDING and not any(each.perpetual for each in named):
            symbols = [each.symbol for each in matching if each.perpetual]
            raise ConfigError("symbols", named[0].symbol, f"a perpetual contract: {_some(symbols)}")
        for symbol in lever.symbols:
            if lever.row in (DELIST, DELIVER) and symbol in self._calendar.ending:
                raise ConfigError("symbols", symbol, "a contract whose end is not announced yet")

    def state(self) -> list[LeverState]:
        """Return the levers that wait or are on, in the order in which they were pulled."""
        return [
            LeverState(
                id=each.id,
                market=each.lever.row.name,
                state="releasing" if each.is_released else each.phase,
                parameters=dict(each.lever.values),
                symbols=each.symbols,
                venue=each.lever.venue,
                since_ms=each.since_ms,
                until_ms=each.until_ms,
            )
            for each in self._pulled.values()
        ]

    def flush(self) -> None:
        """Do nothing: the markets of the contracts publish what levers change."""

    # Checks

    def _check_new(self, lever: Lever, traded: Mapping[str, Instrument]) -> None:
        if lever.venue == "coinm":
            raise ConfigError("venue", lever.venue, "usdm: new contracts are listed there")
        for symbol in lever.symbols:
            coin_and_quote(symbol)
            if symbol in traded or symbol in self._calendar.announced:
                raise ConfigError("symbols", symbol, "a contract that is not listed yet")

    def _check_dated(
        self, lever: Lever, named: Sequence[Instrument], matching: Sequence[Instrument]
    ) -> None:
        dated = [each.symbol for each in matching if each.contract_type in QUARTERS]
        expected = f"a dated contract: {_some(dated)}"
        for each in named:
            if lever.symbols and each.contract_type not in QUARTERS:
                raise ConfigError("symbols", each.symbol, expected)
        if not any(each.contract_type in QUARTERS for each in named):
            raise ConfigError("symbols", None, expected)

    # Beginning and end

    def _start(self, pulled: _Pulled, _: int) -> None:
        if pulled.phase != "waiting":
            return
        pulled.phase = "on"
        self._begin.get(pulled.lever.row.name, self._hold)(pulled)
        self._refresh()

    def _hold(self, pulled: _Pulled) -> None:
        """Let a lever be on until its time is over or it is released."""
        if pulled.until_ms is not None:
            end = partial(self._end, pulled)
            self._scheduler.first_at(pulled.until_ms, self, end, 0)

    def _end(self, pulled: _Pulled, _: int = 0) -> None:
        """Release a lever; if it moved a premium, that goes back first."""
        if pulled.phase not in ("waiting", "on"):
            return
        if pulled.phase == "on" and pulled.premiums:
            pulled.phase = "releasing"
            self._go_back(pulled)
        else:
            self._finish(pulled)
        self._refresh()

    def _finish(self, pulled: _Pulled) -> None:
        pulled.phase = "over"
        self._pulled.pop(pulled.id, None)
        if not any(each.premiums for each in self._pulled.values()):
            self._expected.clear()

    def _after(self, delay_ms: int, pulled: _Pulled, action: Callable[[], None]) -> None:
        """Run `action` later, unless the lever has left its present phase by then."""
        phase = pulled.phase

        def run(_: int) -> None:
            if pulled.phase == phase:
                action()

        self._scheduler.after(delay_ms, self, run)

    # Conditions

    def _refresh(self) -> None:
        """Let the conditions that result from all levers hold everywhere."""
        for symbol, contract in list(self._registry.contracts.items()):
            on = [each for each in self._on() if each.is_about(contract.instrument)]
            market, agents = contract.market, contract.agents
            conditions = _conditions(on)
            if conditions != agents.conditions:
                agents.apply(conditions)
                contract.positions.target_factor = conditions.open_interest
            self._pin(contract, on)
            is_halted = any(each.lever.row is HALT for each in on)
            if is_halted and not market.is_halted:
                self._registry.halt(symbol)
            elif market.is_halted and not is_halted:
                self._registry.resume(symbol)
                agents.adapt()
        self._refresh_underlyings()

    def _refresh_underlyings(self) -> None:
        for underlying in self._registry.news.underlyings.values():
            volatility, premium = 1.0, 0.0
            for each in self._pulled.values():
                premium += each.premiums.get(underlying.name, 0.0)
                is_on = each.phase == "on" and each.lever.row is VOLATILITY
                if is_on and underlying.name in self._underlyings(each):
                    volatility *= each.lever.number("factor")
            underlying.volatility = volatility
            underlying.value.premium = PREMIUM + premium

    def _on(self) -> list[_Pulled]:
        """Return the levers that hold; one whose premium goes back still has a funding rate."""
        return [each for each in self._pulled.values() if each.phase in ("on", "releasing")]

    def _pin(self, contract: ListedContract, on: Sequence[_Pulled]) -> None:
        """Let the funding rate follow from the levers about it."""
        rates = [each.rate for each in on if each.lever.row is FUNDING]
        hours = contract.instrument.funding_interval_hours
        contract.mark.pinned_premium = premium_of_rate(sum(rates), hours) if rates else None

    def _contracts(self, pulled: _Pulled) -> list[ListedContract]:
        return [
            each for each in self._registry.contracts.values() if pulled.is_about(each.instrument)
        ]

    def _underlyings(self, pulled: _Pulled) -> dict[str, LiveUnderlying]:
        """Return the underlyings of a lever's contracts, and the parts of composite ones."""
        news = self._registry.news
        found: dict[str, LiveUnderlying] = {}
        for contract in self._contracts(pulled):
            name = contract.instrument.base_asset
            found[name] = news.underlyings[name]
            if found[name].composite is not None:
                found.update({part: news.underlyings[part] for part, _ in INDEX_SHARES})
        return found

    # Prices

    def _begin_shock(self, pulled: _Pulled) -> None:
        """Plan the whole move, and the way back."""
        number = pulled.lever.number
        over_ms, back_ms = int(number("over")), int(number("recover_over"))
        pulled.until_ms = pulled.since_ms + over_ms + back_ms
        size = log1p(number("move"))
        pulled.premiums = dict.fromkeys(self._underlyings(pulled), 0.0)
        sizes = {name: size * self._sensitivity(pulled, name) for name in pulled.premiums}
        overshoot = number("overshoot")
        for delay_ms, share in path_shares(pulled.random, over_ms):
            self._after(
                delay_ms, pulled, partial(self._move, pulled, sizes, share, share * overshoot)
            )
        self._after(over_ms, pulled, partial(self._recover, pulled, sizes, back_ms))

    def _recover(self, pulled: _Pulled, sizes: Mapping[str, float], back_ms: int) -> None:
        pulled.is_recovering = True
        self._refresh()
        overshoot, recover = (pulled.lever.number(name) for name in ("overshoot", "recover"))
        for delay_ms, share in path_shares(pulled.random, back_ms):
            moved = partial(self._move, pulled, sizes, -share * recover, -share * overshoot)
            self._after(delay_ms, pulled, moved)
        self._after(back_ms, pulled, partial(self._conclude, pulled))

    def _conclude(self, pulled: _Pulled) -> None:
        self._finish(pulled)
        self._refresh()

    def _sensitivity(self, pulled: _Pulled, name: str) -> float:
        """Return how far an underlying moves with the common news, relative to BTC."""
        if not pulled.lever.values["beta"]:
            return 1.0
        value, first = self._registry.news.underlyings[name].value, COINS[0]
        return value.factor_volatility / (first.daily_volatility / sqrt(DAY_S) * first.beta)

    def _move(
        self, pulled: _Pulled, sizes: Mapping[str, float], share: float, premium_share: float
    ) -> None:
        """Move fair values by a share of `sizes`, and the premiums of the contracts by another."""
        news = self._registry.news
        for name, size in sizes.items():
            underlying = news.underlyings.get(name)
            if underlying is None:
                continue
            pulled.premiums[name] += size * premium_share
            moved = size * share
            surprise = min(max(moved / underlying.value.volatility, -HERD), HERD)
            own = log(underlying.value.price) - self._expected.get(
                name, log(underlying.value.price)
            )
            news.move(underlying, moved - own, surprise)  # a path leads where its lever says
            self._expected[name] = log(underlying.value.price)
        self._refresh_underlyings()

    def _begin_funding(self, pulled: _Pulled) -> None:
        self._hold(pulled)
        rate = pulled.lever.number("rate")
        premiums: dict[str, float] = {}
        for contract in self._contracts(pulled):
            instrument = contract.instrument
            if instrument.perpetual:
                cap = instrument.funding_cap / 10**8
                capped = min(max(rate, -cap), cap)
                premium = premium_of_rate(capped, instrument.funding_interval_hours)
                premiums.setdefault(instrument.base_asset, log1p(premium))
        pulled.premiums = dict.fromkeys(premiums, 0.0)
        steps = path_shares(pulled.random, int(pulled.lever.number("over")))
        for delay_ms, share in steps:
            self._after(delay_ms, pulled, partial(self._build_up, pulled, premiums, share, rate))

    def _build_up(
        self, pulled: _Pulled, premiums: Mapping[str, float], share: float, rate: float
    ) -> None:
        pulled.rate += rate * share
        self._move(pulled, premiums, share, share)
        self._refresh()

    def _go_back(self, pulled: _Pulled) -> None:
        """Let the premium that a lever built up go back: of a shock the index, else the price."""
        is_funding = pulled.lever.row is FUNDING
        over_ms = int(pulled.lever.number("over")) if is_funding else RETURN_MS
        premiums, rate = dict(pulled.premiums), pulled.rate
        for delay_ms, share in path_shares(pulled.random, over_ms):
            if is_funding:
                back = partial(self._build_up, pulled, premiums, -share, rate)
            else:
                back = partial(self._move, pulled, premiums, 0.0, -share)
            self._after(delay_ms, pulled, back)
        self._after(over_ms, pulled, partial(self._conclude, pulled))

    # Forced orders

    def _begin_wave(self, pulled: _Pulled) -> None:
        lever = pulled.lever
        over_ms, is_sale = int(lever.number("over")), lever.values["side"] == "longs"
        pulled.until_ms = pulled.since_ms + over_ms
        contracts = self._contracts(pulled)
        profiles = [each.contract_profile for each in contracts]
        weights = [each.orders_per_s * each.order_usd for each in profiles]
        for contract, weight in zip(contracts, weights, strict=True):
            usd = lever.number("notional") * weight / sum(weights)
            for delay_ms, size in self._wave(pulled, contract, over_ms, usd):
                force = partial(self._force, pulled, contract, -size if is_sale else size)
                contract.market.after(delay_ms, force)
        self._after(over_ms, pulled, partial(self._conclude, pulled))

    def _wave(
        self, pulled: _Pulled, contract: ListedContract, over_ms: int, usd: float
    ) -> list[tuple[int, int]]:
        instrument = contract.instrument
        price_usd = self._registry.news.underlyings[instrument.base_asset].value.price
        quantity = int(usd_quantity(instrument, price_usd, usd))
        step, most = instrument.step_size, instrument.max_market_quantity
        return wave(pulled.random, over_ms, quantity, step, most)

    def _force(self, pulled: _Pulled, contract: ListedContract, signed_size: int, _: int) -> None:
        """Send a forced order; what it moves is added to the path of a shock."""
        if pulled.phase != "on":
            return
        name = contract.instrument.base_asset
        value = self._registry.news.underlyings[name].value
        before = value.price
        contract.agents.leverage.liquidate(signed_size)
        if name in self._expected:
            self._expected[name] += log(value.price / before)

    # Contracts

    def _list(self, pulled: _Pulled) -> None:
        due_ms = self._due_ms(pulled)
        calendar = self._calendar
        taken = calendar.announced | self._registry.contracts.keys()
        pulled.symbols = tuple(
            calendar.list_coin(symbol, due_ms)
            for symbol in pulled.symbols or (None,)
            if symbol not in taken
        )

    def _delist(self, pulled: _Pulled) -> None:
        due_ms = self._due_ms(pulled)
        for symbol in self._unended(pulled):
            self._calendar.delist(symbol, due_ms)

    def _deliver(self, pulled: _Pulled) -> None:
        due_ms = self._due_ms(pulled)
        contracts, quarters = self._registry.contracts, QUARTERS[: 2 if pulled.symbols else 1]
        for symbol in self._unended(pulled):
            if contracts[symbol].instrument.contract_type in quarters:
                self._calendar.deliver(symbol, due_ms)

    def _unended(self, pulled: _Pulled) -> list[str]:
        """Return the contracts of a lever that are still traded, and whose end is not announced."""
        symbols = [each.instrument.symbol for each in self._contracts(pulled)]
        return [symbol for symbol in symbols if symbol not in self._calendar.ending]

    def _due_ms(self, pulled: _Pulled) -> int:
        """Return the whole second at the end of a lever's notice; it is over then."""
        due_ms = self._scheduler.now_ms + int(pulled.lever.number("notice"))
        due_ms = -(-due_ms // SECOND_MS) * SECOND_MS
        pulled.until_ms = due_ms
        self._after(due_ms - self._scheduler.now_ms, pulled, partial(self._conclude, pulled))
        return due_ms


def _conditions(levers: Sequence[_Pulled]) -> Conditions:
    """Return what levers about one contract make of its market together."""
    flow = presence = depth = open_interest = 1.0
    without: set[Value] = set()
    is_on = False
    for pulled in levers:
        if pulled.phase != "on":
            continue
        lever, row, is_on = pulled.lever, pulled.lever.row, True
        if row is ACTIVITY:
            flow *= lever.number("factor")
        elif row is MAKERS:
            presence *= lever.number("presence")
        elif row is DEPTH:
            depth *= lever.number("factor")
        elif row is ONE_SIDED:
            without.add(lever.values["side"])
        elif row is LIQUIDATIONS:
            open_interest *= WAVE_OPEN
        elif row is SHOCK:
            power = 0.5 if pulled.is_recovering else 1.0
            flow *= float(lever.number("flow") ** power)
            presence *= float(lever.number("stay") ** power)
            size = abs(log1p(lever.number("move")))
            open_interest *= max(1 - CLOSED_SHARE * size, LEAST_OPEN)
    if not is_on:
        return ORDINARY
    return Conditions(
        flow=flow,
        presence=presence,
        depth=depth,
        without_bids="bids" in without,
        without_asks="asks" in without,
        open_interest=open_interest,
        is_stressed=True,
    )


def _some(symbols: Sequence[str]) -> str:
    return ", ".join(symbols) or "none is listed: start the market with one (--symbols)"
