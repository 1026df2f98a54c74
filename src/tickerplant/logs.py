"""The log: one line per notable event, as text or JSON.

Each line about a connection begins with its id and a sign: `<` received, `>` sent, `=` a change of
state, `!` a problem.  A recurring problem is logged once per kind and then only counted, and so are
everyday lines beyond a rate (`Complaints`), so that a bad client cannot fill a disk.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from tickerplant.formatting import printable
from tickerplant.protocol.redaction import masked

_HEAD = re.compile(r"(?:(?P<connection>c\d+) )?(?P<sign>[<>=!]) ")
"""The beginning of a line: the connection, and the sign."""

MAX_KINDS = 256
"""Kinds of complaints that are counted separately; the rest are counted as `other`."""
MINUTE_S = 60
MAX_PER_MINUTE = 300
"""Everyday lines of one kind that are logged in a minute; the rest are counted."""
MAX_KIND = 80
"""Characters of a library's message that are part of its kind."""


def _plain_line(_logger: object, _method: str, event: EventDict) -> str:
    """Return a text line: time, level if it is a warning or worse, text, `key=value` pairs."""
    time_text, level, text = (event.pop(name) for name in ("timestamp", "level", "event"))
    parts = [time_text, *([] if level in {"info", "debug"} else [level.upper()])]
    parts.append(printable(str(text)))  # it may quote an upstream
    return " ".join((*parts, *(f"{name}={_word(value)}" for name, value in event.items())))


def _word(value: object) -> str:
    text = str(value)
    return repr(text) if not text or not text.isprintable() or " " in text else text


def _name_connection(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Move connection and sign to their own fields, for JSON."""
    head = _HEAD.match(str(event["event"]))
    if head:
        event["event"] = event["event"][head.end() :]
        event.update({name: text for name, text in head.groupdict().items() if text})
    return event


def _mask_traceback(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Mask possible keys in a traceback: its last line can quote what a client sent."""
    if "exception" in event:
        event["exception"] = masked(str(event["exception"]))
    return event


class _PlainFormatter(logging.Formatter):
    """Formats log records of libraries on one line, with an indented traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        head, *more = masked(super().format(record)).splitlines() or [""]
        return "\n".join([printable(head), *(f"  {printable(line)}" for line in more)])


def configure(
    log_format: str = "text",
    level: str = "info",
    stream: TextIO | None = None,
    **fields: object,
) -> None:
    """Configure all loggers of the program.

    Args:
        log_format: `text` or `json`.
        level: The minimum level: `debug`, `info`, `warning` or `error`.
        stream: The file to write to; standard error if missing.
        fields: Added to each line.
    """
    output = sys.stderr if stream is None else stream
    minimum = logging.getLevelNamesMapping()[level.upper()]
    renderers: list[Any] = [_plain_line]
    if log_format == "json":
        renderers = [_name_connection, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _mask_traceback,
            *([lambda _logger, _method, event: event | fields] if fields else []),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    _configured.clear()
    _configured.append(structlog.get_logger().bind())
    # Libraries warn about requests that the server answers and counts itself; log only their errors.
    handler = logging.StreamHandler(output)
    handler.setFormatter(_PlainFormatter("%(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.ERROR)


_configured: list[FilteringBoundLogger] = []
"""The logger of the last `configure`: making one takes longer than most of its lines."""


def logger() -> FilteringBoundLogger:
    """Return the program's logger."""
    if _configured and structlog.is_configured():
        return _configured[0]
    bound: FilteringBoundLogger = structlog.get_logger()
    return bound


class Complaints:
    """Problems by kind: each kind is logged at its first occurrence and always counted.

    Args:
        clock_s: Seconds, by which minutes are counted.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._clock_s = clock_s
        self._minute_s = clock_s()
        """When the minute began in which everyday lines are counted."""
        self._told: Counter[str] = Counter()

    def has_room(self, kind: str) -> bool:
        """Return whether an everyday line that a client causes is logged; otherwise it is counted."""
        now_s = self._clock_s()
        if now_s - self._minute_s >= MINUTE_S:
            self._minute_s, self._told = now_s, Counter()
        self._told[kind] += 1
        if self._told[kind] > MAX_PER_MINUTE:
            text = f"! more than {MAX_PER_MINUTE} lines in a minute: the others are only counted"
            self.add(f"not logged: {kind}", text)
            return False
        return logger().is_enabled_for(logging.INFO)

    def add(self, kind: str, text: str, **fields: object) -> None:
        """Count a complaint of `kind`, and log it if it is the first."""
        name = self._count(kind)
        if self.counts[name] == 1:
            logger().warning(text, kind=name, **fields)

    def count(self, kind: str, number: int) -> None:
        """Count `number` complaints of `kind` without logging them."""
        self.counts[self._known(kind)] += number

    def take_libraries(self) -> None:
        """From now on, count the log records of libraries too, and log each kind once.

        The kind of a record is its logger and its message without arguments.
        """
        for handler in logging.getLogger().handlers:
            if isinstance(handler.formatter, _PlainFormatter):
                handler.addFilter(self._is_first)

    def _is_first(self, record: logging.LogRecord) -> bool:
        kind = f"{record.name}: {masked(str(record.msg))[:MAX_KIND].strip()}"
        return self.counts[self._count(kind)] == 1

    def _count(self, kind: str) -> str:
        """Count one of `kind`, and return the name it is counted under."""
        name = self._known(kind)
        self.counts[name] += 1
        return name

    def _known(self, kind: str) -> str:
        return kind if kind in self.counts or len(self.counts) < MAX_KINDS else "other"
