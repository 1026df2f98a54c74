"""What faults do to the messages of one connection: change, drop, repeat and withhold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, Self, TypeAlias, TypeVar

from tickerplant.faults import payloads
from tickerplant.faults.board import Chances, FaultOn
from tickerplant.faults.clock import FaultClock, Timer
from tickerplant.faults.content_rows import (
    CHAIN,
    CLOCK,
    DELAY,
    DROP,
    DUPLICATE,
    FIELDS,
    MISSING_FIELD,
    NUMBERS,
    REORDER,
    SCALE,
    WORDS,
)

MAX_WITHHELD = 10_000
"""Most messages that one fault withholds from one connection; then the oldest comes early."""


class StreamOfMessage(Protocol):
    """The stream of a message."""

    @property
    def name(self) -> str:
        """Its name."""
        ...


class FaultyMessage(Protocol):
    """A message as it waits for a subscriber."""

    payload: bytes

    @property
    def stream(self) -> StreamOfMessage:
        """Its stream."""
        ...

    def with_payload(self, payload: bytes) -> Self:
        """Return the same message with another text."""
        ...


M = TypeVar("M", bound=FaultyMessage)


class MessageFault(Protocol[M]):
    """A fault of the messages of one connection."""

    def __call__(self, messages: Sequence[M]) -> Sequence[M]:
        """Return what the fault leaves of the messages."""
        ...

    def end(self) -> object:
        """Release what it holds: the fault is over."""
        ...


def message_fault(
    on: FaultOn,
    chances: Chances,
    clock: FaultClock,
    release: Callable[[Sequence[M]], object],
) -> MessageFault[M]:
    """Return what a rule does to the messages of one connection."""
    name = on.rule.row.name
    if name == DELAY.name:
        return _Late(on, chances, clock, release)
    if name == REORDER.name:
        return _Swapped(on, chances, release)
    change = _CHANGES[name]
    return _EachMessage(on, chances, _CONDITIONS.get(name, _any), partial(change, on.rule.values))


class _EachMessage:
    """A fault that drops, repeats or changes single messages."""

    def __init__(
        self,
        on: FaultOn,
        chances: Chances,
        applies: Callable[[bytes], bool],
        change: _Change,
    ) -> None:
        self._aim = on.rule.aim
        self._chances = chances
        self._applies = applies
        self._change = change
        self._takes_all = not on.rule.aim.stream and on.rule.row in (DROP, DUPLICATE)

    def __call__(self, messages: Sequence[M]) -> Sequence[M]:
        """Return what the fault leaves of the messages: the same sequence if it hits none."""
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
        if not (self._aim.takes_stream(message.stream.name) and self._applies(payload)):
            return None
        texts = self._change(payload)
        return None if len(texts) == 1 and texts[0] is payload else texts

    def end(self) -> None:
        """Do nothing: it holds nothing."""


class _Swapped:
    """A fault that lets messages come after the next one of their stream."""

    def __init__(
        self, on: FaultOn, chances: Chances, release: Callable[[Sequence[Any]], object]
    ) -> None:
        self._aim = on.rule.aim
        self._chances = chances
        self._release = release
        self._held: dict[str, Any] = {}
        """The message that is withheld, by stream."""

    def __call__(self, messages: Sequence[M]) -> Sequence[M]:
        """Return the messages in their new order."""
        left: list[M] = []
        for message in messages:
            name = message.stream.name
            held = self._held.pop(name, None)
            if held is not None:
                left += (message, held)
            elif self._aim.takes_stream(name) and self._chances.occurs():
                self._held[name] = message
            else:
                left.append(message)
        return left

    def end(self) -> None:
        """Write what is withheld."""
        held, self._held = tuple(self._held.values()), {}
        self._release(held)


class _Late:
    """A fault that withholds messages for a time."""

    def __init__(
        self,
        on: FaultOn,
        chances: Chances,
        clock: FaultClock,
        release: Callable[[Sequence[Any]], object],
    ) -> None:
        self._aim = on.rule.aim
        self._chances = chances
        self._clock = clock
        self._release = release
        self._time_ms: int = on.rule.values["time"]
        self._jitter_ms: int = on.rule.values["jitter"] or 0
        self._held: dict[Timer, Any] = {}
        """The messages that are withheld, in their order, by what releases them."""

    def __call__(self, messages: Sequence[M]) -> Sequence[M]:
        """Return the messages that are on time."""
        left: list[M] = []
        for message in messages:
            if self._aim.takes_stream(message.stream.name) and self._chances.occurs():
                if len(self._held) == MAX_WITHHELD:
                    left.append(self._oldest())
                self._withhold(message)
            else:
                left.append(message)
        return left

    def end(self) -> None:
        """Write what is withheld."""
        held, self._held = self._held, {}
        for timer in held:
            timer.cancel()
        self._release(tuple(held.values()))

    def _oldest(self) -> Any:
        """Withhold the oldest message no longer, and return it; it is counted."""
        timer = next(iter(self._held))
        timer.cancel()
        self._chances.overflowed()
        return self._held.pop(timer)

    def _withhold(self, message: FaultyMessage) -> None:
        wait_ms = self._time_ms
        if self._jitter_ms:
            wait_ms += self._chances.random.randint(0, self._jitter_ms)

        def due(_due_ms: int) -> None:
            self._release((self._held.pop(timer),))

        timer = self._clock.after(wait_ms, due)
        self._held[timer] = message


_Values: TypeAlias = Mapping[str, Any]
_Change: TypeAlias = Callable[[bytes], Sequence[bytes]]


def _any(_payload: bytes) -> bool:
    """Accept every message."""
    return True


_CONDITIONS: Mapping[str, Callable[[bytes], bool]] = {
    CHAIN.name: payloads.has_ids,
    WORDS.name: payloads.has_word,
}
"""Which messages a fault can hit, if not all."""
_CHANGES: Mapping[str, Callable[[_Values, bytes], Sequence[bytes]]] = {
    DROP.name: lambda _values, _text: (),
    CHAIN.name: lambda _values, _text: (),
    DUPLICATE.name: lambda _values, text: (text, text),
    MISSING_FIELD.name: lambda values, text: (payloads.without_field(text, values["field"]),),
    FIELDS.name: lambda _values, text: (payloads.with_unknown_fields(text),),
    WORDS.name: lambda _values, text: (payloads.with_unknown_word(text),),
    NUMBERS.name: lambda _values, text: (payloads.with_numbers(text),),
    SCALE.name: lambda values, text: (
        payloads.with_other_scale(text, values["digits"], values["of"]),
    ),
    CLOCK.name: lambda values, text: (payloads.with_clock_off(text, values["by"]),),
}
"""What comes in the place of a message that is hit, by the name of the fault."""
