from __future__ import annotations

import asyncio

import pytest

from tickerplant.testing.waiting import check_no_loop, until


def test_a_blocking_call_is_refused_where_a_loop_runs_with_place_and_remedy() -> None:
    async def test() -> None:
        check_no_loop("exchange.step()", "await exchange.astep('1s')")

    check_no_loop("exchange.step()", "…")
    with pytest.raises(RuntimeError) as caught:
        asyncio.run(test())
    text = str(caught.value)
    assert text.startswith(f"{__file__}:12: exchange.step() would stop the event loop")
    assert text.endswith("write `await exchange.astep('1s')`")


def test_a_blocking_call_is_no_problem_in_a_thread_beside_a_loop() -> None:
    async def test() -> None:
        await asyncio.to_thread(check_no_loop, "exchange.step()", "…")

    asyncio.run(test())


def test_waiting_ends_when_the_condition_is_true() -> None:
    answers = iter([False, False, False, True])
    assert len(list(until(lambda: next(answers), 60, str))) == 3
