"""A bus in memory: connections that are joined by lists, and whatever may go wrong with them.

Time is that of the running loop, which jumps where it is one in memory.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from tickerplant.cluster.broker import Close, OnAnswer, OnMessage, Questions
from tickerplant.errors import BusError

TICK_S = 1.0
"""How often a connection looks for questions that have waited for too long."""


class Word(Struct, frozen=True):
    """What is on its way: a message, or the beginning or end of a subscription."""

    subject: str
    data: bytes = b""
    reply: str = ""
    begins: bool | None = None


class MemoryBus:
    """A server of the bus, and the connections to it."""

    def __init__(self) -> None:
        self.brokers: list[MemoryBroker] = []
        self.max_bytes = 1 << 20
        self.is_down = False
        """Whether nothing listens."""
        self.loses: Callable[[str, bytes], bool] = lambda _subject, _data: False
        """Whether a message is lost on its way, as between two servers of a cluster."""
        self.faults: list[str] = []
        """Exceptions that have left a handler."""
        self.cut_off: set[str] = set()
        """Who reaches the server no longer, without a word to either side."""
        self._is_standing = self._is_due = False
        self._numbers = itertools.count()

    @property
    def is_standing(self) -> bool:
        """Whether the server does nothing, as after SIGSTOP."""
        return self._is_standing

    @is_standing.setter
    def is_standing(self, is_standing: bool) -> None:
        self._is_standing = is_standing
        self.wake()

    def cut(self, who: str, *, is_cut: bool = True) -> None:
        """Cut somebody off, or mend that."""
        (self.cut_off.add if is_cut else self.cut_off.discard)(who)
        self.wake()

    async def open(self, who: str = "") -> MemoryBroker:
        """Connect.

        Raises:
            BusError: nothing listens, or nobody answers.
        """
        await asyncio.sleep(0)
        if self.is_down or self._is_standing or who in self.cut_off:
            raise BusError("no connection to the bus", may_pass=True)
        broker = MemoryBroker(self, who, f"in.{next(self._numbers)}")
        self.brokers.append(broker)
        return broker

    def kill(self) -> None:
        """Break every connection, as when the server dies."""
        for broker in tuple(self.brokers):
            broker.lose("it closed")

    def wake(self) -> None:
        """Move words in the next turn of the loop."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_due = False
        for broker in tuple(self.brokers):
            while self.take_from(broker):
                pass
        for broker in tuple(self.brokers):
            while self.give_to(broker):
                pass

    def take_from(self, broker: MemoryBroker) -> bool:
        """Let one word of a connection reach the server; return whether there was one."""
        if self._is_standing or broker.is_cut or not broker.outbox:
            return False
        word = broker.outbox.popleft()
        if word.begins is not None:
            if word.begins:
                broker.subscribed.add(word.subject)
            else:
                broker.subscribed.discard(word.subject)
        elif not self.loses(word.subject, word.data):
            wild = word.subject.rpartition(".")[0] + ".*"
            for other in self.brokers:
                if other is not broker and not other.subscribed.isdisjoint((word.subject, wild)):
                    other.inbox.append(word)
        self.wake()
        return True

    def give_to(self, broker: MemoryBroker) -> bool:
        """Let one message reach the end of a connection; return whether there was one."""
        if self._is_standing or broker.is_cut or not broker.inbox:
            return False
        broker.receive(broker.inbox.popleft())
        return True


class MemoryBroker:
    """One connection: the interface `cluster.broker.Broker`."""

    def __init__(self, bus: MemoryBus, who: str, inbox: str) -> None:
        loop = asyncio.get_running_loop()
        self.max_bytes = bus.max_bytes
        self.lost: asyncio.Future[str] = loop.create_future()
        self.questions = Questions(self, inbox)
        self.outbox: deque[Word] = deque()
        self.inbox: deque[Word] = deque()
        self.subscribed: set[str] = set()
        """The subjects that the server knows of."""
        self.who, self._bus = who, bus
        self._handlers: dict[str, list[OnMessage]] = {}
        self._timer = loop.call_later(TICK_S, self._tick)

    @property
    def is_cut(self) -> bool:
        """Whether nothing gets through."""
        return self.who in self._bus.cut_off

    @property
    def unsent_bytes(self) -> int:
        return sum(len(word.data) for word in self.outbox)

    def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        if len(data) <= self.max_bytes:
            self._write(Word(subject, data, reply))

    def subscribe(self, subject: str, on_message: OnMessage) -> Close:
        own = self._handlers.setdefault(subject, [])
        own.append(on_message)
        self._write(Word(subject, begins=True))

        def close() -> None:
            if on_message in own:
                own.remove(on_message)
                if not own:
                    self._write(Word(subject, begins=False))

        return close

    def ask(self, subject: str, data: bytes, on_answer: OnAnswer) -> None:
        self.questions.ask(subject, data, on_answer)

    async def close(self) -> None:
        await asyncio.sleep(0)
        while self._bus.take_from(self):
            pass
        self.lose("this process ends")

    def receive(self, word: Word) -> None:
        """Hand a message over; what a handler raises is counted, and the connection goes on."""
        wild = word.subject.rpartition(".")[0] + ".*"
        for each in (*self._handlers.get(word.subject, ()), *self._handlers.get(wild, ())):
            try:
                each(word.data, word.reply)
            except Exception as error:  # noqa: BLE001  # as a real connection does
                self._bus.faults.append(f"{word.subject}: {error!r}")

    def lose(self, reason: str) -> None:
        """Break this connection."""
        if not self.lost.done():
            self.lost.set_result(reason)
            self._timer.cancel()
            self.outbox.clear()
            self.inbox.clear()
            self.subscribed.clear()
            self._handlers.clear()
            self.questions.fail(reason)
            self._bus.brokers.remove(self)

    def _write(self, word: Word) -> None:
        if not self.lost.done():
            self.outbox.append(word)
            self._bus.wake()

    def _tick(self) -> None:
        self.questions.tick()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
