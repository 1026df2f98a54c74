"""The seam between the processes of a plant and what carries their messages.

It has three verbs: `publish`, `subscribe`, `ask`.  A broker is one connection, from its opening to its
loss: it is never repaired.  What is published on one broker arrives in order at each other, over all
subjects, or not at all; whoever needs to know what is missing counts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from tickerplant.cluster.messages import MalformedError, decode

if TYPE_CHECKING:
    from tickerplant.logs import Complaints

T = TypeVar("T")
OnMessage: TypeAlias = Callable[[bytes, str], object]
"""Takes a message, and the subject on which it may be answered."""
Close: TypeAlias = Callable[[], object]


class Failed(Struct, frozen=True):
    """There is no answer: the text says why, as one line without a full stop."""

    reason: str


OnAnswer: TypeAlias = Callable[[bytes | Failed], object]
Ask: TypeAlias = Callable[[str, bytes, OnAnswer], object]

QUESTION_TIMEOUT_MS = 60_000
MAX_WAITING = 10_000
"""Questions of one process that wait for their answers; further ones fail at once."""
MAX_ANSWER_BYTES = 64 << 20
"""Bytes of one answer, over all its parts."""
MORE, LAST, NONE = b"+", b".", b"!"
"""What a part of an answer begins with: more follow, it is the last, there is no answer but a reason."""
HEAD_BYTES = 5
OVERHEAD_BYTES = 1_024
"""Kept free in a message of the largest size, for what surrounds a body."""


class Broker(Protocol):
    """One connection to the bus."""

    max_bytes: int
    """How long a message may be."""
    lost: asyncio.Future[str]
    """Done when the connection is lost; says why."""

    @property
    def unsent_bytes(self) -> int:
        """What waits to be written."""

    def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        """Publish a message soon, after those published before; never waits."""

    def subscribe(self, subject: str, on_message: OnMessage) -> Close:
        """Call `on_message` with each message of `subject`, in the order of the connection."""

    def ask(self, subject: str, data: bytes, on_answer: OnAnswer) -> None:
        """Publish a question; `on_answer` is called once, perhaps at once."""

    async def close(self) -> None:
        """Write what waits, for a second at most, and leave."""


def loop_ms() -> int:
    """Return the time of the running loop, in ms."""
    return int(asyncio.get_running_loop().time() * 1_000)


async def wait(seconds: float, *ends: asyncio.Future[Any]) -> None:
    """Return when any of `ends` is done, or after some time."""
    await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


def reading(kind: Any, take: Callable[[Any, str], object], complaints: Complaints) -> OnMessage:
    """Return what hands the messages of a `kind` to `take`; others are counted, and the first is logged."""

    def on_message(data: bytes, reply: str) -> None:
        try:
            take(decode(data, kind), reply)
        except MalformedError as error:
            complaints.add("bus: malformed", f"! not a {kind.__name__} of ours: {error}")

    return on_message


class _Waiting(Struct, eq=False):
    on_answer: OnAnswer
    deadline_ms: int
    parts: list[bytes]
    size_bytes: int = 0


class Questions:
    """`ask`, on top of the other two verbs; `inbox` is a subject that nobody else has."""

    def __init__(self, broker: Broker, inbox: str) -> None:
        self._broker, self._inbox = broker, inbox
        self._waiting: dict[int, _Waiting] = {}
        self._asked_count = 0

    def ask(self, subject: str, data: bytes, on_answer: OnAnswer) -> None:
        """Publish a question; `on_answer` is called once, perhaps at once."""
        problem = ""
        if len(data) > self._broker.max_bytes:
            problem = "the question is too long for the bus"
        elif self._broker.lost.done():
            problem = f"the bus is lost: {self._broker.lost.result()}"
        elif len(self._waiting) >= MAX_WAITING:
            problem = "too many questions wait for the plant"
        if problem:
            on_answer(Failed(problem))
            return
        if not self._asked_count:
            self._broker.subscribe(f"{self._inbox}.*", self._take)
        self._asked_count += 1
        self._waiting[self._asked_count] = _Waiting(on_answer, loop_ms() + QUESTION_TIMEOUT_MS, [])
        self._broker.publish(subject, data, f"{self._inbox}.{self._asked_count}")

    def tick(self) -> None:
        """Fail what has waited too long."""
        now_ms = loop_ms()
        for number, waiting in tuple(self._waiting.items()):
            if waiting.deadline_ms > now_ms:
                break  # all wait equally long
            self._end(number, Failed("the plant did not answer in time"))

    def fail(self, reason: str) -> None:
        """Fail every question that waits: the bus is lost."""
        for number in tuple(self._waiting):
            self._end(number, Failed(f"the bus is lost: {reason}"))

    def _take(self, data: bytes, _reply: str) -> None:
        kind, number, part = data[:1], int.from_bytes(data[1:HEAD_BYTES]), data[HEAD_BYTES:]
        waiting = self._waiting.get(number)
        if waiting is None:
            return
        if kind == NONE:
            self._end(number, Failed(part.decode(errors="replace")))
            return
        waiting.parts.append(part)
        waiting.size_bytes += len(part)
        if waiting.size_bytes > MAX_ANSWER_BYTES:
            self._end(number, Failed("the answer of the plant is too long"))
        elif kind == LAST:
            self._end(number, b"".join(waiting.parts))

    def _end(self, number: int, answer: bytes | Failed) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting.on_answer(answer)


def ask(asks: Ask, subject: str, data: bytes) -> asyncio.Future[bytes | Failed]:
    """Return what will be the answer to a question, asked by such as `Broker.ask`."""
    asked: asyncio.Future[bytes | Failed] = asyncio.get_running_loop().create_future()

    def on_answer(said: bytes | Failed) -> None:
        if not asked.done():
            asked.set_result(said)

    asks(subject, data, on_answer)
    return asked


def read_answer(said: bytes | Failed, kind: type[T]) -> T | Failed:
    """Return the `kind` that the plant answers; what cannot be read is no answer."""
    if isinstance(said, Failed):
        return said
    try:
        return decode(said, kind)
    except MalformedError:
        return Failed("the answer of the plant cannot be read")


def answer(broker: Broker, reply: str, body: bytes | Failed) -> None:
    """Answer a question, in parts if it is long; a message that is no question gets no answer."""
    number = reply.rpartition(".")[2]
    if not number.isdecimal():
        return
    head = (int(number) & 0xFFFFFFFF).to_bytes(HEAD_BYTES - 1)
    if isinstance(body, Failed):
        broker.publish(reply, NONE + head + body.reason.encode())
        return
    size = broker.max_bytes - OVERHEAD_BYTES
    while len(body) > size:
        broker.publish(reply, MORE + head + body[:size])
        body = body[size:]
    broker.publish(reply, LAST + head + body)


# Subjects

LONGEST_TOKEN = 128
_ENCODED = re.compile(rb"[^A-Za-z0-9_@!-]")


def token_of(name: str) -> str:
    """Return `name` as one token of a subject; different names have different tokens."""
    raw = name.encode("utf-8", "surrogatepass")
    token = _ENCODED.sub(lambda found: b"%%%02X" % found[0][0], raw).decode("ascii")
    if len(token) > LONGEST_TOKEN:  # `h` is no hexadecimal digit
        return "%h" + blake2b(raw, digest_size=16).hexdigest()
    return token or "%"


class Subjects:
    """The subjects of one plant.

    PREFIX.$beat.PLANT       heartbeats; no plant has the token `$beat`
    PREFIX.PLANT.join        asks the plant to describe its run
    PREFIX.PLANT.RUN.ctl     what the plant tells all edges
    PREFIX.PLANT.RUN.ask     questions of edges
    PREFIX.PLANT.RUN.e.EDGE  questions of the plant, to one edge
    PREFIX.PLANT.RUN.s.V.T   messages of one stream
    """

    def __init__(self, prefix: str, plant: str, run: str = "") -> None:
        base = f"{prefix}.{token_of(plant)}"
        self.join, self.beats = f"{base}.join", f"{prefix}.$beat.*"
        self.beat = f"{prefix}.$beat.{token_of(plant)}"
        self.control, self.ask = f"{base}.{run}.ctl", f"{base}.{run}.ask"
        self._run = f"{base}.{run}"

    def edge(self, identity: str) -> str:
        """Return the subject of the questions to an edge."""
        return f"{self._run}.e.{token_of(identity)}"

    def stream(self, venue: str, name: str) -> str:
        """Return the subject of a stream."""
        return f"{self._run}.s.{venue}.{token_of(name)}"
