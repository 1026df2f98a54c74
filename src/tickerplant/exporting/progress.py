"""How far an export is: a line that changes on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import sys
import time

from tickerplant.logs import logger

TERMINAL_EVERY_S = 0.25
LOG_EVERY_S = 10.0
BAR_COLUMNS = 30

_CLEAR_LINE = "\r\x1b[2K"


class Progress:
    """Tells how much of all bytes has been exported."""

    def __init__(self, total_bytes: int = 0) -> None:
        self._total_bytes = max(total_bytes, 1)
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._every_s = TERMINAL_EVERY_S if self._on_terminal else LOG_EVERY_S
        self._began_s = self._told_s = time.monotonic()

    @property
    def seconds(self) -> float:
        """For how long it goes on."""
        return time.monotonic() - self._began_s

    def tell(self, done_bytes: int, messages: int) -> None:
        """Tell how far it is, if it is time to."""
        self.tell_share(done_bytes / self._total_bytes, messages)

    def tell_share(self, share: float, messages: int) -> None:
        """Tell which share of all is done, if it is time to."""
        now_s = time.monotonic()
        if now_s - self._told_s < self._every_s:
            return
        self._told_s = now_s
        share = min(share, 1.0)
        rate = messages / max(now_s - self._began_s, 0.001)
        if self._on_terminal:
            bar = ("█" * round(share * BAR_COLUMNS)).ljust(BAR_COLUMNS, "·")
            line = f"export {bar} {share:6.1%}  {messages:,} messages  {rate:,.0f}/s"
            sys.stderr.write(f"{_CLEAR_LINE}{line}")
            sys.stderr.flush()
        else:
            logger().info(
                "= export", share=f"{share:.1%}", messages=messages, per_second=round(rate)
            )

    def end(self) -> None:
        """Take the line away."""
        if self._on_terminal:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
