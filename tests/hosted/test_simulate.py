from __future__ import annotations

from pathlib import Path

import pytest
from one_loop import in_one_loop

import tickerplant
from tickerplant.errors import ConfigError
from tickerplant.messages.prices import MarkPrice


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
async def test_a_scenario_that_is_none_is_refused_in_the_words_of_the_argument() -> None:
    market = tickerplant.simulate(symbols=["BTCUSDT"], scenario="flash-crahs")
    with pytest.raises(ConfigError, match=r"for scenario: .*did you mean flash-crash\?"):
        await market
