"""Paces: when a message of a stream is due, and from which change it is built.

A pace belongs to one channel and is the only place that knows about update speeds.  `on_event` takes
an event and returns the change to build a message from at once, or None.  While `waiting` is true,
the publisher calls `due` at the next multiple of `period_ms`, which returns what to build messages
from.  They show the state at the end of the period.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tickerplant.events import BarClosed, DepthUpdate, Event, Liquidation

if TYPE_CHECKING:
    from tickerplant.market.market import Market

Due: TypeAlias = tuple[Any, Any]
"""A subject, and the change of it that a message is built from."""
Subjects: TypeAlias = Callable[[], Sequence[Any]]
"""Returns the subjects of the channel now: markets come and go."""


class Pace(Protocol):
    """A pace, as far as a publisher knows it."""

    period_ms: int

    @property
    def waiting(self) -> bool:
        """Whether a message is due at the end of the period."""

    def on_event(self, market: Market, event: Any) -> Any:
        """Take an event; return the change to build a message from at once, or None."""

    def due(self) -> Iterable[Due]:
        """Return the changes to build messages from, and start a new period."""


class Immediate:
    """One message per event, at once."""

    __slots__ = ("period_ms",)
    waiting = False

    def __init__(self, period_ms: int, _subjects: Subjects) -> None:
        self.period_ms = period_ms

    def on_event(self, _market: Market, event: Event) -> Event:
        """Return the event itself."""
        return event

    def due(self) -> Iterable[Due]:
        """Return nothing: no message waits."""
        return ()


class Conflated:
    """At most one message per period and market, about the latest event."""

    __slots__ = ("_changed", "period_ms")

    def __init__(self, period_ms: int, _subjects: Subjects) -> None:
        self.period_ms = period_ms
        self._changed: dict[Market, Event] = {}

    @property
    def waiting(self) -> bool:
        """Whether any market changed in this period."""
        return bool(self._changed)

    def on_event(self, market: Market, event: Event) -> None:
        """Remember that `market` changed."""
        self._changed[market] = event

    def due(self) -> Iterable[Due]:
        """Return the markets that changed, in the order in which they first did."""
        changed, self._changed = self._changed, {}
        return changed.items()


class ConflatedLiquidations(Conflated):
    """As `Conflated`, for liquidations: in some profiles the largest one of the period instead.

    Liquidation Order Streams page: at most one per symbol within 1000 ms, the latest; since
    2026-04-14 the largest on USDⓈ-M.
    """

    __slots__ = ()

    def on_event(self, market: Market, event: Liquidation) -> None:  # type: ignore[override]
        """Remember the latest or the largest liquidation of `market`."""
        earlier = self._changed.get(market)
        is_largest = market.instrument.venue.name in market.profile.largest_liquidation
        if is_largest and isinstance(earlier, Liquidation) and event.quantity <= earlier.quantity:
            return
        super().on_event(market, event)


class ConflatedTrades(Conflated):
    """As `Conflated`, for trades that are counted in candles and statistics."""

    __slots__ = ()

    def on_event(self, market: Market, event: Event) -> None:
        """Remember that `market` changed, unless `event` was counted before."""
        if market.feeds_statistics(event):
            super().on_event(market, event)


class ConflatedCandles(ConflatedTrades):
    """As `ConflatedTrades`, plus a message at once when a bar closes."""

    __slots__ = ()

    def on_event(self, market: Market, event: Event) -> Event | None:  # type: ignore[override]
        """Return a closed bar; remember anything else."""
        if type(event) is BarClosed:
            return event
        super().on_event(market, event)
        return None


class Periodic:
    """One message per period and subject, whether or not it changed."""

    __slots__ = ("_subjects", "period_ms")
    waiting = True

    def __init__(self, period_ms: int, subjects: Subjects) -> None:
        self.period_ms = period_ms
        self._subjects = subjects

    def on_event(self, market: Market, event: Event) -> None:
        """Ignore the event."""

    def due(self) -> Iterable[Due]:
        """Return every subject."""
        return [(subject, None) for subject in self._subjects()]


class MergedDepth:
    """The depth updates of a period merged into one, with an id chain of the channel.

    `U` is the id after the previous message's `u`, a legal case of the exchange's ids that makes
    the documented join with a snapshot succeed for every speed.
    """

    __slots__ = ("_asks", "_bids", "_last", "_market", "_seen_id", "_sent_id", "period_ms")

    def __init__(self, period_ms: int, subjects: Subjects) -> None:
        self.period_ms = period_ms
        (self._market,) = subjects()
        self._sent_id = self._seen_id = self._market.book.last_update_id
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._last: DepthUpdate | None = None

    @property
    def waiting(self) -> bool:
        """Whether the book changed since the last message."""
        return self._last is not None

    def on_event(self, _market: Market, event: DepthUpdate) -> None:
        """Merge the levels of `event`; a later quantity at a price replaces the earlier one."""
        self._follow(event)
        self._bids.update(event.bids)
        self._asks.update(event.asks)

    def _follow(self, event: DepthUpdate) -> None:
        """Continue the chain of ids, or break it where the chain of the source is broken."""
        if event.previous_update_id != self._seen_id:
            self._sent_id = event.previous_update_id
            self._bids, self._asks = {}, {}
        self._seen_id = event.final_update_id
        self._last = event

    def due(self) -> Iterable[Due]:
        """Return the merged update, its levels by ascending price."""
        last = self._last
        if last is None:
            return ()
        bids, asks = self._bids, self._asks
        merged = DepthUpdate(
            last.symbol,
            self._sent_id + 1,
            last.final_update_id,
            self._sent_id,
            sorted(bids.items()),
            sorted(asks.items()),
            last.transaction_time_ms,
        )
        self._sent_id = last.final_update_id
        self._bids, self._asks, self._last = {}, {}, None
        return ((self._market, merged),)


class DepthIds(MergedDepth):
    """As `MergedDepth`, for messages with the top of the book: only the ids, not the levels."""

    __slots__ = ()

    def on_event(self, _market: Market, event: DepthUpdate) -> None:
        """Remember the ids of `event`."""
        self._follow(event)
