"""What is not ours on the bus is ignored and counted: no error escapes, and no process ends."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from cluster_stage import QUOTE, TRADE, World, world
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import looped
from msgspec.structs import replace
from whole import whole

from tickerplant.cluster.broker import Subjects, answer, ask, token_of
from tickerplant.cluster.messages import (
    ADMIT,
    API,
    CONTROL,
    HTTP,
    REPORT,
    WANT,
    ApiAnswer,
    ApiQuestion,
    Asked,
    Batch,
    Beat,
    MalformedError,
    Opened,
    PlantDescription,
    Question,
    Report,
    StreamsLost,
    Told,
    Want,
    decode,
    encode,
)
from tickerplant.server.backend import Admission, Attempt
from tickerplant.server.http_request import HttpRequest
from tickerplant.server.operations.connections import ConnectionsPage
from tickerplant.server.operations.nodes import NodeRow

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0")) or settings().max_examples // 2
PLANT = PlantDescription(name="main", started_ns=1, profile="2026q1", venues=("usdm", "coinm"))
WORDS = {"id": "1", "host": "h", "address": {"usdm": "a:1"}}
ROW = msgspec.convert(dict.fromkeys(NodeRow.__struct_fields__, 3) | WORDS, NodeRow)
CONTROLS = (
    StreamsLost(venue="usdm", names=("a@trade",), reason="gone"),
    StreamsLost(venue="nowhere", names=("a@trade",), reason="gone"),
    replace(PLANT, outages={"nowhere": "gone"}),
    replace(PLANT, ended="garbage", faults={"f1": {"kind": "reset", "mean": "5s"}}),
)
REAL: tuple[tuple[Any, tuple[Any, ...]], ...] = (
    (CONTROL, CONTROLS),
    (Batch, (Batch(1, 1, (b"1", b"2"), {1: b"3"}),)),
    (Beat, (Beat("r", 1, 1, 1, "host", ((1, 2),)),)),
    (PlantDescription, (PLANT,)),
    (Question, (Question("e1", "echo", b"?"),)),
    (Want, (Want(opened=(("usdm", TRADE),), closed=(("nowhere", QUOTE),)),)),
    (Opened, (Opened(1, 2, "why"),)),
    (Report, (Report(subscribers=2, faults={"drop": 2}, row=ROW),)),
    (ApiQuestion, (ApiQuestion("usdm", 1, "a", 0, True, b"{}"),)),
    (ApiAnswer, (ApiAnswer(((b"{}", None),), "banned"),)),
    (Asked, (Asked(metrics=True, tallies=True, connections=3, waits=True),)),
    (
        Told,
        (
            Told(
                families=(("a", "b", "gauge", (("a", {"x": "y"}, 1.0),)),),
                tallies={"usdm": {"a": {"connections": (1, 1, 0)}}},
                page=ConnectionsPage(total=1, deliveries={}, connections=[], closed=[]),
            ),
        ),
    ),
    (HttpRequest, (HttpRequest("usdm", "a", "a", "GET", "/", b"/", {b"a": b"b"}),)),
    (Attempt, (Attempt("a", is_api=False, target="/ws", is_counted=True),)),
    (Admission, (Admission(0, False),)),
)
BY_KIND = {str(kind): real for kind, real in REAL}


def strange(*real: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that are no message of ours, or one that was cut off or changed."""
    whole_ones = st.sampled_from(real)
    cut = st.builds(lambda data, share: data[: int(len(data) * share)], whole_ones, st.floats(0, 1))
    changed = st.builds(
        lambda data, place, byte: (
            b"%b%c%b" % (data[: place % len(data)], byte, data[place % len(data) + 1 :])
        ),
        whole_ones,
        st.integers(0, 1 << 16),
        st.integers(0, 255),
    )
    leaves = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text()
    other = st.recursive(
        leaves | st.binary(),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
        ),
        max_leaves=6,
    ).map(msgspec.msgpack.encode)
    return st.binary(max_size=60) | cut | changed | other | whole_ones


def of(kind: Any) -> st.SearchStrategy[bytes]:
    """Bytes that are strange where a `kind` is expected."""
    return strange(*map(encode, BY_KIND[str(kind)]))


def in_batch(control: Any, number: int = 1) -> bytes:
    return encode(Batch(number, 1, (encode(control),)))


@pytest.mark.parametrize(("kind", "real"), REAL, ids=lambda each: getattr(each, "__name__", ""))
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_what_cannot_be_read_is_malformed_and_nothing_else(
    kind: Any, real: tuple[Any, ...], data: st.DataObject
) -> None:
    message = data.draw(strange(*map(encode, real)))
    try:
        found = decode(message, kind)
    except MalformedError:
        return
    assert decode(encode(found), kind) == found, "it can be told on"


