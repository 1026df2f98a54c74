"""One program on three origins: a server that runs already, a simulation, and a recording."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from one_loop import in_one_loop, tape

import tickerplant
from tickerplant import ConfigError, UpstreamError, blocking
from tickerplant.messages import Trade
from tickerplant.messages.prices import MarkPrice

TRADES = 20


async def trade(market: tickerplant.Market) -> list[tuple[str, float]]:
    """Return the sides of some trades, each with the mid price of the book at that time."""
    seen: list[tuple[str, float]] = []
    async with market.books("BTCUSDT") as books:
        await books.wait_until_live()
        async for each in market.stream(Trade.of("BTCUSDT"), on_notice=lambda _: None):
            mid = books["BTCUSDT"].mid
            assert mid is not None
            seen.append((each.side, mid))
            if len(seen) == TRADES:
                break
    return seen


ORIGINS: dict[str, Callable[[], tickerplant.Market]] = {
    "simulation": lambda: tickerplant.simulate(symbols=["BTCUSDT"], speed=5),
    "recording": lambda: tickerplant.replay(tape(), speed=0.5),
}


@pytest.mark.parametrize("origin", ORIGINS)
@in_one_loop
async def test_the_same_program_runs_on_a_market_with_its_own_server(origin: str) -> None:
    async with ORIGINS[origin]() as market:
        assert len(await trade(market)) == TRADES


@in_one_loop
async def test_the_same_program_runs_on_a_server_that_is_connected_to() -> None:
    async with tickerplant.simulate(symbols=["BTCUSDT"], speed=5) as market:
        await market.clock.resume()
        async with tickerplant.connect("usdm", base_url=market.hosts.streams) as connected:
            assert len(await trade(connected)) == TRADES


@in_one_loop
async def test_a_simulation_is_stepped_by_market_time() -> None:
    async with tickerplant.simulate(
        "coinm", symbols=["BTCUSD_PERP"], start="2026-11-20", paused=True
    ) as market:
        assert market.venue == "coinm"
        trades = market.stream("btcusd_perp@trade")
        before = await market.clock.state()
        after = await market.clock.step("5s")
        assert after.time_ms - before.time_ms == 5_000
        assert after.is_paused
        assert trades.pending > 0, "everything has been received"
        pending = trades.pending
        await asyncio.sleep(0.05)
        assert trades.pending == pending
        assert (await market.clock.state()).time.isoformat() == "2026-11-20T00:00:05+00:00"


@in_one_loop
async def test_a_simulated_market_performs_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "fall.toml"
    path.write_text(
        'title = "A fall"\nduration = "30s"\n'
        '[[change]]\nat = "2s"\nmarket = "shock"\nmove = -0.2\nover = "5s"\n'
    )
    async with tickerplant.simulate(
        symbols=["BTCUSDT"],
        scenario=str(path),
        start="2026-01-31",
        duration="12s",
        speed=0,
        quoting=0.1,
    ) as market:
        prices = [
            float(each.mark_price)
            async for each in market.stream("btcusdt@markPrice@1s")
            if isinstance(each, MarkPrice)
        ]
    assert prices[-1] < 0.85 * prices[0]


@in_one_loop
async def test_what_cannot_be_simulated_is_said_when_the_market_is_opened() -> None:
    wrong: dict[str, dict[str, Any]] = {
        "symbol": {"symbols": ["BTCUSTD"]},
        "intensity": {"intensity": -1},
        "quoting": {"quoting": 1.5},
        r"for scenario: .*did you mean flash-crash\?": {"scenario": "flash-crahs"},
    }
    for text, options in wrong.items():
        with pytest.raises(ConfigError, match=text):
            await tickerplant.simulate(**{"symbols": ["BTCUSDT"]} | options)


@in_one_loop
async def test_a_program_that_stops_waiting_leaves_the_market_usable() -> None:
    async with tickerplant.simulate(symbols=["BTCUSDT"], paused=True) as market:
        trades = market.stream("btcusdt@trade")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(trades)
        await market.clock.resume()
        assert await anext(trades)


@pytest.mark.slow("a child process is killed")
def test_the_synchronous_simulation_does_the_same_and_dies_with_one_clear_error() -> None:
    with blocking.simulate(symbols=["BTCUSDT"], speed=5) as market:
        trades = market.stream(Trade.of("BTCUSDT"), on_notice=print)
        assert next(trades).symbol == "BTCUSDT"
        assert market.clock.pause().is_paused
        child = market._inner._process.child  # type: ignore[attr-defined]
        os.kill(child.pid, 9)
        with pytest.raises(UpstreamError, match="ended unexpectedly"):
            list(trades)
