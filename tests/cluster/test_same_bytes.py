"""A client gets the same bytes in the same order, and meets the same faults, whichever process serves it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hearing import Heard, counts, differences, hear, story
from processes import free_port, processes
from programs import COINM, USDM, Addresses, serving

pytestmark = [pytest.mark.sockets, pytest.mark.slow("programs are started")]

MARKET = (
    *("simulate", "--seed", "7", "--start", "2026-02-27T07:59:50", "--paused", "--limits", "off"),
    *("--symbols", "BTCUSDT,ETHUSDT,DEFIUSDT,BTCUSD_PERP,ETHUSD_PERP", "--fault-seed", "3"),
    *("--fault", "drop=0.1", "--fault", "duplicate=0.05 connections=0.5"),
)
STORY = story(5, clients=12, rounds=12)


def heard_from(addresses: Addresses, reference: Heard | None = None) -> Heard:
    by_venue = {"usdm": addresses[USDM], "coinm": addresses[COINM]}
    return asyncio.run(hear(STORY, by_venue, reference))


@pytest.fixture(scope="module")
def one_process() -> Heard:
    with serving(*MARKET) as addresses:
        heard = heard_from(addresses)
    compared = counts(heard, STORY)
    assert compared.clients > 20
    assert compared.frames > 1_000
    assert compared.names > 40
    return heard


def test_workers_sound_like_one_process(one_process: Heard) -> None:
    with serving(*MARKET, "--workers", "2") as addresses:
        assert differences(one_process, heard_from(addresses, one_process)) == []


def test_an_edge_on_a_bus_of_its_own_sounds_like_one_process(
    one_process: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKERPLANT_CONTROL_TOKEN", "an edge vouches for nobody")
    with processes(tmp_path) as programs:
        port = free_port()
        programs.bus(port)
        on_bus = ("--bus", f"nats://127.0.0.1:{port}")
        with serving(*MARKET, *on_bus), serving("edge", *on_bus) as addresses:
            assert differences(one_process, heard_from(addresses, one_process)) == []
