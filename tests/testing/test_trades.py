from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.messages import Trade
from tickerplant.testing.trades import SeenTrade, problems_of, report_of, trade_of

TRUE = [SeenTrade(each, Decimal("10.50"), Decimal(each)) for each in range(100, 110)]
MESSAGE = Trade(
    payload=b"",
    received_ns=0,
    event_time_ms=1,
    trade_time_ms=1,
    symbol="BTCUSDT",
    trade_id=103,
    price="10.5",
    quantity="103",
    buyer_is_maker=True,
)


class Seen:
    id = 103
    price = 10.5
    amount = 103


@pytest.mark.parametrize(
    "mine",
    [
        {"t": 103, "p": "10.5", "q": "103"},
        {"id": 103, "price": "10.50", "qty": "103.000"},
        {"id": "103", "price": 10.5, "amount": 103.0},
        Seen(),
        MESSAGE,
    ],
)
def test_a_trade_of_any_form_has_its_id_price_and_quantity(mine: Any) -> None:
    assert trade_of(mine) == SeenTrade(103, Decimal("10.5"), Decimal(103))
    assert problems_of([mine], TRUE) == []


@pytest.mark.parametrize("mine", ["103", {"price": 1}, None, True, {"t": "x"}, {"a": 1, "f": 2}])
def test_what_is_no_trade_is_refused(mine: Any) -> None:
    with pytest.raises(TypeError, match="trade"):
        trade_of(mine)


@pytest.mark.parametrize(
    ("mine", "problem"),
    [
        ([100, 101, 103], "trade 102 is missing"),
        ([100, 103], "2 trades, 101 to 102, are missing"),
        ([100, 101, 101], "trade 101 was counted 2 times"),
        ([100, 101, 101, 101], "trade 101 was counted 3 times"),
        ([100, 102, 101], "trade 101 came after trade 102"),
        ([109, 110], "trade 110 is none of the exchange's"),
        ([{"t": 100, "p": "10.6"}], "trade 100: my price is 10.6, the exchange's 10.50"),
        ([{"t": 101, "q": "100"}], "trade 101: my quantity is 100, the exchange's 101"),
    ],
)
def test_each_problem_is_a_sentence(mine: list[Any], problem: str) -> None:
    assert problems_of(mine, TRUE) == [problem]


def test_trades_may_have_to_reach_from_one_id_to_another() -> None:
    assert problems_of([103, 104], TRUE, from_id=102, to_id=105) == [
        "trade 102 is missing",
        "trade 105 is missing",
    ]
    assert problems_of([], TRUE, to_id=None) == []


@given(st.lists(st.integers(100, 109)))
def test_there_is_no_problem_exactly_if_ids_follow_one_another(ids: list[int]) -> None:
    follows = ids == list(range(ids[0], ids[0] + len(ids))) if ids else True
    assert (problems_of(ids, TRUE) == []) is follows


def test_a_report_has_the_first_problems_and_how_many_there_are() -> None:
    problems = problems_of([each for each in range(100, 110) for _ in range(2)], TRUE)
    lines = report_of("BTCUSDT", 20, problems).splitlines()
    assert lines[0] == "BTCUSDT: 10 problems in my 20 trades"
    assert lines[1] == "  trade 100 was counted 2 times"
    assert lines[-1] == "  … and 2 more"
