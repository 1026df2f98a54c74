"""Questions of an edge and the answers of its plant: numbered, bounded, in parts if they are long.

Answers arrive in the order in which the plant gives them.  Pure: times are arguments, in ms of a
monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from msgspec import Struct

from tickerplant.bus.nodes import Answer, Number

MAX_WAITING = 10_000
"""Questions of one edge that wait for their answers; further ones fail at once."""
MAX_ANSWER_BYTES = 64 << 20
"""Bytes of one answer, over all its parts."""
MAX_REMEMBERED = 1_024
"""Questions that are recognized when they are asked again, over all edges."""
MAX_REMEMBERED_BYTES = 16 << 20
"""Bytes of answers that are kept for that; the oldest are forgotten first."""
CALL_TIMEOUT_MS = 60_000
"""How long a question waits for its answer."""


class Question(Struct, frozen=True, kw_only=True):
    """A question, or part of one."""

    edge: str
    call: Number
    """Counts the questions of the edge."""
    method: str
    body: bytes
    offset: Number = 0
    """Bytes of the question in the parts before."""
    is_last: bool = True


class CallFailed(Struct, frozen=True):
    """There is no answer: the text says why, as one line without a full stop."""

    reason: str


OnAnswer: TypeAlias = Callable[[bytes | CallFailed], object]
Reply: TypeAlias = Callable[[bytes], object]
Handler: TypeAlias = Callable[[bytes, Reply], object]
"""Answers one question, now or later, once."""


_Key: TypeAlias = tuple[str, int]
"""An edge, and the number of its question."""


class _Waiting(Struct, eq=False):
    method: str
    body: bytes
    on_answer: OnAnswer
    deadline_ms: int
    parts: list[bytes]
    part_bytes: int = 0


class Caller:
    """Asks the questions of one edge.

    Args:
        identity: The edge.
        send: Publishes a question.
        clock: Returns ms of a monotonic clock.
        part_bytes: Returns how long a body may be that is sent in one part.
    """

    def __init__(
        self,
        identity: str,
        send: Callable[[Question], object],
        clock: Callable[[], int],
        part_bytes: Callable[[], int],
    ) -> None:
        self.asked_count = 0
        self.failed_count = 0
        self.outage: str = ""
        """Why questions fail at once; empty while they are asked."""
        self._identity = identity
        self._send = send
        self._clock = clock
        self._part_bytes = part_bytes
        self._waiting: dict[int, _Waiting] = {}

    @property
    def waiting_count(self) -> int:
        """Questions that wait for their answers."""
        return len(self._waiting)

    def call(self, method: str, body: bytes, on_answer: OnAnswer) -> None:
        """Ask the plant; `on_answer` is called once, perhaps at once.

        Args:
            method: What is asked; the plant has a handler of this name.
            body: The question.
            on_answer: Takes the answer, or why there is none.
        """
        self.asked_count += 1
        if self.outage or len(self._waiting) >= MAX_WAITING:
            self.failed_count += 1
            on_answer(CallFailed(self.outage or "too many questions wait for the plant"))
            return
        number = self.asked_count
        deadline_ms = self._clock() + CALL_TIMEOUT_MS
        self._waiting[number] = _Waiting(method, body, on_answer, deadline_ms, [])
        self._ask(number, method, body)

    def receive(self, answer: Answer) -> None:
        """Take an answer, or part of one; one that nobody waits for is ignored."""
        waiting = self._waiting.get(answer.call)
        if waiting is None:
            return
        if answer.offset == 0:  # perhaps again, after a loss
            waiting.parts.clear()
            waiting.part_bytes = 0
        elif answer.offset != waiting.part_bytes:
            return
        waiting.parts.append(answer.body)
        waiting.part_bytes += len(answer.body)
        if answer.failure or waiting.part_bytes > MAX_ANSWER_BYTES:
            self._fail(answer.call, answer.failure or "the answer of the plant is too long")
        elif answer.is_last:
            del self._waiting[answer.call]
            parts = waiting.parts
            waiting.on_answer(parts[0] if len(parts) == 1 else b"".join(parts))

    def tick(self) -> None:
        """Fail the questions that have waited too long."""
        now_ms = self._clock()
        for number, waiting in tuple(self._waiting.items()):
            if waiting.deadline_ms > now_ms:
                break  # all wait equally long
            self._fail(number, "the plant did not answer in time")

    def fail_all(self, reason: str) -> None:
        """Fail every question, and each new one at once until `resume`."""
        self.outage = reason
        for number in tuple(self._waiting):
            self._fail(number, reason)

    def resume(self) -> None:
        """Ask questions again."""
        self.outage = ""

    def resend(self) -> None:
        """Ask again what was not answered yet: questions or answers may have been lost."""
        for number, waiting in self._waiting.items():
            waiting.parts.clear()
            waiting.part_bytes = 0
            self._ask(number, waiting.method, waiting.body)

    def _ask(self, number: int, method: str, body: bytes) -> None:
        for offset, part, is_last in _parts(body, self._part_bytes()):
            self._send(
                Question(
                    edge=self._identity,
                    call=number,
                    method=method,
                    body=part,
                    offset=offset,
                    is_last=is_last,
                )
            )

    def _fail(self, number: int, reason: str) -> None:
        self.failed_count += 1
        self._waiting.pop(number).on_answer(CallFailed(reason))


class Answerer:
    """Answers the questions of all edges of a plant.

    Args:
        send: Publishes an answer to an edge.
        part_bytes: Returns how long a body may be that is sent in one part.
    """

    def __init__(
        self, send: Callable[[str, Answer], object], part_bytes: Callable[[], int]
    ) -> None:
        self.answered_count = 0
        self.refused_count = 0
        """Questions that no handler took."""
        self._send = send
        self._part_bytes = part_bytes
        self._handlers: dict[str, Handler] = {}
        self._begun: dict[_Key, list[bytes]] = {}
        """The questions of which parts are missing."""
        self._answers: dict[_Key, bytes | None] = {}
        """The answers to the last questions, None for those without one yet, oldest first."""
        self._answers_bytes = 0

    def register(self, method: str, handler: Handler) -> None:
        """Answer the questions of `method` with `handler`."""
        self._handlers[method] = handler

    def receive(self, question: Question) -> None:
        """Answer a question, or keep the part of one until the last."""
        key, body = (question.edge, question.call), question.body
        if question.offset or not question.is_last:
            whole = self._join(key, question)
            if whole is None:
                return
            body = whole
        if key in self._answers:  # it was asked again after a loss
            answer = self._answers[key]
            if answer is not None:
                self._reply(key, answer)
            return
        handler = self._handlers.get(question.method)
        if handler is None:
            self.refused_count += 1
            failure = f"the plant answers no questions of the kind {question.method}"
            self._send(question.edge, Answer(call=question.call, body=b"", failure=failure))
            return
        self._answers[key] = None
        self._forget_answers(MAX_REMEMBERED, MAX_REMEMBERED_BYTES)
        handler(body, partial(self._answer, key))

    def forget(self, edge: str) -> None:
        """Drop what is kept of the questions of an edge that has gone."""
        for key in [key for key in self._begun if key[0] == edge]:
            del self._begun[key]
        for key in [key for key in self._answers if key[0] == edge]:
            self._answers_bytes -= len(self._answers.pop(key) or b"")

    def _join(self, key: _Key, part: Question) -> bytes | None:
        """Return the question of which `part` is the last part; None before that."""
        parts = self._begun.setdefault(key, [])
        if part.offset == 0:  # perhaps again, after a loss
            parts.clear()
        before = sum(map(len, parts))
        if part.offset != before:
            return None
        parts.append(part.body)
        if before + len(part.body) > MAX_ANSWER_BYTES or len(self._begun) > MAX_WAITING:
            del self._begun[key]
            self.refused_count += 1
            return None
        return b"".join(self._begun.pop(key)) if part.is_last else None

    def _answer(self, key: _Key, body: bytes) -> None:
        self.answered_count += 1
        if key in self._answers:
            self._answers[key] = body
            self._answers_bytes += len(body)
        self._reply(key, body)

    def _reply(self, key: _Key, body: bytes) -> None:
        edge, call = key
        for offset, part, is_last in _parts(body, self._part_bytes()):
            self._send(edge, Answer(call=call, body=part, offset=offset, is_last=is_last))

    def _forget_answers(self, most: int, most_bytes: int) -> None:
        answers = self._answers
        while len(answers) > most or self._answers_bytes > most_bytes:
            self._answers_bytes -= len(answers.pop(next(iter(answers))) or b"")


def _parts(body: bytes, part_bytes: int) -> Iterator[tuple[int, bytes, bool]]:
    """Yield the parts of `body`, each with its offset and whether it is the last."""
    if len(body) <= part_bytes:
        yield 0, body, True
        return
    for start in range(0, len(body), part_bytes):
        yield start, body[start : start + part_bytes], start + part_bytes >= len(body)
