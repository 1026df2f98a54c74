"""The calendar of contracts: deliveries, listings, delistings and bracket changes.

Dated contracts are delivered at the end of their quarter and replaced. Optionally, perpetual
contracts of new coins are listed from time to time, and the oldest of them delisted. All of it
happens at whole seconds, after the mark prices of that second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from random import Random
from typing import Protocol

from msgspec import structs

from tickerplant.instrument import Instrument
from tickerplant.quarters import deliveries_ms
from tickerplant.simulation.instruments import coin_and_quote, new_dated, new_perpetual
from tickerplant.simulation.scheduler import Action
from tickerplant.simulation.underlyings import Underlying, generate_underlyings
from tickerplant.units import HOUR_MS, MINUTE_MS
from tickerplant.venue import VENUES

SETTLING_MS = 10_000
"""Time from the delivery of a contract to its settlement."""
BRACKETS_MS = 2 * MINUTE_MS
"""Period in which one contract of each venue changes its brackets."""
BRACKET_SCALES = (0.5, 0.8, 1.0, 1.25, 2.0)
"""Factors for the notionals of brackets."""
ANNOUNCED_MS = 5 * MINUTE_MS
"""Time from the announcement of a listing or delisting to the event."""
FIRST_LISTING_MS = 10 * MINUTE_MS
"""Time from the start to the first listing, approximately."""
LISTING_MS = 2 * HOUR_MS
"""Period of further listings."""
LISTED_AT_MOST = 3
"""Most new contracts listed at a time; one more delists the oldest."""
CLOSING_MS = 2 * MINUTE_MS
"""Time from the end of trading of a delisted contract to its removal."""
QUARTERS = ("CURRENT_QUARTER", "NEXT_QUARTER")
DELIVERING = " DELIVERING"
"""Suffix of a contract's type between its delivery and its settlement."""


class Registry(Protocol):
    """The part of `ContractRegistry` that the calendar uses."""

    @property
    def traded(self) -> Sequence[Instrument]: ...  # noqa: D102
    def plan(self, time_ms: int, action: Action) -> None: ...  # noqa: D102
    def announce(self, instrument: Instrument) -> None: ...  # noqa: D102
    def open(self, instrument: Instrument) -> None: ...  # noqa: D102
    def change(self, instrument: Instrument) -> None: ...  # noqa: D102
    def change_brackets(self, symbol: str, scale: float) -> None: ...  # noqa: D102
    def stop(self, instrument: Instrument) -> int: ...  # noqa: D102
    def deliver(self, instrument: Instrument, price: int) -> None: ...  # noqa: D102
    def close(self, instrument: Instrument) -> None: ...  # noqa: D102


