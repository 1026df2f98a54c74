"""How far long work is: a line that changes on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tickerplant.logs import logger

TERMINAL_EVERY_S = 0.25
LOG_EVERY_S = 10.0
BAR_COLUMNS = 30

_CLEAR_LINE = "\r\x1b[2K"


class Progress:
    """Tells which share of some work is done.

    Args:
        work: What is done, such as `export`.
        share: Returns how much of it is done, from 0 to 1; asked only when it is told.
        messages: How many messages had been dealt with before.
    """

    def __init__(self, work: str, share: Callable[[], float], messages: int = 0) -> None:
        self._work = work
        self._share = share
        self._messages = messages
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._every_s = TERMINAL_EVERY_S if self._on_terminal else LOG_EVERY_S
        self._began_s = self._told_s = time.monotonic()

    @property
    def seconds(self) -> float:
        """For how long it goes on."""
        return time.monotonic() - self._began_s

    def tell(self, messages: int) -> bool:
        """Tell that `messages` were dealt with in all, if it is time to; return whether it was."""
        now_s = time.monotonic()
        if now_s - self._told_s < self._every_s:
            return False
        self._told_s = now_s
        share = min(self._share(), 1.0)
        rate = (messages - self._messages) / max(now_s - self._began_s, 0.001)
        if self._on_terminal:
            bar = ("█" * round(share * BAR_COLUMNS)).ljust(BAR_COLUMNS, "·")
            line = f"{self._work} {bar} {share:6.1%}  {messages:,} messages  {rate:,.0f}/s"
            sys.stderr.write(f"{_CLEAR_LINE}{line}")
            sys.stderr.flush()
        else:
            logger().info(
                f"= {self._work}", share=f"{share:.1%}", messages=messages, per_second=round(rate)
            )
        return True

    def end(self) -> None:
        """Take the line away."""
        if self._on_terminal:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
