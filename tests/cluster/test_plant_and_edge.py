"""A plant and edges over a bus in memory: what clients hear, and what they are told when it breaks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from cluster_stage import QUOTE, SHORT_S, TRADE, World, world
from loopback import looped, until
from memory_loop import MemoryLoop
from stage import happen, listen

from tickerplant.cluster.broker import Failed
from tickerplant.cluster.messages import Report
from tickerplant.envelope import prefix_of
from tickerplant.errors import BusError
from tickerplant.hub.hub import UNKNOWN_STREAM, UNKNOWN_SYMBOL
from tickerplant.protocol.close_reasons import ENDED

SILENT = "the plant is silent"
MISSING = "messages are missing"


@looped
async def test_a_client_hears_of_every_event_what_a_local_one_hears() -> None:
    names = ("!markPrice@arr", "!forceOrder@arr", QUOTE, TRADE, "btcusdt@depth@0ms", "!bookTicker")
    async with world() as w:
        remote, local = w.edges[0].listen(*names), listen(w.market, names)
        await w.hear()
        for second in range(1, 8):
            happen(w.market)
            w.market.advance(w.market.now_ms + 1_000 * second)
            await w.hear()
        w.hub.flush()
        assert len(local.texts()) > 50
        assert remote.texts() == local.texts()


@looped
async def test_nothing_is_published_that_no_edge_wants() -> None:
    async with world(2) as w:
        first, second = w.edges
        one, other = first.listen(TRADE), second.listen(QUOTE)
        again = first.listen(TRADE)
        await w.hear()
        assert set(w.hub.channels) == {TRADE, QUOTE}
        w.say(TRADE, b"1")
        await w.hear()
        assert w.node.published_count == 1
        assert (one.texts(), again.texts(), other.texts()) == ([b"1"], [b"1"], [])
        one.hub.remove(one)
        await w.hear()
        assert TRADE in w.hub.channels
        again.hub.remove(again)
        await w.hear()
        assert set(w.hub.channels) == {QUOTE}
        await second.stop()
        await w.hear()
        assert not w.hub.channels
        assert len(w.node.edges) == 1


@looped
async def test_a_stream_that_is_left_and_joined_again_begins_anew_at_the_plant() -> None:
    async with world() as w:
        one = w.edges[0].listen(TRADE)
        await w.hear()
        first = w.hub.channels[TRADE]
        one.hub.unsubscribe(one, [TRADE])
        one.hub.subscribe(one, [TRADE])
        w.say(TRADE, b"1")
        await w.hear()
        assert w.hub.channels[TRADE] is not first
        w.say(TRADE, b"2")
        await w.hear()
        assert one.texts()[-1:] == [b"2"]
        assert w.edges[0].closings == []


@looped
async def test_names_that_the_plant_does_not_know_stay_silent_with_its_reason() -> None:
    async with world() as w:
        edge = w.edges[0]
        client = edge.listen("xyzusdt@trade", "nonsense", "\ud800.> *", TRADE)
        await w.hear()
        assert edge.clients.silenced == {"xyzusdt@trade": UNKNOWN_SYMBOL}
        assert client.hub.subscribe(client, ["nonsense"]) == {"nonsense": UNKNOWN_STREAM}
        assert client.hub.subscribe(client, ["xyzusdt@trade"]) == {"xyzusdt@trade": UNKNOWN_SYMBOL}
        w.say(TRADE, b"1")
        await w.hear()
        assert client.texts() == [b"1"]


@looped
async def test_an_edge_of_a_relay_asks_for_streams_of_which_no_program_knows() -> None:
    async with world(0) as w:
        w.hub.accepts_unknown = True
        await w.plant(2, name="relay", accepts_unknown=True)
        client = (await w.edge("relay")).listen("btcusdt@tomorrow")
        await w.hear()
        w.say("btcusdt@tomorrow", b"1")
        await w.hear()
        assert client.texts() == [b"1"]


@pytest.mark.parametrize("says_more", [True, False])
@looped
async def test_a_loss_shows_at_the_next_message_or_heartbeat_and_closes_the_stream_alone(
    says_more: bool,
) -> None:
    async with world() as w:
        edge = w.edges[0]
        one, two = edge.listen(TRADE), edge.listen(QUOTE)
        await w.hear()
        w.bus.loses = lambda subject, _: subject.endswith("@trade")
        w.say(TRADE, b"1")
        await w.hear()
        w.bus.loses = lambda *_: False
        w.say(QUOTE, b"3")
        if says_more:
            w.say(TRADE, b"2")
        await w.hear(SHORT_S if says_more else 0.6)
        assert (one.texts(), one.closed) == ([], MISSING)
        assert (two.texts(), two.closed) == ([b"3"], "")
        assert edge.clients.told == [("outage", "usdm", (TRADE,), MISSING, "bus_lost")]
        assert edge.node.lost_count == 1
        later = edge.listen(TRADE)
        await w.hear()
        w.say(TRADE, b"4")
        await w.hear()
        assert later.texts() == [b"4"]


@looped
async def test_a_control_message_that_is_lost_ends_the_session() -> None:
    async with world() as w:
        edge = w.edges[0]
        one = edge.listen(TRADE)
        await w.hear(1)
        w.bus.loses = lambda subject, _: subject.endswith(".ctl")
        w.node.set_faults({"f1": {"name": "latency"}})
        await w.hear(0.6)
        assert one.closed == "a message of the plant is missing"
        w.bus.loses = lambda *_: False
        await w.hear(1)
        assert edge.clients.faults == {"f1": {"name": "latency"}}, "the next session knows it"


@looped
async def test_envelopes_that_the_source_wrote_in_another_way_arrive_as_they_are() -> None:
    async with world() as w:
        heard: list[tuple[bytes, bytes]] = []
        w.edges[0].hubs["usdm"].tap(
            TRADE, lambda payload, envelope: heard.append((payload, envelope))
        )
        await w.hear()
        usual = prefix_of(TRADE) + b'{"t":1}' + b"}"
        own = b'{ "data": {"t":2}, "stream": "btcusdt@trade" }'
        said = [(b'{"t":1}', usual), (b'{"t":2}', own), (b'{"t":3}', b"")]
        for payload, envelope in said:
            w.hub.broadcast(TRADE, payload, envelope)
        await w.hear()
        assert heard == [(said[0][0], b""), *said[1:]]


@looped
async def test_a_message_that_is_longer_than_the_bus_takes_closes_its_subscribers() -> None:
    async with world() as w:
        one, two = w.edges[0].listen(TRADE), w.edges[0].listen(QUOTE)
        await w.hear()
        w.say(TRADE, b"x" * (w.bus.max_bytes + 1))
        w.say(QUOTE, *(b"%d" % number * 100_000 for number in range(10, 60)))
        await w.hear(0.6)
        assert one.closed == MISSING
        assert (len(two.texts()), two.closed) == (50, "")


@pytest.mark.parametrize("who", ["bus", "plant", "edge"])
@looped
async def test_silence_is_a_pause_and_for_longer_than_the_grace_closes_all_until_it_is_over(
    who: str,
) -> None:
    async with world(2) as w:
        edge, other = w.edges
        one, two = edge.listen(TRADE), other.listen(TRADE)
        await w.hear()
        still(w, who, is_still=True)
        w.say(TRADE, b"1")
        await w.hear(3)
        assert edge.node.trouble == SILENT
        still(w, who, is_still=False)
        await w.hear(1)
        assert (one.texts(), one.closed, edge.node.trouble) == ([b"1"], "", "")
        still(w, who, is_still=True)
        await w.hear(4.5)
        assert one.closed == ""
        await w.hear(1.5)
        assert one.closed == SILENT
        assert two.closed == ("" if who == "edge" else SILENT)
        assert not edge.clients.accept()
        still(w, who, is_still=False)
        await w.hear(4)
        assert edge.node.trouble == ""
        again = edge.listen(TRADE)
        await w.hear()
        w.say(TRADE, b"5")
        await w.hear()
        assert again.texts() == [b"5"]
        assert two.texts() == ([b"1", b"5"] if who == "edge" else [b"1"])


@looped
async def test_an_edge_that_stood_still_itself_hears_before_it_judges() -> None:
    async with world() as w:
        one = w.edges[0].listen(TRADE)
        await w.hear(1)
        w.say(TRADE, b"1")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MemoryLoop)
        loop.clock.now_s += 8
        await w.hear(1)
        assert (one.texts(), one.closed) == ([b"1"], "")


def still(w: World, who: str, *, is_still: bool) -> None:
    """Let the bus stand still, or the way to a plant or an edge be cut without a word, or go on."""
    if who == "bus":
        w.bus.is_standing = is_still
    else:
        w.bus.cut({"plant": "main", "edge": "e0"}[who], is_cut=is_still)


@looped
async def test_an_edge_that_is_silent_for_long_is_forgotten_and_begins_anew() -> None:
    async with world(0) as w:
        edge = await w.edge(grace_ms=60_000)
        one = edge.listen(TRADE)
        await w.hear()
        (known,) = w.node.edges
        still(w, "edge", is_still=True)
        await w.hear(9)
        assert TRADE in w.hub.channels
        await w.hear(3)
        assert (len(w.node.edges), TRADE in w.hub.channels) == (0, False)
        still(w, "edge", is_still=False)
        w.say(TRADE, b"1")
        edge.listen(QUOTE)
        await w.hear(3)
        assert one.closed == "the plant does not know this edge"
        assert len(w.node.edges) == 1
        assert known not in w.node.edges, "it has a new identity"


@looped
async def test_faults_outages_and_the_end_reach_edges_in_order_and_whoever_joins_later() -> None:
    faults = {"f1": {"name": "latency"}}
    async with world() as w:
        edge = w.edges[0]
        one = edge.listen(TRADE)
        await w.hear()
        w.say(TRADE, b"1")
        w.node.set_faults(faults)
        w.node.start_outage("usdm", [TRADE], "gone")
        w.say(TRADE, b"2")
        joining = asyncio.create_task(w.edge())
        await until(lambda: len(w.node.edges) == 2)
        w.node.start_outage("usdm", None, "all gone")  # what is told meanwhile is not missed
        later = await joining
        await w.hear(2)
        assert (one.texts(), one.closed) == ([b"1"], "gone")
        every = ("outage", "usdm", None, "all gone", "upstream_lost")
        assert edge.clients.told == [("outage", "usdm", (TRADE,), "gone", "upstream_lost"), every]
        assert later.clients.told == [every]
        assert edge.clients.faults == later.clients.faults == faults
        last = await w.edge()
        assert last.clients.told == [every]
        await w.hear()
        w.node.end_outage("usdm")
        await w.hear()
        assert all(each.clients.accept() for each in w.edges)
        w.node.end_streams(ENDED)
        await w.edge()
        await w.hear()
        assert {each.clients.told[-1] for each in w.edges} == {("streams ended", ENDED.name)}


@looped
async def test_a_second_plant_of_the_name_is_refused_and_another_name_is_not() -> None:
    async with world(0) as w:
        await w.plant(1, name="day")
        with pytest.raises(
            BusError, match=r"a plant named day is on the bus already, on .*--plant"
        ):
            await w.plant(2, name="day")
        await w.plant(3, name="night")
        await w.hear(5)
        assert not any(each.done() for each in w.keeping)


@looped
async def test_of_two_plants_that_meet_the_younger_ends_and_keeps_no_edge() -> None:
    async with world() as w:
        one = w.edges[0].listen(TRADE)
        await w.plant(2, is_alone=True)  # it was in another part of the bus
        await w.hear(2)
        with pytest.raises(BusError, match="a plant named main is on the bus already"):
            await w.keeping[1]
        w.say(TRADE, b"1")
        await w.hear()
        assert (one.texts(), one.closed) == ([b"1"], "")


@looped
async def test_an_edge_waits_for_the_bus_for_its_plant_and_for_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tickerplant.cluster.plant.MAX_EDGES", 1)
    async with world(0) as w:
        w.bus.is_down = True
        joining = [asyncio.create_task(w.edge("night")) for _ in range(2)]
        await w.hear(5)
        w.bus.is_down = False
        await w.hear(5)
        assert not any(each.done() for each in joining)
        said = capsys.readouterr().out
        assert "no plant named night is on the bus; plants that are there: main" in said
        await w.plant(3, name="night")
        await w.hear(5)
        (first,), (second,) = await asyncio.wait(joining, return_when=asyncio.FIRST_COMPLETED)
        await w.hear(5)
        assert not second.done()
        edge = await first
        w.edges.remove(edge)
        await edge.stop()
        await second


# Questions


@looped
async def test_what_was_subscribed_before_a_question_is_open_when_it_is_answered() -> None:
    async with world() as w:
        w.node.handlers["look"] = lambda _edge, _body, reply: reply(
            str(set(w.hub.channels)).encode()
        )
        asked: list[Any] = []
        w.edges[0].listen(TRADE)
        w.edges[0].node.ask("look", b"", asked.append)
        await w.hear()
        assert asked == [str({TRADE}).encode()]


TOO_LONG = Failed("the question is too long for the bus")
UNKNOWN = Failed("the plant answers no such questions")
UNANSWERED = Failed("the plant did not answer in time")
ENDLESS = Failed("the answer of the plant is too long")
TOO_MANY = Failed("too many questions wait for the plant")


@looped
async def test_each_question_is_answered_in_parts_or_fails_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tickerplant.cluster.broker.MAX_ANSWER_BYTES", 3_000_000)
    async with world() as w:
        w.node.handlers["echo"] = lambda _edge, body, reply: reply(body * 3)
        w.node.handlers["never"] = lambda *_: None
        asked: list[Any] = []
        ask = w.edges[0].node.ask
        ask("echo", b"x" * 900_000, asked.append)
        ask("echo", b"y" * 2_000_000, asked.append)
        ask("what", b"", asked.append)
        await w.hear()
        assert asked == [TOO_LONG, b"x" * 2_700_000, UNKNOWN]
        ask("echo", b"x" * 1_010_000, asked.append)
        await w.hear()
        assert asked[3:] == [ENDLESS]
        ask("never", b"", asked.append)
        await w.hear(59)
        assert len(asked) == 4
        await w.hear(3)
        assert asked[4:] == [UNANSWERED]
        monkeypatch.setattr("tickerplant.cluster.broker.MAX_WAITING", 3)
        for _ in range(4):
            ask("never", b"", asked.append)
        assert asked[5:] == [TOO_MANY]
        still(w, "edge", is_still=True)
        await w.hear(6)
        assert [type(each) for each in asked[6:]] == [Failed] * 3


# Sources that wait


@looped
async def test_a_source_that_waits_is_held_up_by_a_congested_edge() -> None:
    async with world(0) as w:
        assert not w.node.readers.congested, "there is none"
        await w.node.readers.wait_clear()
        first, second = await w.edge(), await w.edge()
        first.readers.clear.clear()
        first.clients.figures = Report(is_congested=True)
        await until(lambda: w.node.readers.congested)
        waiting = asyncio.create_task(w.node.readers.wait_clear())
        await w.hear(2)
        assert not waiting.done()
        first.readers.clear.set()
        first.clients.figures = Report()
        await w.hear()
        assert waiting.done()
        assert not w.node.readers.congested
        second.clients.figures = Report(subscribers=3)
        await w.hear(1.5)
        assert w.node.readers.subscriber_count == 3


@pytest.mark.parametrize("ends", [False, True])
@looped
async def test_a_source_that_waits_is_at_most_a_window_ahead_of_its_edges(ends: bool) -> None:
    async with world(2) as w:
        clients = [edge.listen(TRADE) for edge in w.edges]
        await w.hear()
        w.bus.cut("e0")
        count, payload = 0, b"x" * 100_000
        while not w.node.readers.congested:
            w.say(TRADE, payload)
            count += 1
            await asyncio.sleep(0)
        assert 8 << 20 < w.node.readers.unreached_bytes < 9 << 20
        waiting = asyncio.create_task(w.node.readers.wait_clear())
        await w.hear(2)
        assert not waiting.done()
        if ends:
            w.edges[0].broker.lose(
                "it closed"
            )  # the edge is forgotten by its plant, and comes back
        else:
            w.bus.cut("e0", is_cut=False)
        await w.hear(15 if ends else 1)
        assert waiting.done()
        assert w.node.readers.unreached_bytes <= 8 << 20
        assert len(clients[1].texts()) == count
        assert bool(clients[0].closed) == ends


@looped
async def test_an_edge_that_asked_before_its_plant_began_joins_when_it_begins() -> None:
    made = World()
    joining = asyncio.create_task(made.edge())
    await made.hear(0.1)
    await made.plant(is_alone=True)
    try:
        await made.hear(0.1)
        assert joining.done()
        assert len(made.node.edges) == 1
    finally:
        await joining
        await made.close()
