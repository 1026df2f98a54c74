"""The order book with the orders of retail price improvement (RPI) that can be seen in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tickerplant.events import DepthUpdate, Level, RetailUpdate
from tickerplant.market.market import Market
from tickerplant.market.retail import Quantities
from tickerplant.streams.about import one_symbol
from tickerplant.streams.depth import diff
from tickerplant.streams.pace import Occasion, Subjects
from tickerplant.streams.pattern import Pattern
from tickerplant.streams.stream import Stream, every_ms
from tickerplant.venue import USDM


class Shown:
    """The changes of a period in the book and in the RPI orders shown with it, as one update.

    An RPI order that crosses the book is hidden, so a change of the best price alone may hide or
    show others.  What was shown or hidden only for a part of the period is told too: a snapshot
    may have been asked for meanwhile.  Ids are those of either kind of change and chained as
    `Merge` does.  Where the book begins anew so does the chain, visibly.
    """

    def __init__(self, period_ms: int, subjects: Subjects) -> None:
        self.period_ms = period_ms
        (self._market,) = subjects()
        self._begin()

    def _begin(self) -> None:
        """Take everything there is as told."""
        market: Market = self._market
        book, retail = market.book, market.retail
        bids, asks = book.top(book.depth)
        self._book = dict(bids), dict(asks)
        self._shown = self._shown_now()
        self._changed: tuple[set[int], set[int]] = set(), set()
        self._seen_id = book.last_update_id
        self._told_id = max(book.last_update_id, retail.last_update_id)
        self._last: DepthUpdate | RetailUpdate | None = None

    def _shown_now(self) -> tuple[Quantities, Quantities]:
        bids, asks = self._market.retail.shown(self._market.book)
        return dict(bids), dict(asks)

    @property
    def waiting(self) -> bool:
        """Whether the book or the RPI orders changed since the last message."""
        return self._last is not None

    def feed(self, market: Market, event: DepthUpdate | RetailUpdate) -> None:
        """Remember the prices at which `event` changes the book."""
        del market
        if isinstance(event, DepthUpdate):
            if event.previous_update_id != self._seen_id:
                self._begin()
                self._told_id = event.previous_update_id
            self._seen_id = event.final_update_id
            sides = zip((event.bids, event.asks), self._book, self._changed, strict=True)
            for levels, quantities, changed in sides:
                quantities.update(levels)
                changed.update(price for price, _ in levels)
        before, self._shown = self._shown, self._shown_now()
        for changed, old, new in zip(self._changed, before, self._shown, strict=True):
            changed.update(price for price, _ in old.items() ^ new.items())
        self._last = event

    def due(self) -> Iterable[Occasion]:
        """Return the changed levels by ascending price; nothing if none is told anew."""
        market, last = self._market, self._last
        if market.book.last_update_id != self._seen_id:
            self._begin()
            return ()
        changed, self._changed, self._last = self._changed, (set(), set()), None
        bids, asks = (_levels(*side) for side in zip(changed, self._book, self._shown, strict=True))
        if last is None or not (bids or asks):
            return ()
        final_id = max(self._seen_id, market.retail.last_update_id)
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


def _levels(changed: set[int], book: Quantities, shown: Mapping[int, int]) -> list[Level]:
    """Return the quantities with RPI orders at the `changed` prices; forget empty ones."""
    levels = [(price, book.get(price, 0) + shown.get(price, 0)) for price in sorted(changed)]
    for price in changed:
        if not book.get(price, 1):
            del book[price]
    return levels


STREAMS = (
    Stream(
        pattern=Pattern("<symbol>@rpiDepth@500ms"),
        about=one_symbol,
        events=("depthUpdate",),
        on=(DepthUpdate, RetailUpdate),
        pace=Shown,
        period=every_ms(500),
        build=diff,
        route="public",
        venues=(USDM,),
        doc="Levels that changed, with the RPI orders that do not cross the book.",
    ),
)