class ContractCalendar:
    """Schedules the events in the life of contracts."""

    def __init__(self, registry: Registry, seed: int, start_ms: int, *, listings: bool) -> None:
        self._registry = registry
        self._random = Random(f"{seed} brackets")
        self.bracket_scales: dict[str, float] = {}
        self._coins = _new_coins({each.base_asset for each in registry.traded})
        self._listed: list[str] = []
        self.announced: set[str] = set()
        """Symbols that will be traded."""
        self.ending: set[str] = set()
        """Symbols that will be delisted or delivered before their time."""
        registry.plan(deliveries_ms(start_ms)[2], self._quarter)
        registry.plan(_next_minute(start_ms + BRACKETS_MS // 2), self._rebracket)
        if listings:
            first_ms = _next_minute(start_ms + FIRST_LISTING_MS - ANNOUNCED_MS)
            registry.plan(first_ms, self._announce)

    # The end of a quarter

    def _quarter(self, now_ms: int) -> None:
        """Deliver the expiring contracts, and promote the later contract of each pair."""
        _, _, current_ms, next_ms = deliveries_ms(now_ms)
        dated = [each for each in self._registry.traded if each.contract_type in QUARTERS]
        due = [each for each in dated if each.delivery_date_ms == now_ms]
        later = [each for each in dated if each.contract_type == QUARTERS[1] and each not in due]
        for instrument in due:
            self._deliver(instrument, now_ms)
        for instrument in later:
            self._registry.change(structs.replace(instrument, contract_type=QUARTERS[0]))
        waiting = {each.pair for each in later}
        for instrument in due:
            following = instrument.pair in waiting
            delivery_ms = next_ms if following else current_ms
            contract = new_dated(instrument, QUARTERS[following], now_ms, delivery_ms)
            self._registry.open(contract)
        self._registry.plan(current_ms, self._quarter)

    def _deliver(self, instrument: Instrument, now_ms: int) -> None:
        stopped = structs.replace(
            instrument,
            status="DELIVERING",
            contract_type=instrument.contract_type + DELIVERING,
        )
        self.ending.discard(instrument.symbol)
        price = self._registry.stop(stopped)
        self.bracket_scales.pop(instrument.symbol, None)
        delivered = structs.replace(stopped, status="DELIVERED")
        self._registry.plan(
            now_ms + SETTLING_MS, lambda _: self._registry.deliver(delivered, price)
        )

    # Brackets

    def _rebracket(self, now_ms: int) -> None:
        """Change the brackets of one contract of each venue."""
        for venue in VENUES:
            traded = [each.symbol for each in self._registry.traded if each.venue is venue]
            if not traded:
                continue
            symbol = self._random.choice(traded)
            before = self.bracket_scales.get(symbol, 1.0)
            scale = self._random.choice([each for each in BRACKET_SCALES if each != before])
            self.bracket_scales[symbol] = scale
            self._registry.change_brackets(symbol, scale)
        self._registry.plan(now_ms + BRACKETS_MS, self._rebracket)

    # New coins

    def _announce(self, now_ms: int) -> None:
        """Announce the contract of a new coin, and the end of the oldest one."""
        onboard_ms = now_ms + ANNOUNCED_MS
        self._listed.append(self.list_coin(None, onboard_ms))
        if len(self._listed) > LISTED_AT_MOST:
            oldest = self._listed.pop(0)
            if oldest in self._traded:
                self.delist(oldest, onboard_ms)
        self._registry.plan(now_ms + LISTING_MS, self._announce)

    # At any time

    def list_coin(self, symbol: str | None, onboard_ms: int) -> str:
        """Announce a perpetual contract, by default that of a new coin; return its symbol.

        It starts trading at `onboard_ms`, a whole second.
        """
        taken = self.announced | self._traded.keys()
        if symbol is None:
            coin = next(each for each in self._coins if f"{each.name}USDT" not in taken)
            instrument = new_perpetual(coin, onboard_ms)
        else:
            coin, quote = coin_and_quote(symbol)
            instrument = new_perpetual(coin, onboard_ms, quote)
        self.announced.add(instrument.symbol)
        self._registry.announce(structs.replace(instrument, status="PENDING_TRADING"))
        self._registry.plan(onboard_ms, partial(self._open, instrument))
        return instrument.symbol

    def delist(self, symbol: str, due_ms: int) -> None:
        """Announce that a contract stops trading at `due_ms`, a whole second."""
        instrument = self._traded[symbol]
        self.ending.add(symbol)
        self._registry.change(structs.replace(instrument, delivery_date_ms=due_ms))
        self._registry.plan(due_ms, partial(self._delist, symbol))

    def deliver(self, symbol: str, due_ms: int) -> None:
        """Announce that a dated contract is delivered at `due_ms`, a whole second."""
        instrument = self._traded[symbol]
        self.ending.add(symbol)
        self._registry.change(structs.replace(instrument, delivery_date_ms=due_ms))
        self._registry.plan(due_ms, partial(self._deliver_early, symbol))

    @property
    def _traded(self) -> dict[str, Instrument]:
        return {each.symbol: each for each in self._registry.traded}

    def _open(self, instrument: Instrument, _: int) -> None:
        self.announced.discard(instrument.symbol)
        self._registry.open(instrument)

    def _deliver_early(self, symbol: str, now_ms: int) -> None:
        if symbol in self.ending:  # otherwise delivered at the end of the quarter
            self._deliver(self._traded[symbol], now_ms)

    def _delist(self, symbol: str, now_ms: int) -> None:
        if symbol not in self.ending:
            return
        self.ending.discard(symbol)
        settling = structs.replace(self._traded[symbol], status="SETTLING")
        self._registry.stop(settling)
        self.bracket_scales.pop(symbol, None)
        closed = structs.replace(settling, status="CLOSE")
        self._registry.plan(now_ms + CLOSING_MS, lambda _: self._registry.close(closed))


def _new_coins(known: set[str]) -> Iterator[Underlying]:
    return (coin for coin in generate_underlyings() if coin.name not in known)


def _next_minute(time_ms: int) -> int:
    return -(-time_ms // MINUTE_MS) * MINUTE_MS
