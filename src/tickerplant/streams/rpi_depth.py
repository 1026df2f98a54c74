"""The order book with the orders of retail price improvement (RPI) that can be seen in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tickerplant.events import DepthUpdate, Level, RpiUpdate
from tickerplant.streams.about import one_symbol
from tickerplant.streams.depth import diff
from tickerplant.streams.pace import Occasion, Subjects
from tickerplant.streams.pattern import Pattern
from tickerplant.streams.stream import Stream, every_ms
from tickerplant.venue import USDM

if TYPE_CHECKING:
    from tickerplant.market.book import Quantities
    from tickerplant.market.market import Market


class Shown:
    """The changes of a period in the book and in the RPI orders shown with it, as one update.

    An RPI order that crosses the book is hidden, so a change of the best price alone may hide or
    show others.  What was shown or hidden only for a part of the period is told too: a snapshot
    may have been asked for meanwhile.  Ids are those of either kind of change and chained as
    `Merge` does.  Where the book begins anew so does the chain, visibly.
    """

    def __init__(self, period_ms: int, subjects: Subjects) -> None:
        self.period_ms = period_ms
        self._market: Market
        (self._market,) = subjects()
        self._begin()

    def _begin(self) -> None:
        """Take everything there is as told."""
        book, rpi_book = self._market.book, self._market.rpi_book
        self._best = book.best_prices
        self._shown = rpi_book.visible_levels(book)
        self._levels: tuple[Quantities, Quantities] = {}, {}
        self._turned: tuple[set[int], set[int]] = set(), set()
        self._seen_id = book.last_update_id
        self._told_id = max(book.last_update_id, rpi_book.last_update_id)
        self._last: DepthUpdate | RpiUpdate | None = None

    @property
    def waiting(self) -> bool:
        """Whether the book or the RPI orders changed since the last message."""
        return self._last is not None

    def on_event(self, market: Market, event: DepthUpdate | RpiUpdate) -> None:
        """Take the levels of `event` in, and the prices at which it shows or hides RPI orders."""
        if isinstance(event, DepthUpdate):
            if event.previous_update_id != self._seen_id:
                self._begin()
                self._told_id = event.previous_update_id
            self._seen_id = event.final_update_id
            bids, asks = self._levels
            bids.update(event.bids)
            asks.update(event.asks)
        best = market.book.best_prices
        if best != self._best or isinstance(event, RpiUpdate):
            self._best = best
            self._show(market.rpi_book.visible_levels(market.book))
        self._last = event

    def _show(self, shown: tuple[Quantities, Quantities]) -> None:
        """Remember `shown`, and the prices at which it is not what was shown before."""
        for turned, old, new in zip(self._turned, self._shown, shown, strict=True):
            turned.update(price for price, _ in old.items() ^ new.items())
        self._shown = shown

    def due(self) -> Iterable[Occasion]:
        """Return the changed levels by ascending price; nothing if none is told anew."""
        market, last = self._market, self._last
        book = market.book
        if book.last_update_id != self._seen_id:
            self._begin()
            return ()
        levels, self._levels, self._last = self._levels, ({}, {}), None
        turned, self._turned = self._turned, (set(), set())
        bids = _together(levels[0], turned[0], book.bid_quantity, self._shown[0])
        asks = _together(levels[1], turned[1], book.ask_quantity, self._shown[1])
        if last is None or not (bids or asks):
            return ()
        final_id = max(self._seen_id, market.rpi_book.last_update_id)
        update = DepthUpdate(
            market.symbol,
            self._told_id + 1,
            final_id,
            self._told_id,
            bids,
            asks,
            last.transaction_time_ms,
        )
        self._told_id = final_id
        return ((market, update),)


def _together(
    levels: Quantities, turned: set[int], quantity: Callable[[int], int], shown: Quantities
) -> list[Level]:
    """Return `levels`, and those of the book at the prices `turned`, with the RPI orders `shown`."""
    levels.update((price, quantity(price)) for price in turned.difference(levels))
    return [(price, levels[price] + shown.get(price, 0)) for price in sorted(levels)]


STREAMS = (
    Stream(
        pattern=Pattern("<symbol>@rpiDepth@500ms"),
        about=one_symbol,
        events=("depthUpdate",),
        on=(DepthUpdate, RpiUpdate),
        pace=Shown,
        period=every_ms(500),
        build=diff,
        route="public",
        venues=(USDM,),
        doc="Levels that changed, with the RPI orders that do not cross the book.",
    ),
)
