"""The recent past of a plant, which the bus keeps: a JetStream stream in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from nats.errors import Error as NatsError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import NotFoundError

from tickerplant.bus.subjects import Subjects
from tickerplant.cluster.connection import BusConnection

MEMORY_S = 30
"""How long the bus keeps a message."""
MEMORY_BYTES = 128 << 20
"""How much it keeps at most; the oldest messages go first."""
MAX_FILTERS = 256
"""Subjects by which the bus selects what it replays; with more, it replays all."""
ANSWER_S = 1.0
"""How long the bus may take to answer; short, because a request is lost with its connection."""
IDLE_S: Final = 2.0
"""How long a replay may stand still before it is given up."""


class MemoryState(Struct, frozen=True):
    """What the memory holds now."""

    generation: str
    """One life of the memory: another after the bus has lost it."""
    first: int
    """The sequence of the oldest message, or of the next one if there is none."""
    last: int
    """The sequence of the last message that was ever kept."""


class BusMemory:
    """What the bus keeps of a plant's messages.

    Args:
        bus: The connection.
        subjects: Those of the plant.
    """

    def __init__(self, bus: BusConnection, subjects: Subjects) -> None:
        self._bus = bus
        self._name = subjects.memory
        self._kept = list(subjects.kept)

    async def ensure(self) -> MemoryState:
        """Let the bus keep the messages from now on, and return what it has.

        Raises:
            NatsError: the bus does not answer, or refuses.
        """
        try:
            return await self.state()
        except NotFoundError:
            config = StreamConfig(
                name=self._name,
                subjects=self._kept,
                storage=StorageType.MEMORY,
                retention=RetentionPolicy.LIMITS,
                discard=DiscardPolicy.OLD,
                max_age=MEMORY_S,
                max_bytes=MEMORY_BYTES,
            )
            return _state_of(await self._bus.jetstream(ANSWER_S).add_stream(config))

    async def state(self) -> MemoryState:
        """Return what the memory holds.

        Raises:
            NotFoundError: there is none.
            NatsError: the bus does not answer.
        """
        return _state_of(await self._bus.jetstream(ANSWER_S).stream_info(self._name))

    async def replay(
        self, start: int, subjects: Sequence[str], take: Callable[[str, bytes], object]
    ) -> bool:
        """Give the messages from sequence `start` to `take`, in order.

        Args:
            start: A sequence.
            subjects: The subjects that are wanted; messages of others may come too.
            take: Takes a subject and a message.

        Returns:
            Whether that was all; False if the bus stopped in between.
        """
        done = asyncio.Event()
        progress = 0

        def receive(subject: str, data: bytes, reply: str) -> None:
            nonlocal progress
            progress += 1
            take(subject, data)
            if _pending(reply) == 0:
                done.set()

        inbox = self._bus.new_inbox()
        subscription = self._bus.subscribe(inbox, receive)
        config = ConsumerConfig(
            deliver_subject=inbox,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=start,
            ack_policy=AckPolicy.NONE,
            max_deliver=1,
            mem_storage=True,
            inactive_threshold=IDLE_S * 5,
        )
        if len(subjects) <= MAX_FILTERS:
            config.filter_subjects = list(subjects)
        consumers = self._bus.jetstream_manager()
        try:
            await self._bus.flush()  # the subscription is there before the consumer
            info = await consumers.add_consumer(self._name, config)
            if info.num_pending == 0 and not progress:
                return True
            while not done.is_set():
                seen = progress
                try:
                    async with asyncio.timeout(IDLE_S):
                        await done.wait()
                except TimeoutError:
                    if progress == seen:
                        return False
        except NatsError:
            return False
        else:
            return True
        finally:
            subscription.close()


def _state_of(info: StreamInfo) -> MemoryState:
    created = info.created
    generation = created.isoformat() if isinstance(created, datetime) else str(created)
    return MemoryState(generation, max(info.state.first_seq, 1), info.state.last_seq)


def _pending(reply: str) -> int:
    """Return how many messages follow, by the reply subject of one that a consumer delivers.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<number>.<time>.<pending>`, with the domain and
    the account after `ACK` and a token at the end in newer servers.
    """
    tokens = reply.split(".")
    try:
        return int(tokens[8] if len(tokens) == 9 else tokens[10])
    except (IndexError, ValueError):
        return -1
