"""The connection of one node to the bus: NATS, through `nats-py`.

Publishing never waits: one task writes what waits, up to a bound.  What arrives is handed over at once,
in the order of the socket over all subjects: nats-py resolves the future of a subscription for each
message, and ours is one that passes it on.  (With callbacks it would run a task for each subscription,
and messages of different subjects would overtake each other.)

The connection is kept by this class alone: nats-py gives up for good on some errors of a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import random
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import nats.errors
from msgspec import Struct
from nats.aio.client import Client

from tickerplant.cluster.greeting import meet, refuse_successors
from tickerplant.errors import BusError
from tickerplant.formatting import printable
from tickerplant.logs import Complaints, logger

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.js import JetStreamContext, JetStreamManager

OnMessage: TypeAlias = Callable[[str, bytes, str], object]
"""Takes the subject, the payload and the reply subject of a message."""

MAX_UNSENT_BYTES = 64 << 20
"""What waits to be written to the bus; further messages are dropped and counted."""
LIBRARY_BYTES = 16 << 20
"""What nats-py takes before its `publish` waits."""
CONNECT_TIMEOUT_S = 2
"""Short, because the first packet of an attempt may be lost together with the network."""
REQUEST_TIMEOUT_S = 5.0
CLOSE_S = 1.0
"""How long what waits may take to be written when a connection is closed."""
RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)
"""How long to wait before each attempt to connect again; the last is repeated."""
END_AGAIN_S = 0.1
"""How long a task may take to end before it is cancelled again."""
PING_S = 1
"""How often the bus is asked whether it is there."""
MISSED_PINGS = 2
"""Unanswered pings after which the connection is given up."""
MESSAGE_OVERHEAD_BYTES = 1_024
"""Kept free in a message of the largest size, for what surrounds a body."""


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended; its result or exception is left in it.

    Once is not enough for a task that uses nats-py: `asyncio.wait_for` of Python 3.11 swallows a
    cancellation that comes together with what it waits for.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=END_AGAIN_S)


class BusSettings(Struct, kw_only=True):
    """Where the bus is, and how to prove who one is; a connection reads them whenever it connects."""

    servers: tuple[str, ...]
    """URLs; several are servers of one cluster."""
    prefix: str = "tickerplant"
    """What all subjects begin with."""
    user: str = ""
    password: str = ""
    token: str = ""
    credentials: str = ""
    """A credentials file of NATS, with a JWT and an NKEY seed."""
    ca: str = ""
    """A file of certificates to trust."""
    certificate: str = ""
    """A certificate file that proves who the client is; needs `key`."""
    key: str = ""
    process: int = 0
    """The process that is the server, if our program has started it: no other is told the password."""


class _PassOn(asyncio.Future["Msg"]):
    """A future of nats-py that hands over every message of a subscription."""

    def __init__(self, subscription: BusSubscription) -> None:
        super().__init__()
        self._subscription = subscription

    def set_result(self, result: Msg) -> None:
        """Hand over a message; unlike a future's result, this happens many times."""
        self._subscription.receive(result)


class BusSubscription:
    """Messages of a subject, until `close`; kept over reconnections.

    `BusConnection.subscribe` makes it.
    """

    __slots__ = ("_connection", "_on_message", "is_open", "native", "subject")

    def __init__(self, connection: BusConnection, subject: str, on_message: OnMessage) -> None:
        self.subject = subject
        self.is_open = True
        self.native: Subscription | None = None
        """That of the library, on the connection of now."""
        self._connection = connection
        self._on_message = on_message

    def receive(self, message: Msg) -> None:
        """Pass a message on; an error in its handler is logged, and does not end the connection."""
        if self.is_open:
            try:
                self._on_message(message.subject, message.data, message.reply)
            except Exception as error:  # noqa: BLE001  # the reader of the library would end
                self._connection.complaints.add(
                    f"fault: {type(error).__name__}",
                    f"! a message of the bus could not be handled: {self.subject}",
                    exc_info=error,
                )

    def close(self) -> None:
        """Receive nothing any more."""
        if self.is_open:
            self.is_open = False
            self._connection.unsubscribe(self)


