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
async def test_an_edge_hears_what_it_wants_in_the_order_of_the_turn() -> None:
    async with world() as w:
        one = w.edges[0].listen(TRADE, QUOTE)
        await w.hear()
        w.say(TRADE, b"1")
        w.say(QUOTE, b"2", b"3")
        w.say(TRADE, b"4")
        await w.hear()
        assert one.texts() == [b"1", b"2", b"3", b"4"]


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


@looped
async def test_a_message_that_is_lost_closes_the_subscribers_of_its_stream_alone() -> None:
    async with world() as w:
        edge = w.edges[0]
        one, two = edge.listen(TRADE), edge.listen(QUOTE)
        await w.hear()
        w.bus.loses = lambda subject, _: subject.endswith("@trade")
        w.say(TRADE, b"1")
        await w.hear()
        w.bus.loses = lambda *_: False
        w.say(TRADE, b"2")
        w.say(QUOTE, b"3")
        await w.hear()
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
async def test_the_last_message_of_a_stream_that_falls_silent_is_missed_at_the_next_heartbeat() -> (
    None
):
    async with world() as w:
        one = w.edges[0].listen(TRADE)
        await w.hear()
        w.bus.loses = lambda subject, _: subject.endswith("@trade")
        w.say(TRADE, b"1")
        await w.hear(0.6)
        assert one.closed == MISSING


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


@looped
async def test_a_dead_bus_closes_all_and_another_run_begins() -> None:
    async with world() as w:
        edge = w.edges[0]
        one, first = edge.listen(TRADE), w.node.run
        assert first is not None
        await w.hear()
        w.bus.kill()
        await w.hear()
        assert one.closed == edge.node.trouble == "the bus is lost: it closed"
        assert not edge.clients.accept()
        asked: list[Any] = []
        edge.node.ask("http", b"", asked.append)
        assert asked == [Failed("the bus is lost: it closed")]
        await w.hear(3)
        assert not edge.node.trouble
        assert edge.clients.accept()
        assert edge.clients.runs
        assert edge.clients.runs[0] != first.run
        assert w.node.run_count == 2
        two = edge.listen(TRADE)
        await w.hear()
        w.say(TRADE, b"5")
        await w.hear()
        assert (one.texts(), two.texts()) == ([], [b"5"])


@looped
async def test_a_plant_goes_on_without_its_bus_and_joins_it_when_it_is_back() -> None:
    async with world() as w:
        w.bus.is_down = True
        w.bus.kill()
        await w.hear(2)
        assert w.node.run_count == 1
        w.say(TRADE, b"1")  # the market goes on
        w.bus.is_down = False
        await w.hear(1)
        assert w.node.run_count == 2


@pytest.mark.parametrize("who", ["bus", "plant", "edge"])
@looped
async def test_silence_for_less_than_the_grace_is_only_a_pause(who: str) -> None:
    async with world() as w:
        edge = w.edges[0]
        one = edge.listen(TRADE)
        await w.hear()
        still(w, who, is_still=True)
        w.say(TRADE, b"1")
        await w.hear(3)
        assert edge.node.trouble == SILENT
        still(w, who, is_still=False)
        await w.hear(1)
        assert one.texts() == [b"1"]
        assert one.closed == edge.node.trouble == ""


@pytest.mark.parametrize("who", ["bus", "plant", "edge"])
@looped
async def test_silence_for_longer_closes_all_and_what_comes_next_is_served(who: str) -> None:
    async with world(2) as w:
        edge, other = w.edges
        one, two = edge.listen(TRADE), other.listen(TRADE)
        await w.hear()
        still(w, who, is_still=True)
        await w.hear(4.5)
        assert one.closed == ""
        await w.hear(1.5)
        assert one.closed == SILENT
        assert two.closed == ("" if who == "edge" else SILENT)
        assert not edge.clients.accept()
        still(w, who, is_still=False)
        await w.hear(4)
        assert edge.clients.accept()
        assert edge.node.trouble == ""
        again = edge.listen(TRADE)
        await w.hear()
        w.say(TRADE, b"5")
        await w.hear()
        assert again.texts() == [b"5"]
        assert two.texts() == ([b"5"] if who == "edge" else [])


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
async def test_an_edge_that_was_forgotten_begins_anew() -> None:
    async with world() as w:
        edge, run = w.edges[0], w.node.run
        assert run is not None
        one = edge.listen(TRADE)
        await w.hear()
        (known,) = w.node.edges.values()
        run.forget(known, "it has gone silent")
        w.say(TRADE, b"1")
        edge.listen(QUOTE)
        await w.hear(2)
        assert one.closed == "the plant does not know this edge"
        await w.hear(1)
        assert len(w.node.edges) == 1
        assert known.identity not in w.node.edges, "it has a new identity"


