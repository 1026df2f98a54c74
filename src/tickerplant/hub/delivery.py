"""How messages are delivered to a subscriber that takes them more slowly than they are made.

With `every`, all is written at once, whether or not the subscriber takes it; the server closes one
that is too far behind.  With `latest`, the subscriber is *held* while it is behind: its messages wait
in a backlog, where they are replaced and merged as the catalogue says (`Stream.conflation`), and in
which the oldest are dropped above a bound.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from tickerplant.frames import HEADERS
from tickerplant.hub.conflation import Reading, read
from tickerplant.streams.conflation import Conflation

ENTRY_BYTES = 256
"""What a message takes in a backlog besides its text, approximately."""


class Published(NamedTuple):
    """When a message was made, in ns since 1970."""

    event_ns: int | None = None
    """When it was due by the clock of the source; None if the source keeps no pace."""
    publish_ns: int = 0
    """When it was published."""


class MessageFilter(Protocol):
    """Changes the messages of one subscriber before they are written to it or wait for it."""

    def __call__(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return what is delivered in the place of `messages`, which are shared and never changed.

        It must not raise, and must not call the hub.
        """


class MessageStream(Protocol):
    """The stream of a message."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def prefix(self) -> bytes:
        """The beginning of the envelope of its messages."""

    @property
    def conflation(self) -> Conflation:
        """What becomes of its messages while they wait."""


class Message:
    """One message of a stream, shared by the subscribers for which it waits."""

    __slots__ = ("_is_read", "_reading", "envelope", "payload", "published", "stream")

    def __init__(
        self, stream: MessageStream, payload: bytes, envelope: bytes, published: Published
    ) -> None:
        self.stream = stream
        self.payload = payload
        self.envelope = envelope
        """`payload` in its envelope, if the source has that too; else empty."""
        self.published = published
        self._is_read = False
        self._reading: Reading | None = None

    @property
    def reading(self) -> Reading | None:
        """What can be replaced or merged of it; None if it is to be kept as it is."""
        if not self._is_read:
            self._is_read = True
            self._reading = read(self.stream.conflation, self.payload)
        return self._reading

    def with_payload(self, payload: bytes) -> Message:
        """Return the same message with another text."""
        return Message(self.stream, payload, b"", self.published)

    def frame(self, *, is_combined: bool, write_ns: int | None) -> bytes:
        """Return it as a frame, with stamps if it has an envelope and there is a `write_ns`."""
        return _frame(self, self.payload, self.envelope, is_combined, write_ns)


def _frame(
    message: Message, payload: bytes, envelope: bytes, is_combined: bool, write_ns: int | None
) -> bytes:
    if not is_combined:
        text = payload
    elif write_ns is not None:
        event_ns, publish_ns = message.published
        text = b'%b%b,"stamps":{"event_ns":%b,"publish_ns":%d,"write_ns":%d}}' % (
            message.stream.prefix,
            payload,
            b"null" if event_ns is None else b"%d" % event_ns,
            publish_ns,
            write_ns,
        )
    else:
        text = envelope or b"%b%b}" % (message.stream.prefix, payload)
    return HEADERS[len(text)] + text


class DeliveryCounters:
    """What became of messages that could not be written at once."""

    def __init__(self) -> None:
        self.conflated = 0
        """Messages that were replaced by a later one or merged into it."""
        self.dropped = 0
        """Messages that were dropped because too much waited."""


class _Entry(Struct, gc=False):
    """What waits in one place of a backlog."""

    message: Message
    """The last message of it."""
    reading: Reading | None
    size_bytes: int


class Backlog:
    """The messages that wait for one subscriber, and what became of others.

    A later message replaces those of its stream and key or is merged with them, and takes the last
    place.  Above `max_bytes`, messages of streams whose messages are all kept are dropped, the oldest
    first, then others.  `counters` count what was conflated and dropped, with those of others.
    """

    __slots__ = (
        "_counters",
        "_entries",
        "_max_bytes",
        "_next_place",
        "_place_of",
        "_whole",
        "conflated",
        "dropped",
        "is_held",
        "size_bytes",
    )

    def __init__(self, max_bytes: int, counters: DeliveryCounters) -> None:
        self.is_held = False
        """Whether messages wait here instead of being written."""
        self.conflated = 0
        """Messages that were replaced by a later one or merged into it."""
        self.dropped = 0
        """Messages that were dropped because too much waited."""
        self.size_bytes = 0
        """The memory that the messages take, approximately."""
        self._max_bytes = max_bytes
        self._counters = counters
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        """By place, the oldest first."""
        self._next_place = 0
        self._place_of: dict[tuple[str, str], int] = {}
        """Where the next message of a stream and key can be merged."""
        self._whole: deque[int] = deque()
        """The places of messages that are neither replaced nor merged."""

    def __len__(self) -> int:
        """Return the number of messages to send."""
        return len(self._entries)

    def push(self, message: Message) -> None:
        """Let `message` wait; replace, merge and drop others."""
        reading = message.reading
        key = (message.stream.name, "" if reading is None else reading.key)
        place = self._place_of.pop(key, None)
        if reading is not None and place is not None:
            earlier = self._entries[place].reading
            joined = None if earlier is None else earlier.joined(reading)
            if joined is not None:
                self._remove(place)
                self._count_conflated()
                reading = joined
        place = self._next_place
        self._next_place += 1
        size_bytes = ENTRY_BYTES + (len(message.payload) if reading is None else reading.size_bytes)
        self._entries[place] = _Entry(message, reading, size_bytes)
        self.size_bytes += size_bytes
        if reading is None:
            self._whole.append(place)
        else:
            self._place_of[key] = place
        while self.size_bytes > self._max_bytes and len(self._entries) > 1:
            self._drop()

    def take(
        self, most_bytes: int, *, is_combined: bool, write_ns: int | None
    ) -> tuple[bytes, int]:
        """Remove the oldest messages, about `most_bytes` of them and at least one.

        Returns:
            Their frames, joined, and their number; nothing and 0 if none waits.
        """
        frames: list[bytes] = []
        taken_bytes = 0
        while self._entries and taken_bytes < most_bytes:
            place, entry = next(iter(self._entries.items()))
            message, reading = entry.message, entry.reading
            is_changed = reading is not None and reading is not message.reading
            payload = reading.payload if reading is not None else message.payload
            envelope = b"" if is_changed else message.envelope
            frame = _frame(message, payload, envelope, is_combined, write_ns)
            frames.append(frame)
            taken_bytes += len(frame)
            self._forget(place)
        return b"".join(frames), len(frames)

    def forget(self, names: Collection[str]) -> None:
        """Send no messages of the streams `names` that wait."""
        for place, entry in tuple(self._entries.items()):
            if entry.message.stream.name in names:
                self._forget(place)
        self._whole = deque(place for place in self._whole if place in self._entries)

    def clear(self) -> None:
        """Send nothing that waits."""
        self._entries.clear()
        self._place_of.clear()
        self._whole.clear()
        self.size_bytes = 0

    def _drop(self) -> None:
        """Drop the oldest message, of those that are kept whole if there are any but the newest."""
        newest = self._next_place - 1
        whole = self._whole
        place = whole[0] if whole and whole[0] != newest else next(iter(self._entries))
        self._forget(place)
        self.dropped += 1
        self._counters.dropped += 1

    def _count_conflated(self) -> None:
        self.conflated += 1
        self._counters.conflated += 1

    def _forget(self, place: int) -> None:
        """Remove what waits at `place`."""
        entry = self._remove(place)
        if entry.reading is None:
            if self._whole[0] == place:
                self._whole.popleft()
            return
        key = (entry.message.stream.name, entry.reading.key)
        if self._place_of.get(key) == place:
            del self._place_of[key]

    def _remove(self, place: int) -> _Entry:
        entry = self._entries.pop(place)
        self.size_bytes -= entry.size_bytes
        return entry


def push_all(backlog: Backlog, messages: Iterable[Message]) -> None:
    """Let `messages` wait in `backlog`, in order."""
    for message in messages:
        backlog.push(message)
