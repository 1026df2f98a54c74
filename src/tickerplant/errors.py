"""The exceptions of the package.

TickerplantError
├── RequestError      a rejected request; carries the code, message and HTTP status of the response
│   └── RateLimitError    the address may send no request for a while; carries how long
├── DecodeError       a malformed market message from a recording or an upstream
│   └── ImpossibleTimeError   one of its times is far from the others
├── RecordingError    an unreadable recording; carries file, line and byte offset
├── ConfigError       an invalid or missing setting or argument; carries its name
├── MissingLibraryError   an optional library is not installed; carries the command that installs it
├── UpstreamError     an unreachable server, or an invalid response
├── BusError          what joins several processes is unreachable, or refuses this one
└── QueueOverflow     a subscription with `when_full="raise"` was read too slowly
"""

from __future__ import annotations

import re

from tickerplant.formatting import LONGEST_MESSAGE, one_line

HIDDEN = "…"
"""Stands in errors for a value that is secret."""

_USER = re.compile(r"^((?:\w+:)?//|(?=[^/?#@]*:))[^/?#]*@")
_MOST_SHOWN = 200
"""Characters of a wrong value that an error repeats."""
_AFTER_HOST = re.compile(r"^(\w+://[^/?#]*[/?#]).+", re.DOTALL)


class TickerplantError(Exception):
    """Base class of all exceptions of this package."""

    def __reduce__(self) -> tuple[object, ...]:
        """Return how to copy or unpickle it: with its text and attributes, not its arguments."""
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(
    kind: type[TickerplantError], args: tuple[object, ...], state: dict[str, object]
) -> TickerplantError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class RequestError(TickerplantError):
    """The server rejected a request: `code`, `message` and HTTP `status`.

    Raised by the client it also names the request in `request`.
    """

    def __init__(
        self,
        code: int,
        message: str,
        status: int = 400,
        *,
        request: str = "",
        note: str = "",
    ) -> None:
        text = f"{code} {message}" + (f" ({note})" if note else "")
        super().__init__(f"{request}: {text}" if request else text)
        self.code = code
        self.message = message
        self.status = status
        self.request = request


class RateLimitError(RequestError):
    """This IP address may send no request for a while: `retry_after_s`, from when it was raised.

    The server refused it (`status` 429) or banned it (418, until `banned_until_ms`), or the request
    was not sent because the weight of the minute is spent.  `retry_at_ms` is when the next request
    may be sent.  Times are milliseconds since the epoch.
    """

    def __init__(
        self,
        code: int,
        message: str,
        status: int,
        *,
        retry_at_ms: int,
        now_ms: int,
        is_ban: bool,
        request: str = "",
        note: str = "",
    ) -> None:
        super().__init__(code, message, status, request=request, note=note)
        self.retry_after_s = max(retry_at_ms - now_ms, 0) / 1000
        self.retry_at_ms = retry_at_ms
        self.banned_until_ms = retry_at_ms if is_ban else None


class DecodeError(TickerplantError):
    """A market message is malformed, or of an unknown form."""


class ImpossibleTimeError(DecodeError):
    """A time in a market message is impossible, given the others."""


class RecordingError(TickerplantError):
    """A recording cannot be read beyond the given file, line and byte."""

    def __init__(self, path: str, reason: str, line: int = 0, offset_bytes: int = 0) -> None:
        where = f"{path}, line {line}, byte {offset_bytes}" if line else path
        super().__init__(f"{where}: {reason}")
        self.path = path
        self.reason = reason
        self.line = line
        self.offset_bytes = offset_bytes


class ConfigError(TickerplantError, ValueError):
    """A setting or argument is invalid or missing.

    The message hides the user part of a URL and everything after the host: they may be secret.
    """

    def __init__(self, setting: str, value: object, expected: str) -> None:
        shown = value
        if isinstance(value, str):
            shown = _AFTER_HOST.sub(r"\1…", _USER.sub(r"\1…@", value))
        problem = (
            f"{_cut(setting)} is missing"
            if value is None
            else f"invalid value {_shown(shown)} for {_cut(setting)}"
        )
        super().__init__(f"{problem}: expected {expected}")
        self.setting = setting
        self.expected = expected
        self._shown = shown

    def within(self, place: str) -> ConfigError:
        """Return the same error, of a setting in `place`."""
        return ConfigError(f"{self.setting} in {place}", self._shown, self.expected)


def _shown(value: object) -> str:
    """Return a value as Python writes it, of one that is long only the beginning."""
    try:
        return _cut(repr(value))
    except (ValueError, RecursionError):  # Python writes no number of more than 4,300 digits
        return f"a {type(value).__name__} that is too large to be shown"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}… ({len(text):,} characters)"


class MissingLibraryError(TickerplantError, ImportError):
    """An optional library is not installed; the message names the command that installs it."""

    def __init__(self, library: str, purpose: str, command: str) -> None:
        super().__init__(f"{purpose} needs {library}, which is not installed: {command}")
        self.name = library
        self.purpose = purpose
        self.command = command


class UpstreamError(TickerplantError, ConnectionError):
    """The server was unreachable, timed out, or sent an invalid response."""

    def __init__(self, url: str, reason: str, *, request: str = "") -> None:
        reason = one_line(reason, LONGEST_MESSAGE)  # it may quote a server
        super().__init__(f"{url} {request}: {reason}" if request else f"{url}: {reason}")
        self.url = url
        self.request = request
        self.reason = reason


class BusError(TickerplantError, ConnectionError):
    """The bus is unreachable or refuses this program, or no plant of the given name is on it.

    `may_pass` says whether it may help to wait, as it does for a bus that is not there yet.
    """

    def __init__(self, text: str, *, may_pass: bool = False) -> None:
        super().__init__(text)
        self.may_pass = may_pass


class QueueOverflow(TickerplantError):  # noqa: N818  # named like `StopIteration`
    """A subscription with `when_full="raise"` was full."""

    def __init__(self, queue_size: int) -> None:
        super().__init__(f"{queue_size} messages are unread, and when_full is 'raise'")
        self.queue_size = queue_size
