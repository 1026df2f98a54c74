"""The bus: NATS, spoken directly.

The protocol is lines: PUB, SUB, UNSUB, MSG, PING, PONG.  Speaking it here makes publishing a plain call,
hands messages over in the order of the socket, and leaves every decision about a lost connection to us.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from tickerplant.cluster.broker import Close, OnAnswer, OnMessage, Questions, monotonic_ms
from tickerplant.errors import BusError
from tickerplant.formatting import printable

if TYPE_CHECKING:
    from tickerplant.logs import Complaints

MAX_UNSENT_BYTES = 64 << 20
"""What may wait to be written; with more, the connection is given up."""
OPEN_TIMEOUT_S = 5.0
PING_S = 1.0
SILENT_S = 5.0
"""A server that answers no ping for this long is lost."""
CRLF = b"\r\n"


class BusSettings(Struct, kw_only=True):
    """Where the bus is, and how to prove who one is."""

    servers: tuple[str, ...]
    """URLs; several are servers of one cluster, tried in turn."""
    prefix: str = "tickerplant"
    user: str = ""
    password: str = ""
    token: str = ""
    credentials: str = ""
    """A credentials file of NATS, with a JWT and an NKEY seed."""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    process: int = 0
    """The process that is the server, if our program has started it: no other is told the password."""

    @property
    def address(self) -> str:
        """The servers as they may be shown: without users and passwords."""
        return ", ".join(_shown(each) for each in self.servers)


class _Info(Struct):
    """What a server says first."""

    max_payload: int = 1 << 20
    tls_required: bool = False
    tls_available: bool = False
    nonce: str = ""


class NatsBroker(asyncio.Protocol):
    """One connection to a server of the bus; `open_bus` makes it."""

    def __init__(self, inbox: str, complaints: Complaints, clock: Callable[[], int]) -> None:
        loop = asyncio.get_running_loop()
        self.max_bytes = 1 << 20
        self.dropped_count = 0
        self.lost: asyncio.Future[str] = loop.create_future()
        self.questions = Questions(self, inbox, clock)
        self.greeting: asyncio.Future[bytes] = loop.create_future()
        self.accepted: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport
        self._loop, self._complaints, self._clock = loop, complaints, clock
        self._rest = b""
        self._out: list[bytes] = []
        self._handlers: dict[bytes, OnMessage] = {}
        self._last_sid = 0
        self._error = ""
        self._heard_ms = clock()
        self._timer: asyncio.TimerHandle | None = None

    # The three verbs

    def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        """Publish a message at the end of this turn."""
        size = len(data)
        if size > self.max_bytes:
            self.dropped_count += 1
            self._complaints.add(
                "bus: message too long",
                f"! a message of {size:,} bytes exceeds what the bus takes: its max_payload is "
                f"{self.max_bytes:,}",
            )
            return
        if not self._out:
            self._loop.call_soon(self.flush)
        head = f"PUB {subject} {reply} {size}\r\n" if reply else f"PUB {subject} {size}\r\n"
        self._out += (head.encode(), data, CRLF)

    def subscribe(self, subject: str, on_message: OnMessage) -> Close:
        """Call `on_message` with each message of `subject`."""
        self._last_sid += 1
        sid = b"%d" % self._last_sid
        self._handlers[sid] = on_message
        self._command(b"SUB %b %b\r\n" % (subject.encode(), sid))

        def close() -> None:
            if self._handlers.pop(sid, None) is not None:
                self._command(b"UNSUB %b\r\n" % sid)

        return close

    def ask(self, subject: str, data: bytes, on_answer: OnAnswer) -> None:
        """Publish a question; `on_answer` is called once."""
        self.questions.ask(subject, data, on_answer)

    # Writing

    @property
    def unsent_bytes(self) -> int:
        """What waits to be written."""
        return 0 if self.transport.is_closing() else self.transport.get_write_buffer_size()

    def _command(self, line: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(line)

    def flush(self) -> None:
        """Write what was published in this turn."""
        out, self._out = self._out, []
        if not out or self.transport.is_closing():
            return
        self.transport.write(b"".join(out))
        if self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._lose("the bus takes too little")

    async def close(self) -> None:
        """Write what waits, for a second at most, and leave."""
        self.flush()
        until_s = time.monotonic() + 1.0
        while self.unsent_bytes and time.monotonic() < until_s:
            await asyncio.sleep(0.01)
        self._lose("this process ends")

    # Reading

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport; the server speaks first."""
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        """End everything that waits."""
        self._lose(self._error or (printable(str(error)) if error else "it closed"))

    def data_received(self, data: bytes) -> None:
        """Hand over what is complete."""
        if self._rest:
            data = self._rest + data
        position, end, handlers = 0, len(data), self._handlers
        self._heard_ms = 0
        while True:
            line_end = data.find(CRLF, position)
            if line_end < 0:
                break
            if data.startswith(b"MSG ", position):
                words = data[position + 4 : line_end].split(b" ")
                begin = line_end + 2
                stop = begin + int(words[-1])
                if stop + 2 > end:
                    break
                position = stop + 2
                handler = handlers.get(words[1])
                if handler is not None:
                    try:
                        handler(data[begin:stop], words[2].decode() if len(words) > 3 else "")
                    except Exception as error:  # noqa: BLE001  # the connection goes on
                        self._complaints.add(
                            f"fault: {type(error).__name__}",
                            f"! a message of the bus could not be handled: {words[0].decode()}",
                            exc_info=error,
                        )
                continue
            self._take_line(data[position:line_end])
            position = line_end + 2
        self._rest = data[position:] if position else data

    def _take_line(self, line: bytes) -> None:
        if line.startswith(b"PING"):
            self._command(b"PONG\r\n")
        elif line.startswith(b"PONG"):
            if not self.accepted.done():
                self.accepted.set_result(None)
        elif line.startswith(b"INFO "):
            if not self.greeting.done():
                self.greeting.set_result(line[5:])
        elif line.startswith(b"-ERR"):
            self._error = printable(line[4:].decode(errors="replace").strip(" '"))
            self._complaints.count(f"bus: {self._error[:40]}", 1)
        elif not line.startswith(b"+OK"):
            self._lose("what listens there is not a NATS server")

    def _ping(self) -> None:
        """Ask whether the server is there, and give it up if it was silent for too long."""
        now_ms = self._clock()
        if self._heard_ms == 0:
            self._heard_ms = now_ms
        elif now_ms - self._heard_ms > SILENT_S * 1_000:
            self._lose("the bus is silent")
            return
        self.questions.tick()
        self._command(b"PING\r\n")
        self._timer = self._loop.call_later(PING_S, self._ping)

    def start(self) -> None:
        """Ask regularly whether the server is there."""
        self._ping()

    def _lose(self, reason: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(reason)
        if self._timer is not None:
            self._timer.cancel()
        for waiting in (self.greeting, self.accepted):
            if not waiting.done():
                waiting.set_exception(BusError(reason, may_pass=True))
                waiting.exception()
        self._handlers.clear()
        self.transport.abort()
        self.questions.fail(reason)


async def open_bus(
    settings: BusSettings,
    identity: str,
    complaints: Complaints,
    clock: Callable[[], int] = monotonic_ms,
) -> NatsBroker:
    """Return a connection to the first server that takes us.

    Raises:
        BusError: none does; the reason is that of the last.
    """
    failure = BusError("no server is named")
    for server in settings.servers:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                return await _open(settings, server, identity, complaints, clock)
        except BusError as error:
            failure = error
            if not error.may_pass:
                break
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or str(error)
            failure = BusError(f"no TLS to the bus at {_shown(server)}: {printable(str(why))}")
            break
        except (OSError, TimeoutError) as error:
            why = printable(getattr(error, "strerror", "") or str(error) or type(error).__name__)
            failure = BusError(
                f"no connection to the bus at {_shown(server)}: {why}", may_pass=True
            )
    raise failure


async def _open(
    settings: BusSettings,
    server: str,
    identity: str,
    complaints: Complaints,
    clock: Callable[[], int],
) -> NatsBroker:
    parts, loop = urlsplit(server), asyncio.get_running_loop()
    inbox = f"{settings.prefix}.in.{secrets.token_hex(8)}"
    _, broker = await loop.create_connection(
        lambda: NatsBroker(inbox, complaints, clock), parts.hostname, parts.port or 4222
    )
    try:
        info = _info(await broker.greeting, _shown(server))
        wants_tls = parts.scheme == "tls" or bool(settings.ca or settings.certificate)
        if wants_tls and not (info.tls_required or info.tls_available):
            raise BusError(f"the bus at {_shown(server)} does not use TLS, which is asked for")
        if wants_tls or info.tls_required:
            context = ssl.create_default_context(cafile=settings.ca or None)
            if settings.certificate:
                context.load_cert_chain(settings.certificate, settings.key or None)
            transport = await loop.start_tls(
                broker.transport, broker, context, server_hostname=parts.hostname
            )
            assert transport is not None  # noqa: S101
            broker.transport = transport
        broker.max_bytes = info.max_payload
        broker.transport.write(
            b"CONNECT %b\r\nPING\r\n"
            % msgspec.json.encode(_connect(settings, parts, identity, info.nonce))
        )
        await broker.accepted
    except BusError as error:
        broker.transport.abort()
        refused = "Authoriz" in str(error) or "auth" in str(error).lower()
        raise BusError(
            f"no connection to the bus at {_shown(server)}: {error}",
            may_pass=error.may_pass and not refused,
        ) from None
    except BaseException:
        broker.transport.abort()
        raise
    broker.start()
    return broker


def _connect(settings: BusSettings, parts: Any, identity: str, nonce: str) -> dict[str, Any]:
    """Return who we are."""
    said: dict[str, Any] = {
        "verbose": False, "pedantic": False, "echo": False, "headers": False, "protocol": 1,
        "lang": "tickerplant", "version": "1", "name": identity,
    }  # fmt: skip
    user, password = settings.user or parts.username, settings.password or parts.password
    if settings.token or (user and not password):
        said["auth_token"] = settings.token or user
    elif user:
        said |= {"user": user, "pass": password}
    if settings.credentials:
        said |= _signed(settings.credentials, nonce)
    return said


def _signed(path: str, nonce: str) -> dict[str, str]:
    """Return the JWT of a credentials file, and the nonce signed with its seed.

    Raises:
        BusError: it is not a file of credentials.
    """
    import base64  # noqa: PLC0415  # only where credentials are used
    import re  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    import nkeys  # noqa: PLC0415

    try:
        text = Path(path).read_text(encoding="utf-8")
        jwt, seed = re.findall(r"-----BEGIN [^-]+-----\s+(\S+)\s+-+END", text)
        signature = nkeys.from_seed(seed.encode()).sign(nonce.encode())
    except Exception as error:
        raise BusError(
            f"{path} cannot be used for the bus: it is not a file of credentials"
        ) from error
    return {"jwt": jwt, "sig": base64.urlsafe_b64encode(signature).rstrip(b"=").decode()}


def _info(line: bytes, shown: str) -> _Info:
    try:
        return msgspec.json.decode(line, type=_Info)
    except msgspec.DecodeError:
        raise BusError(f"what listens at {shown} is not a NATS server") from None


def _shown(server: str) -> str:
    parts = urlsplit(server if "//" in server else f"nats://{server}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
