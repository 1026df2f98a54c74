"""The printed numbers of tickers, candles and trades, against exact fractions and captured ones."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tickerplant.instrument import Instrument, Scale
from tickerplant.market import figures
from tickerplant.market.minutes import Statistics
from tickerplant.venue import COINM, USDM

LINEAR = Instrument(
    venue=USDM,
    symbol="BTCUSDT",
    pair="BTCUSDT",
    contract_type="PERPETUAL",
    base_asset="BTC",
    quote_asset="USDT",
    margin_asset="USDT",
    price=Scale(2),
    quantity=Scale(3),
    tick_size=10,
    step_size=1,
    min_price=10,
    max_price=10**9,
    min_quantity=1,
    max_quantity=10**9,
    max_market_quantity=10**9,
)
INVERSE = Instrument(
    venue=COINM,
    symbol="BTCUSD_PERP",
    pair="BTCUSD",
    contract_type="PERPETUAL",
    base_asset="BTC",
    quote_asset="USD",
    margin_asset="BTC",
    price=Scale(1),
    quantity=Scale(0),
    tick_size=1,
    step_size=1,
    min_price=1,
    max_price=10**8,
    min_quantity=1,
    max_quantity=10**9,
    max_market_quantity=10**9,
    contract_size=100,
)


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
    error = abs(figures.nearest(numerator, denominator) - Fraction(numerator, denominator))
    assert error <= Fraction(1, 2), "the nearest integer is at most a half away"


def test_halves_go_away_from_zero() -> None:
    assert [figures.nearest(n, 2) for n in (-3, -1, 1, 3)] == [-2, -1, 1, 2]


@given(opened=prices, last=prices)
def test_the_change_and_the_percentage_belong_to_the_same_two_prices(
    opened: int, last: int
) -> None:
    stats = statistics(opened, last)
    assert Fraction(figures.change(LINEAR, stats)) == Fraction(last - opened, 100)
    exact = Fraction(100 * (last - opened), opened)
    printed = figures.percent(stats)
    assert abs(Fraction(printed) - exact) <= Fraction(1, 2000), "rounded to three decimals"
    assert len(printed.partition(".")[2]) == 3, "always three decimals"


@pytest.mark.parametrize(
    ("opened", "last", "printed"),
    [
        # opening price, last price and percent as captured from the exchange
        (4718422, 4702859, "-0.330"),
        (115404, 115711, "0.266"),
        (471356, 470102, "-0.266"),
        (323931, 321550, "-0.735"),
    ],
)
def test_percentages_are_those_the_exchange_printed(opened: int, last: int, printed: str) -> None:
    assert figures.percent(statistics(opened, last)) == printed


def test_the_average_of_a_linear_contract_is_turnover_by_volume_in_price_decimals() -> None:
    stats = statistics(volume=471_823_103, turnover=2_217_512_935_720_000)
    assert figures.weighted_average(LINEAR, stats) == "46998.82", "22175129357.20 / 471823.103"


@pytest.mark.parametrize(
    ("volume", "turnover", "printed"),
    [
        # contracts of 10 USD, base coin and average as captured from the exchange
        (6_340_191, 279_362_479_939_942, "22.69521305"),
        (2_413_277, 59_003_812_001_920, "40.90035742"),
        (7_890_163, 467_424_574_946_146, "16.88007739"),
    ],
)
def test_the_average_of_an_inverse_contract_is_the_one_the_exchange_printed(
    volume: int, turnover: int, printed: str
) -> None:
    instrument = structs.replace(INVERSE, contract_size=10)
    stats = statistics(volume=volume, turnover=turnover)
    assert figures.weighted_average(instrument, stats) == printed


@given(last=prices)
def test_without_trades_the_average_is_the_last_price(last: int) -> None:
    stats = statistics(last, last)
    assert Fraction(figures.weighted_average(LINEAR, stats)) == Fraction(last, 100)
    assert Fraction(figures.weighted_average(INVERSE, stats)) == Fraction(last, 10)


@given(price=prices, quantity=volumes)
def test_turnover_is_exact_in_candles_and_rounded_in_tickers(price: int, quantity: int) -> None:
    turnover = LINEAR.turnover(price, quantity)
    exact = Fraction(price * quantity, 10**5)
    assert Fraction(figures.bar_turnover(LINEAR, turnover)) == exact
    in_ticker = figures.ticker_turnover(LINEAR, turnover)
    assert abs(Fraction(in_ticker) - exact) <= Fraction(1, 200), "rounded to price decimals"
    assert len(in_ticker.partition(".")[2]) == 2, "always the price's decimals"


def test_base_coin_turnover_has_eight_decimals_everywhere() -> None:
    turnover = INVERSE.turnover(652901, 180)
    for printed in (
        figures.bar_turnover(INVERSE, turnover),
        figures.ticker_turnover(INVERSE, turnover),
        figures.trade_turnover(INVERSE, 652901, 180),
    ):
        assert printed == "0.27569264", "18000 / 65290.1"


@pytest.mark.parametrize(
    ("price", "quantity", "printed"),
    [(1149406, 7, "80.45"), (1149406, 2, "22.98"), (3011470, 2, "60.22"), (3011000, 2, "60.22")],
)
def test_the_value_of_a_linear_trade_is_cut_off_as_the_exchange_does(
    price: int, quantity: int, printed: str
) -> None:
    assert figures.trade_turnover(LINEAR, price, quantity) == printed
