"""What becomes of the messages of one connection while faults are on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

from tickerplant.faults.board import Chances, FaultOn
from tickerplant.faults.clock import FaultClock, Timer
from tickerplant.faults.message_faults import MessageFault
from tickerplant.hub.delivery import Message

MAX_WITHHELD = 10_000
"""Most messages that one fault withholds from one connection; then the oldest comes early."""

Release: TypeAlias = Callable[[Sequence[Message]], object]


class MessageFilter:
    """A rule that lets messages pass, or that acts on them."""

    withholds: ClassVar[bool] = False
    """Whether it may hold messages."""

    def __call__(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return what it leaves of the messages: the same sequence if it changes none."""
        return messages

    def end(self) -> None:
        """Release what it holds: the rule is over, or has happened."""


def message_filter(
    on: FaultOn, chances: Chances, clock: FaultClock, release: Release
) -> MessageFilter:
    """Return what a rule does to the messages of one connection."""
    fault = on.rule.fault
    assert isinstance(fault, MessageFault)  # noqa: S101  # tells the type checker
    if fault.withholds:
        return _Withheld(on, fault, chances, clock, release)
    return _EachMessage(on, fault, chances)


class _EachMessage(MessageFilter):
    """A fault that drops, repeats or changes single messages."""

    def __init__(self, on: FaultOn, fault: MessageFault, chances: Chances) -> None:
        self._aim = on.rule.aim
        self._fault = fault
        self._chances = chances
        self._takes_all = fault.takes_every and not on.rule.aim.stream

    def __call__(self, messages: Sequence[Message]) -> Sequence[Message]:
        if self._takes_all and self._chances.passes(len(messages)):
            return messages
        hits = self._chances.done
        left: list[Message] = []
        for message in messages:
            texts = self._changed(message) if not self._chances.is_spent else None
            if texts is None or not self._chances.occurs():
                left.append(message)
                continue
            payload = message.payload
            left += [message if text is payload else message.with_payload(text) for text in texts]
        return left if self._chances.done > hits else messages

    def _changed(self, message: Message) -> Sequence[bytes] | None:
        """Return what would come in the place of a message; None if it cannot be hit."""
        payload = message.payload
        if not (self._aim.takes_stream(message.stream.name) and self._fault.takes(payload)):
            return None
        texts = self._fault.change(payload)
        return None if len(texts) == 1 and texts[0] is payload else texts


class _Withheld(MessageFilter):
    """A fault that withholds messages for a time, or until the next one of their stream."""

    withholds = True

    def __init__(
        self,
        on: FaultOn,
        fault: MessageFault,
        chances: Chances,
        clock: FaultClock,
        release: Release,
    ) -> None:
        self._aim = on.rule.aim
        self._fault = fault
        self._chances = chances
        self._clock = clock
        self._release = release
        self._until_next: dict[str, Message] = {}
        """The message that is withheld until the next one, by stream."""
        self._for_a_time: dict[Timer, Message] = {}
        """The messages that are withheld, in their order, by what releases them."""

    def __call__(self, messages: Sequence[Message]) -> Sequence[Message]:
        left: list[Message] = []
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

    def _oldest(self) -> Message:
        """Withhold the oldest message no longer, and return it; it is counted."""
        timer = next(iter(self._for_a_time))
        timer.cancel()
        self._chances.overflowed()
        return self._for_a_time.pop(timer)

    def _withhold(self, message: Message, hold_ms: int) -> None:
        def due(_due_ms: int) -> None:
            self._release((self._for_a_time.pop(timer),))

        timer = self._clock.after(hold_ms - self._chances.late_ms, due)
        self._for_a_time[timer] = message


class CountedMessages(MessageFilter):
    """Counts messages; those after the last one wait until a fault has happened."""

    withholds = True

    def __init__(self, on: FaultOn, then: Callable[[], object], release: Release) -> None:
        self._aim = on.rule.aim
        self._left = on.rule.window.after
        self._then = then
        self._release = release
        self._held: list[Message] = []
        self._is_over = False

    def __call__(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages until the last one that is counted."""
        if self._is_over:
            return messages
        for place, message in enumerate(messages):
            if not self._left:
                self._held += messages[place:]
                return messages[:place]
            if self._aim.takes_stream(message.stream.name):
                self._left -= 1
                if not self._left:
                    self._then()
        return messages

    def end(self) -> None:
        """Write what waits, and let all that follows pass."""
        self._is_over = True
        held, self._held = self._held, []
        self._release(held)
