"""How far a replay is: a line that changes on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tickerplant.logs import logger
from tickerplant.recording.line import RecordedFile

TERMINAL_EVERY_S = 0.5
LOG_EVERY_S = 10.0

_CLEAR_LINE = "\r\x1b[2K"


class Progress:
    """Shows how much of the recordings has been played, while it is entered.

    Args:
        recordings: What is played.
        messages: How many messages had been played before.
    """

    def __init__(self, recordings: Sequence[RecordedFile], messages: int = 0) -> None:
        self._recordings = recordings
        self._messages = messages
        self._on_terminal = sys.stderr.isatty()
        self._every_s = TERMINAL_EVERY_S if self._on_terminal else LOG_EVERY_S
        self._began_s = self._told_s = time.monotonic()

    def __enter__(self) -> Self:
        self._began_s = self._told_s = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._on_terminal:
            sys.stderr.write(_CLEAR_LINE)

    def tell(self, messages: int) -> bool:
        """Tell that `messages` have been played in all; return whether it was time to say so."""
        now_s = time.monotonic()
        if now_s - self._told_s < self._every_s:
            return False
        self._told_s = now_s
        rate = (messages - self._messages) / max(now_s - self._began_s, 0.001)
        if self._on_terminal:
            share = f"{self._share():6.1%}"
            sys.stderr.write(f"{_CLEAR_LINE}replay {share}  {messages:,} messages  {rate:,.0f}/s")
            sys.stderr.flush()
        else:
            logger().info(
                "= replay", share=f"{self._share():.1%}", messages=messages, per_second=round(rate)
            )
        return True

    def _share(self) -> float:
        size = sum(recording.size_bytes for recording in self._recordings)
        return sum(recording.position_bytes for recording in self._recordings) / max(size, 1)
