"""How far long work is: a line that changes on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tickerplant.logs import logger
from tickerplant.outlet import Outlet

TERMINAL_EVERY_S = 0.25
LOG_EVERY_S = 10.0
BAR_COLUMNS, LEAST_BAR_COLUMNS, BAR_STEP = 30, 6, 6
"""The bar is as long as there is room for, and left out where there is less."""
_BAR, _PLAIN_BAR = "█·", "#."


class Progress:
    """Tells which share of some work is done.

    Args:
        work: What is done, such as `export`.
        share: Returns how much of it is done, from 0 to 1; asked only when it is shown.
        messages: How many messages had been dealt with before.
        outlet: Standard error, if the log is written to it, too.
        state: Returns words about the present state; shown on a terminal.
    """

    def __init__(
        self,
        work: str,
        share: Callable[[], float],
        messages: int = 0,
        *,
        outlet: Outlet | None = None,
        state: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._work = work
        self._share = share
        self._messages = messages
        self._outlet = outlet = outlet or Outlet()
        self._state = state
        self._bar = _BAR if outlet.shows(_BAR) else _PLAIN_BAR
        self._every_s = TERMINAL_EVERY_S if outlet.is_terminal else LOG_EVERY_S
        self._began_s = self._told_s = time.monotonic()

    @property
    def seconds(self) -> float:
        """For how long it goes on."""
        return time.monotonic() - self._began_s

    def tell(self, messages: int) -> bool:
        """Tell that `messages` were dealt with in all, if it is time to; return whether it was."""
        now_s = time.monotonic()
        passed_s = now_s - self._told_s
        if passed_s < self._every_s:
            return False
        rate = (messages - self._messages) / max(passed_s, 0.001)
        self._told_s, self._messages = now_s, messages
        share = min(self._share(), 1.0)
        if self._outlet.is_terminal:
            self._show(share, messages, rate)
        else:
            logger().info(
                f"= {self._work}", share=f"{share:.1%}", messages=messages, per_second=round(rate)
            )
        return True

    def clear(self) -> None:
        """Take the line away: something else is written, or the work is over."""
        self._outlet.clear()

    def _show(self, share: float, messages: int, rate: float) -> None:
        parts = [f"{share:6.1%}", *self._state(), f"{messages:,} messages", f"{rate:,.0f}/s"]
        text = "  ".join(parts)
        columns = min(self._outlet.columns - len(self._work) - len(text) - 2, BAR_COLUMNS)
        columns -= columns % BAR_STEP  # so that it does not change with every number
        if columns >= LEAST_BAR_COLUMNS:
            done = self._bar[0] * round(share * columns)
            text = f"{done.ljust(columns, self._bar[1])} {text}"
        self._outlet.show(f"{self._work} {text}")
