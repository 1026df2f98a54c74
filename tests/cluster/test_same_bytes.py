"""A client gets the same bytes in the same order, whichever processes serve it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hearing import Heard, counts, differences, hear, spans, story
from hosts import Host, hosts
from msgspec.structs import replace
from programs import COINM, PATIENCE_S, USDM, Addresses, serving

from tickerplant.cluster.nats_server import program

pytestmark = [pytest.mark.sockets, pytest.mark.heavy]

MARKET = (
    *("simulate", "--seed", "7", "--start", "2026-02-27T07:59:50", "--paused", "--limits", "off"),
    *("--symbols", "BTCUSDT,ETHUSDT,SOLUSDT,DEFIUSDT,BTCUSD_PERP,ETHUSD_PERP"),
)
STORY = story(5, clients=16, rounds=24)


def heard_from(addresses: Addresses, reference: Heard | None = None) -> Heard:
    by_venue = {"usdm": addresses[USDM], "coinm": addresses[COINM]}
    return asyncio.run(hear(STORY, by_venue, reference))


@pytest.fixture(scope="module")
def one_process() -> Heard:
    with serving(*MARKET) as addresses:
        heard = heard_from(addresses)
    compared = counts(heard, STORY)
    assert compared.clients > 30
    assert compared.frames > 10_000
    assert compared.names > 100
    return heard


def test_a_market_sounds_the_same_whenever_it_is_heard(one_process: Heard) -> None:
    with serving(*MARKET) as addresses:
        assert differences(one_process, heard_from(addresses, one_process)) == []


def test_workers_sound_like_one_process(one_process: Heard) -> None:
    with serving(*MARKET, "--workers", "2") as addresses:
        assert differences(one_process, heard_from(addresses, one_process)) == []


def test_an_edge_on_another_host_sounds_like_one_process(
    one_process: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKERPLANT_CONTROL_TOKEN", "of both hosts")  # to step it from elsewhere
    with hosts("plant", "edge") as (plant, edge), bus(plant, tmp_path) as url:
        elsewhere = ("edge", "--bus", url, "--host", edge.local_address)
        with (
            serving(*MARKET, "--bus", url, prefix=plant.prefix),
            serving(*elsewhere, prefix=edge.prefix) as addresses,
        ):
            assert differences(one_process, heard_from(addresses, one_process)) == []


@contextlib.contextmanager
def bus(host: Host, folder: Path) -> Iterator[str]:
    """Run a bus on a host; yield its URL."""
    log = folder / "nats.log"
    options = ("-a", host.address, "-p", "4222", "-js", "-sd", str(folder), "-l", str(log))
    with subprocess.Popen([*host.prefix, program(), *options]) as server:  # noqa: S603  # our own bus
        try:
            until_s = time.monotonic() + PATIENCE_S
            while not log.exists() or "Server is ready" not in log.read_text(encoding="utf-8"):
                assert time.monotonic() < until_s
                time.sleep(0.05)
            yield f"nats://{host.address}:4222"
        finally:
            server.kill()


def test_the_comparison_finds_one_message_lost_doubled_or_swapped(one_process: Heard) -> None:
    client = max(one_process.streams, key=lambda each: len(one_process.streams[each]))
    data = one_process.streams[client]
    (begin, middle), (_, end) = itertools.islice(spans(data), 100, 102)
    one, two = data[begin:middle], data[middle:end]
    for told in (two, one + one + two, two + one):
        other = {**one_process.streams, client: data[:begin] + told + data[end:]}
        (found,) = differences(one_process, replace(one_process, streams=other))
        assert found.startswith(f"{client}: frame ")
