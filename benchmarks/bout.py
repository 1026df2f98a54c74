"""One contender before its subscribers, who are in another process."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from benchmarks.receiver import Arrivals, Receiver
from benchmarks.senders import PATH, Sender, frames


class Bout:
    """A sender and the subscribers that receive from it and from nobody else.

    Args:
        sender: Who sends; closed when the bout is.
        receiver: Where the subscribers are.
        subscribers: How many there are.
    """

    def __init__(self, sender: Sender, receiver: Receiver, subscribers: int) -> None:
        self.sender = sender
        self.subscribers = subscribers
        self.frame_bytes = len(frames()[0])
        self._receiver = receiver
        self._sent_bytes = 0

    async def open(self) -> None:
        """Listen, and wait until everybody has subscribed."""
        sender = self.sender
        await sender.open()
        connected = self._receiver.connect(sender.name, sender.port, PATH, self.subscribers)
        await asyncio.gather(sender.ready(self.subscribers), connected)

    async def record(self) -> None:
        """Begin to note every read of the subscribers."""
        await self._receiver.record(self.sender.name)

    def expect(self, messages: int) -> None:
        """Say how many messages are sent to each subscriber until `received` is awaited."""
        self._sent_bytes += messages * self.frame_bytes * self.subscribers
        self._receiver.expect(self.sender.name, self._sent_bytes)

    async def received(self) -> Arrivals | None:
        """Return when everybody has received what was to be expected, with the reads noted."""
        return await self._receiver.received()

    async def close(self) -> None:
        """Hang up."""
        await self.sender.close()


@asynccontextmanager
async def opened(senders: Iterable[Sender], subscribers: int) -> AsyncIterator[list[Bout]]:
    """Open a bout for each sender, each with so many subscribers; all are closed in the end.

    What is there by then is kept out of garbage collections, as the program does when it is ready.
    """
    with Receiver(subscribers) as receiver:
        bouts = [Bout(sender, receiver, subscribers) for sender in senders]
        for bout in bouts:
            await bout.open()
        gc.collect()
        gc.freeze()
        yield bouts
    for bout in bouts:  # after the subscribers, who answer no close frames
        await bout.close()
    gc.unfreeze()
