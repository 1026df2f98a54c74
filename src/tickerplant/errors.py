"""The exceptions of the plant.

TickerplantError
├── RequestError      the peer asked for something it cannot have; carries code and text to answer
├── DecodeError       a message from a recording or an upstream that cannot be understood
│   └── ImpossibleTimeError   a time in it is far from the others
├── RecordingError    a recording that cannot be read; carries file, line and byte offset
├── ConfigError       a setting that cannot be used; carries the setting's name
├── UpstreamError     a server that cannot be reached, or whose answer makes no sense
└── QueueOverflow     a subscription with `when_full="raise"` was read too slowly
"""

from __future__ import annotations

import re

_USER = re.compile(r"^(\w+://)[^/?#]*@")
_AFTER_HOST = re.compile(r"^(\w+://[^/?#]*[/?#]).+", re.DOTALL)


class TickerplantError(Exception):
    """Anything this package raises on purpose."""


class RequestError(TickerplantError):
    """A question that is answered with an error: `code`, `message` and the HTTP `status`.

    Where the client raises it, it also says what was `asked`, and of an address that is refused for
    a while (429, 418) until when: `until_ms`, milliseconds since the epoch, else None.
    """

    def __init__(
        self,
        code: int,
        message: str,
        status: int = 400,
        *,
        asked: str = "",
        until_ms: int | None = None,
        again: str = "",
    ) -> None:
        said = f"{code} {message}" + (f" ({again})" if again else "")
        super().__init__(f"{asked}: {said}" if asked else said)
        self.code = code
        self.message = message
        self.status = status
        self.asked = asked
        self.until_ms = until_ms


class DecodeError(TickerplantError):
    """A market message that is not in a form this program knows."""


class ImpossibleTimeError(DecodeError):
    """A market message with a time that cannot be true beside the others in it."""


class RecordingError(TickerplantError):
    """A recording that cannot be read further; says in which file, line and byte."""

    def __init__(self, path: str, reason: str, line: int = 0, offset_bytes: int = 0) -> None:
        where = f"{path}, line {line}, byte {offset_bytes}" if line else path
        super().__init__(f"{where}: {reason}")
        self.path = path
        self.reason = reason
        self.line = line
        self.offset_bytes = offset_bytes


class ConfigError(TickerplantError):
    """A setting with a value that cannot be used, or with none where one is needed.

    Of a URL neither the user nor what follows the host is shown: they may be keys.
    """

    def __init__(self, setting: str, value: object, expected: str) -> None:
        shown = value
        if isinstance(value, str):
            shown = _AFTER_HOST.sub(r"\1…", _USER.sub(r"\1…@", value))
        wrong = "not given" if value is None else f"{shown!r} is not usable"
        super().__init__(f"{setting}: {wrong}, expected {expected}")
        self.setting = setting


class UpstreamError(TickerplantError):
    """A server that was asked and gave no answer: unreachable, timed out, or not understood."""

    def __init__(self, url: str, reason: str, *, asked: str = "") -> None:
        super().__init__(f"{url} {asked}: {reason}" if asked else f"{url}: {reason}")
        self.url = url
        self.asked = asked
        self.reason = reason


class QueueOverflow(TickerplantError):  # noqa: N818  # it names what happened, as `StopIteration` does
    """A subscription with `when_full="raise"` was full."""

    def __init__(self, queue_size: int) -> None:
        super().__init__(f"{queue_size} messages are unread, and when_full is 'raise'")
        self.queue_size = queue_size
