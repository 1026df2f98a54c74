"""The market of one contract: a matching engine whose changes become events."""

from __future__ import annotations

from tickerplant.events import BookTicker, DepthUpdate, Event, Level, RpiUpdate, Trade
from tickerplant.instrument import Instrument
from tickerplant.simulation.matching_engine import UPDATE_STEP, Fill, MatchingEngine
from tickerplant.simulation.rpi_orders import RpiOrders
from tickerplant.simulation.scheduler import Action, Scheduler, Suspended

NO_LEVEL = (0, 0)
"""The best price and quantity of an empty side."""


class ContractMarket:
    """Matches the orders of one contract and publishes trades and book changes."""

    def __init__(
        self,
        instrument: Instrument,
        scheduler: Scheduler,
        tape: list[Event],
        update_id: int,
        trade_id: int,
    ) -> None:
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.engine = MatchingEngine(update_id)
        self.rpi_orders: RpiOrders | None = None
        """The RPI orders; None except on perpetual contracts of a venue that has RPI."""
        if instrument.venue.has_rpi and instrument.perpetual:
            self.rpi_orders = RpiOrders()
        self._closes_ms = instrument.delivery_date_ms
        """Nothing is scheduled from this time on; 0 while trading is halted."""
        self._suspended: list[Suspended] | None = None
        """What goes on when trading resumes; None while it is not halted."""
        self.last_price = 0
        """Price of the last trade on the book."""
        self.volume = 0
        """Quantity traded on the book since the opening, in quantity units."""
        self._scheduler = scheduler
        self._tape = tape
        self._trade_id = trade_id
        self._flushed_id = update_id
        self._best: tuple[int, int, int, int] = (0, 0, 0, 0)

    def open(self, bids: list[Level], asks: list[Level], last_price: int) -> None:
        """Fill the book, best levels first, without publishing."""
        engine = self.engine
        engine.open(bids, asks)
        self.last_price = last_price
        self._flushed_id = engine.update_id
        self._best = (*bids[0], *asks[0])

    @property
    def now_ms(self) -> int:
        """The time of the exchange."""
        return self._scheduler.now_ms

    def after(self, delay_ms: int, action: Action, argument: int = 0) -> None:
        """Schedule `action(argument)`, `delay_ms` from now.

        Ignored if that is after delivery, and while trading is halted.
        """
        if self._scheduler.now_ms + delay_ms < self._closes_ms:
            self._scheduler.after(delay_ms, self, action, argument)

    def change(self, instrument: Instrument) -> None:
        """Replace the contract by one with other dates, another type or another status."""
        self.instrument = instrument
        if self._suspended is None:
            self._closes_ms = instrument.delivery_date_ms

    @property
    def is_halted(self) -> bool:
        """Whether trading is halted."""
        return self._suspended is not None

    def halt(self) -> None:
        """Stop everything that is scheduled here until `resume`; call it with nothing to flush."""
        self._suspended = self._scheduler.suspend(self)
        self._closes_ms = 0

    def resume(self) -> None:
        """Go on where trading was halted."""
        suspended, self._suspended = self._suspended, None
        self._closes_ms = self.instrument.delivery_date_ms
        for left_ms, action, argument in suspended or ():
            self.after(left_ms, action, argument)

    def take(self, buy: bool, quantity: int, price: int) -> list[Fill]:
        """Send an immediate-or-cancel order at `price` or better and publish its trades."""
        return self._write_trades(buy, self.engine.immediate(buy, quantity, price))

    def take_as_retail(self, buy: bool, quantity: int, price: int) -> list[Fill]:
        """Do what `take` does for a retail taker, who also trades with RPI orders."""
        if self.rpi_orders is None:
            return self.take(buy, quantity, price)
        fills = self.rpi_orders.immediate(self.engine, buy, quantity, price)
        return self._write_trades(buy, fills)

    def _write_trades(self, buy: bool, fills: list[Fill]) -> list[Fill]:
        now_ms, symbol, trade_id = self._scheduler.now_ms, self.symbol, self._trade_id
        for rpi, price, quantity in fills:
            self._tape.append(Trade(symbol, trade_id, price, quantity, not buy, now_ms, rpi=rpi))
            trade_id += 1
            self.volume += quantity
        if fills:
            self._trade_id = trade_id
            self.last_price = fills[-1][1]
        return fills

    def trade_off_book(self, buy: bool, quantity: int, price: int, origin: str) -> None:
        """Publish a trade off the book: the part of a forced order that the book could not fill.

        Args:
            buy: The side of the forced order.
            quantity: Its unfilled quantity.
            price: The bankruptcy price of the position.
            origin: The counterparty: `INSURANCE_FUND` or `ADL`.
        """
        now_ms = self._scheduler.now_ms
        trade = Trade(self.symbol, self._trade_id, price, quantity, not buy, now_ms, origin)
        self._tape.append(trade)
        self._trade_id += 1

    def write(self, event: Event) -> None:
        """Publish an event that is neither a trade nor a change of the book."""
        self._tape.append(event)

    def flush(self) -> None:
        """Publish the changed levels, and the best prices if they changed."""
        engine = self.engine
        if not engine.bids.changed and not engine.asks.changed:
            return
        bids, asks = engine.changes()
        before, now_id, now_ms = self._flushed_id, engine.update_id, self._scheduler.now_ms
        self._flushed_id = now_id
        self._tape.append(DepthUpdate(self.symbol, before + 1, now_id, before, bids, asks, now_ms))
        bid_keys, ask_keys = engine.bids.keys, engine.asks.keys
        if bid_keys and ask_keys:
            bid, ask = bid_keys[-1], ask_keys[-1]
            best = (bid, engine.bids.levels[bid].total, -ask, engine.asks.levels[ask].total)
        else:
            best = (*(engine.bids.best or NO_LEVEL), *(engine.asks.best or NO_LEVEL))
        if best != self._best:
            self._best = best
            self._tape.append(BookTicker(self.symbol, now_id, *best, now_ms))

    def flush_rpi(self) -> None:
        """Publish the changed RPI quantities; call it after `flush`.

        The changes take their update ids here, after those of the published book changes.
        """
        if self.rpi_orders is None:
            return
        bids, asks = self.rpi_orders.changes()
        if bids or asks:
            engine = self.engine
            engine.update_id += UPDATE_STEP * (len(bids) + len(asks))
            self._tape.append(
                RpiUpdate(self.symbol, engine.update_id, bids, asks, self._scheduler.now_ms)
            )
