"""An upstream that is connected and tells nothing."""

from __future__ import annotations

import pytest
from loopback import looped, until
from msgspec import structs
from relaying import EAGER, Relay, relay, serve

from tickerplant.feed import vigil
from tickerplant.sources import relay as relay_module

IMPATIENT = structs.replace(EAGER, busy_stale_ms=100, unheard_ms=100)
SILENT = "usdm: the upstream is connected, and tells nothing"


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "LOOK_S", 0.0)
    monkeypatch.setattr(vigil, "LOOK_MS", 0)


def warnings(near: Relay) -> list[str]:
    return near.server.readiness.warnings


@looped
async def test_streams_that_are_silent_are_counted_and_all_of_them_are_not_ready() -> None:
    names = ("btcusdt@trade", "btcusdt@aggTrade")
    async with (
        serve() as house,
        relay(house, settings=IMPATIENT) as near,
        near.connect(f"/stream?streams={'/'.join(names)}"),
    ):
        await until(lambda: near.carries(*names))
        two = "usdm: 2 streams are silent for longer than they should be"
        await until(lambda: warnings(near) == [two])
        assert near.server.readiness.reason == SILENT
        assert not near.is_ready
        house.plant.hubs["usdm"].pass_on("btcusdt@aggTrade", b'{"e":"aggTrade","a":1}')
        await until(lambda: near.is_ready)
        assert warnings(near) == ["usdm: 1 streams are silent for longer than they should be"]
        await until(lambda: near.server.readiness.reason == SILENT)
        house.trade()
        await until(lambda: near.is_ready)


@looped
async def test_names_of_which_nothing_can_come_say_nothing_of_the_upstream() -> None:
    async with (
        serve() as house,
        relay(house, settings=IMPATIENT) as near,
        near.connect("/ws/nonesuch@trade"),
    ):
        await until(lambda: warnings(near))
        assert warnings(near) == ["usdm: 1 streams are silent for longer than they should be"]
        assert near.is_ready


@looped
async def test_streams_of_what_seldom_happens_may_be_silent() -> None:
    async with (
        serve() as house,
        relay(house, settings=IMPATIENT) as near,
        near.connect("/stream?streams=btcusdt@forceOrder/btcusdt@trade"),
    ):
        await until(lambda: near.carries("btcusdt@forceOrder", "btcusdt@trade"))
        await until(lambda: near.server.readiness.reason == SILENT)
        assert near.upstream.stale == 1
