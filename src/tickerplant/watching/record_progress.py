"""How a recording goes: a line that changes on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import time
from typing import TextIO, cast

from tickerplant import logs
from tickerplant.formatting import printable
from tickerplant.logs import logger
from tickerplant.messages.notice import Notice, Recovered, UnknownStream
from tickerplant.progress import StatusLine
from tickerplant.protocol.rate_limiter import TokenBucket
from tickerplant.recorder.recorder import Recorder
from tickerplant.recorder.writer import RecordingWriter
from tickerplant.watching.telling import count_text, duration_text, notice_text

TERMINAL_EVERY_S = 0.5
LOG_EVERY_S = 60.0
NOTICES_PER_S, NOTICE_BURST = 1, 20
"""Log lines about streams, steadily and at once; the manifest has every one."""

_KILO = 1_000


class RecordProgress:
    """Shows how a recording goes."""

    def __init__(self, log_format: str) -> None:
        self._status_line = StatusLine()
        self._every_s = TERMINAL_EVERY_S if self._status_line.is_terminal else LOG_EVERY_S
        self._began_s = self._told_s = time.monotonic()
        self._told_messages = 0
        self._notices = TokenBucket(NOTICES_PER_S, NOTICE_BURST, self._now_ms)
        self._untold = 0
        logs.configure(log_format, stream=cast("TextIO", self._status_line))

    @property
    def _now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def notice(self, notice: Notice) -> None:
        """Log what is to be known of streams, unless there is too much of it."""
        if not self._notices.take(self._now_ms):
            self._untold += 1
            return
        more = {"more_not_logged": self._untold} if self._untold else {}
        self._untold = 0
        text = notice_text(notice)
        if isinstance(notice, Recovered):
            logger().info(f"= {text}", **more)
        else:
            hint = "; it is recorded if it comes" if isinstance(notice, UnknownStream) else ""
            logger().warning(f"! {text}{hint}", **more)

    def tell(self, recorder: Recorder, writer: RecordingWriter) -> None:
        """Tell how it goes, if it is time to."""
        now_s = time.monotonic()
        passed_s = now_s - self._told_s
        if passed_s < self._every_s:
            return
        messages = recorder.messages
        rate = (messages - self._told_messages) / passed_s
        self._told_s, self._told_messages = now_s, messages
        heard, asked = len(recorder.received), len(recorder.names)
        stored, gaps = writer.totals.stored_bytes, recorder.manifest.gaps
        if not self._status_line.is_terminal:
            logger().info(
                "= recording",
                heard=f"{heard}/{asked}",
                messages=messages,
                per_second=round(rate),
                stored=size_text(stored),
                gaps=gaps,
                connections=recorder.connections,
            )
            return
        parts = [
            f"record {duration_text((now_s - self._began_s) * 1_000)}",
            f"{heard}/{count_text(asked, 'stream')}",
            count_text(messages, "message"),
            f"{rate:,.0f}/s",
            size_text(stored),
            count_text(gaps, "gap"),
            count_text(recorder.connections, "connection"),
        ]
        if waiting := recorder.schedule.waiting:
            parts.append(f"{count_text(waiting, 'book')} without a snapshot")
        self._status_line.show(" · ".join(parts))

    def say(self, text: str) -> None:
        """Tell how it ended."""
        self._status_line.end_with(printable(text))


def size_text(size_bytes: int) -> str:
    """Return a number of bytes for people, such as `1.2 MB`."""
    size, units = float(size_bytes), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= _KILO and len(units) > 1:
        size /= _KILO
        del units[0]
    return f"{size:,.0f} {units[0]}" if units[0] == "bytes" else f"{size:,.1f} {units[0]}"
