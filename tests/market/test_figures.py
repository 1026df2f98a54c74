"""The derived numbers of tickers, candles and trades, compared with exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import BTCUSD_PERP, BTCUSDT

from tickerplant.instrument import round_div
from tickerplant.market import figures
from tickerplant.market.minutes import Statistics


def statistics(
    opened: int = 1, last: int = 1, volume: int = 0, turnover: int = 0, count: int = 1
) -> Statistics:
    return Statistics(
        open_time_ms=0,
        open=opened,
        high=max(opened, last),
        low=min(opened, last),
        last=last,
        last_quantity=1,
        volume=volume,
        turnover=turnover,
        count=count,
        first_trade_id=1,
        last_trade_id=count,
    )


prices = st.integers(min_value=1, max_value=10**9)
volumes = st.integers(min_value=1, max_value=10**12)


@given(numerator=st.integers(-(10**20), 10**20), denominator=st.integers(1, 10**12))
def test_nearest_is_never_more_than_half_away(numerator: int, denominator: int) -> None:
    error = abs(round_div(numerator, denominator) - Fraction(numerator, denominator))
    assert error <= Fraction(1, 2), "the nearest integer is at most a half away"


def test_halves_go_away_from_zero() -> None:
    assert [round_div(n, 2) for n in (-3, -1, 1, 3)] == [-2, -1, 1, 2]


@given(opened=prices, last=prices)
def test_the_change_and_the_percentage_belong_to_the_same_two_prices(
    opened: int, last: int
) -> None:
    stats = statistics(opened, last)
    assert Fraction(figures.change(BTCUSDT, stats)) == Fraction(last - opened, 100)
    exact = Fraction(100 * (last - opened), opened)
    expected = figures.percent(stats)
    assert abs(Fraction(expected) - exact) <= Fraction(1, 2000), "rounded to three decimals"
    assert len(expected.partition(".")[2]) == 3, "always three decimals"


def test_the_average_of_a_linear_contract_is_turnover_by_volume_in_price_decimals() -> None:
    stats = statistics(volume=3_000, turnover=2 * 6_500_000_000 + 7_000_000_000)
    assert figures.weighted_average(BTCUSDT, stats) == "66666.67", "200000.00 / 3.000"


def test_the_average_of_an_inverse_contract_is_volume_by_turnover_in_eight_decimals() -> None:
    stats = statistics(volume=2_000, turnover=300_000_000)
    assert figures.weighted_average(BTCUSD_PERP, stats) == "66666.66666667", "200000 / 3.00000000"


@given(last=prices)
def test_without_trades_the_average_is_the_last_price(last: int) -> None:
    stats = statistics(last, last)
    assert Fraction(figures.weighted_average(BTCUSDT, stats)) == Fraction(last, 100)
    assert Fraction(figures.weighted_average(BTCUSD_PERP, stats)) == Fraction(last, 10)


@given(price=prices, quantity=volumes)
def test_turnover_is_exact_in_candles_and_rounded_in_tickers(price: int, quantity: int) -> None:
    turnover = BTCUSDT.turnover(price, quantity)
    exact = Fraction(price * quantity, 10**5)
    assert Fraction(figures.bar_turnover(BTCUSDT, turnover)) == exact
    in_ticker = figures.ticker_turnover(BTCUSDT, turnover)
    assert abs(Fraction(in_ticker) - exact) <= Fraction(1, 200), "rounded to price decimals"
    assert len(in_ticker.partition(".")[2]) == 2, "always the price's decimals"


def test_base_coin_turnover_has_eight_decimals_unless_a_ticker_wants_fewer() -> None:
    turnover = BTCUSD_PERP.turnover(652901, 180)
    for expected in (
        figures.bar_turnover(BTCUSD_PERP, turnover),
        figures.ticker_turnover(BTCUSD_PERP, turnover),
        figures.trade_turnover(BTCUSD_PERP, 652901, 180),
    ):
        assert expected == "0.27569264", "18000 / 65290.1"
    assert figures.ticker_turnover(BTCUSD_PERP, turnover, 1) == "0.3", "rounded, as later tickers"


@pytest.mark.parametrize(
    ("price", "quantity", "expected"),
    [
        (1_000_990, 1, "10.00"),
        (1_000_998, 999, "9999.97"),
        (1_000_000, 1, "10.00"),
        (99, 10, "0.00"),
    ],
)
def test_the_value_of_a_linear_trade_is_cut_off_and_not_rounded(
    price: int, quantity: int, expected: str
) -> None:
    assert figures.trade_turnover(BTCUSDT, price, quantity) == expected
