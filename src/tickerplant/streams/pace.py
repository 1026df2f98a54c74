"""Paces: when a stream's message is due, and what it then is about.

A pace lives in one channel and is the only place that knows about update speeds.  `on_event` takes an
event; it returns what a message should be built from now, or None.  A pace that wants to wait says
so by `waiting`; at the next multiple of `period_ms` the channel asks `due` what to build from.
Messages of a period carry the state at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tickerplant.events import BarClosed, DepthUpdate, Event, Liquidation

if TYPE_CHECKING:
    from tickerplant.market.market import Market

Due: TypeAlias = tuple[Any, Any]
"""A subject, and what happened to it that a message is built from."""
Subjects: TypeAlias = Callable[[], Sequence[Any]]
"""Whom the channel is about now: markets come and go."""


class Pace(Protocol):
    """What a channel needs of its pace."""

    period_ms: int

    @property
    def waiting(self) -> bool:
        """Whether something is to be told at the end of the period."""
        ...

    def on_event(self, market: Market, event: Any) -> Any:
        """Take an event in; return what to build a message from now, or None."""
        ...

    def due(self) -> Iterable[Due]:
        """Return what to build messages from at the end of a period, and begin a new one."""
        ...


class Immediate:
    """A message for every event, at once."""

    __slots__ = ("period_ms",)
    waiting = False

    def __init__(self, period_ms: int, subjects: Subjects) -> None:
        del subjects
        self.period_ms = period_ms

    def on_event(self, market: Market, event: Event) -> Event:
        """Return the event itself."""
        del market
        return event

    def due(self) -> Iterable[Due]:
        """Return nothing: nothing waits."""
        return ()


class Conflated:
    """At most one message a period and market, of the latest event, if there was any."""

    __slots__ = ("_changed", "period_ms")

    def __init__(self, period_ms: int, subjects: Subjects) -> None:
        del subjects
        self.period_ms = period_ms
        self._changed: dict[Market, Event] = {}

    @property
    def waiting(self) -> bool:
        """Whether something changed since the last period."""
        return bool(self._changed)

    def on_event(self, market: Market, event: Event) -> None:
        """Remember that `market` changed."""
        self._changed[market] = event

    def due(self) -> Iterable[Due]:
        """Return the markets that changed, in the order in which they first did."""
        changed, self._changed = self._changed, {}
        return changed.items()


class ConflatedLiquidations(Conflated):
    """As `Conflated`, of liquidations: in some profiles the largest one of the period instead.

    Liquidation Order Streams page: at most one a symbol within 1000 ms, the latest; since
    2026-04-14 the largest on USDⓈ-M.
    """

    __slots__ = ()

    def on_event(self, market: Market, event: Liquidation) -> None:  # type: ignore[override]
        """Remember the latest or the largest liquidation of `market`."""
        earlier = self._changed.get(market)
        largest = market.profile.tells_largest_liquidation(market.instrument.venue)
        if largest and isinstance(earlier, Liquidation) and event.quantity <= earlier.quantity:
            return
        super().on_event(market, event)


class ConflatedTrades(Conflated):
    """As `Conflated`, of what was counted in candles and statistics."""

    __slots__ = ()

    def on_event(self, market: Market, event: Event) -> None:
        """Remember that `market` changed, unless `event` tells what was counted before."""
        if market.feeds_statistics(event):
            super().on_event(market, event)


class ConflatedCandles(ConflatedTrades):
    """As `ConflatedTrades`, and at once when a bar closes."""

    __slots__ = ()

    def on_event(self, market: Market, event: Event) -> Event | None:  # type: ignore[override]
        """Return a closed bar; remember anything else."""
        if type(event) is BarClosed:
            return event
        super().on_event(market, event)
        return None


class Periodic:
    """One message a period and subject, whether or not something changed."""

    __slots__ = ("_subjects", "period_ms")
    waiting = True

    def __init__(self, period_ms: int, subjects: Subjects) -> None:
        self.period_ms = period_ms
        self._subjects = subjects

    def on_event(self, market: Market, event: Event) -> None:
        """Take no notice."""

    def due(self) -> Iterable[Due]:
        """Return every subject there is now."""
        return [(subject, None) for subject in self._subjects()]


class MergedDepth:
    """The depth updates of a period as one, with an id chain of the channel's own.

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

    def on_event(self, market: Market, event: DepthUpdate) -> None:
        """Take the levels of `event` in; later quantities of a price replace earlier ones."""
        del market
        self._follow(event)
        self._bids.update(event.bids)
        self._asks.update(event.asks)

    def _follow(self, event: DepthUpdate) -> None:
        """Keep the chain of ids, or break it visibly where the source's own chain is broken."""
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
    """As `MergedDepth`, for messages that show the top of the book: the ids without the levels."""

    __slots__ = ()

    def on_event(self, market: Market, event: DepthUpdate) -> None:
        """Remember the ids of `event`."""
        del market
        self._follow(event)
