"""What is not ours on the bus is ignored and counted: no error escapes, and no client is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from bus_stage import Clients, Edge, open_bus, until
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import looped_on_sockets
from stage import open_plant
from strange_messages import EXAMPLES, Fed, strange

from tickerplant.bus import batches, nodes
from tickerplant.bus.batches import FORMAT_VERSION, BadBatchError, Batch, Message
from tickerplant.bus.calls import Question
from tickerplant.bus.nodes import (
    Accepted,
    Answer,
    Beat,
    ConnectionToClose,
    Control,
    EpochBegins,
    FaultsSet,
    FromEdge,
    Interest,
    Leaving,
    MalformedError,
    Mark,
    OutageEnded,
    PlantDescription,
    PlantGoes,
    Reached,
    Report,
    SendAll,
    StreamsEnded,
    ToEdge,
)
from tickerplant.bus.questions import (
    AdmitAnswer,
    AdmitQuestion,
    ApiAnswer,
    ApiQuestion,
    EdgeReport,
    HttpAnswer,
)
from tickerplant.cluster.edge_node import EdgeNode
from tickerplant.cluster.lease import Holder
from tickerplant.cluster.plant_node import PlantNode
from tickerplant.cluster.timing import Timing
from tickerplant.server.http_request import HttpRequest

NAME = ("usdm", "btcusdt@trade")
EPOCH = "epoch 1"
PLANT = PlantDescription(name="main", epoch=EPOCH, profile="2026q1", venues=("usdm", "coinm"))
TO_EDGE = (
    Accepted(epoch=EPOCH, version=1, number=5, earlier={"usdm": {NAME[1]: 3}}, state=PLANT),
    SendAll(version=3),
    Answer(epoch=EPOCH, call=1, body=b"{}"),
)
CONTROLS = (
    EpochBegins(description=PLANT, number=3),
    OutageEnded(venue="usdm"),
    FaultsSet(rules={"f1": {"kind": "reset", "mean": "5s"}}),
    ConnectionToClose(worker="w", connection="c1"),
    StreamsEnded(reason="garbage"),
    PlantGoes(reason="garbage"),
    Mark(mark=7, waits=True),
)
"""Those that close nobody, whatever else is in them."""
FROM_EDGE = (
    Interest(edge="e1", version=1, opened={"usdm": ["btcusdt@trade"]}),
    Report(edge="e1", version=1, body=nodes.encode(EdgeReport(worker="1", pid=3, since_ms=5))),
    Reached(edge="e1", mark=3),
    Leaving(edge="e1"),
)
QUESTION = Question(edge="e1", call=1, method="echo", body=b"?")
DECODED: tuple[tuple[Any, tuple[Any, ...]], ...] = (
    (ToEdge, TO_EDGE),
    (Control, CONTROLS),
    (FromEdge, FROM_EDGE),
    (Question, (QUESTION,)),
    (Beat, (Beat(epoch=EPOCH, term=1, number=9, latest=((1, 2),), kept=((1, 2),)),)),
    (PlantDescription, (PLANT,)),
    (HttpRequest, (HttpRequest("usdm", "a", "a", "GET", "/", b"/", {b"a": b"b"}),)),
    (HttpAnswer, (HttpAnswer(200, "text/plain", (), b"", True),)),
    (AdmitQuestion, (AdmitQuestion("usdm", "a", False),)),
    (AdmitAnswer, (AdmitAnswer(0, False),)),
    (ApiQuestion, (ApiQuestion("usdm", "e1", 1, "a", 0, True, b"{}"),)),
    (ApiAnswer, (ApiAnswer(((b"{}", None),), "banned"),)),
    (EdgeReport, (EdgeReport(worker="1", pid=3, since_ms=5),)),
)


def in_batch(control: Any) -> bytes:
    return batches.encode(Batch(FORMAT_VERSION, EPOCH, 1, 1, (Message(9, nodes.encode(control)),)))


@pytest.mark.parametrize(("kind", "real"), DECODED, ids=lambda each: getattr(each, "__name__", ""))
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_what_cannot_be_read_is_malformed_and_nothing_else(
    kind: Any, real: tuple[Any, ...], data: st.DataObject
) -> None:
    message = data.draw(strange(*map(nodes.encode, real)))
    try:
        found = nodes.decode(message, kind)
    except MalformedError:
        return
    assert nodes.decode(nodes.encode(found), kind) == found, "it can be told on"


@settings(max_examples=EXAMPLES)
@given(message=strange(in_batch(Mark(mark=1))))
def test_a_batch_that_cannot_be_read_is_bad_and_nothing_else(message: bytes) -> None:
    try:
        batches.decode(message)
    except BadBatchError:
        return


def edge_on(bus: Fed) -> tuple[EdgeNode, Clients]:
    """An edge that has joined, and is subscribed to a stream that the plant has accepted."""
    node = EdgeNode(
        bus, "main", identity="e1", grace_ms=5_000, complaints=bus.complaints, clock=lambda: 0
    )
    node.description = PLANT
    edge = Edge(node, bus, bus.complaints)
    node.attach(
        edge.plant.hubs, clients=edge.clients, readers=edge.readers, report=lambda: b"figures"
    )
    edge.subscribe(NAME[1])
    accepted = Accepted(epoch=EPOCH, version=2, number=1)
    bus.hear(node.subjects.edge("e1"), nodes.encode(accepted))
    return node, edge.clients


def closings(clients: Clients) -> list[object]:
    return [told for told in clients.told if told[0] in {"outage", "streams ended"}]


def subjects_of(node: EdgeNode) -> Iterator[tuple[str, st.SearchStrategy[bytes]]]:
    """What an edge hears, and what is strange there."""
    subjects = node.subjects
    yield subjects.edge("e1"), strange(*map(nodes.encode, TO_EDGE))
    yield subjects.control, strange(*map(in_batch, CONTROLS))
    yield subjects.stream(*NAME), strange(in_batch(Mark(mark=1)))
    yield subjects.beat, strange(nodes.encode(Beat(epoch=EPOCH, term=0, number=3)))


@pytest.mark.heavy
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_no_message_closes_the_clients_of_an_edge_or_ends_it(data: st.DataObject) -> None:
    async def check() -> None:
        bus = Fed()
        node, clients = edge_on(bus)
        for subject, messages in subjects_of(node):
            for message in data.draw(st.lists(messages, max_size=5)):
                bus.hear(subject, message)
        assert bus.faults == []
        assert closings(clients) == []

    asyncio.run(check())


@pytest.mark.heavy
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_no_message_ends_a_plant_or_lets_an_error_escape(data: st.DataObject) -> None:
    async def check() -> None:
        bus = Fed()
        node = PlantNode(bus, open_plant(), PLANT)
        node.answerer.register("echo", lambda body, reply: reply(body))
        subjects = node.subjects
        heard: dict[str, tuple[Callable[..., object], tuple[Any, ...]]] = {
            subjects.interest: (node._on_edge, FROM_EDGE),
            subjects.call: (node._on_question, (QUESTION,)),
            subjects.hello: (node._on_hello, (nodes.Hello("e1"),)),
            subjects.beat: (lambda *_: None, (Beat(epoch="2", term=1, number=9),)),
        }
        node.is_active = data.draw(st.booleans())
        for subject, (callback, real) in heard.items():
            bus.subscribe(subject, callback)
            for message in data.draw(st.lists(strange(*map(nodes.encode, real)), max_size=5)):
                bus.hear(subject, message)
        assert bus.faults == []

    asyncio.run(check())


@pytest.mark.parametrize("control", [StreamsEnded(reason="x"), PlantGoes(reason="x")])
def test_an_unknown_reason_to_close_all_clients_is_ignored_and_counted(control: Any) -> None:
    async def check() -> None:
        bus = Fed()
        node, clients = edge_on(bus)
        bus.hear(node.subjects.control, in_batch(control))
        assert clients.told == []
        assert bus.complaints.counts["bus: malformed"] == 1

    asyncio.run(check())


def test_an_answer_of_another_run_of_the_plant_is_ignored_and_counted() -> None:
    async def check() -> None:
        bus = Fed()
        node, _ = edge_on(bus)
        answers: list[object] = []
        node.caller.call("echo", b"?", answers.append)
        for epoch in ("epoch 0", EPOCH):
            answer = Answer(epoch=epoch, call=1, body=epoch.encode())
            bus.hear(node.subjects.edge("e1"), nodes.encode(answer))
        assert answers == [EPOCH.encode()]
        assert bus.complaints.counts["bus: answer of another run of the plant"] == 1

    asyncio.run(check())


STRANGERS = (
    b"",
    b"x",
    b"{}",
    b"\xff\xfe",
    b'{"epoch":1,"term":2}',
    b'{"epoch":"x","term":-1}',
    b"[" * 9_999,
)


@looped_on_sockets
async def test_what_is_no_lease_does_not_end_a_plant_that_has_one() -> None:
    async with open_bus(is_patient=True) as bus:
        node, edge = await bus.plant(open_plant()), await bus.edge()
        stranger = await bus.connect("a stranger")
        complaints = bus.complaints_of(node)
        for number, data in enumerate(STRANGERS, 1):
            stranger.publish(node.subjects.lease, data)
            await stranger.flush()
            node.succession._lease.renew_soon()
            await until(
                lambda: complaints.counts["bus: not a lease"] >= number,  # noqa: B023
                f"{data[:40]!r} is counted",
            )
            assert not bus._runs[node].done()
            assert node.is_active
        lease = await stranger.jetstream().get_last_msg(
            node.subjects.lease_memory, node.subjects.lease
        )
        holder = msgspec.json.decode(lease.data or b"", type=Holder)
        assert holder.epoch == node.description.epoch
        assert edge.clients.told == []


@pytest.mark.slow("the bus forgets a lease in real time")
@looped_on_sockets
async def test_a_plant_that_starts_waits_until_what_is_no_lease_is_forgotten() -> None:
    timing = Timing(lease_s=0.6, start_s=30)
    async with open_bus() as bus:
        first = await bus.plant(open_plant(), timing=timing)
        await bus.stop(first)
        stranger = await bus.connect("a stranger")
        began_s = asyncio.get_running_loop().time()
        stranger.publish(first.subjects.lease, b"x")
        await stranger.flush()
        node = await bus.plant(open_plant(), timing=timing)
        assert node.is_active
        assert asyncio.get_running_loop().time() - began_s > 0.5


@pytest.mark.slow("plants answer within half a second of real time")
@looped_on_sockets
async def test_an_edge_joins_although_a_stranger_answers_its_greeting() -> None:
    async with open_bus() as bus:
        node = await bus.plant(open_plant())
        stranger = await bus.connect("a stranger")
        stranger.subscribe(node.subjects.hello, lambda _, __, reply: stranger.publish(reply, b"x"))
        await stranger.flush()
        for number in range(5):
            edge = await bus.edge(f"e{number}")
            assert edge.node.description.epoch == node.description.epoch
