"""Programs with workers, from outside: what their clients see when a process of theirs is killed."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest
from connecting import connect
from crew import MARKET, all_hear_more, is_running, listening, started, until
from loopback import looped_on_sockets

pytestmark = pytest.mark.slow("programs are killed")


@looped_on_sockets
async def test_a_killed_worker_is_replaced_and_nobody_else_notices(tmp_path: Path) -> None:
    async with (
        started(tmp_path, *MARKET, "--workers", "3") as crew,
        listening(crew.streams, 12) as clients,
    ):
        await all_hear_more(clients)
        served = re.findall(r" c\d+ = open .* worker=(\d)$", crew.log, re.MULTILINE)
        assert len(served) == len(clients), crew.log
        before = crew.workers
        os.kill(before[2], signal.SIGKILL)
        await crew.said("worker 2 ended (killed by SIGKILL); it is replaced at once")
        while len(crew.workers) < 3 or crew.workers[2] == before[2]:
            async with connect(f"{crew.streams}/ws/btcusdt@trade"):
                pass  # no attempt is refused
        await until(lambda: sum(each.task.done() for each in clients) >= served.count("2"))
        others = [each for each in clients if not each.task.done()]
        assert {each.code for each in clients if each not in others} <= {1006}
        await all_hear_more(others, 10)
        assert len(others) == len(clients) - served.count("2")
        assert not any(each.holes for each in others)
        assert {number: crew.workers[number] for number in (1, 3)} == {
            number: before[number] for number in (1, 3)
        }
        os.kill(crew.workers[3], signal.SIGTERM)
        await crew.said("worker 3 ended (exit status 0); it is replaced at once")
        async with listening(crew.streams, 12) as later:  # also at the new ones
            await all_hear_more(later)


@looped_on_sockets
async def test_a_killed_bus_is_started_again_and_no_message_is_lost_in_silence(
    tmp_path: Path,
) -> None:
    async with (
        started(tmp_path, *MARKET, "--workers", "2") as crew,
        listening(crew.streams, 8) as clients,
    ):
        await all_hear_more(clients)
        killed = crew.bus
        os.kill(killed, signal.SIGKILL)
        await crew.said("nats-server ended (killed by SIGKILL)")
        await until(lambda: "nats-server" in crew.children.values())
        counts = [each.count for each in clients]
        await until(
            lambda: all(
                each.task.done() or each.count > count + 20
                for each, count in zip(clients, counts, strict=True)
            )
        )
        for each in clients:
            assert each.holes == 0
            assert (each.code, each.reason) in {
                (0, ""),
                (1013, "Bus lost: messages may be missing"),
            }
        async with listening(crew.streams, 4) as others:
            await all_hear_more(others)


@looped_on_sockets
async def test_workers_of_a_killed_plant_close_their_clients_and_end(tmp_path: Path) -> None:
    async with (
        started(tmp_path, *MARKET, "--workers", "2") as crew,
        listening(crew.streams, 6) as clients,
    ):
        await all_hear_more(clients)
        children = crew.children
        assert len(children) == 3
        os.kill(crew.process.pid, signal.SIGKILL)
        await until(lambda: all(each.task.done() for each in clients))
        assert Counter((each.code, each.reason) for each in clients) == {
            (1013, "Bus lost: messages may be missing"): 6
        }
        assert all(each.holes == 0 for each in clients)
        await until(lambda: not any(map(is_running, children)))


@looped_on_sockets
async def test_a_signal_ends_everything_once(tmp_path: Path) -> None:
    async with (
        started(tmp_path, *MARKET, "--workers", "2") as crew,
        listening(crew.streams, 4) as clients,
    ):
        await all_hear_more(clients)
        children = crew.children
        os.kill(crew.process.pid, signal.SIGINT)
        totals = await crew.line()
        assert await crew.ended() == 0
        assert {each.code for each in clients if each.task.done()} == {1001}
        assert not any(map(is_running, children))
        assert totals["connections"] == 4
        assert totals["messages"] >= sum(each.count for each in clients)
        assert totals["ended"] == "interrupted"
        assert "Traceback" not in crew.log
