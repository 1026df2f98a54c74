"""Which plant of a name publishes: the one that holds the lease.  The others wait for its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError

from tickerplant.bus.nodes import Beat, MalformedError, decode
from tickerplant.bus.subjects import Subjects
from tickerplant.cluster.connection import BusConnection
from tickerplant.cluster.lease import Holder, Lease
from tickerplant.cluster.timing import TIMING, Timing
from tickerplant.errors import BusError
from tickerplant.formatting import printable
from tickerplant.logs import logger

if TYPE_CHECKING:
    from nats.js.client import JetStreamContext


class Publishing(Protocol):
    """A plant on the bus that can publish, or be silent and follow."""

    def begin(self, term: int) -> object:
        """Publish from now on, first what edges may have missed."""
        ...

    def pause(self) -> object:
        """Publish and answer nothing from now on."""
        ...


class Succession:
    """Lets a plant publish while it holds the lease of its name.

    Args:
        bus: The bus.
        subjects: Those of the plant.
        me: The run of the plant; its term is ignored.
        node: What publishes.
        is_standby: Whether to wait while another plant publishes, now and after being replaced.
        can_stand_by: Whether the plant can go on as a standby when it was replaced.
        timing: How long a lease lasts, and how often it is looked after.
    """

    def __init__(
        self,
        bus: BusConnection,
        subjects: Subjects,
        me: Holder,
        node: Publishing,
        *,
        is_standby: bool,
        can_stand_by: bool,
        timing: Timing = TIMING,
    ) -> None:
        self.waits_for = ""
        """What a standby waits for, as one line; empty if this is the plant that publishes."""
        self.on_role: Callable[[str], object] = _ignore
        """Is called with `waits_for` whenever that changes."""
        self._bus = bus
        self._plant = subjects.plant
        self._node = node
        self._is_standby = is_standby
        self._can_stand_by = can_stand_by
        self._timing = timing
        self._now_s = asyncio.get_running_loop().time
        self._lease = Lease(
            self._jetstream, subjects.lease_memory, subjects.lease, me, timing=timing
        )
        self._lease.on_stranger = self._on_stranger
        self._heard_s = self._now_s()
        """When another plant of the name was last heard, or the bus came back."""
        self._heard: Beat | None = None
        self._term = 0
        """The greatest that was heard of."""
        self._beats = bus.subscribe(subjects.beat, self._on_beat)
        bus.watch(self._on_bus)

    def _on_beat(self, subject: str, payload: bytes, reply: str) -> None:
        del subject, reply
        try:
            beat = decode(payload, Beat)
        except MalformedError as error:
            self._bus.complaints.add("bus: malformed", f"! not a heartbeat of a plant: {error}")
            return
        if beat.epoch != self._lease.me.epoch:
            self._heard, self._heard_s = beat, 0.0 if beat.is_last else self._now_s()
            self._term = max(self._term, beat.term)

    def _on_stranger(self) -> None:
        self._bus.complaints.add(
            "bus: not a lease", f"! what was published as the lease of {self._plant} is none"
        )

    def _on_bus(self, is_connected: bool) -> None:  # as `BusConnection.watch` calls it
        if is_connected:  # whoever published before comes first
            self._heard_s = self._now_s()
            self._lease.renew_soon()

    def _jetstream(self) -> JetStreamContext:
        if not self._bus.is_connected:
            raise ConnectionClosedError
        return self._bus.jetstream(self._timing.renew_s)

    async def start(self) -> None:
        """Take the lease; a standby returns at once.

        Raises:
            BusError: another plant has the name.
            NatsError: the bus cannot keep the lease.
        """
        if self._is_standby:
            return self._wait_for(self._waiting(None))
        until_s = self._now_s() + self._timing.start_s
        while True:
            holder = await self._lease.take(self._term)
            if self._lease.is_held:
                return self._begin()
            is_heard = self._heard is not None and not self._heard.is_last
            if is_heard or self._now_s() > until_s:
                where = "another process" if holder is None else holder.where
                raise BusError(
                    f"a plant named {self._plant} is on the bus already: {where}; give this one "
                    "another --plant, or start it as its standby with: relay --standby"
                )
            await asyncio.sleep(self._timing.poll_s)

    async def run(self) -> None:
        """Publish while the lease is held, and wait for it otherwise, until cancelled.

        Raises:
            BusError: another plant has replaced this one, which cannot stand by.
        """
        while True:
            if not self._lease.is_held:
                self._wait_for(self.waits_for or self._waiting(None))
                self._node.pause()
            while not self._lease.is_held:
                await self._wait()
            other = await self._lease.keep(self._on_lease)
            self._wait_for(self._waiting(other))
            self._node.pause()
            text = f"another plant named {self._plant} has replaced this one: {other.where}"
            if not self._can_stand_by:
                raise BusError(text)
            logger().error(f"! {text}; this one publishes nothing any more and is its standby now")
            self._heard_s = self._now_s()

    async def _wait(self) -> None:
        """Wait for a while, and take the lease if nobody has been heard."""
        await asyncio.sleep(self._timing.poll_s)
        if not self._bus.is_connected or self._now_s() - self._heard_s < self._timing.lease_s:
            return
        holder = await self._take()
        if self._lease.is_held:
            logger().warning(
                f"! the plant {self._plant} is gone; this standby has taken over",
                term=self._lease.me.term,
            )
            self._begin()
        else:
            self._wait_for(self._waiting(holder))

    async def _take(self) -> Holder | None:
        try:
            return await self._lease.take(self._term)
        except (NatsError, OSError):
            return None

    def _begin(self) -> None:
        self._wait_for("")
        self._node.begin(self._lease.me.term)

    def _on_lease(self, is_held: bool) -> None:  # as `Lease.keep` calls it
        if is_held:
            logger().info(f"= the bus knows the plant {self._plant} again")
            self._begin()
        else:
            logger().warning(f"! the bus does not answer: the plant {self._plant} waits for it")
            self._node.pause()

    def _wait_for(self, text: str) -> None:
        if text != self.waits_for:
            self.waits_for = text
            self.on_role(text)

    def _waiting(self, holder: Holder | None) -> str:
        where = "" if holder is None else f" ({printable(holder.where)})"
        return f"standby of the plant {self._plant}{where}"

    async def close(self) -> None:
        """Give the lease up."""
        self._beats.close()
        await self._lease.release()


def _ignore(_: str) -> None:
    """Do nothing."""
