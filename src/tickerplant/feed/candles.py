"""Streams of candles: after a time without connection, those that closed meanwhile are missing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.feed.matched import MatchedStream
from tickerplant.feed.merged_stream import Host, Item
from tickerplant.feed.secondary import Secondary


class CandleStream(MatchedStream):
    """A stream of candles."""

    __slots__ = (
        "_close_time",
        "_held",
        "_is_closed",
        "_open_time",
        "_was_blind",
    )

    def __init__(
        self,
        name: str,
        decode: Callable[[bytes], Item],
        expected_interval: ExpectedInterval,
        host: Host,
    ) -> None:
        super().__init__(name, decode, expected_interval, host)
        self._open_time = 0
        self._close_time = 0
        self._is_closed = False
        self._was_blind = False
        self._held: list[Item] = []
        """What waits behind candles that are asked for."""

    @property
    def has_gap(self) -> bool:
        """Whether messages wait behind a gap."""
        return bool(self._held)

    def reset_for_split(self, secondaries: dict[Hashable, Secondary]) -> None:
        """Go on with `secondaries` and without consumers, as a copy of a strand that goes on as well."""
        super().reset_for_split(secondaries)
        self._held = []

    def _primary_lost(self) -> None:
        super()._primary_lost()
        self.expect_loss()

    def expect_loss(self) -> None:
        """Take note that something may be missing before the next message."""
        self._was_blind = True
        if self._held:
            self._answered((), "the connection was lost before they came")

    def close(self) -> None:
        """Let nothing wait any more, and tell nothing."""
        super().close()
        self._held.clear()

    def accept(self, item: Item) -> bool:
        """Whether `item`, of the leader, is to be delivered at once."""
        if self._held or self._was_blind or not super().accept(item):
            return False
        self._note(item)
        return True

    def _pass(self, item: Item) -> None:
        if self._held:
            self._held.append(item)
            if len(self._held) > self._host.settings.held_messages:
                self._answered((), "too many messages waited behind the gap")
            return
        was_blind, self._was_blind = self._was_blind, False
        if was_blind and self._misses_before(item):
            self._held.append(item)
            if self.backfills:
                self._fetch(*self._bounds())
            else:
                self._answered((), "")
            return
        self._deliver_candle(item)

    def _misses_before(self, item: Item) -> bool:
        """Whether a candle closed between the last message and `item`, or may have."""
        opened = item.candle.open_time_ms
        return bool(self._open_time) and opened > self._first_missing

    @property
    def _first_missing(self) -> int:
        """When the first candle opens that is not known to be closed."""
        return self._close_time + 1 if self._is_closed else self._open_time

    def _deliver_candle(self, item: Item) -> None:
        self._note(item)
        self.deliver(item)

    def _note(self, item: Item) -> None:
        """Take note of the last candle."""
        candle = item.candle
        self._open_time = candle.open_time_ms
        self._close_time = candle.close_time_ms
        self._is_closed = candle.is_closed

    def _bounds(self) -> tuple[int, int]:
        return self._first_missing, self._held[0].candle.open_time_ms

    def _answered(self, rows: Sequence[Any], reason: str) -> None:
        self._is_fetching = False
        bounds = self._bounds()
        held, self._held = self._held, []
        found = {
            opened: row
            for row in rows
            if bounds[0] <= (opened := row.candle.open_time_ms) < bounds[1]
        }
        span_ms = max(1, self._close_time + 1 - self._open_time)  # whatever a server says
        missing = max(1, (bounds[1] - bounds[0] + span_ms // 2) // span_ms, len(found))
        self._report_gap(held[0].symbol, bounds, missing, len(found), reason)
        for _, row in sorted(found.items()):
            row.stream = self.name
            self._deliver_candle(row)
        for item in held:
            self._deliver_candle(item)

    def tick(self) -> bool:
        """Do what is due; return whether something else will be."""
        will_be = super().tick()
        if self._held and self._host.now_ms >= self._deadline_ms:
            self._answered((), "not answered in time")
        return will_be or bool(self._held)
