"""A hosted market whose connection is cut: nothing is missing, or the client says how much."""

from __future__ import annotations

from itertools import pairwise

import pytest
from one_loop import in_one_loop, tape

import tickerplant
from tickerplant.messages import Message, Trade
from tickerplant.notices import Disconnected, Gap, Notice

TRADES = "btcusdt@trade"


async def read(market: tickerplant.Market) -> tuple[list[int], list[Notice]]:
    """Return the ids of all trades, and the notices among them."""
    ids: list[int] = []
    notices: list[Notice] = []
    async with market:
        async for item in market.stream(TRADES):
            if isinstance(item, Notice):
                notices.append(item)
            else:
                assert isinstance(item, Trade)
                ids.append(item.trade_id)
    return ids, notices


def simulation(
    faults: dict[str, str] | None = None, speed: float = 0
) -> tickerplant.SimulatedMarket:
    return tickerplant.simulate(
        symbols=["BTCUSDT"],
        start="2026-11-20",
        duration="30s",
        speed=speed,
        quoting=0.1,
        faults=faults,
    )


@pytest.mark.parametrize("faults", [{"reset": "5s"}, {"close": "1001 mean=4s"}], ids=str)
@in_one_loop
async def test_a_simulation_at_full_speed_waits_for_its_client_to_return(
    faults: dict[str, str],
) -> None:
    whole, _ = await read(simulation())
    found, notices = await read(simulation(faults))
    assert found == whole
    assert [each for each in notices if isinstance(each, Disconnected)], "it was cut off"
    assert not [each for each in notices if isinstance(each, Gap)]


@in_one_loop
async def test_a_replay_at_full_speed_waits_at_its_end_and_counts_what_is_missing() -> None:
    whole = [each.trade_id for each in tickerplant.open_recording(tape()) if is_trade(each)]  # type: ignore[attr-defined]
    found, notices = await read(tickerplant.replay(tape(), speed=0, faults={"reset": "1s"}))
    assert [each for each in notices if isinstance(each, Disconnected)], "it was cut off"
    assert len(found) > 0.8 * len(whole)
    assert_counted(found, notices, whole)


@in_one_loop
async def test_a_market_that_keeps_a_pace_goes_on_and_the_client_counts_what_is_missing() -> None:
    whole, _ = await read(simulation())
    found, notices = await read(simulation({"reset": "5s"}, speed=30))
    assert len(found) < len(whole), "an outage takes as long as it does"
    assert_counted(found, notices, whole)


def is_trade(message: Message) -> bool:
    return message.stream == TRADES


def assert_counted(found: list[int], notices: list[Notice], whole: list[int]) -> None:
    """Fail unless a gap before each hole says how many messages are missing, or at the end some."""
    gaps = [each for each in notices if isinstance(each, Gap)]
    if gaps and gaps[-1].missing is None:
        assert (gaps[-1].after_id, gaps[-1].before_id) == (found[-1], -1)
        whole = whole[: whole.index(found[-1]) + 1]
        gaps.pop()
    holes = [(one, other) for one, other in pairwise(found) if other != one + 1]
    assert [(each.after_id, each.before_id) for each in gaps] == holes
    assert len(found) + sum(each.missing or 0 for each in gaps) == len(whole)
