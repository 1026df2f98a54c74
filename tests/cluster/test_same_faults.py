"""Faults that are drawn happen to the same messages of the same connections, whichever worker has them."""

from __future__ import annotations

import asyncio

import pytest
from hearing import Heard, counts, differences, hear, story
from programs import COINM, USDM, serving

pytestmark = [pytest.mark.sockets, pytest.mark.heavy]

MARKET = (
    *("simulate", "--seed", "7", "--start", "2026-02-27T07:59:50", "--paused", "--limits", "off"),
    *("--symbols", "BTCUSDT,ETHUSDT,DEFIUSDT,BTCUSD_PERP", "--fault-seed", "3"),
    *("--fault", "drop=0.1", "--fault", "duplicate=0.05 connections=0.5"),
)
STORY = story(6, clients=10, rounds=16)


def heard_from(*options: str, reference: Heard | None = None) -> Heard:
    with serving(*MARKET, *options) as addresses:
        by_venue = {"usdm": addresses[USDM], "coinm": addresses[COINM]}
        return asyncio.run(hear(STORY, by_venue, reference))


def test_workers_draw_the_faults_of_one_process_in_every_run() -> None:
    one_process = heard_from()
    assert counts(one_process, STORY).frames > 1_000
    for _ in range(2):
        assert differences(one_process, heard_from("--workers", "2", reference=one_process)) == []
