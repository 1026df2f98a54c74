"""A relay is killed, and another ended: a standby takes over, and clients of every kind at an edge go on."""

from __future__ import annotations

import asyncio
import signal
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from loopback import looped_on_sockets
from processes import (
    Cluster,
    Listener,
    Process,
    all_hear_more,
    assert_same,
    cluster,
    readiness,
    until,
    wait_ready,
)

import tickerplant
from tickerplant import BookState, Message, Notice
from tickerplant.messages import Trade

FORWARDED = (
    *("btcusdt@trade", "btcusdt@aggTrade", "btcusdt@bookTicker", "btcusdt@depth@100ms"),
    *("btcusdt@kline_1m", "btcusdt@markPrice@1s", "ethusdt@trade", "!miniTicker@arr"),
)
"""Streams that a relay passes on as they are."""
MADE = ("btcusdt@depth@500ms", "ethusdt@depth5@500ms", "ethusdt@markPrice")
"""Streams that a relay makes itself."""
FOLLOWED_S = 3
"""How long a standby has followed all streams before it takes over; some are silent for so long."""


def assert_chained(heard: Listener) -> None:
    """Assert that a client missed and repeated nothing of the streams that a relay makes."""
    for name in MADE:
        messages = [msgspec.json.decode(each) for each in heard.payloads[name]]
        for one, following in pairwise(messages):
            if "@depth" in name:
                assert following["pu"] == one["u"], f"{name}: {one['u']}, then {following['pu']}"
            else:
                assert following["E"] == one["E"] + 3_000, f"{name}: {one['E']}, {following['E']}"


async def standby(made: Cluster) -> Process:
    """Start a standby, and return when it has followed what is published for a while."""
    relay = made.start_relay("--standby")
    await until(lambda: "standby of the plant test" in readiness(relay.port)[1], "it stands by")
    assert readiness(relay.port)[0] == 503
    await asyncio.sleep(FOLLOWED_S)
    return relay


async def active(relay: Process) -> None:
    await until(lambda: readiness(relay.port)[0] == 200, "it has taken over")


@pytest.mark.slow("a relay is killed, and its standby waits for the end of its lease")
@looped_on_sockets
async def test_a_relay_that_is_killed_or_ended_is_taken_over_and_no_client_loses_anything(
    tmp_path: Path,
) -> None:
    with cluster(tmp_path) as made:
        first = made.start_relay()
        await asyncio.to_thread(wait_ready, first.port)
        edge = made.start_edge()
        await asyncio.to_thread(wait_ready, made.edge_port)
        told = await Listener(f"{made.upstream}/stream?streams={'/'.join(FORWARDED)}").open()
        streams = f"/stream?streams={'/'.join((*FORWARDED, *MADE))}"
        heard = [await Listener(f"{made.edge}{streams}").open()]
        heard += [await Listener(f"{made.edge}/ws/{name}").open() for name in FORWARDED[:5]]
        seen: list[Message | Notice] = []
        async with (
            tickerplant.connect("usdm", base_url=made.edge) as market,
            market.books("BTCUSDT") as books,
        ):
            market.on(Trade.of("BTCUSDT"), callback=seen.append)
            second = await standby(made)
            first.kill()
            await active(second)
            third = await standby(made)
            second.signal(signal.SIGINT)
            await active(third)
            await all_hear_more(heard)
            assert books["BTCUSDT"].state is BookState.LIVE
            assert (await books.audit("BTCUSDT")).score == 1
        assert "the plant test is gone; this standby has taken over" in second.log
        assert edge.log.count("another run of the plant test publishes from now on") == 2
        assert heard[0].payloads.keys() == {*FORWARDED, *MADE}
        assert_chained(heard[0])
        for each in heard:
            assert each.close is None, (each.url, each.close)
            await each.end()
            await assert_same(each, told)
        await told.end()
        assert not [each for each in seen if isinstance(each, Notice)]
        ids = [each.trade_id for each in seen if isinstance(each, Trade)]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
