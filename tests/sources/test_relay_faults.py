"""Faults of the relay itself: logged, tried again, and the end of nothing."""

from __future__ import annotations

import io

from loopback import looped, until
from relaying import BTCUSDT, EAGER, LINGER_MS, START_MS, relay, relayed, serve

from tickerplant.feed.hosts import hosts_of
from tickerplant.instrument import Instrument
from tickerplant.market.timers import MESSAGE_RANK
from tickerplant.sources.discovery import Retries, discover
from tickerplant.sources.relay import RelayTiming
from tickerplant.sources.upstream import Upstream
from tickerplant.venue import COINM, USDM

QUICKLY = Retries(first_pause_s=0.001)


def fail(due_ms: int) -> None:
    raise ZeroDivisionError(due_ms)


class Odd(Upstream):
    """One whose first answers nobody expected."""

    odd = 2

    async def fetch_contracts(self) -> tuple[list[Instrument], int]:
        if self.odd:
            self.odd -= 1
            raise ZeroDivisionError("an odd answer")
        return await super().fetch_contracts()


@looped
async def test_an_unexpected_first_response_is_logged_once_and_retried(log: io.StringIO) -> None:
    async with serve() as house:
        hosts = hosts_of(USDM, f"ws://{house.server.urls['usdm']}")
        found = Odd(hosts, EAGER, linger_ms=LINGER_MS)
        try:
            met = await discover([found], "auto", QUICKLY)
        finally:
            await found.close()
    assert [each.symbol for each in met.instruments] == ["BTCUSDT"]
    assert log.getvalue().count("! failed to process an upstream response") == 1
    assert "ZeroDivisionError: an odd answer" in log.getvalue()


@looped
async def test_a_list_of_contracts_that_cannot_be_taken_in_is_tried_again(log: io.StringIO) -> None:
    timing = RelayTiming(check_s=0, relist_delay_s=0.001, retries=QUICKLY)
    async with serve() as house, relay(house, timing=timing) as near:
        del near.plant.venues["usdm"].by_symbol["BTCUSDT"]  # it is to be listed again
        known = near.plant.markets.pop("BTCUSDT")
        publish, near.plant.publish = near.plant.publish, fail  # type: ignore[assignment, method-assign]
        near.upstream.contracts_changed = True
        await until(lambda: "failed to process an upstream response" in log.getvalue())
        assert not near.upstream.contracts_changed
        near.plant.publish = publish  # type: ignore[method-assign]
        await until(lambda: "BTCUSDT" in near.plant.markets)
        assert near.plant.markets["BTCUSDT"] is not known
        assert near.plant.markets["BTCUSDT"].instrument == BTCUSDT
        assert near.is_ready


@looped
async def test_what_fails_at_its_time_does_not_keep_the_rest_from_happening(
    log: io.StringIO,
) -> None:
    happened: list[int] = []
    async with relayed("/ws/btcusdt@trade") as (house, near, client):
        await until(lambda: near.carries("btcusdt@trade"))
        house.plant.advance(START_MS + 60_000)
        house.trade()
        await client.recv()
        now_ms = near.plant.now_ms
        for after_ms in (50, 100, 100, 200):
            near.plant.timers.at(now_ms + after_ms, MESSAGE_RANK, fail)
        near.plant.timers.at(now_ms + 300, MESSAGE_RANK, happened.append)
        await until(lambda: happened)
        assert near.is_ready
    assert log.getvalue().count("! a scheduled task failed") == 1


@looped
async def test_a_failing_monitor_of_one_upstream_does_not_affect_the_other(
    log: io.StringIO,
) -> None:
    async with serve() as house, relay(house, USDM, COINM) as near:
        wanted = near.upstreams["usdm"].subscriptions
        turn, wanted.expire = wanted.expire, fail  # type: ignore[assignment, method-assign]
        await until(lambda: "see the log" in near.server.readiness.reason)
        assert near.server.readiness.reason.startswith("usdm: ")
        async with near.connect("/ws/btcusd_perp@trade", COINM) as client:
            await until(lambda: near.carries("btcusd_perp@trade", venue=COINM))
            house.trade("BTCUSD_PERP")
            await client.recv()
        wanted.expire = turn  # type: ignore[method-assign]
        await until(lambda: near.is_ready)
    assert log.getvalue().count("! internal error in the upstream monitor") == 1
