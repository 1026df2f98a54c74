"""The bus: NATS, through `nats-py`.

Publishing never waits: one task writes what waits, up to a bound.  What arrives is handed over at once,
in the order of the socket over all subjects: nats-py resolves the future of a subscription for each
message, and ours is one that passes it on.  (With callbacks it would run a task for each subscription,
and messages of different subjects would overtake each other.)
"""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.client import Client

from tickerplant.cluster.broker import Close, OnAnswer, OnMessage, Questions, wait
from tickerplant.cluster.options import BusSettings, shown
from tickerplant.errors import BusError
from tickerplant.formatting import printable
from tickerplant.logs import Complaints
from tickerplant.received import next_line

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

MAX_UNSENT_BYTES = 64 << 20
"""What may wait to be written; with more, the connection is given up."""
LIBRARY_BYTES = 16 << 20
"""What nats-py takes before its `publish` waits."""
OPEN_TIMEOUT_S = 5.0
CLOSE_S = 1.0
"""How long what waits may take to be written when a connection is closed."""
PING_S = 1
"""How often the server is asked whether it is there."""


class _Interest(asyncio.Future["Msg"]):
    """A subscription, and the future by which nats-py hands over every message of it."""

    def __init__(self, subject: str, on_message: OnMessage, complaints: Complaints) -> None:
        super().__init__()
        self.subject = subject
        self.native: Subscription | None = None
        """That of the library, once the writer has opened it."""
        self._on_message, self._complaints = on_message, complaints

    def set_result(self, message: Msg) -> None:
        """Hand over a message; unlike a future's result, this happens many times."""
        try:
            self._on_message(message.data, message.reply)
        except Exception as error:  # noqa: BLE001  # the reader of the library would end
            self._complaints.add(
                f"fault: {type(error).__name__}",
                f"! a message of the bus could not be handled: {message.subject}",
                exc_info=error,
            )


class NatsBroker:
    """One connection to a server of the bus; `open_bus` makes it."""

    def __init__(self, client: Client, inbox: str, complaints: Complaints) -> None:
        self.max_bytes = client.max_payload
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._client, self._complaints = client, complaints
        self._questions = Questions(self, inbox)
        self._commands: list[tuple[str, bytes, str] | _Interest] = []
        """What the writer does next: publish, or open or end a subscription."""
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._is_closing = False
        self._writer = asyncio.create_task(self._write())
        self._ticker = asyncio.create_task(self._tick())
        self._ending: asyncio.Task[None] | None = None

    @property
    def unsent_bytes(self) -> int:
        """What waits to be written."""
        return 0 if self.lost.done() else self._waiting_bytes + self._client.pending_data_size

    def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        """Publish a message soon, after those published before; never waits."""
        size = len(data)
        if size > self.max_bytes:
            self._complaints.add(
                "bus: message too long",
                f"! a message of {size:,} bytes exceeds what the bus takes: its max_payload is "
                f"{self.max_bytes:,}",
            )
            return
        self._waiting_bytes += size
        self._command((subject, data, reply))
        if self._waiting_bytes > MAX_UNSENT_BYTES:
            self.lose("it takes too little")

    def subscribe(self, subject: str, on_message: OnMessage) -> Close:
        """Call `on_message` with each message of `subject`, in the order of the connection."""
        interest = _Interest(subject, on_message, self._complaints)
        self._command(interest)

        def close() -> None:
            if interest.cancel():  # nothing is handed over any more
                self._command(interest)

        return close

    def ask(self, subject: str, data: bytes, on_answer: OnAnswer) -> None:
        """Publish a question; `on_answer` is called once, perhaps at once."""
        self._questions.ask(subject, data, on_answer)

    async def close(self) -> None:
        """Write what waits, for a second at most, and leave."""
        self._is_closing = True
        self._wake.set()
        await wait(CLOSE_S, self._writer, self.lost)
        if not self.lost.done():
            with suppress(TimeoutError, nats.errors.Error, OSError):
                await asyncio.wait_for(self._client.flush(), CLOSE_S)
        self.lose("this process ends")
        if self._ending is not None:
            await asyncio.wait({self._ending})

    def lose(self, reason: str) -> None:
        """End everything that waits, and give the connection up."""
        if self.lost.done():
            return
        self.lost.set_result(reason)
        self._writer.cancel()
        self._ticker.cancel()
        self._commands.clear()
        self._ending = asyncio.create_task(_close(self._client))
        self._questions.fail(reason)

    def _command(self, command: tuple[str, bytes, str] | _Interest) -> None:
        if not self.lost.done():
            self._commands.append(command)
            self._wake.set()

    async def _write(self) -> None:
        client = self._client
        try:
            while self._commands or not self._is_closing:
                await self._wake.wait()
                self._wake.clear()
                commands, self._commands = self._commands, []
                for command in commands:
                    if not isinstance(command, _Interest):
                        self._waiting_bytes -= len(command[1])
                        await client.publish(*command)
                    elif not command.cancelled():
                        command.native = await client.subscribe(command.subject, future=command)
                    elif command.native is not None:
                        await command.native.unsubscribe()
                        command.native = None
        except (nats.errors.Error, OSError) as error:
            self.lose(error_text(error))

    async def _tick(self) -> None:
        """Fail questions that wait for too long, and find that the connection is lost.

        The library says so only when all that waits is written, which may be never: so it is asked.
        """
        while not self._client.is_closed:
            await asyncio.sleep(PING_S)
            self._questions.tick()
        self.lose("it closed the connection")


