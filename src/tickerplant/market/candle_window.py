"""Which candles a question is about."""

from __future__ import annotations

from msgspec import Struct

from tickerplant.market.bars import COLUMNS

CLOSE_TIME = len(COLUMNS)
"""The column of the close time: the text of a candle has it, and a bar does not."""


class CandleWindow(Struct, frozen=True):
    """The candles that a question is about."""

    interval: str
    start_ms: int | None
    """The earliest open time."""
    end_ms: int | None
    """The latest open time."""
    limit: int
    """Most candles: with a start the first ones, otherwise the latest ones."""
    is_latest: bool = False
    """Whether the latest ones are meant although there is a start."""

    @property
    def is_from_start(self) -> bool:
        """Whether the first candles of the window are meant."""
        return self.start_ms is not None and not self.is_latest

    def includes(self, opened_ms: int) -> bool:
        """Whether a candle that opens then is inside."""
        return (self.start_ms is None or opened_ms >= self.start_ms) and (
            self.end_ms is None or opened_ms <= self.end_ms
        )
