"""Who publishes as the plant of a name: at most one at a time, by a lease in the bus's memory.

The lease is one message in a JetStream stream of its own, which the bus forgets when it is not
renewed in time.  It is written only if the last one is that which the writer knows, or if there is
none, so of several takers exactly one succeeds.  A holder stops by its own clock before the bus
forgets its lease: two never hold it at once, as long as their clocks run at the same speed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, Header, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from tickerplant.bus.nodes import Number
from tickerplant.cluster.timing import TIMING, Timing
from tickerplant.formatting import printable

if TYPE_CHECKING:
    from nats.js.client import JetStreamContext

_WRONG_LAST = frozenset({10071, 10164})
"""JetStream's codes of the error that another message than the expected one is the last."""


class Holder(Struct, frozen=True, kw_only=True):
    """Who holds a lease."""

    epoch: str
    """The run of the plant that holds it."""
    term: Number
    """Greater than that of every holder before: ms since the epoch when it was taken, or more."""
    host: str = ""
    pid: int = 0

    @property
    def where(self) -> str:
        """Its process, for people."""
        host = printable(self.host)
        return f"process {self.pid} on {host}" if host else "another process"


NO_LEASE = Holder(epoch="", term=0)
"""What is on the subject of a lease and is none: the bus forgets it in time."""


class Lease:
    """The lease of one plant's name, as one run of a plant sees it.

    Args:
        jetstream: Returns the JetStream of the connection of now; its timeout should be `timing.renew_s`.
            Raises NatsError while there is no connection.
        name: The name of the JetStream stream that keeps the lease.
        subject: The subject of the lease.
        me: Who takes it; the term is that of the last holder known.
        timing: How long it lasts and how often it is renewed; the same for all that take it.
        wall_ms: The clock of the terms.
    """

    def __init__(
        self,
        jetstream: Callable[[], JetStreamContext],
        name: str,
        subject: str,
        me: Holder,
        *,
        timing: Timing = TIMING,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.me = me
        """This run, with the term of its lease if it has one."""
        self.on_stranger: Callable[[], object] = _nothing
        """Is called when what is on the subject of the lease is none."""
        self._jetstream = jetstream
        self._subject = subject
        self._config = StreamConfig(
            name=name,
            subjects=[subject],
            storage=StorageType.MEMORY,
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_msgs_per_subject=1,
            max_msgs=1,
            max_age=timing.lease_s,
        )
        self._name = name
        self._timing = timing
        self._now_s = asyncio.get_running_loop().time
        self._wall_ms = wall_ms
        self._sequence = 0
        """Of the last message written; 0 if there is none."""
        self._until_s = 0.0
        """Until when it is held, by the clock of the loop."""
        self._is_due = asyncio.Event()
        """Set when it is to be renewed at once."""

    @property
    def is_held(self) -> bool:
        """Whether this run holds the lease now."""
        return self._now_s() < self._until_s

    async def take(self, above_term: int = 0) -> Holder | None:
        """Take the lease if nobody holds it; return its holder otherwise.

        Args:
            above_term: The last term that was heard of.

        Raises:
            NatsError: the bus does not answer, or has no JetStream.
        """
        known = await self._read()
        if known is NO_LEASE:
            self.on_stranger()
            return None if self.is_held and await self._write(self.me) else known
        if known is not None and known.epoch != self.me.epoch:
            return known
        if known is None:
            term = max(self._wall_ms(), above_term + 1, self.me.term + 1)
            me = msgspec.structs.replace(self.me, term=term)
        else:  # an earlier request succeeded although no answer came
            me = known
        return None if await self._write(me) else await self._read()

    async def keep(self, on_change: Callable[[bool], object]) -> Holder:
        """Renew the lease until another run has it, and return that.

        If the bus is away for longer than the lease lasts, it is not held in the meantime, and is
        taken again if nobody else has taken it.

        Args:
            on_change: Is called with whether it is held when that has changed.
        """
        was_held = self.is_held
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timing.renew_s):
                    await self._is_due.wait()
            self._is_due.clear()
            try:
                renewed = self._sequence and await self._write(self.me)
                other = None if renewed else await self.take()
            except (NatsError, OSError):
                other = None
            if self.is_held != was_held:
                was_held = not was_held
                on_change(was_held)
            if other is not None and other.epoch not in {self.me.epoch, NO_LEASE.epoch}:
                return other

    def renew_soon(self) -> None:
        """Let `keep` renew it at once: the bus is back."""
        self._is_due.set()

    async def release(self) -> None:
        """Give the lease up at once, if it is held and the bus answers."""
        was_held, self._until_s = self.is_held, 0.0
        if was_held:
            try:
                await self._jetstream().delete_msg(self._name, self._sequence)
            except NatsError:
                return  # it ends by itself

    async def _read(self) -> Holder | None:
        """Return who holds the lease, and note where that is written."""
        try:
            message = await self._jetstream().get_last_msg(self._name, self._subject)
        except NotFoundError:
            await self._jetstream().add_stream(self._config)
            self._sequence = 0
            return None
        self._sequence = message.seq or 0
        try:
            return msgspec.json.decode(message.data or b"", type=Holder)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return NO_LEASE

    async def _write(self, me: Holder) -> bool:
        """Write the lease; return False if another message than expected is the last, or all are lost."""
        sent_s = self._now_s()
        headers = {str(Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value): str(self._sequence)}
        try:
            written = await self._jetstream().publish(
                self._subject,
                msgspec.json.encode(me),
                timeout=self._timing.renew_s,
                stream=self._name,
                headers=headers,
            )
        except (APIError, NoStreamResponseError) as error:
            if isinstance(error, APIError) and error.err_code not in _WRONG_LAST:
                raise
            self._sequence = 0
            return False
        self.me, self._sequence = me, written.seq
        self._until_s = sent_s + self._timing.lease_s
        return True


def _nothing() -> None:
    """Do nothing."""