# Opening


class _Info(Struct):
    """What a server says first."""

    tls_required: bool = False
    tls_available: bool = False


async def meet(server: str, tls: ssl.SSLContext | None) -> None:
    """Do nothing if a server is one of the bus, and its TLS is as asked for; None follows the server.

    nats-py follows what the server offers, in plain text too, and waits without end for some handshakes
    that fail.  So each server is met once before it is handed over to the library.

    Raises:
        BusError: it cannot be reached, is something else, or its TLS cannot be used.
    """
    parts, where = urlsplit(server), f"the bus at {shown(server)}"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            if _uses_tls(await next_line(reader), tls, shown(server)):
                context = tls or ssl.create_default_context()
                await writer.start_tls(context, server_hostname=parts.hostname)
                writer.write(b"PING\r\n")  # any answer means that our certificate is accepted
                await reader.readexactly(1)
    except BusError:
        raise
    except asyncio.IncompleteReadError:
        raise BusError(f"no TLS to {where}: it closes the connection") from None
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        raise BusError(f"no TLS to {where}: {printable(str(reason))}") from None
    except OSError as error:  # also TimeoutError
        raise BusError(f"no connection to {where}: {_reason(error)}", may_pass=True) from None
    finally:
        if writer is not None:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


def _uses_tls(greeting: bytes, tls: ssl.SSLContext | None, where: str) -> bool:
    """Return whether a server that greets so is spoken to with TLS.

    Raises:
        BusError: it is something else, or does not use TLS although that is asked for.
    """
    try:
        info = msgspec.json.decode(greeting.removeprefix(b"INFO "), type=_Info)
    except msgspec.DecodeError:
        why = (
            "" if greeting else "; or its TLS comes first (handshake_first), which is not supported"
        )
        raise BusError(f"what listens at {where} is not a NATS server{why}") from None
    if tls is not None and not (info.tls_required or info.tls_available):
        raise BusError(f"the bus at {where} does not use TLS, which is asked for")
    return tls is not None or info.tls_required


def refuse_successors(process: int) -> None:
    """Do nothing while the process that is the server runs; 0 stands for one that is not known.

    Raises:
        BusError: it has ended, so whoever has its port now is another.
    """
    state = ""
    try:
        os.kill(process, 0)  # also finds one that nobody has waited for
        state = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(") ")[2]
    except (ProcessLookupError, PermissionError):
        state = "X"
    except OSError:
        pass  # only Linux has this file
    if state.startswith(("X", "Z")):
        raise BusError("the server of the bus has ended, and is not yet replaced", may_pass=True)


