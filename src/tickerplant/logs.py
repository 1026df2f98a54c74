"""The log: one line per event of note, for people or for programs.

Every line of a connection begins with the connection's id and one sign: `<` came in, `>` went
out, `=` is the state now, `!` is wrong.  A complaint that repeats is written once per kind and
counted after that (`Complaints`), so that a bad client cannot fill a disk.
"""

from __future__ import annotations

import logging
import re
import sys
from collections import Counter
from typing import Any, TextIO

import structlog

from tickerplant.formatting import printable
from tickerplant.protocol.redaction import masked

_HEAD = re.compile(r"(?:(?P<connection>c\d+) )?(?P<sign>[<>=!]) ")
"""How a line begins: the connection it is about, and what kind of line it is."""

MAX_KINDS = 256
"""Most kinds of complaint that are told apart; the rest are counted together as `other`."""
MAX_KIND = 80
"""Most characters of a library's text that are part of a kind."""


def _plain_line(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
    """Return the line for people: time, level when it matters, text, `key=value` pairs."""
    parts = [event.pop("timestamp")]
    level = event.pop("level")
    if level not in {"info", "debug"}:
        parts.append(level.upper())
    parts.append(printable(str(event.pop("event"))))  # an upstream may have had its say in it
    parts.extend(f"{name}={_word(value)}" for name, value in event.items())
    return " ".join(parts)


def _name_connection(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Put connection and sign into fields of their own, for programs."""
    head = _HEAD.match(str(event["event"]))
    if head:
        event["event"] = event["event"][head.end() :]
        event.update({name: text for name, text in head.groupdict().items() if text})
    return event


def _word(value: object) -> str:
    text = str(value)
    return repr(text) if not text or not text.isprintable() or " " in text else text


def _mask_traceback(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Leave nothing in a traceback that may be a key: its last line can quote what a client sent."""
    if "exception" in event:
        event["exception"] = masked(str(event["exception"]))
    return event


class _PlainFormatter(logging.Formatter):
    """Formats what libraries log; only the lines of a traceback stay lines, and are indented."""

    def format(self, record: logging.LogRecord) -> str:
        head, *more = masked(super().format(record)).splitlines() or [""]
        return "\n".join([printable(head), *(f"  {printable(line)}" for line in more)])


def configure(log_format: str = "text", level: str = "info", stream: TextIO | None = None) -> None:
    """Make every logger of the program write to `stream`, standard error by default.

    Args:
        log_format: `text` for people, `json` for programs.
        level: The least that is written: `debug`, `info`, `warning` or `error`.
        stream: Where to.
    """
    output = sys.stderr if stream is None else stream
    least = logging.getLevelNamesMapping()[level.upper()]
    renderers: list[Any] = [_plain_line]
    if log_format == "json":
        renderers = [_name_connection, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _mask_traceback,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    # Libraries complain about what the server answers and counts itself; only their errors count.
    handler = logging.StreamHandler(output)
    handler.setFormatter(_PlainFormatter("%(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.ERROR)


def logger() -> structlog.typing.FilteringBoundLogger:
    """Return the program's logger."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return bound


class Complaints:
    """What went wrong, each kind logged at its first occurrence and counted at every one."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, text: str, **fields: object) -> None:
        """Count one complaint of `kind` and log it if it is the first."""
        name = self._count(kind)
        if self.counts[name] == 1:
            logger().warning(text, kind=name, **fields)

    def count(self, kind: str, number: int) -> None:
        """Count `number` complaints of `kind` that are logged in another way."""
        self.counts[self._known(kind)] += number

    def take_libraries(self) -> None:
        """Count what libraries log from now on, too, and let each kind be written once.

        The kind of a record is its logger and its text without arguments.
        """
        for handler in logging.getLogger().handlers:
            if isinstance(handler.formatter, _PlainFormatter):
                handler.addFilter(self._is_first)

    def _is_first(self, record: logging.LogRecord) -> bool:
        return (
            self.counts[self._count(f"{record.name}: {masked(str(record.msg))[:MAX_KIND].strip()}")]
            == 1
        )

    def _count(self, kind: str) -> str:
        """Count one more of `kind`, and return under which name."""
        name = self._known(kind)
        self.counts[name] += 1
        return name

    def _known(self, kind: str) -> str:
        return kind if kind in self.counts or len(self.counts) < MAX_KINDS else "other"
