"""What the requests of one HTTP connection may cost: the parser gets one of them at a time.

httptools parses all that it is given, and uvicorn keeps what was parsed.  So what arrives while a
response is owed is held back, and nothing more is read.  The parser decides what a request is; the feed
finds where one may end: where an empty line ends a head or trailers, and where the length of a body or
the sizes of its chunks say.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tickerplant.server.http_request import ABSOLUTE, head_problem, unsupported

END = b"\r\n\r\n"
"""The end of a head and of trailers; the parser takes no other."""
MAX_FIELDS = 256
"""Most headers of a request, each of which takes memory beyond its bytes."""
BYTES_PER_TURN, PORTIONS_PER_TURN = 65_536, 64
"""The most that is parsed of one connection in a turn of the loop; a portion is at most one chunk."""
Turn: TypeAlias = "Callable[[RequestFeed], None]"
"""Lets a connection `go_on` in the next turn of the loop or a later one."""
_HEXADECIMAL = re.compile(rb"[\dA-Fa-f]+")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_NOTED = frozenset({b"content-length", b"expect", b"host", b"transfer-encoding"})
"""The headers that say how a request is read."""
NO_HOST, SEVERAL = b" ", b", "
"""What no `Host` can be: there is none yet, or more than one."""


def with_ascii_target(head: bytes | bytearray) -> bytes | bytearray:
    """Return the beginning of a head with the raw UTF-8 of its first line percent-encoded.

    Some clients send the name of a contract as it is, and the parser refuses that.
    """
    if head.isascii():
        return head
    line, end, rest = head.partition(b"\r\n")
    return _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], line) + end + rest


class RequestFeed(HttpToolsProtocol):
    """A connection that parses a request once the response to the one before is written."""

    _malformed = "Invalid HTTP request received."
    """Why a request cannot be read."""
    _status = 400
    """With what it is answered then."""
    _version = ""
    """That of HTTP of the request."""
    _host: bytes | None = None
    """The `Host` of the request; of several, nothing that is valid."""
    _valid_host = NO_HOST
    """The last one that was found to be valid."""
    _has_answered = False
    """Whether a request was answered at once in this turn."""
    _in_head = True
    _head_bytes = 0
    """What the parser got of a head, or of trailers."""
    _tail = b""
    """The last bytes of it, if the `END` may be complete with the next ones."""
    _body_left = 0
    """Bytes to come of a body, or of a chunk and the end of its line."""
    _has_chunks = False
    _size_line = b""
    """What has come of the line with the size of a chunk."""

    def __init__(self, config: Config, state: ServerState, max_bytes: int, turn: Turn) -> None:
        super().__init__(config, state, {})
        self.parser.set_dangerous_leniencies(lenient_version=True)  # `head_problem` decides
        self._max_bytes = max_bytes
        """Of a head, of trailers, and of the line with the size of a chunk."""
        self.let_go_on = turn
        self.held = bytearray()
        """What arrived and is not parsed: a response is owed, or the turn is over."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the transport."""
        super().connection_made(transport)
        self.flow: _Flow = _Flow(transport, self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and what is held back."""
        self.held.clear()
        super().connection_lost(exc)
        self.flow.feed = None

    def data_received(self, data: bytes) -> None:
        """Parse `data`, or hold it back."""
        taken = 0 if self.held or self._is_busy else self._read(data)
        if taken < len(data):
            self.held += data[taken:]
            self.flow.pause_reading()
            self.let_go_on(self)

    def go_on(self) -> None:
        """Parse of what is held back what a turn allows; read again when nothing is."""
        if self.held and not self._is_busy and not self.transport.is_closing():
            del self.held[: self._read(self.held)]
            self.flow.resume_reading()

    @property
    def _is_busy(self) -> bool:
        """Whether the application owes the response to a request, or has enough of its body."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        return not cycle.more_body or len(cycle.body) > HIGH_WATER_LIMIT

    def _read(self, data: bytes | bytearray) -> int:
        """Parse one request at most, and no more than a turn allows; return how many bytes."""
        self._unset_keepalive_if_required()
        self._has_answered = False
        at, size = 0, min(len(data), BYTES_PER_TURN)
        try:
            for _ in range(PORTIONS_PER_TURN):
                end = self._end_of_portion(data, at, size)
                try:
                    part = data[at:end]
                    self.parser.feed_data(with_ascii_target(part) if self._in_head else part)
                except httptools.HttpParserUpgrade:
                    if self._should_upgrade():
                        self.held = bytearray(data[end:])
                        self.handle_websocket_upgrade()
                        return len(data)
                    self._ignore_offer()
                at = end
                if at == size or self._has_answered or self._is_busy or self.transport.is_closing():
                    break
        except httptools.HttpParserError:
            if self.parser.get_method() == b"PRI":  # how a connection of HTTP/2 begins
                self._status, self._malformed = unsupported("2.0")
            self.send_400_response(self._malformed)
            return len(data)
        if self._head_bytes or not self._in_head:
            self.await_rest()
        return at

    def _end_of_portion(self, data: bytes | bytearray, at: int, size: int) -> int:
        """Return where the request may end that `data` continues or begins at `at`, or `size`."""
        if self._has_chunks and not self._in_head:
            return self._end_of_chunk(data, at, size)
        if self._body_left and not self._in_head:
            end = min(at + self._body_left, size)
            self._body_left -= end - at
            return end
        size = min(size, at + self._max_bytes - self._head_bytes)
        if size == at:
            what = "Request head" if self._in_head else "Trailers"
            self._reject(f"{what} over {self._max_bytes} bytes.")
        before, found = self._tail, data.find(END, at, size)
        end = found + len(END) if found >= 0 else 0
        if before and (torn := (before + data[at : min(at + 3, size)]).find(END)) >= 0:
            end = at + torn + len(END) - len(before)
        self._tail = b"" if end else (before + data[max(at, size - 3) : size])[-3:]
        self._head_bytes += (end or size) - at
        return end or size

    def _end_of_chunk(self, data: bytes | bytearray, at: int, size: int) -> int:
        """Return the end of a chunk and of the line with the size of the next one, or `size`."""
        begin = min(at + self._body_left, size)
        self._body_left -= begin - at
        end = data.find(b"\n", begin, size) + 1 or size
        self._size_line += data[begin:end]
        if len(self._size_line) > self._max_bytes:
            self._reject(f"Size of a chunk over {self._max_bytes} bytes.")
        if self._size_line.endswith(b"\n"):
            digits = _HEXADECIMAL.match(self._size_line)
            length = int(digits[0], 16) if digits else 0  # none: the parser refuses the line
            self._has_chunks = length > 0
            self._body_left = length + 2 if length else 0
            self._size_line, self._tail, self._head_bytes = b"", b"\r\n", 0
        return end

    def _reject(self, text: str, status: int = 400) -> NoReturn:
        """End the parsing: the request cannot be read."""
        self._status, self._malformed = status, text
        raise httptools.HttpParserError

    def _ignore_offer(self) -> None:
        """Read a request again without its offer of another protocol (RFC 9110, 7.8).

        The parser has stopped behind the head: it would take a body for something of that protocol.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self._reject("CONNECT is for proxies, and this server is none.")
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_version=True)
        self.parser.feed_data(b"\r\n".join(lines) + END)

    def on_message_begin(self) -> None:
        """Begin a request; what an application would need of it is made when it is needed."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._host = None
        self._body_left = 0
        self._has_chunks = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is discarded (RFC 9110, 6.5.1)."""
        if not self._in_head:
            return
        name = name.lower()
        self.headers.append((name, value))
        if name in _NOTED:
            self._note(name, value.strip())
        if len(self.headers) > MAX_FIELDS:
            self._reject(f"Request with more than {MAX_FIELDS} headers.")

    def _note(self, name: bytes, value: bytes) -> None:
        """Take what a header says about how the request is read."""
        if name == b"host":
            self._host = value if self._host is None else SEVERAL
        elif name == b"content-length":
            self._body_left = int(value)
        elif name == b"transfer-encoding":
            self._has_chunks = True
        else:
            self.expect_100_continue = value.lower() == b"100-continue"

    def check_head(self) -> None:
        """End the parsing at a head that HTTP forbids; the host of an absolute URL is the `Host`."""
        self._version = self.parser.get_http_version()
        if self._version != "1.1" or self._host != self._valid_host:
            self._check_hosts([value for name, value in self.headers if name == b"host"])
            self._valid_host = self._host or NO_HOST
        if not self.url.startswith(b"/") and (found := ABSOLUTE.fullmatch(self.url)):
            host, rest = found.groups()  # they count, whatever Host says (RFC 9112, 3.2.2)
            self._check_hosts([host])
            self.url = rest if rest.startswith(b"/") else b"/" + rest
            others = [field for field in self.headers if field[0] != b"host"]
            self.headers = [*others, (b"host", host)]

    def _check_hosts(self, hosts: Sequence[bytes]) -> None:
        if problem := head_problem(self._version, hosts):
            self._reject(problem[1], problem[0])

    def await_rest(self) -> None:
        """Limit the time for the rest of a request that has begun."""
        raise NotImplementedError


class _Flow(FlowControl):
    """Reads again only when nothing is held back."""

    def __init__(self, transport: asyncio.Transport, feed: RequestFeed) -> None:
        super().__init__(transport)
        self.feed: RequestFeed | None = feed
        """None once the connection is lost or upgraded."""

    def resume_reading(self) -> None:
        """Read again, or go on with what was read; what is held back implies a pause."""
        if self.read_paused:
            if self.feed is not None and self.feed.held:
                self.feed.let_go_on(self.feed)
            else:
                super().resume_reading()
