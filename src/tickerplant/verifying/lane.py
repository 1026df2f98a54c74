"""A stream of a recording as it is walked: what is counted of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tickerplant.messages.readers import Reader, payload_reader
from tickerplant.recording.line import Place
from tickerplant.verifying.findings import Gap, Proof, StreamFinding

NONE = -1
"""No id yet."""
MOST_MISSING = 10**18
"""No gap is told to be larger: an id that says so is no count of anything."""


class Walk(Protocol):
    """What a lane asks of the walk that it is part of."""

    most_gaps: int

    def place(self) -> Place:
        """Return where the message stands that is being taken."""
        ...

    def cause(self, stream: str, from_ns: int, to_ns: int, before_id: int) -> str:
        """Return why a gap may be, and take note that something was lost at that time."""
        ...

    def doubt(self, stream: str, from_ns: int, to_ns: int) -> None:
        """Take note that ids began anew: they do not prove that nothing was lost at that time."""
        ...


class Lane:
    """A stream without ids: only its times are looked at."""

    proof: Proof = "none"

    def __init__(self, stream: str, reader: Reader, walk: Walk) -> None:
        self.stream = stream
        self.decode: Callable[[bytes], Any] = reader.decode
        self.messages = 0
        self.last_ns = 0
        self.sealed = 0
        """Messages up to the beginning of the segment that is being read."""
        self.found = StreamFinding(stream=stream, proof=self.proof)
        """What was found so far, but for what is counted here."""
        self._walk = walk
        self._event_ms = 0
        """The latest event time."""

    def take(self, message: Any, received_ns: int) -> bool:
        """Take the next message; return False, with nothing done, if it is not as usual."""
        event_ms = message.event_time_ms
        if event_ms < self._event_ms:
            return False
        self._event_ms = event_ms
        self.last_ns = received_ns
        self.messages += 1
        return True

    def take_oddly(self, message: Any, received_ns: int) -> None:
        """Take a message that is not as usual."""
        self._offer(message, received_ns)
        self._note(received_ns)

    def take_unreadable(self, received_ns: int) -> None:
        """Take note of a message that cannot be read."""
        self.found.unreadable += 1
        self._note(received_ns)

    def take_snapshot(self, last_update_id: int, received_ns: int) -> None:
        """Take a snapshot of the book."""

    def finding(self) -> StreamFinding:
        """Return what was found."""
        self.found.messages = self.messages
        self.found.last_ns = self.last_ns
        return self.found

    def _note(self, received_ns: int) -> None:
        self.messages += 1
        self.last_ns = received_ns

    def _offer(self, message: Any, received_ns: int) -> None:
        """Look at a message."""
        del received_ns
        self._mind(message.event_time_ms)

    def _mind(self, event_ms: int) -> None:
        """Look at an event time; 0 is none, as that of an empty array."""
        if event_ms >= self._event_ms:
            self._event_ms = event_ms
        elif event_ms:
            self.found.event_times_back += 1

    def _gap(
        self, symbol: str, bounds: tuple[int, int], missing: int | None, received_ns: int
    ) -> Gap | None:
        """Take note of a gap; return it if it is among those that are listed."""
        found = self.found
        found.gaps += 1
        if missing is None:
            found.unknown_gaps += 1
        else:
            missing = min(missing, MOST_MISSING)
            found.missing += missing
        cause = self._walk.cause(self.stream, self.last_ns, received_ns, bounds[1])
        if len(found.first_gaps) >= self._walk.most_gaps:
            return None
        gap = Gap(
            symbol=symbol,
            from_ns=self.last_ns,
            to_ns=received_ns,
            after_id=bounds[0],
            before_id=bounds[1],
            missing=missing,
            place=self._walk.place(),
            cause=cause,
        )
        found.first_gaps.append(gap)
        return gap


class _Uninspected:
    """Stands for a message that is not read."""

    event_time_ms = 0


_MESSAGE = _Uninspected()


def _uninspected(_: bytes) -> _Uninspected:
    return _MESSAGE


class UnwalkedLane(Lane):
    """A stream that is not to be looked at: its messages are counted."""

    def __init__(self, stream: str, walk: Walk) -> None:
        super().__init__(stream, payload_reader(stream), walk)
        self.decode = _uninspected

    def take(self, message: Any, received_ns: int) -> bool:
        """Count a message."""
        del message, received_ns
        self.messages += 1
        return True
