from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.bus import calls
from tickerplant.bus.calls import Answerer, Caller, CallFailed, Question, Reply
from tickerplant.bus.nodes import Answer

PART_BYTES = 10


class Line:
    """An edge and its plant, and what lies on the way between them."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.questions: list[Question] = []
        self.answers: list[Answer] = []
        self.caller = Caller("e1", self.questions.append, lambda: self.now_ms, lambda: PART_BYTES)
        self.answerer = Answerer(self._send, lambda: PART_BYTES)
        self.heard: list[bytes | CallFailed] = []

    def _send(self, edge: str, answer: Answer) -> None:
        assert edge == "e1"
        self.answers.append(answer)

    def ask(self, method: str, body: bytes) -> None:
        self.caller.call(method, body, self.heard.append)

    def pass_on(self) -> None:
        questions, self.questions[:] = list(self.questions), []
        for question in questions:
            self.answerer.receive(question)
        answers, self.answers[:] = list(self.answers), []
        for answer in answers:
            self.caller.receive(answer)


@given(st.lists(st.binary(max_size=35), max_size=5))
def test_answers_of_any_length_come_to_their_questions(bodies: list[bytes]) -> None:
    line = Line()
    line.answerer.register("twice", lambda body, reply: reply(body * 2))
    for body in bodies:
        line.ask("twice", body)
    assert all(len(part.body) <= PART_BYTES for part in line.questions)
    line.pass_on()
    assert line.heard == [body * 2 for body in bodies]
    assert line.caller.waiting_count == 0


def test_a_question_that_is_asked_again_is_answered_once_by_its_handler() -> None:
    line, asked = Line(), list[bytes]()
    replies: list[Reply] = []

    def later(body: bytes, reply: Reply) -> None:
        asked.append(body)
        replies.append(reply)

    line.answerer.register("later", later)
    line.ask("later", b"step")
    line.pass_on()
    line.caller.resend()
    line.pass_on()
    replies[0](b"done")
    line.answers.clear()  # lost
    line.caller.resend()
    line.pass_on()
    assert asked == [b"step"]
    assert line.heard == [b"done"]


def test_a_part_that_is_sent_again_is_no_second_part() -> None:
    line = Line()
    line.answerer.register("twice", lambda body, reply: reply(body * 2))
    line.ask("twice", b"0123456789abcdef")
    del line.questions[1]  # the connection broke in between
    line.pass_on()
    line.caller.resend()
    line.pass_on()
    assert line.heard == [b"0123456789abcdef" * 2]


def test_a_question_without_an_answer_fails_in_time() -> None:
    line = Line()
    line.ask("what", b"")
    line.now_ms += calls.CALL_TIMEOUT_MS - 1
    line.caller.tick()
    assert line.heard == []
    line.now_ms += 1
    line.caller.tick()
    assert line.heard == [CallFailed("the plant did not answer in time")]


def test_without_a_plant_questions_fail_at_once_until_it_is_back() -> None:
    line = Line()
    line.ask("what", b"")
    line.caller.fail_all("the bus is lost")
    line.ask("what", b"")
    assert line.heard == [CallFailed("the bus is lost")] * 2
    line.caller.resume()
    line.ask("what", b"")
    assert line.caller.waiting_count == 1


def test_questions_beyond_the_bound_fail_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_WAITING", 2)
    line = Line()
    for _ in range(3):
        line.ask("what", b"")
    assert line.heard == [CallFailed("too many questions wait for the plant")]
    assert line.caller.failed_count == 1


def test_an_answer_beyond_the_bound_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_ANSWER_BYTES", 25)
    line = Line()
    line.answerer.register("long", lambda _body, reply: reply(bytes(40)))
    line.ask("long", b"")
    line.pass_on()
    assert line.heard == [CallFailed("the answer of the plant is too long")]


def test_kept_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_REMEMBERED", 2)
    line, asked = Line(), list[bytes]()

    def answer(body: bytes, reply: Reply) -> None:
        asked.append(body)
        reply(b"")

    line.answerer.register("count", answer)
    for body in (b"1", b"2", b"3"):
        line.ask("count", body)
    again = list(line.questions)
    line.pass_on()
    line.questions += again
    line.pass_on()
    assert asked[:3] == [b"1", b"2", b"3"]
    assert asked[3:4] == [b"1"], "the oldest was forgotten"
