"""An upstream that is connected and tells nothing."""

from __future__ import annotations

import pytest
from loopback import looped, until
from relaying import EAGER, Relay, relayed
from tuning import tuned

from tickerplant.feed import expected_interval, staleness

IMPATIENT = tuned(EAGER, stale_ms=100, event_stream_stale_ms=100, first_message_timeout_ms=100)
ONE = "usdm: 1 stream is silent for longer than expected"
SILENT = "usdm: connected to the upstream, but no data is arriving"


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staleness, "LOOK_MS", 0)
    monkeypatch.setattr(expected_interval, "PERIODS", 0)


def warnings(near: Relay) -> list[str]:
    return near.server.readiness.warnings


@looped
async def test_streams_that_are_silent_are_counted_and_not_ready_if_one_of_them_never_should_be() -> (
    None
):
    names = ("btcusdt@trade", "btcusdt@markPrice@1s")
    async with relayed(f"/stream?streams={'/'.join(names)}", settings=IMPATIENT) as (
        house,
        near,
        _,
    ):
        await until(lambda: near.carries(*names))
        two = "usdm: 2 streams are silent for longer than expected"
        await until(lambda: warnings(near) == [two])
        assert near.server.readiness.reason == SILENT
        assert not near.is_ready
        house.trade()
        await until(lambda: near.is_ready)
        assert warnings(near) == [ONE]
        await until(lambda: near.server.readiness.reason == SILENT)
        house.trade()
        await until(lambda: near.is_ready)


@looped
async def test_contracts_in_which_nothing_happens_are_silent_on_a_healthy_upstream() -> None:
    names = ("btcusdt@trade", "btcusdt@aggTrade", "btcusdt@bookTicker")
    async with relayed(f"/stream?streams={'/'.join(names)}", settings=IMPATIENT) as (_, near, _):
        three = "usdm: 3 streams are silent for longer than expected"
        await until(lambda: warnings(near) == [three])
        assert near.is_ready


@looped
async def test_names_of_which_nothing_can_come_say_nothing_of_the_upstream() -> None:
    async with relayed("/ws/nonesuch@trade", settings=IMPATIENT) as (_, near, _):
        await until(lambda: warnings(near))
        assert warnings(near) == [ONE]
        assert near.is_ready


@looped
async def test_streams_of_what_seldom_happens_may_be_silent() -> None:
    path = "/stream?streams=btcusdt@forceOrder/btcusdt@markPrice@1s"
    async with relayed(path, settings=IMPATIENT) as (_, near, _):
        await until(lambda: near.carries("btcusdt@forceOrder", "btcusdt@markPrice@1s"))
        await until(lambda: near.server.readiness.reason == SILENT)
        assert near.upstream.stale_count == 1
