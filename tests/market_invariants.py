"""What holds of every simulated market, whatever levers are pulled: checked event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

from tickerplant.events import (
    BookSnapshot,
    BookTicker,
    ContractChanged,
    DepthUpdate,
    Event,
    Liquidation,
    MarkPrice,
    Positioning,
    RpiUpdate,
    Trade,
)
from tickerplant.simulation.exchange import SimulatedExchange

ENDED = {"SETTLING", "CLOSE", "DELIVERING", "DELIVERED"}
"""The statuses of contracts that are not traded any more."""


class CheckedContract:
    """One contract, as somebody sees it who takes nothing but events."""

    def __init__(self, symbol: str, snapshot: BookSnapshot) -> None:
        self.symbol = symbol
        self.bids, self.asks = dict(snapshot.bids), dict(snapshot.asks)
        self.bid, self.ask = max(self.bids), min(self.asks)
        """The best prices; 0 for an empty side."""
        self.update_id = snapshot.last_update_id
        self.rpi_id = 0
        self.top = self.best()
        self.status = "TRADING"
        self.trade_id: int | None = None
        self.pending: list[Trade] = []
        """Trades whose changes of the book are still to come."""
        self.trades = self.updates = self.liquidations = 0
        self.volume = 0
        self.open_interest = -1

    def best(self) -> tuple[int, int, int, int]:
        bid, ask = self.bid, self.ask
        return (bid, self.bids.get(bid, 0), ask, self.asks.get(ask, 0))

    def check(self, event: Event) -> None:
        if isinstance(event, Trade | DepthUpdate | BookTicker | RpiUpdate | Liquidation):
            assert self.status == "TRADING", f"{self.symbol} is {self.status} and sends {event}"
        checks: dict[type, Callable[[Any], None]] = {
            Trade: self._trade,
            DepthUpdate: self._update,
            BookTicker: self._quote,
            RpiUpdate: self._rpi,
            MarkPrice: self._mark,
            Liquidation: self._forced,
            Positioning: self._positions,
            ContractChanged: self._changed,
        }
        if type(event) in checks:
            checks[type(event)](event)

    def _rpi(self, event: RpiUpdate) -> None:
        assert event.update_id > self.rpi_id, f"{self.symbol}: RPI orders went back"
        assert event.update_id % 2 == 0, "odd ids are reserved for snapshots"
        self.rpi_id = event.update_id
        assert all(quantity >= 0 for _, quantity in chain(event.bids, event.asks))

    def _mark(self, event: MarkPrice) -> None:
        assert event.mark_price > 0, f"{self.symbol}: the mark price is {event.mark_price}"
        assert event.index_price > 0

    def _forced(self, event: Liquidation) -> None:
        assert event.quantity > 0 < event.average_price
        self.liquidations += 1

    def _positions(self, event: Positioning) -> None:
        assert event.open_interest >= 0
        if self.open_interest >= 0:
            change = abs(event.open_interest - self.open_interest)
            assert change <= self.volume, f"{self.symbol}: more was opened than traded"
        self.open_interest, self.volume = event.open_interest, 0

    def _changed(self, event: ContractChanged) -> None:
        self.status = event.instrument.status

    def _trade(self, trade: Trade) -> None:
        assert self.trade_id is None or trade.trade_id == self.trade_id + 1
        self.trade_id = trade.trade_id
        assert trade.quantity > 0 < trade.price
        if trade.origin != "MARKET":
            return
        self.trades += 1
        self.volume += trade.quantity
        if trade.rpi:
            return
        best = self.bid if trade.buyer_is_maker else self.ask
        if not self.pending:
            assert trade.price == best, f"{self.symbol} traded at {trade.price}, best is {best}"
        better = trade.price > best if trade.buyer_is_maker else trade.price < best
        assert not better, f"{self.symbol} traded at {trade.price}, better than {best}"
        self.pending.append(trade)

    def _update(self, update: DepthUpdate) -> None:
        assert update.previous_update_id == self.update_id, f"{self.symbol}: a hole"
        assert update.first_update_id == update.previous_update_id + 1
        assert update.final_update_id > max(update.previous_update_id, self.rpi_id)
        assert update.final_update_id % 2 == 0, "odd ids are reserved for snapshots"
        self.update_id = update.final_update_id
        self.updates += 1
        bids, asks = dict(update.bids), dict(update.asks)
        for trade in self.pending:
            changed = bids if trade.buyer_is_maker else asks
            assert trade.price in changed, f"{self.symbol}: a trade that left the book as it was"
        self.pending.clear()
        if _apply(self.bids, bids, self.bid):
            self.bid = max(self.bids, default=0)
        if _apply(self.asks, asks, self.ask):
            self.ask = min(self.asks, default=0)
        assert not self.bids or not self.asks or self.bid < self.ask, f"{self.symbol} is crossed"

    def _quote(self, quote: BookTicker) -> None:
        top = (quote.bid_price, quote.bid_quantity, quote.ask_price, quote.ask_quantity)
        assert top == self.best(), f"{self.symbol}: {top} is not the best of the book"
        assert quote.update_id == self.update_id, "a quote is about the update before it"
        assert top != self.top, f"{self.symbol}: a quote without a change"
        assert not self.pending
        self.top = top

    def finish_batch(self) -> None:
        """Check what holds at the end of a millisecond."""
        assert not self.pending, f"{self.symbol}: trades without a change of the book"
        assert self.top == self.best(), f"{self.symbol}: a change of the best without a quote"


def _apply(side: dict[int, int], rows: Mapping[int, int], best: int) -> bool:
    """Apply changed levels; return whether the best price may be another one now."""
    was_empty, near = not side, best in rows
    for price, quantity in rows.items():
        assert price > 0 <= quantity
        if quantity:
            near = near or price not in side
            side[price] = quantity
        else:
            side.pop(price, None)
    return near or was_empty


class MarketChecker:
    """Checks the batches of an exchange; create it before the first step."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self.contracts: dict[str, CheckedContract] = {}
        self.gone: set[str] = set()
        self._now_ms = 0
        for instrument in exchange.instruments:
            for event in exchange.opening(instrument.symbol):
                self._take_event(event)

    def take(self, now_ms: int, events: Iterable[Event]) -> None:
        """Check one batch, as `SimulatedExchange.step` returns it."""
        assert now_ms >= self._now_ms, "the market went back"
        self._now_ms = now_ms
        touched = set()
        for event in events:
            self._take_event(event)
            touched.add(event.symbol)
        for symbol in touched:
            if symbol in self.contracts:
                self.contracts[symbol].finish_batch()

    def _take_event(self, event: Event) -> None:
        symbol = event.symbol
        if isinstance(event, BookSnapshot):
            self.gone.discard(symbol)
            self.contracts[symbol] = CheckedContract(symbol, event)
        if isinstance(event, ContractChanged) and event.instrument.status in ENDED:
            self.contracts.pop(symbol, None)
            self.gone.add(symbol)
        if symbol in self.contracts:
            self.contracts[symbol].check(event)
            return
        forbidden = Trade | DepthUpdate | BookTicker | RpiUpdate | Liquidation | MarkPrice
        assert not isinstance(event, forbidden), f"{symbol} is not traded and sends {event}"


def run_checked(exchange: SimulatedExchange, checker: MarketChecker, until_ms: int) -> list[Event]:
    """Step an exchange up to a time with all checks, and return the events."""
    found: list[Event] = []
    while exchange.next_time_ms <= until_ms:
        now_ms, events = exchange.step()
        checker.take(now_ms, events)
        found += events
    return found
