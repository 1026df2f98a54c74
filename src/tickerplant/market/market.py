"""The current state of one symbol.

`Market.apply` takes an event, emits it, and emits what follows from it: a closed aggregate, a
changed book ticker, an ended minute. Events that the source delivers itself are not derived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from tickerplant.events import (
    AggregateTrade,
    BarClosed,
    BookSnapshot,
    BookTicker,
    CompositeIndex,
    ContractChanged,
    DepthUpdate,
    Event,
    FundingPaid,
    IndexBasket,
    Liquidation,
    MarkPrice,
    Positioning,
    RpiUpdate,
    Trade,
    WindowMoved,
)
from tickerplant.instrument import LARGEST, RATE_DECIMALS, RATE_ONE, Instrument, round_div
from tickerplant.market.aggregate import TradeAggregator
from tickerplant.market.book import OrderBook, RpiBook
from tickerplant.market.book_sync import OUT_OF_DEPTH, BookSync, Update
from tickerplant.market.candles import Candles, PriceBars
from tickerplant.market.contract_series import Contract, Stretch
from tickerplant.market.history import MarketHistory
from tickerplant.market.minutes import Minutes
from tickerplant.market.series import FundingSeries, Positions
from tickerplant.market.tape import AggregateTape, TradeTape
from tickerplant.market.timers import AGGREGATE_RANK, Timers
from tickerplant.profile import Profile
from tickerplant.raw_events import RawDepth, RawEvent, RawQuote, RawTrade

MAX_RECENT_UPDATES = 128
"""Updates kept for a snapshot that comes after them: over a second of the fastest stream."""

ALL_DERIVABLE = frozenset({Trade, DepthUpdate, BookTicker})
"""The derivable kinds that a source of the complete market delivers."""


class Market:
    """The state of one symbol.

    Args:
        instrument: Its names, scales and rules.
        profile: Decides which labels (`ps`, `st`) its messages carry.
        timers: The market clock.
        emit: Called with the market and each event, delivered or derived, in causal order.
        has_listener: Whether a stream follows a kind of events of this symbol. Raw events are
            parsed and emitted only then.
        source_events: Kinds of events that the source delivers; the others are derived if possible.
        reserved_snapshot_ids: Whether the source leaves the id after each change unused. That id
            then names a snapshot: it lies strictly between two changes, so the documented join
            `U <= lastUpdateId <= u` succeeds at any time. Snapshots come before what follows them.
    """

    def __init__(
        self,
        instrument: Instrument,
        profile: Profile,
        timers: Timers,
        emit: Callable[[Market, Event], None],
        has_listener: Callable[[type, str], bool],
        source_events: frozenset[type] = ALL_DERIVABLE,
        *,
        reserved_snapshot_ids: bool = False,
    ) -> None:
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.profile = profile
        self.pair_label: str | UnsetType = UNSET
        if instrument.venue.always_pair or profile.pair_everywhere:
            self.pair_label = instrument.pair
        self.type_label: int | UnsetType = UNSET
        if profile.symbol_type:
            self.type_label = instrument.venue.symbol_type
        self._timers = timers
        self._opened_ms = timers.now_ms
        self._emit = emit
        self._has_listener = has_listener
        finer = RATE_DECIMALS - instrument.price.decimals
        self._price_unit = int(10 ** max(finer, 0))
        self._index_unit = int(10 ** max(-finer, 0))
        self._snapshot_step = 1 if reserved_snapshot_ids else 0

        self.book = OrderBook()
        # Only where snapshots may come late: kept updates would cost a tenth of a simulation's time.
        recent = 0 if reserved_snapshot_ids else MAX_RECENT_UPDATES
        self.book_sync: BookSync[Update] = BookSync(max_recent=recent)
        self.unreadable = 0
        """Raw quotes and trades dropped because they are not in the instrument's units."""
        self._quote: BookTicker | None = None
        self._raw_quote: RawQuote | None = None
        self.last_price = 0
        self.last_trade_time_ms = 0
        """Time of the last trade; 0 before the first one."""
        self.trades = TradeTape(instrument.symbol)
        self.aggregates = AggregateTape(instrument.symbol)
        self.minutes = Minutes(instrument.turnover, timers.now_ms)
        self.candles = Candles(self.minutes)

        self.mark_price: MarkPrice | None = None
        self.marks = PriceBars(timers.now_ms)
        self.indices = PriceBars(timers.now_ms)
        self.premiums = PriceBars(timers.now_ms)
        self.rpi_book = RpiBook()
        self.basket: IndexBasket | None = None
        self.composite: CompositeIndex | None = None
        self.positions = Positions()
        self.kept = Contract(instrument, self.minutes, self.candles, self.marks, self.positions)
        """What is kept of the contract after its removal."""
        self.fundings = FundingSeries()
        self._aggregator = TradeAggregator(self.symbol)
        self._aggregator_waits = False
        self._handlers: dict[type, Callable[[Any], None]] = {
            Trade: self._on_trade,
            AggregateTrade: self._on_aggregate,
            DepthUpdate: self._on_depth,
            BookSnapshot: self._on_snapshot,
            BookTicker: self._set_quote,
            RawDepth: self._on_raw_depth,
            RawQuote: self._on_raw_quote,
            RawTrade: self._on_raw_trade,
            MarkPrice: self._on_mark_price,
            RpiUpdate: self._on_rpi_update,
            Liquidation: self._emit_unchanged,
            FundingPaid: self._on_funding,
            Positioning: self._on_positioning,
            IndexBasket: self._on_basket,
            CompositeIndex: self._on_composite,
            ContractChanged: self._on_contract_changed,
        }
        self._batch_handlers: dict[type, Callable[[Any], None]] = {
            RawDepth: self._on_raw_depths,
            RawQuote: self._on_raw_quotes,
        }
        self.set_source_events(source_events)

    def set_source_events(self, source_events: frozenset[type]) -> None:
        """Set the kinds of events that the source delivers from now on."""
        self._derives_book_ticker = DepthUpdate in source_events and BookTicker not in source_events
        self._derives_aggregates = AggregateTrade not in source_events
        self._counts_aggregates = AggregateTrade in source_events and Trade not in source_events

    def apply(self, event: Event | RawEvent) -> None:
        """Take `event`, then emit it and everything that follows from it."""
        self._handlers[type(event)](event)

    def handler_for(self, kind: type[RawEvent]) -> Callable[[Any], None]:
        """Return the handler that `apply` uses for events of `kind`."""
        return self._handlers[kind]

    def batch_handler_for(self, kind: type[RawEvent]) -> Callable[[Any], None] | None:
        """Return a handler that applies a sequence of events of `kind` at once.

        Other events and time may pass between the events of the sequence as long as nothing that
        follows from any of them is emitted. Returns None for kinds that cannot be batched.
        """
        return self._batch_handlers.get(kind)

    def feeds_statistics(self, event: Event) -> bool:
        """Whether candles and statistics are made from `event`."""
        if isinstance(event, Trade):
            return event.origin == "MARKET"
        return self._counts_aggregates or not isinstance(event, AggregateTrade)

    def load_history(self, history: MarketHistory) -> None:
        """Start with the bars and trades of `history`, and emit nothing."""
        self.kept.history = history
        last = history.last_trade
        self.minutes.load(history.day, last.quantity if last is not None else 0)
        self.candles.load(history)
        self.marks.load_history(history.marks)
        self.indices.load_history(history.indices)
        self.premiums.load_history(history.premiums)
        self.fundings.load_history(history.fundings)
        self.positions.load_history(history.positions)
        self.trades.load_history(history.older_trades)
        self.aggregates.load_history(history.older_aggregates)
        if last is not None:
            self.last_price = last.price
            self.last_trade_time_ms = last.trade_time_ms
        self._aggregator = TradeAggregator(self.symbol, history.first_aggregate_id)
        for trade in history.trades:
            self._record_trade(trade)
            closed = self._aggregator.add(trade)
            if closed is not None:
                self.aggregates.append(closed)
        if self._aggregator.due_ms:
            self._wait_for_aggregate()

    def close_minutes(self, minute_ms: int) -> None:
        """Close the minutes before `minute_ms`; emit `BarClosed` and `WindowMoved`."""
        left = self.minutes.close_minutes(minute_ms)
        for bars in (self.marks, self.indices, self.premiums):
            bars.close_minutes(minute_ms)
        self._emit(self, BarClosed(self.symbol, minute_ms))
        if left:
            self._emit(self, WindowMoved(self.symbol))

    # Trades

    @property
    def is_untraded(self) -> bool:
        """Whether the contract is known not to have traded yet: it was followed from its listing on."""
        instrument = self.instrument
        followed = self._opened_ms <= instrument.onboard_date_ms <= self._timers.now_ms
        return followed and not self.last_trade_time_ms

    def _record_trade(self, trade: Trade) -> None:
        self.trades.append(trade)
        self.last_price = trade.price
        self.last_trade_time_ms = trade.trade_time_ms
        trade_id = trade.trade_id
        self.minutes.add(trade.price, trade.quantity, not trade.buyer_is_maker, trade_id, trade_id)

    def _on_trade(self, trade: Trade) -> None:
        if trade.origin == "MARKET":
            self._record_trade(trade)
            if self._derives_aggregates:
                closed = self._aggregator.add(trade)
                if closed is not None:
                    self._emit_aggregate(closed)
                if not self._aggregator_waits:
                    self._wait_for_aggregate()
        self._emit(self, trade)

    def _on_raw_trade(self, raw: RawTrade) -> None:
        try:
            trade = raw.event(self.instrument)
        except ValueError:
            self.unreadable += 1
        else:
            self._on_trade(trade)

    def _wait_for_aggregate(self) -> None:
        self._aggregator_waits = True
        self._timers.at(self._aggregator.due_ms, AGGREGATE_RANK, self._aggregate_due)

    def _aggregate_due(self, now_ms: int) -> None:
        self._aggregator_waits = False
        due_ms = self._aggregator.due_ms
        if due_ms > now_ms:
            self._wait_for_aggregate()
        elif due_ms:
            closed = self._aggregator.close()
            if closed is not None:
                self._emit_aggregate(closed)

    def _emit_aggregate(self, closed: AggregateTrade) -> None:
        self.aggregates.append(closed)
        self._emit(self, closed)

    def _on_aggregate(self, aggregate: AggregateTrade) -> None:
        """Take an aggregate of the source, and count it if the source delivers no trades."""
        if self._counts_aggregates:
            self.last_price = aggregate.price
            self.last_trade_time_ms = aggregate.trade_time_ms
            self.minutes.add(
                aggregate.price,
                aggregate.quantity,
                not aggregate.buyer_is_maker,
                aggregate.first_trade_id,
                aggregate.last_trade_id,
            )
        self._emit_aggregate(aggregate)

    # The book

    @property
    def book_live(self) -> bool:
        """Whether the best of the book is known; `book_reason` says why not."""
        return self.book_sync.live and self.book.knows(1)

    @property
    def book_reason(self) -> str:
        """Why the book is not known; empty while it is."""
        return self.book_sync.reason or ("" if self.book.knows(1) else OUT_OF_DEPTH)

    @property
    def snapshot_id(self) -> int:
        """The update id of a snapshot taken now."""
        return self.book.last_update_id + self._snapshot_step

    def _on_snapshot(self, snapshot: BookSnapshot) -> None:
        if self.book_sync.live and snapshot.last_update_id <= self.book.last_update_id:
            self._deepen(snapshot)
            return
        updates = self.book_sync.load(snapshot)
        if self.book_sync.live:
            self.book.load(snapshot)
            self._emit(self, snapshot)
        for update in updates:
            self._apply(update)
        if self._derives_book_ticker and self.book_sync.live:
            self._derive_quote()

    def _deepen(self, snapshot: BookSnapshot) -> None:
        """Replace the levels by those of a snapshot that is not newer, and the updates since."""
        updates = self.book_sync.reload(snapshot)
        if updates is None:
            return  # it would undo later updates
        self.book.load(snapshot)
        for update in updates:  # they were emitted
            if isinstance(update, RawDepth):
                self.book.apply_raw((update,), self.instrument)
            else:
                self.book.apply(update)
        if self._derives_book_ticker:
            self._derive_quote()

    def _on_depth(self, update: Update) -> None:
        for each in self.book_sync.add(update):
            self._apply(each)

    def _on_raw_depth(self, raw: RawDepth) -> None:
        self._on_raw_depths((raw,))

    def _on_raw_depths(self, updates: Sequence[RawDepth]) -> None:
        followed = 0
        if not (self._derives_book_ticker or self._has_listener(DepthUpdate, self.symbol)):
            followed = self.book_sync.accept_run(updates)
            if followed:
                self.book.apply_raw(updates[:followed], self.instrument)
        for update in updates[followed:]:
            self._on_depth(update)

    def _apply(self, update: Update) -> None:
        """Apply an update that continues the book, and emit it if a stream follows the symbol."""
        if isinstance(update, RawDepth):
            self._apply_raw(update)
            return
        self.book.apply(update)
        self._emit(self, update)
        if self._derives_book_ticker:
            self._derive_quote()

    def _apply_raw(self, raw: RawDepth) -> None:
        if self._derives_book_ticker or self._has_listener(DepthUpdate, self.symbol):
            try:
                self._apply(raw.event(self.instrument))
            except ValueError:
                pass  # the book takes the readable levels and counts the others
            else:
                return
        self.book.apply_raw((raw,), self.instrument)

    def _derive_quote(self) -> None:
        if not self.book.knows(1):
            return
        bid, ask = self.book.best_bid, self.book.best_ask
        last = self._quote
        if bid is None or ask is None:
            return
        if (
            last is not None
            and bid == (last.bid_price, last.bid_quantity)
            and ask == (last.ask_price, last.ask_quantity)
        ):
            return
        self._set_quote(
            BookTicker(
                self.symbol,
                self.book.last_update_id,
                *bid,
                *ask,
                self.book.transaction_time_ms,
            )
        )

    @property
    def book_ticker(self) -> BookTicker | None:
        """The latest best bid and ask; None before the first."""
        raw = self._raw_quote
        if raw is not None:
            self._raw_quote = None
            try:
                self._quote = raw.event(self.instrument)
            except ValueError:
                self.unreadable += 1
        return self._quote

    def _set_quote(self, quote: BookTicker) -> None:
        self._quote = quote
        self._raw_quote = None
        self._emit(self, quote)

    def _on_raw_quote(self, raw: RawQuote) -> None:
        if not self._has_listener(BookTicker, self.symbol):
            self._raw_quote = raw
            return
        try:
            self._set_quote(raw.event(self.instrument))
        except ValueError:
            self.unreadable += 1

    def _on_raw_quotes(self, quotes: Sequence[RawQuote]) -> None:
        if not self._has_listener(BookTicker, self.symbol):
            quotes = quotes[-1:]  # the others are replaced before anyone reads them
        for quote in quotes:
            self._on_raw_quote(quote)

    # Prices that are not traded

    def _on_mark_price(self, mark: MarkPrice) -> None:
        self.mark_price = mark
        self.marks.add(mark.mark_price, mark.time_ms)
        self.indices.add(mark.index_price, mark.time_ms)
        premium = self._premium(mark.index_price)
        if premium is not None:
            self.premiums.add(premium, mark.time_ms)
        self._emit(self, mark)

    def _premium(self, index: int) -> int | None:
        """Return the premium index in integers of 10^-8.

        Premium index: (max(0, bid - index) - max(0, index - ask)) / index. Returns None if it is
        unknown or too large for a market.
        """
        quote = self.book_ticker
        if quote is None or not index:
            return None
        index *= self._index_unit
        bid, ask = quote.bid_price * self._price_unit, quote.ask_price * self._price_unit
        if bid <= index <= ask:
            return 0
        premium = round_div((bid - index if bid > index else ask - index) * RATE_ONE, index)
        return premium if -LARGEST <= premium <= LARGEST else None

    @property
    def stretch(self) -> Stretch:
        """All the time of the contract, whatever type it had."""
        return Stretch(self.kept)

    @property
    def continuous_candles(self) -> Candles:
        """The candles of the contracts of its pair that have or had its type."""
        series = self.kept.series
        if series is None or series.present is not self.kept:
            return self.candles
        return series.candles

    def _on_funding(self, funding: FundingPaid) -> None:
        self.fundings.add(funding)
        self._emit(self, funding)

    # Everything else

    def _on_rpi_update(self, update: RpiUpdate) -> None:
        self.rpi_book.apply(update)
        self._emit(self, update)

    def _on_positioning(self, positioning: Positioning) -> None:
        self.positions.add(positioning)
        self._emit(self, positioning)

    def _on_basket(self, basket: IndexBasket) -> None:
        self.basket = basket
        self._emit(self, basket)

    def _on_composite(self, composite: CompositeIndex) -> None:
        self.composite = composite
        self._emit(self, composite)

    def _on_contract_changed(self, change: ContractChanged) -> None:
        self.instrument = self.kept.instrument = change.instrument
        self._emit(self, change)

    def _emit_unchanged(self, event: Event) -> None:
        self._emit(self, event)