def tls_of(settings: BusSettings) -> ssl.SSLContext | None:
    """Return the context for TLS; None where the library's own is enough.

    Raises:
        BusError: a file cannot be used.
    """
    is_tls = any(server.startswith("tls://") for server in settings.servers)
    if not (settings.ca or settings.cert or is_tls):
        return None
    file = settings.ca
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
        if settings.cert:
            file = settings.cert
            context.load_cert_chain(settings.cert, settings.key or None)
    except OSError as error:  # also ssl.SSLError
        raise BusError(f"{file} cannot be used for TLS to the bus: {error_text(error)}") from None
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return f"no answer within {OPEN_TIMEOUT_S:.0f} s"
    return printable(error.strerror or str(error) or type(error).__name__)


def error_text(error: BaseException) -> str:
    """Return what went wrong, as one line."""
    text = str(error).removeprefix("nats: ").strip("' \n") or type(error).__name__
    return printable(text).rstrip(".")


async def open_bus(settings: BusSettings, identity: str, complaints: Complaints) -> NatsBroker:
    """Return a connection to the first server that takes us.

    Raises:
        BusError: none does; the reason is that of the last.
    """
    failure, tls = BusError("no server is named"), tls_of(settings)
    for server in settings.servers:
        try:
            refuse_successors(settings.process)
            await meet(server, tls)
            return await _open(settings, server, tls, identity, complaints)
        except BusError as error:
            failure = error
            if not error.may_pass:
                break
    raise failure


async def _open(
    settings: BusSettings,
    server: str,
    tls: ssl.SSLContext | None,
    identity: str,
    complaints: Complaints,
    attempts: int = 3,
) -> NatsBroker:
    """Return a connection to a server that was met.

    Raises:
        BusError: it refuses us, or is gone.
    """
    client, said, lost = Client(), "", list[Callable[[str], None]]()

    def password() -> str:
        refuse_successors(settings.process)  # it has greeted
        return settings.password

    async def on_error(error: Exception) -> None:
        nonlocal said
        said = error_text(error)
        _complain(complaints, said, type(error).__name__)

    async def on_closed() -> None:
        for lose in lost:
            lose(said or "it closed the connection")

    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await client.connect(
                [server],
                name=identity,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=int(OPEN_TIMEOUT_S),
                ping_interval=PING_S,
                max_outstanding_pings=max(2, settings.grace_ms // 1_000 // PING_S),
                pending_size=LIBRARY_BYTES,
                no_echo=True,
                skip_subject_validation=True,
                error_cb=on_error,
                closed_cb=on_closed,
                user=settings.user or None,
                password=password if settings.password else None,
                token=settings.token or None,
                user_credentials=settings.credentials or None,
                tls=tls,
            )
    except Exception as error:  # nats-py and nkeys raise whatever malformed credentials lead to
        why = said or error_text(error)  # before the reset that may follow
        await _close(client)
        if isinstance(error, BusError):
            raise
        if isinstance(error, ConnectionResetError) and attempts > 1:
            # It may refuse us, and its reason was lost with the connection.
            return await _open(settings, server, tls, identity, complaints, attempts - 1)
        if isinstance(error, nats.errors.Error | OSError | ValueError):
            raise BusError(
                f"no connection to the bus at {shown(server)}: {why}",
                may_pass=isinstance(error, OSError | nats.errors.NoServersError),
            ) from None
        if not settings.credentials:
            raise
        raise BusError(
            f"{settings.credentials} cannot be used for the bus: it is not a file of credentials "
            f"({error_text(error)})"
        ) from None
    inbox = f"{settings.prefix}.in.{secrets.token_hex(8)}"
    broker = NatsBroker(client, inbox, complaints)
    lost.append(broker.lose)
    return broker


def _complain(complaints: Complaints, said: str, kind: str) -> None:
    if "permissions violation" in said.lower():  # the connection goes on, so nobody else says it
        complaints.add("bus: refused", f"! the bus refuses something: {said}")
    else:
        complaints.count(f"bus: {kind}", 1)


async def _close(client: Client) -> None:
    """Close a connection of the library, within a second, whether or not the server reads."""
    with suppress(nats.errors.Error, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            if client.is_connected or client.is_connecting:
                await client.close()
    writer = getattr(client._transport, "_io_writer", None)  # noqa: SLF001  # it has no abort
    if writer is not None:
        writer.transport.abort()