class _Publication(Struct, frozen=True, gc=False):
    subject: str
    payload: bytes
    reply: str


class _Flush(Struct, frozen=True, gc=False):
    done: asyncio.Future[None]


_Command: TypeAlias = "_Publication | BusSubscription | _Flush"
"""What the writer does next: publish, open or end a subscription by whether it is open, or flush."""


class BusConnection:
    """A connection to the bus that is restored whenever it breaks.  `open` makes it.

    Args:
        settings: The bus.
        identity: A name for the connection, which the server's own monitoring shows.
        complaints: Take what goes wrong.
    """

    def __init__(self, settings: BusSettings, identity: str, complaints: Complaints) -> None:
        self.settings = settings
        self.identity = identity
        self.complaints = complaints
        self.dropped_count = 0
        """Messages that were not published: the buffer was full, or they are too long."""
        self.reconnect_count = 0
        self.unsent_bytes = 0
        """What waits for the writer."""
        self._tls = _tls_of(settings)
        self._client = Client()
        self._subscriptions: dict[BusSubscription, None] = {}
        self._watchers: list[Callable[[bool], object]] = []
        self._commands: list[_Command] = []
        self._wake = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._last_error = ""
        self.is_connected = False
        """Whether the bus is there."""
        self.max_payload_bytes = 1 << 20
        """How long a message may be."""

    @classmethod
    async def open(
        cls, settings: BusSettings, *, identity: str, complaints: Complaints
    ) -> BusConnection:
        """Return a connection to the bus.

        Raises:
            BusError: it cannot be reached, refuses us, or has no JetStream.
        """
        connection = cls(settings, identity, complaints)
        try:
            await connection.start()
        except BaseException:
            await connection.close()
            raise
        return connection

    async def start(self) -> None:
        """Connect for the first time, and stay connected until `close`.

        Raises:
            BusError: it cannot be reached, refuses us, or has no JetStream.
        """
        await self._connect()
        try:
            await self._client.jetstream().account_info()
        except (nats.errors.Error, TimeoutError) as error:
            self._lost.set()
            raise BusError(
                f"the bus at {self.address} has no JetStream, which must be enabled ({_text(error)})"
            ) from None
        self._set_connected(is_connected=True)
        self._keeper = asyncio.create_task(self._keep())

    @property
    def address(self) -> str:
        """The servers as they may be shown: without users and passwords."""
        return ", ".join(_shown(server) for server in self.settings.servers)

    def jetstream(self, timeout_s: float = REQUEST_TIMEOUT_S) -> JetStreamContext:
        """Return the JetStream of the connection of now; each request may take `timeout_s`."""
        return self._client.jetstream(timeout=timeout_s)

    def jetstream_manager(self) -> JetStreamManager:
        """Return what manages JetStream on the connection of now."""
        return self._client.jsm()

    # Messages

    def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Publish a message soon, after those published before; never waits.

        It is dropped and counted if the bus is away, if too much waits, or if it is too long.
        """
        size = len(payload)
        if (
            not self.is_connected
            or self.unsent_bytes + size > MAX_UNSENT_BYTES
            or size > self.max_payload_bytes
        ):
            self._drop(size)
            return
        self.unsent_bytes += size
        self._command(_Publication(subject, payload, reply))

    def subscribe(self, subject: str, callback: OnMessage) -> BusSubscription:
        """Call `callback` with the subject, payload and reply subject of each message of `subject`.

        Messages of all subjects come in the order of the connection.  What is published from now on
        follows the subscription.

        Args:
            subject: May contain wildcards.
            callback: Called in the event loop; must not wait.
        """
        subscription = BusSubscription(self, subject, callback)
        self._subscriptions[subscription] = None
        self._command(subscription)
        return subscription

    def unsubscribe(self, subscription: BusSubscription) -> None:
        """End a subscription that was closed."""
        self._subscriptions.pop(subscription, None)
        self._command(subscription)

    def watch(self, callback: Callable[[bool], object]) -> None:
        """Call `callback` with whether the bus is there, at each change."""
        self._watchers.append(callback)

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes | None:
        """Return the first answer to a message; None if there is none in time."""
        try:
            message = await self._client.request(subject, payload, timeout=timeout_s)
        except (nats.errors.Error, TimeoutError, OSError):
            return None
        return bytes(message.data)

    def new_inbox(self) -> str:
        """Return a subject for answers that nobody else has."""
        return self._client.new_inbox()

    async def flush(self, timeout_s: float = 5.0) -> bool:
        """Return whether the bus has taken all that was published before, within the time.

        It has not if it is away.
        """
        if not self.is_connected:
            return False
        try:
            async with asyncio.timeout(timeout_s):
                flushing = _Flush(asyncio.get_running_loop().create_future())
                self._command(flushing)
                await flushing.done
        except (nats.errors.Error, TimeoutError, OSError):
            return False
        return self.is_connected

    async def close(self) -> None:
        """Write what waits, if the bus is there, and close the connection."""
        if self._keeper is not None:
            await self.flush(1.0)
            await end(self._keeper)
            self._keeper = None
        self.is_connected = False
        await _close(self._client)

    # The connection

    async def _keep(self) -> None:
        """Write until the connection is lost, connect again, and so on."""
        while True:
            writer = asyncio.create_task(self._write())
            try:
                await self._loss()
            finally:
                await end(writer)
            self._set_connected(is_connected=False)
            logger().warning(
                f"! the bus is lost: {self.address}", why=self._last_error or "it closed"
            )
            await self._reconnect()
            self.reconnect_count += 1
            self._set_connected(is_connected=True)
            logger().info(f"= the bus is back: {self.address}")

    async def _loss(self) -> None:
        """Return when the connection is lost.

        The library says so only when all that waits is written, which may be never: so it is asked.
        """
        while not (self._lost.is_set() or self._client.is_closed):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_S):
                    await self._lost.wait()

    async def _reconnect(self) -> None:
        attempt = 0
        while True:
            pause_s = RETRY_S[min(attempt, len(RETRY_S) - 1)]
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # spreads the load
            attempt += 1
            try:
                await self._connect()
            except BusError as error:
                self.complaints.add("bus: no connection", f"! {error}")
                continue
            for command in self._commands:
                if isinstance(command, _Publication):
                    self._drop(0)  # of before the loss
            for subscription in self._subscriptions:
                subscription.native = None
            self._commands = list(self._subscriptions)
            self.unsent_bytes = 0
            self._wake.set()
            return

    async def _connect(self) -> None:
        """Connect once.

        Raises:
            BusError: it did not work.
        """
        settings, client, lost = copy.copy(self.settings), Client(), asyncio.Event()
        old, self._client, self._lost, self._last_error = self._client, client, lost, ""
        await _close(old)
        refuse_successors(settings.process)

        def password() -> str:
            refuse_successors(settings.process)  # it has greeted
            return settings.password

        async def on_error(error: Exception) -> None:
            self._last_error = _text(error)
            self.complaints.count(f"bus: {type(error).__name__}", 1)

        async def on_closed() -> None:
            lost.set()

        options: dict[str, Any] = {
            "name": self.identity,
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "ping_interval": PING_S,
            "max_outstanding_pings": MISSED_PINGS,
            "pending_size": LIBRARY_BYTES,
            "error_cb": on_error,
            "closed_cb": on_closed,
            "user": settings.user or None,
            "password": password if settings.password else None,
            "token": settings.token or None,
            "user_credentials": settings.credentials or None,
            "tls": self._tls,
        }
        if self._keeper is None:  # for the first time
            await self._meet()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await client.connect(list(settings.servers), **options)
        except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
            why = self._last_error or _text(error)
            await _close(client)
            raise BusError(
                f"no connection to the bus at {self.address}: {why}",
                may_pass=isinstance(error, OSError | TimeoutError | nats.errors.NoServersError),
            ) from None
        except Exception as error:
            await _close(client)
            if not settings.credentials:
                raise
            # nats-py and nkeys raise whatever a malformed file leads to.
            raise BusError(
                f"{settings.credentials} cannot be used for the bus: it is not a file of credentials "
                f"({_text(error)})"
            ) from None
        self.max_payload_bytes = client.max_payload

    async def _meet(self) -> None:
        """Do nothing if a server of the bus can be used.

        Raises:
            BusError: none can; the reason is that of the last.
        """
        failure: BusError | None = None
        for server in self.settings.servers:
            try:
                await meet(server, self._tls)
            except BusError as error:
                failure = error
                if not error.may_pass:
                    break
            else:
                return
        if failure is not None:
            raise failure

    def _set_connected(self, *, is_connected: bool) -> None:
        if is_connected is not self.is_connected:
            self.is_connected = is_connected
            for callback in self._watchers:
                callback(is_connected)

    # The writer

    def _command(self, command: _Command) -> None:
        if not (self.is_connected or isinstance(command, _Publication)) and self._keeper:
            return  # all open subscriptions are made anew with the connection
        self._commands.append(command)
        if not self._wake.is_set():
            self._wake.set()

    async def _write(self) -> None:
        """Do what waits, in order, until cancelled or until the connection is lost."""
        client, wake = self._client, self._wake
        try:
            while True:
                await wake.wait()
                wake.clear()
                while self._commands:
                    commands, self._commands = self._commands, []
                    for command in commands:
                        if isinstance(command, _Publication):
                            self.unsent_bytes -= len(command.payload)
                            await client.publish(command.subject, command.payload, command.reply)
                        elif isinstance(command, _Flush):
                            await client.flush()
                            if not command.done.done():
                                command.done.set_result(None)
                        elif not command.is_open:
                            await self._end(command)
                        elif command.native is None:
                            await self._begin(client, command)
        except (nats.errors.Error, OSError) as error:
            self._last_error = self._last_error or _text(error)
            self._lost.set()

    async def _begin(self, client: Client, subscription: BusSubscription) -> None:
        subscription.native = await client.subscribe(
            subscription.subject, future=_PassOn(subscription)
        )

    async def _end(self, subscription: BusSubscription) -> None:
        native, subscription.native = subscription.native, None
        if native is not None:
            await native.unsubscribe()

    def _drop(self, size: int) -> None:
        self.dropped_count += 1
        if size > self.max_payload_bytes:
            self.complaints.add(
                "bus: message too long",
                f"! a message of {size:,} bytes exceeds what the bus takes: its max_payload is "
                f"{self.max_payload_bytes:,}",
            )
        else:
            self.complaints.count("bus: not published", 1)


async def _close(client: Client) -> None:
    """Close a connection of the library, within a second, whether or not the server reads."""
    with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            if client.is_connected or client.is_connecting:
                await client.close()
    writer = getattr(client._transport, "_io_writer", None)  # noqa: SLF001  # it has no abort
    if writer is not None:
        writer.transport.abort()


def _tls_of(settings: BusSettings) -> ssl.SSLContext | None:
    """Return the context for TLS; None where the library's own is enough.

    Raises:
        BusError: a file cannot be used.
    """
    is_tls = any(server.startswith(("tls://", "wss://")) for server in settings.servers)
    if not (settings.ca or settings.certificate or is_tls):
        return None
    file = settings.ca
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
        if settings.certificate:
            file = settings.certificate
            context.load_cert_chain(settings.certificate, settings.key or None)
    except OSError as error:  # also ssl.SSLError
        raise BusError(f"{file} cannot be used for TLS to the bus: {_text(error)}") from None
    return context


def _shown(server: str) -> str:
    parts = urlsplit(server if "//" in server else f"nats://{server}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _text(error: BaseException) -> str:
    """Return what went wrong, as one line."""
    text = str(error).removeprefix("nats: ").strip("'\" \n") or type(error).__name__
    return printable(text).rstrip(".")
