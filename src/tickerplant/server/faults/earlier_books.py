"""Order books as they were, for snapshots that are stale on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tickerplant.events import Level
from tickerplant.faults.board import FaultBoard, FaultOn
from tickerplant.faults.rule import matches
from tickerplant.faults.snapshot_faults import STALE_MS, EarlierBook, StaleSnapshot
from tickerplant.instrument import Instrument
from tickerplant.messages.book import SNAPSHOT_LEVELS
from tickerplant.server.endpoint import Endpoint

if TYPE_CHECKING:
    from tickerplant.truth.journal import Journal

MAX_BOOKS = 100
"""Books that are remembered when a rule begins; of others, the first answer is."""


class EarlierBooks:
    """The books of the markets of a server as they were.

    With a journal, they are as old as a rule wants; without it, they are those of the moment when the
    rule began.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        journal: Journal | None,
        market_ms: Callable[[], int],
        board: FaultBoard,
    ) -> None:
        self._markets = {each.venue.name: each.hub.markets for each in endpoints}
        self._journal = journal
        self._market_ms = market_ms
        self._at_opening: dict[FaultOn, dict[tuple[str, str], EarlierBook]] = {}
        if journal is None:
            board.subscribe(self._on_change)

    @property
    def keeps_ages(self) -> bool:
        """Whether books of any age are kept."""
        return self._journal is not None

    def _on_change(self, on: FaultOn) -> None:
        """Remember the books at which a rule is aimed when it begins, until it is over."""
        if on.state == "over":
            self._at_opening.pop(on, None)
        if not on.is_on or not isinstance(on.rule.fault, StaleSnapshot):
            return
        aim, now_ms = on.rule.aim, self._market_ms()
        books: dict[tuple[str, str], EarlierBook] = {}
        for venue_name, markets in self._markets.items():
            if aim.venue not in {"", venue_name}:
                continue
            for market in markets:
                is_meant = not aim.symbol or matches(aim.symbol, market.symbol)
                if is_meant and market.book_live and len(books) < MAX_BOOKS:
                    book = market.book
                    bids, asks = _texts(market.instrument, book.top(SNAPSHOT_LEVELS))
                    books[venue_name, market.symbol] = EarlierBook(
                        market.snapshot_id, now_ms, book.transaction_time_ms, bids, asks
                    )
        self._at_opening[on] = books

    def find(self, on: FaultOn, venue_name: str, symbol: str) -> EarlierBook | None:
        """Return the earlier book of a symbol for a rule; None if none is known."""
        if self._journal is None:
            return self._at_opening.get(on, {}).get((venue_name, symbol))
        kept = self._journal.symbols.get(symbol)
        if kept is None or kept.book is None:
            return None
        market = kept.market
        time_ms = self._market_ms() - (getattr(on.rule.fault, "age", None) or STALE_MS)
        book = kept.book.at(kept.book.id_at(time_ms))
        step = market.snapshot_id - market.book.last_update_id
        changed_ms = book.transaction_time_ms
        sides = book.bids[:SNAPSHOT_LEVELS], book.asks[:SNAPSHOT_LEVELS]
        bids, asks = _texts(market.instrument, sides)
        update_id, event_ms = book.last_update_id + step, max(time_ms, changed_ms)
        return EarlierBook(update_id, event_ms, changed_ms, bids, asks)


def _texts(
    instrument: Instrument, sides: Iterable[Sequence[Level]]
) -> Iterator[list[tuple[str, str]]]:
    prices, quantities = instrument.price.text, instrument.quantity.text
    for levels in sides:
        yield [(prices[price], quantities[quantity]) for price, quantity in levels]