def subjects_of(w: World) -> Iterator[tuple[str, st.SearchStrategy[bytes]]]:
    """Where somebody listens, and what is strange there."""
    assert w.node.run is not None
    subjects = Subjects("t", "main", w.node.run.run)
    edge = w.edges[0].node.identity
    asked = [Question(edge, method, b"") for method in (WANT, REPORT, HTTP, ADMIT, API)]
    bodies = [
        Question(edge, WANT, encode(BY_KIND[str(Want)][0])),
        Question(edge, REPORT, encode(BY_KIND[str(Report)][0])),
        Question("e9", WANT, b""),
    ]
    yield subjects.join, strange(encode("e7"))
    yield subjects.beat, of(Beat)
    yield subjects.control, strange(*map(in_batch, CONTROLS))
    yield subjects.edge(edge), of(Asked)
    yield subjects.ask, strange(*map(encode, (*asked, *bodies)))
    yield subjects.stream("usdm", TRADE), of(Batch)


@pytest.mark.heavy
@settings(max_examples=EXAMPLES)
@given(data=st.data())
@looped
async def test_no_message_ends_a_process_or_lets_an_error_escape(data: st.DataObject) -> None:
    async with world() as w:
        w.edges[0].listen(TRADE)
        await w.hear()
        stranger = await w.bus.open("a stranger")
        for subject, messages in subjects_of(w):
            for message in data.draw(st.lists(messages, max_size=3)):
                reply = data.draw(st.sampled_from(("", "in.stranger.1", "in.stranger.x")))
                stranger.publish(subject, message, reply)
        await w.hear(15)
        assert not w.keeping[0].done()
        assert not w.edges[0].task.done()
        again = w.edges[0].listen(QUOTE)
        await w.hear()
        w.say(QUOTE, b"1")
        await w.hear()
        assert again.texts() == [b"1"]


@looped
async def test_garbage_closes_no_client_and_is_counted() -> None:
    async with world() as w:
        edge = w.edges[0]
        one = edge.listen(TRADE)
        await w.hear()
        stranger = await w.bus.open("a stranger")
        for subject, _ in subjects_of(w):
            for garbage in (b"", b"\xff\x00", b"{}", encode([2, "later"]), b"\x90" * 500):
                stranger.publish(subject, garbage)
        stranger.publish(Subjects("t", "main", "other").stream("usdm", TRADE), b"of another run")
        assert w.node.run is not None
        w.node.run.control(replace(w.node.description, run=w.node.run.run, ended="garbage"))
        await w.hear(2)
        w.say(TRADE, b"1")
        await w.hear()
        assert (one.texts(), one.closed) == ([b"1"], "")
        assert edge.complaints.counts["bus: malformed"] >= 15
        assert w.node.complaints.counts["bus: malformed"] >= 10


@looped
async def test_an_edge_joins_although_a_stranger_answers_too() -> None:
    async with world(0) as w:
        stranger = await w.bus.open("a stranger")
        join = Subjects("t", "main").join
        stranger.subscribe(join, lambda _, reply: stranger.publish(reply, b"\xff"))
        for number in range(3):
            edge = await w.edge()
            assert edge.node.description.name == "main", number


def unreadable(*_: object) -> None:
    decode(b"\xff", Opened)


@looped
async def test_answers_that_cannot_be_read_end_the_session_and_the_next_one_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as w:
        edge = w.edges[0]
        edge.listen(QUOTE)
        await w.hear()
        session = edge.node.session
        assert session is not None
        monkeypatch.setattr(session, "_on_wanted", unreadable)
        one = edge.listen(TRADE)
        await w.hear(3)
        assert one.closed.startswith("an answer of the plant cannot be read: ")
        assert edge.clients.accept()


@pytest.mark.heavy
@settings(max_examples=EXAMPLES)
@given(told=st.lists(of(Told) | of(Asked), min_size=1, max_size=3), report=of(Report))
@looped
async def test_no_edge_breaks_the_pages_of_its_plant(told: list[bytes], report: bytes) -> None:
    async with whole(1) as many:
        stranger = await many.bus.open("a stranger")
        run = many.node.run
        assert run is not None
        identity = "a stranger"
        assert isinstance(await ask(stranger.ask, run.subjects.join, encode(identity)), bytes)
        inbox, answers = Subjects("t", "main", run.run).edge(identity), itertools.cycle(told)
        stranger.subscribe(inbox, lambda _, reply: answer(stranger, reply, next(answers)))
        for body in (report, encode(Report(row=ROW))):
            stranger.publish(run.subjects.ask, encode(Question(identity, REPORT, body)))
        await many.heard()
        for path in ("metrics", "plant/v1/nodes", "plant/v1/connections", "plant/v1/limits"):
            for each in (many.edges[0], many.edges[0]):
                assert (await each.get(f"/{path}")).status == 200, path
        assert "fault in http" not in many.server.complaints.counts


NAMES = st.text(max_size=9) | st.text(alphabet="ab@.>* %é\ud800", max_size=200)


@given(NAMES, NAMES)
def test_names_are_tokens_of_subjects_that_are_different_for_different_names(
    one: str, other: str
) -> None:
    token = token_of(one)
    assert 0 < len(token) <= 128
    assert token.isascii()
    assert not set(token) & set(".*> \t\r\n")
    assert (token == token_of(other)) == (one == other)
