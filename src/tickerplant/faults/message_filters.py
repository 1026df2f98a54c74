"""What becomes of the messages of one connection while faults of messages are on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, Self, TypeVar

from tickerplant.faults.board import Chances, FaultOn
from tickerplant.faults.clock import FaultClock, Timer
from tickerplant.faults.message_faults import MessageFault

MAX_WITHHELD = 10_000
"""Most messages that one fault withholds from one connection; then the oldest comes early."""


class StreamOfMessage(Protocol):
    """The stream of a message."""

    @property
    def name(self) -> str:
        """Its name."""


class FaultyMessage(Protocol):
    """A message as it waits for a subscriber."""

    payload: bytes

    @property
    def stream(self) -> StreamOfMessage:
        """Its stream."""

    def with_payload(self, payload: bytes) -> Self:
        """Return the same message with another text."""


M = TypeVar("M", bound=FaultyMessage)


class MessageFilter(Protocol[M]):
    """A fault of the messages of one connection."""

    withholds: ClassVar[bool]
    """Whether it may hold messages."""

    def __call__(self, messages: Sequence[M]) -> Sequence[M]:
        """Return what the fault leaves of the messages."""

    def end(self) -> object:
        """Release what it holds: the fault is over."""


def message_filter(
    on: FaultOn,
    chances: Chances,
    clock: FaultClock,
    release: Callable[[Sequence[M]], object],
) -> MessageFilter[M]:
    """Return what a rule does to the messages of one connection."""
    fault = on.rule.fault
    assert isinstance(fault, MessageFault)  # noqa: S101  # tells the type checker
    if fault.withholds:
        return _Withheld(on, fault, chances, clock, release)
    return _EachMessage(on, fault, chances)


class _EachMessage:
    """A fault that drops, repeats or changes single messages."""

    withholds: ClassVar[bool] = False

    def __init__(self, on: FaultOn, fault: MessageFault, chances: Chances) -> None:
        self._aim = on.rule.aim
        self._fault = fault
        self._chances = chances
        self._takes_all = fault.takes_every and not on.rule.aim.stream

    def __call__(self, messages: Sequence[M]) -> Sequence[M]:
        if self._takes_all and self._chances.passes(len(messages)):
            return messages
        hits = self._chances.done
        left: list[M] = []
        for message in messages:
            texts = self._changed(message) if not self._chances.is_spent else None
            if texts is None or not self._chances.occurs():
                left.append(message)
                continue
            payload = message.payload
            left += [message if text is payload else message.with_payload(text) for text in texts]
        return left if self._chances.done > hits else messages

    def _changed(self, message: FaultyMessage) -> Sequence[bytes] | None:
        """Return what would come in the place of a message; None if it cannot be hit."""
        payload = message.payload
        if not (self._aim.takes_stream(message.stream.name) and self._fault.takes(payload)):
            return None
        texts = self._fault.change(payload)
        return None if len(texts) == 1 and texts[0] is payload else texts

    def end(self) -> None:
        pass


class _Withheld:
    """A fault that withholds messages for a time, or until the next one of their stream."""

    withholds: ClassVar[bool] = True

    def __init__(
        self,
        on: FaultOn,
        fault: MessageFault,
        chances: Chances,
        clock: FaultClock,
        release: Callable[[Sequence[Any]], object],
    ) -> None:
        self._aim = on.rule.aim
        self._fault = fault
        self._chances = chances
        self._clock = clock
        self._release = release
        self._until_next: dict[str, Any] = {}
        """The message that is withheld until the next one, by stream."""
        self._for_a_time: dict[Timer, Any] = {}
        """The messages that are withheld, in their order, by what releases them."""

    def __call__(self, messages: Sequence[M]) -> Sequence[M]:
        left: list[M] = []
        for message in messages:
            name = message.stream.name
            if (held := self._until_next.pop(name, None)) is not None:
                left += (message, held)
            elif not (self._aim.takes_stream(name) and self._chances.occurs()):
                left.append(message)
            elif (hold_ms := self._fault.hold_ms(self._chances.random)) is None:
                self._until_next[name] = message
            else:
                if len(self._for_a_time) == MAX_WITHHELD:
                    left.append(self._oldest())
                self._withhold(message, hold_ms)
        return left

    def end(self) -> None:
        for timer in self._for_a_time:
            timer.cancel()
        held = (*self._until_next.values(), *self._for_a_time.values())
        self._until_next, self._for_a_time = {}, {}
        self._release(held)

    def _oldest(self) -> Any:
        """Withhold the oldest message no longer, and return it; it is counted."""
        timer = next(iter(self._for_a_time))
        timer.cancel()
        self._chances.overflowed()
        return self._for_a_time.pop(timer)

    def _withhold(self, message: FaultyMessage, hold_ms: int) -> None:
        def due(_due_ms: int) -> None:
            self._release((self._for_a_time.pop(timer),))

        timer = self._clock.after(hold_ms - self._chances.late_ms, due)
        self._for_a_time[timer] = message
