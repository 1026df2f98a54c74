from __future__ import annotations

import tracemalloc
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import BTCUSD_PERP, BTCUSDT, BTCUSDT_260626

from tickerplant import instrument
from tickerplant.instrument import (
    LARGEST,
    LONGEST_NUMBER,
    NUMBER_BYTES,
    Scale,
    decimal_text,
    decimal_units,
)

UNITS = st.integers(min_value=-(10**18), max_value=10**18)
DECIMALS = st.integers(min_value=0, max_value=8)


@given(UNITS, DECIMALS)
def test_text_and_units_are_each_others_inverse(units: int, decimals: int) -> None:
    text = decimal_text(units, decimals)
    assert decimal_units(text, decimals) == units, f"{text!r} must be {units} units again"
    assert Decimal(text) == Decimal(units).scaleb(-decimals), f"{text!r} must have the value"
    assert len(text.partition(".")[2]) == decimals, "all decimals are written, zeros included"


@pytest.mark.parametrize(
    ("text", "units"), [("1.5", 150), ("1.500", 150), ("1", 100), ("007.10", 710), ("-0.01", -1)]
)
def test_a_text_may_have_fewer_decimals_or_zeros_more(text: str, units: int) -> None:
    assert decimal_units(text, 2) == units


def test_a_digit_beyond_the_scale_is_refused_and_named() -> None:
    with pytest.raises(ValueError, match=r"'1\.005' has more than 2 decimals"):
        decimal_units("1.005", 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-",
        "-.",
        "1e5",
        "1E-2",
        " 1.5",
        "1.5 ",
        "1_000",
        "1._5",
        "+1",
        "--1",
        "1.2.3",
        "1.-5",
        "٣.5",
        "NaN",
        "Infinity",
        "0x10",
        "1,5",
        "abc",
        "1\n",
        "1\n.5",
    ],
)
@pytest.mark.parametrize("decimals", [0, 2, 8])
def test_what_is_no_plain_decimal_is_refused_and_named(text: str, decimals: int) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is held to the text below
        decimal_units(text, decimals)
    assert repr(text) in str(caught.value), f"the error must name {text!r}, says {caught.value}"


@given(st.text(max_size=12), DECIMALS)
def test_any_text_is_a_number_of_the_scale_or_a_value_error(text: str, decimals: int) -> None:
    try:
        units = decimal_units(text, decimals)
    except ValueError:
        return
    assert Decimal(units).scaleb(-decimals) == Decimal(text), f"{text!r} was read as {units} units"


def test_a_scale_remembers_what_it_converted() -> None:
    scale = Scale(2)
    assert scale.text[12345] is scale.text[12345], "the text must be made once"
    assert scale.units["123.45"] == 12345
    assert "123.45" in scale.units


@given(st.lists(st.tuples(UNITS, DECIMALS), min_size=1, max_size=40), st.integers(1, 8))
def test_all_scales_of_the_process_share_one_bound(
    numbers: list[tuple[int, int]], cached: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instrument, "CACHED_NUMBERS", cached)
        instrument._Cache.clear_all()
        for units, decimals in numbers:
            scale, within = Scale(decimals), units % LARGEST
            text = decimal_text(within, decimals)
            assert scale.text[within] == text
            assert scale.units[text] == within
            assert sum(map(len, instrument._Cache.every)) <= cached
        instrument._Cache.clear_all()


def test_cached_numbers_take_no_more_than_they_are_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    cached, digits = 4_096, LONGEST_NUMBER - 2
    monkeypatch.setattr(instrument, "CACHED_NUMBERS", cached)
    instrument._Cache.clear_all()
    tracemalloc.start()
    try:
        for units in range(LARGEST - cached, LARGEST):
            scale = Scale(units % 8)
            assert scale.units[scale.text[units].zfill(digits)] == units
            taken_bytes = tracemalloc.get_traced_memory()[0]
            assert taken_bytes <= cached * NUMBER_BYTES
    finally:
        tracemalloc.stop()
        instrument._Cache.clear_all()


def test_a_refused_text_is_not_remembered() -> None:
    scale = Scale(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="decimal"):
            scale.units["0.55"]
    assert "0.55" not in scale.units


def test_scales_of_the_same_decimals_are_the_same() -> None:
    assert Scale(3) == Scale(3)
    assert hash(Scale(3)) == hash(Scale(3))
    assert Scale(3) != Scale(2)


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_linear_turnover_is_exactly_price_times_quantity(price: int, quantity: int) -> None:
    exact = Fraction(price, 10**2) * Fraction(quantity, 10**3)
    units = BTCUSDT.turnover(price, quantity)
    assert Fraction(units, 10**BTCUSDT.turnover_decimals) == exact


@given(st.integers(1, 10**8), st.integers(1, 10**6))
def test_inverse_turnover_is_the_nearest_unit_of_base_coin(price: int, contracts: int) -> None:
    exact = Fraction(contracts * 100) / Fraction(price, 10)
    units = BTCUSD_PERP.turnover(price, contracts)
    assert abs(Fraction(units, 10**8) - exact) <= Fraction(1, 2 * 10**8), (
        f"{contracts} contracts at {price} units are {exact} coins, not {units} units"
    )


def test_only_a_contract_without_delivery_is_perpetual() -> None:
    assert BTCUSDT.perpetual
    assert not BTCUSDT_260626.perpetual


@pytest.mark.parametrize("text", ["1" * 65, "1." + "0" * 64, "-" + "0" * 64])
@pytest.mark.parametrize("decimals", [0, 2, 8])
def test_a_text_that_is_too_long_is_rejected_and_not_cached(text: str, decimals: int) -> None:
    scale = Scale(decimals)
    with pytest.raises(ValueError, match="is too long for a number"):
        scale.units[text]
    assert text not in scale.units


def test_a_long_text_is_shortened_in_the_error() -> None:
    with pytest.raises(ValueError, match="is too long for a number") as refused:
        decimal_units("1." + "0" * 1_000_000, 2)
    assert len(str(refused.value)) < 200


def test_a_scale_has_no_numbers_beyond_what_a_market_can_hold() -> None:
    scale = Scale(0)
    assert scale.units[str(LARGEST)] == LARGEST
    assert scale.units[str(-LARGEST)] == -LARGEST
    for beyond in (LARGEST + 1, -LARGEST - 1):
        with pytest.raises(ValueError, match="is larger than a market can hold"):
            scale.units[str(beyond)]
