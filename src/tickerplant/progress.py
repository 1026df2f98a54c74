"""Progress of long work: a status line on a terminal, log lines at intervals elsewhere."""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from tickerplant.formatting import duration_text
from tickerplant.logs import logger

TERMINAL_EVERY_S = 0.25
LOG_EVERY_S = 10.0
LAST_LINE_TIMEOUT_S = 1.0
"""How long the last lines wait for a terminal or pipe that takes nothing."""
BAR_COLUMNS, LEAST_BAR_COLUMNS, BAR_STEP = 30, 6, 6
"""The bar is as long as there is room for, and left out where there is less."""
_BAR, _ASCII_BAR = "█·", "#."
_CLEAR_LINE = "\r\x1b[2K"


class StatusLine:
    """Standard error, with a last line that changes if it is a terminal.

    Text is written above the status line.  Nothing blocks and nothing raises: text that is not
    taken at once, or after the reader has gone, is dropped.
    """

    def __init__(self, *, is_quiet: bool = False) -> None:
        self._stream = sys.stderr
        is_terminal = self._stream is not None and self._stream.isatty()
        self.is_terminal = is_terminal and not is_quiet
        self._line = ""

    @property
    def columns(self) -> int:
        """The longest status line that fits on the terminal, in characters."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns if self._stream else 0
        except (OSError, ValueError):
            columns = 0
        return (columns or shutil.get_terminal_size().columns) - 1

    def can_encode(self, text: str) -> bool:
        """Whether the encoding of the stream has all characters of `text`."""
        try:
            text.encode(getattr(self._stream, "encoding", None) or "ascii")
        except (LookupError, UnicodeEncodeError):
            return False
        return True

    def write(self, text: str) -> int:
        """Write complete lines above the status line, or drop them; return their length."""
        return self._write(text, 0.0)

    def flush(self) -> None:
        """Do nothing: `write` flushes."""

    def show(self, line: str) -> None:
        """Set the status line, cut to the width of the terminal."""
        self._line = line[: self.columns]
        self._write("", 0.0)

    def clear(self) -> None:
        """Remove the status line, and a `^C` echoed into it."""
        self._line = ""
        if self.is_terminal:
            self._write("", LAST_LINE_TIMEOUT_S)

    def end_with(self, text: str) -> None:
        """Replace the status line by a last line, waiting briefly if nothing takes it."""
        self._line = ""
        self._write(f"{text}\n", LAST_LINE_TIMEOUT_S)

    def _write(self, text: str, timeout_s: float) -> int:
        stream = self._stream
        try:
            if stream is not None and select.select([], [stream], [], timeout_s)[1]:
                stream.write(f"{_CLEAR_LINE}{text}{self._line}" if self.is_terminal else text)
                stream.flush()
        except (OSError, ValueError):
            self._stream = None  # the reader is gone
        return len(text)


class Progress:
    """Reports how much of some work is done.

    Args:
        work: The name of the work, such as `export`.
        share: Returns how much of it is done, from 0 to 1; None if it has no end.  Called only when
            it is shown.
        messages: How many messages had been processed before.
        status_line: The one that the log is written to; a new one if missing.
        state: Returns words about the present state; shown on a terminal.
        fields: Returns the present state by name; logged elsewhere.
        every_s: Seconds between reports; chosen for a terminal or a log if missing.
        now_s: Seconds, by which reports are due.
    """

    def __init__(
        self,
        work: str,
        share: Callable[[], float] | None,
        messages: int = 0,
        *,
        status_line: StatusLine | None = None,
        state: Callable[[], Sequence[str]] = tuple,
        fields: Callable[[], Mapping[str, object]] = dict,
        every_s: float | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._share = share
        self._messages = messages
        self._status_line = status_line = status_line or StatusLine()
        self._state = state
        self._fields = fields
        self._bar = _BAR if status_line.can_encode(_BAR) else _ASCII_BAR
        usual_s = TERMINAL_EVERY_S if status_line.is_terminal else LOG_EVERY_S
        self._every_s = usual_s if every_s is None else every_s
        self._now_s = now_s
        self._started_s = self._reported_s = now_s()

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return self._now_s() - self._started_s

    def report(self, messages: int) -> bool:
        """Report that `messages` were processed in all, if a report is due; return whether it was."""
        now_s = self._now_s()
        passed_s = now_s - self._reported_s
        if passed_s < self._every_s:
            return False
        rate = (messages - self._messages) / max(passed_s, 0.001)
        self._reported_s, self._messages = now_s, messages
        share = None if self._share is None else min(self._share(), 1.0)
        if self._status_line.is_terminal:
            self._show(share, messages, rate)
        else:
            done = {} if share is None else {"share": f"{share:.1%}"}
            counted = {"messages": messages, "per_second": round(rate)}
            logger().info(f"= {self._work}", **done, **counted, **self._fields())
        return True

    def clear(self) -> None:
        """Remove the status line, so that something else can be written."""
        self._status_line.clear()

    def _show(self, share: float | None, messages: int, rate: float) -> None:
        done = duration_text(self.seconds * 1_000) if share is None else f"{share:6.1%}"
        text = "  ".join((done, *self._state(), f"{messages:,} messages", f"{rate:,.0f}/s"))
        columns = min(self._status_line.columns - len(self._work) - len(text) - 2, BAR_COLUMNS)
        columns -= columns % BAR_STEP  # so that it does not change with every number
        if share is not None and columns >= LEAST_BAR_COLUMNS:
            done = self._bar[0] * round(share * columns)
            text = f"{done.ljust(columns, self._bar[1])} {text}"
        self._status_line.show(f"{self._work} {text}")
