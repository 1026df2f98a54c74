"""Streams of candles: after an outage, the candles that closed during it are missing.

They are fetched over REST if a consumer wants that, and reported as a `Gap`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tickerplant.feed.context import FeedContext
from tickerplant.feed.cursor import CandleCursor, Step
from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.feed.matched import MatchedStream
from tickerplant.feed.merged_stream import Item, refuse


class CandleStream(MatchedStream):
    """A stream of candles."""

    __slots__ = ("_cursor", "_held", "_may_have_gap")

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], Item],
        expected_interval: ExpectedInterval,
        context: FeedContext,
    ) -> None:
        super().__init__(name, decode, expected_interval, context)
        self._accept_next = self._accept_candle
        self._cursor = CandleCursor()
        self._may_have_gap = False
        """Whether candles may be missing before the next message, because of an outage."""
        self._held: list[Item] = []
        """Messages that wait behind candles that are being fetched."""

    @property
    def held_count(self) -> int:
        """Number of messages that wait behind a gap."""
        return len(self._held)

    @property
    def _is_usual(self) -> bool:
        return super()._is_usual and not self._held and not self._may_have_gap

    def _primary_lost(self) -> None:
        super()._primary_lost()
        self.expect_loss()

    def expect_loss(self) -> None:
        """Take note that messages may be missing before the next one."""
        self._may_have_gap = True
        self.accept = refuse
        if self._held:
            self._answered((), "the connection was lost before they came")

    def close(self) -> None:
        """Discard what waits, and deliver nothing more."""
        super().close()
        self._held.clear()

    def _accept_candle(self, item: Item) -> bool:
        self._cursor.advance(item.candle)
        return True

    def _pass(self, item: Item) -> None:
        if self._held:
            self._held.append(item)
            if len(self._held) > self._context.settings.retries.held_messages:
                self._answered((), "too many messages waited behind the gap")
            return
        may_have_gap, self._may_have_gap = self._may_have_gap, False
        if may_have_gap and self._cursor.classify(item.candle) is Step.GAP:
            self._held.append(item)
            if self.backfills:
                self._fetch(*self._bounds())
            else:
                self._answered((), "")
            return
        self._deliver_candle(item)

    def _deliver_candle(self, item: Item) -> None:
        self._cursor.advance(item.candle)
        self.deliver(item)

    def _bounds(self) -> tuple[int, int]:
        return self._cursor.first_missing_ms, self._held[0].candle.open_time_ms

    def _answered(self, rows: Sequence[Any], reason: str) -> None:
        self._is_fetching = False
        bounds = self._bounds()
        held, self._held = self._held, []
        found = {
            opened: row
            for row in rows
            if bounds[0] <= (opened := row.candle.open_time_ms) < bounds[1]
        }
        missing = max(self._cursor.missing_before(bounds[1]), len(found))
        self._report_gap(held[0].symbol, bounds, missing, len(found), reason)
        for _, row in sorted(found.items()):
            row.stream = self.name
            self._deliver_candle(row)
        for item in held:
            self._deliver_candle(item)

    def tick(self) -> bool:
        """Do what is due; return whether something else will be."""
        will_be = super().tick()
        if self._held and self._context.now_ms >= self._deadline_ms:
            self._answered((), "no response in time")
        return will_be or bool(self._held)
