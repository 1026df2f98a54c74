"""The order book: its changes, its top levels, and its changes with RPI orders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType, field

from tickerplant.events import DepthUpdate, Level, RpiUpdate
from tickerplant.raw_events import RawLevel, level_texts
from tickerplant.streams.conflation import Conflation
from tickerplant.streams.pace import DepthIds, Due, Immediate, MergedDepth, Pace, Subjects
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.stream import Build, Payload, Period, Stream, every_ms, named_ms, real_time
from tickerplant.streams.subjects import one_symbol
from tickerplant.venue import USDM

if TYPE_CHECKING:
    from tickerplant.market.book import Quantities
    from tickerplant.market.market import Market


class DepthMessage(Payload, frozen=True, kw_only=True, tag="depthUpdate"):
    """Levels of the book with absolute quantities; in a diff, quantity 0 removes a level."""

    event_time: int = field(name="E")
    transaction_time: int = field(name="T")
    symbol: str = field(name="s")
    pair: str | UnsetType = field(name="ps", default=UNSET)
    first_update_id: int = field(name="U")
    final_update_id: int = field(name="u")
    previous_update_id: int = field(name="pu")
    bids: list[RawLevel] = field(name="b")
    asks: list[RawLevel] = field(name="a")
    symbol_type: int | UnsetType = field(name="st", default=UNSET)


def _message(
    market: Market, update: DepthUpdate, now_ms: int, bids: list[Level], asks: list[Level]
) -> DepthMessage:
    return DepthMessage(
        event_time=now_ms,
        transaction_time=update.transaction_time_ms,
        symbol=update.symbol,
        pair=market.pair_label,
        first_update_id=update.first_update_id,
        final_update_id=update.final_update_id,
        previous_update_id=update.previous_update_id,
        bids=level_texts(market.instrument, bids),
        asks=level_texts(market.instrument, asks),
        symbol_type=market.type_label,
    )


def diff(market: Market, update: DepthUpdate, now_ms: int, _args: Args) -> DepthMessage:
    """Return the levels that changed."""
    return _message(market, update, now_ms, update.bids, update.asks)


def partial(market: Market, update: DepthUpdate, now_ms: int, args: Args) -> DepthMessage | None:
    """Return the best levels of both sides, best first, with the ids of the changes before them.

    Return None while they are not known.
    """
    levels = int(args["levels"])
    if not market.book.knows(levels):
        return None
    bids, asks = market.book.top(levels)
    return _message(market, update, now_ms, bids, asks)


class MergedRpiDepth:
    """The changes of a period in the book and in its visible RPI orders, merged into one update.

    An RPI order that crosses the book is hidden, so a change of the best price alone may hide or
    show others.  Levels that were shown or hidden only for a part of the period are included: a
    snapshot may have been taken in between.  Ids are those of either kind of change, chained as
    in `MergedDepth`.  When the book is reset, the chain breaks.
    """

    def __init__(self, period_ms: int, subjects: Subjects) -> None:
        self.period_ms = period_ms
        self._market: Market
        (self._market,) = subjects()
        self._begin()

    def _begin(self) -> None:
        """Start with the present book as sent."""
        book, rpi_book = self._market.book, self._market.rpi_book
        self._best = book.best_prices
        self._shown = rpi_book.visible_levels(book)
        self._levels: tuple[Quantities, Quantities] = {}, {}
        self._turned: tuple[set[int], set[int]] = set(), set()
        self._seen_id = book.last_update_id
        self._sent_id = max(book.last_update_id, rpi_book.last_update_id)
        self._last: DepthUpdate | RpiUpdate | None = None

    @property
    def waiting(self) -> bool:
        """Whether the book or the RPI orders changed since the last message."""
        return self._last is not None

    def on_event(self, market: Market, event: DepthUpdate | RpiUpdate) -> None:
        """Merge the levels of `event` and the prices at which it shows or hides RPI orders."""
        if isinstance(event, DepthUpdate):
            if event.previous_update_id != self._seen_id:
                self._begin()
                self._sent_id = event.previous_update_id
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
        """Remember `shown`, and the prices at which it differs from before."""
        for turned, old, new in zip(self._turned, self._shown, shown, strict=True):
            turned.update(price for price, _ in old.items() ^ new.items())
        self._shown = shown

    def due(self) -> Iterable[Due]:
        """Return the changed levels by ascending price; nothing if there are none."""
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
            self._sent_id + 1,
            final_id,
            self._sent_id,
            bids,
            asks,
            last.transaction_time_ms,
        )
        self._sent_id = final_id
        return ((market, update),)


def _together(
    levels: Quantities, turned: set[int], quantity: Callable[[int], int], shown: Quantities
) -> list[Level]:
    """Return `levels` and the book at the prices `turned`, both with the RPI orders `shown`."""
    levels.update((price, quantity(price)) for price in turned.difference(levels))
    return [(price, levels[price] + shown.get(price, 0)) for price in sorted(levels)]


def _stream(
    name: str, doc: str, pace: Callable[[int, Subjects], Pace], build: Build, period: Period
) -> Stream:
    return Stream(
        pattern=Pattern(name),
        subjects=one_symbol,
        events=("depthUpdate",),
        follows=(DepthUpdate,),
        pace=pace,
        period=period,
        build=build,
        route="public",
        conflation=Conflation.MERGED_LEVELS if build is diff else Conflation.NEWEST_LEVELS,
        doc=doc,
    )


_SPEED = "@<speed:100|500>ms"
_TOP = "<symbol>@depth<levels:5|10|20>"
_CHANGED = "Levels that changed since the last message"
_BEST = "The best levels of both sides"

STREAMS = (
    _stream("<symbol>@depth", f"{_CHANGED}.", MergedDepth, diff, named_ms(250)),
    _stream(
        f"<symbol>@depth{_SPEED}",
        f"{_CHANGED}, at a chosen speed.",
        MergedDepth,
        diff,
        named_ms(250),
    ),
    _stream(
        "<symbol>@depth@0ms",
        "Levels that changed, in real time; undocumented by the exchange, widely used.",
        Immediate,
        diff,
        real_time,
    ),
    _stream(_TOP, f"{_BEST}.", DepthIds, partial, named_ms(250)),
    _stream(f"{_TOP}{_SPEED}", f"{_BEST}, at a chosen speed.", DepthIds, partial, named_ms(250)),
    Stream(
        pattern=Pattern("<symbol>@rpiDepth@500ms"),
        subjects=one_symbol,
        events=("depthUpdate",),
        follows=(DepthUpdate, RpiUpdate),
        pace=MergedRpiDepth,
        period=every_ms(500),
        build=diff,
        route="public",
        conflation=Conflation.MERGED_LEVELS,
        venues=(USDM,),
        doc="Levels that changed, with the RPI orders that do not cross the book.",
    ),
)
