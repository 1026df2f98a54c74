"""The bus: NATS, through `nats-py`.

Publishing never waits: one task writes what waits, up to a bound.  What arrives is handed over at once,
in the order of the socket over all subjects: nats-py resolves the future of a subscription for each
message, and ours is one that passes it on.  (With callbacks it would run a task for each subscription,
and messages of different subjects would overtake each other.)
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import nats.errors
from nats.aio.client import Client

from tickerplant.cluster.broker import Close, OnAnswer, OnMessage, Questions
from tickerplant.cluster.greeting import OPEN_TIMEOUT_S, error_text, meet, refuse_successors, tls_of
from tickerplant.cluster.options import BusSettings, shown
from tickerplant.cluster.plant import loop_ms
from tickerplant.errors import BusError
from tickerplant.logs import Complaints

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

MAX_UNSENT_BYTES = 64 << 20
"""What may wait to be written; with more, the connection is given up."""
LIBRARY_BYTES = 16 << 20
"""What nats-py takes before its `publish` waits."""
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
        self._questions = Questions(self, inbox, loop_ms)
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
        with suppress(TimeoutError, nats.errors.Error, OSError):
            async with asyncio.timeout(CLOSE_S):
                ends: list[asyncio.Future[Any]] = [self._writer, self.lost]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if not self.lost.done():
                    await self._client.flush()
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
        """Do what waits, in order, until the connection is lost or closed."""
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
        complaints.count(f"bus: {type(error).__name__}", 1)

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
    except BusError:
        await _close(client)
        raise
    except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
        why = said or error_text(error)  # before the reset that may follow
        await _close(client)
        if isinstance(error, ConnectionResetError) and attempts > 1:
            # It may refuse us, and its reason was lost with the connection.
            return await _open(settings, server, tls, identity, complaints, attempts - 1)
        raise BusError(
            f"no connection to the bus at {shown(server)}: {why}",
            may_pass=isinstance(error, OSError | TimeoutError | nats.errors.NoServersError),
        ) from None
    except Exception as error:
        await _close(client)
        if not settings.credentials:
            raise
        # nats-py and nkeys raise whatever a malformed file leads to.
        raise BusError(
            f"{settings.credentials} cannot be used for the bus: it is not a file of credentials "
            f"({error_text(error)})"
        ) from None
    inbox = f"{settings.prefix}.in.{secrets.token_hex(8)}"
    broker = NatsBroker(client, inbox, complaints)
    lost.append(broker.lose)
    return broker


async def _close(client: Client) -> None:
    """Close a connection of the library, within a second, whether or not the server reads."""
    with suppress(nats.errors.Error, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            if client.is_connected or client.is_connecting:
                await client.close()
    writer = getattr(client._transport, "_io_writer", None)  # noqa: SLF001  # it has no abort
    if writer is not None:
        writer.transport.abort()