@looped
async def test_a_plant_forgets_an_edge_that_has_fallen_silent() -> None:
    async with world() as w:
        w.edges[0].listen(TRADE)
        await w.hear()
        still(w, "edge", is_still=True)
        await w.hear(9)
        assert TRADE in w.hub.channels
        await w.hear(3)
        assert not w.node.edges
        assert TRADE not in w.hub.channels


@looped
async def test_faults_and_outages_reach_edges_in_order_with_messages() -> None:
    async with world() as w:
        clients = w.edges[0].clients
        one = w.edges[0].listen(TRADE)
        await w.hear()
        w.say(TRADE, b"1")
        w.node.set_faults({"f1": {"name": "latency"}})
        w.node.start_outage("usdm", [TRADE], "gone")
        w.say(TRADE, b"2")
        await w.hear()
        assert clients.faults == {"f1": {"name": "latency"}}
        assert clients.told == [("outage", "usdm", (TRADE,), "gone", "upstream_lost")]
        assert (one.texts(), one.closed) == ([b"1"], "gone")


@looped
async def test_an_edge_that_joins_later_knows_outages_faults_and_the_end_of_the_market() -> None:
    async with world(0) as w:
        w.node.set_faults({"f1": {"name": "latency"}})
        w.node.start_outage("usdm", None, "gone")
        edge = await w.edge()
        assert edge.clients.told == [("outage", "usdm", None, "gone", "upstream_lost")]
        assert edge.clients.faults == {"f1": {"name": "latency"}}
        await w.hear()
        w.node.end_outage("usdm")
        await w.hear()
        assert edge.clients.accept()
        w.node.end_streams(ENDED)
        other = await w.edge()
        await w.hear()
        for each in (edge, other):
            assert each.clients.told[-1] == ("streams ended", ENDED.name)


@looped
async def test_what_is_told_while_an_edge_joins_is_not_missed() -> None:
    async with world(0) as w:
        joining = asyncio.create_task(w.edge())
        await until(lambda: w.node.edges)
        w.node.start_outage("usdm", None, "gone")
        edge = await joining
        await w.hear(2)
        assert not edge.clients.accept()


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


@looped
async def test_a_long_answer_comes_in_parts_and_a_long_question_fails_at_once() -> None:
    async with world() as w:
        w.node.handlers["echo"] = lambda _edge, body, reply: reply(body * 3)
        asked: list[Any] = []
        w.edges[0].node.ask("echo", b"x" * 900_000, asked.append)
        w.edges[0].node.ask("echo", b"y" * 2_000_000, asked.append)
        w.edges[0].node.ask("what", b"", asked.append)
        await w.hear()
        assert asked[0] == Failed("the question is too long for the bus")
        assert asked[1] == b"x" * 2_700_000
        assert asked[2] == Failed("the plant answers no such questions")


@looped
async def test_a_question_that_is_not_answered_fails_when_its_session_ends_or_in_a_minute() -> None:
    async with world() as w:
        w.node.handlers["never"] = lambda *_: None
        asked: list[Any] = []
        w.edges[0].node.ask("never", b"", asked.append)
        await w.hear(59)
        assert asked == []
        await w.hear(3)
        assert asked == [Failed("the plant did not answer in time")]
        w.edges[0].node.ask("never", b"", asked.append)
        still(w, "edge", is_still=True)
        await w.hear(6)
        assert len(asked) == 2
        assert isinstance(asked[1], Failed)


@looped
async def test_so_many_questions_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickerplant.cluster.broker.MAX_WAITING", 5)
    async with world() as w:
        w.node.handlers["never"] = lambda *_: None
        asked: list[Any] = []
        for _ in range(6):
            w.edges[0].node.ask("never", b"", asked.append)
        assert asked == [Failed("too many questions wait for the plant")]


@looped
async def test_an_answer_that_does_not_end_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickerplant.cluster.broker.MAX_ANSWER_BYTES", 1_000_000)
    async with world() as w:
        w.node.handlers["echo"] = lambda _edge, body, reply: reply(body * 4)
        asked: list[Any] = []
        w.edges[0].node.ask("echo", b"x" * 900_000, asked.append)
        await w.hear()
        assert asked == [Failed("the answer of the plant is too long")]


# Sources that wait


@looped
async def test_a_source_that_waits_is_held_up_by_a_congested_edge() -> None:
    async with world(2) as w:
        first, second = w.edges
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
async def test_an_edge_that_has_nothing_to_deliver_holds_nobody_up() -> None:
    async with world(0) as w:
        assert not w.node.readers.congested
        async with asyncio.timeout(SHORT_S):
            await w.node.readers.wait_clear()
