"""What fits into a table: the form of numbers against a naive model, and who looks at it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pytest
from archived import START_NS, TRADE, golden_lines, line_of, recording
from blocks import line_file
from hypothesis import example, given
from hypothesis import strategies as st

import tickerplant
from tickerplant.archive.arrow import are_numbers
from tickerplant.archive.tables import DECIMALS, Numbers
from tickerplant.archive.validation import is_number, rejected_in, unfiltered_reader

DEPTH = {"e": "depthUpdate", "E": 1, "T": 1, "s": "A", "U": 2, "u": 3, "pu": 1}
NO_NUMBERS = (
    "1e-999999999",
    "1e400",
    "1e5",
    "1E-9",
    "inf",
    "-inf",
    "nan",
    "NaN",
    "0x10",
    "1_000",
    "+1",
    "",
    " 1",
    "1 ",
    "1\n",
    "1.",
    ".5",
    "1.2.3",
    "--1",
    "1-2",
    "-",
    "\u0661\u0662",
    "\uff11",
    "9" * 27 + ".5",
    "9" * 27,
    "0.0000000000001",
    "1." + "0" * 600_000,
    "0" * 600_000 + "1",
)
"""None of these is a number of the exchange; by some a cast is crashed, or another number made."""
NUMBERS = ("0", "-0", "-0.00000", "00001", "65000.10", "1.000000000000000000", "9" * 26 + ".5")
SHOWN = [text[:20].encode("unicode_escape").decode() for text in NO_NUMBERS]


@pytest.mark.heavy
@pytest.mark.parametrize("text", NO_NUMBERS, ids=SHOWN)
def test_a_message_with_an_invalid_number_is_skipped_and_named(tmp_path: Path, text: str) -> None:
    trades = [line_of("a@trade", TRADE | {"t": number}, START_NS + number) for number in range(9)]
    trades[4] = line_of("a@trade", TRADE | {"q": text}, START_NS + 4)
    path = line_file(tmp_path / "tape", trades)
    opened = tickerplant.open_recording(path)
    for numbers in get_args(Numbers):
        assert opened.arrow("trades", numbers)["trade_id"].to_pylist() == [0, 1, 2, 3, 5, 6, 7, 8]
        assert opened.unreadable == 1
        offset = sum(len(b"%d %b\n" % line) for line in trades[:4])
        reason = opened.unreadable_reason
        assert reason.startswith(f"{path}, line 5, byte {offset}, received at {START_NS + 4}: ")
        assert f"fit into trades: quantity is {repr(text)[:30]}" in reason
        assert len(reason) < 400


@pytest.mark.heavy
@pytest.mark.parametrize("text", NO_NUMBERS, ids=SHOWN)
def test_an_update_with_an_invalid_level_is_skipped_entirely(tmp_path: Path, text: str) -> None:
    levels: tuple[dict[str, Any], ...] = (
        {"b": [["1", "2"]], "a": []},
        {"b": [["1", "2"], ["1", text]], "a": []},
        {"b": [], "a": [["1", "2"], [text, "1"]]},
        {"b": [], "a": []},
    )
    lines = [
        line_of("a@depth", DEPTH | each | {"u": number}, START_NS + number)
        for number, each in enumerate(levels)
    ]
    opened = tickerplant.open_recording(recording(tmp_path / "tape", lines))
    assert opened.arrow("depth_updates")["final_update_id"].to_pylist() == [0, 3]
    assert opened.unreadable == 2
    assert "fit into depth_updates: quantity of a bid is" in opened.unreadable_reason
    assert f".zst, byte 0, received at {START_NS + 1}" in opened.unreadable_reason


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_in_the_form_of_the_exchange_are_exact(tmp_path: Path, text: str) -> None:
    lines = [line_of("a@trade", TRADE | {"p": text})]
    opened = tickerplant.open_recording(line_file(tmp_path / "tape", lines))
    assert opened.arrow("trades")["price"].to_pylist() == [Decimal(text)]
    assert opened.arrow("trades", "float")["price"].to_pylist() == [float(text)]
    assert opened.arrow("trades", "text")["price"].to_pylist() == [text]


def test_a_batch_of_which_nothing_fits_is_empty(tmp_path: Path) -> None:
    lines = [line_of("a@trade", TRADE | {"p": "inf"})] * 3
    lines += [line_of("a@depth", DEPTH | {"b": [["inf", "1"]], "a": []})] * 3
    opened = tickerplant.open_recording(line_file(tmp_path / "tape", lines))
    for table in ("trades", "depth_updates"):
        assert opened.arrow(table).num_rows == 0
        assert opened.unreadable == 3


@given(st.text("0123456789.-+eE_ \u0661", max_size=50))
@example("1\n")
def test_the_form_of_a_number_is_that_of_a_plain_decimal(text: str) -> None:
    digits, point, decimals = text.removeprefix("-").partition(".")
    plain = set(digits + decimals) <= set("0123456789")
    expected = (
        plain
        and 1 <= len(digits) <= 26
        and (not point or (1 <= len(decimals) <= 36 and not decimals[DECIMALS:].strip("0")))
    )
    assert bool(is_number(text)) == expected


@given(
    st.lists(st.sampled_from(NUMBERS) | st.text("0123456789.-", max_size=16) | st.none()),
    st.integers(0, 3),
)
@example([], 0)
@example(["1.5", "2.", "5.5.5"], 0)
@example(["1.5", "2.5", "0.123456789012"], 1)
@example(["1.5", "0.1234567890123"], 0)
@example(["9.5", "1.23", ".4", "5.6"], 0)
@example(["9.5", "1..2", "4"], 0)
def test_many_numbers_have_the_form_if_each_has(texts: list[str | None], start: int) -> None:
    array = pa.array(texts, pa.string())[start:]
    assert are_numbers(array) == all(text is None or is_number(text) for text in texts[start:])


def test_one_of_very_many_numbers_is_found() -> None:
    texts = ["65000.10"] * 20_000
    assert are_numbers(pa.array(texts))
    for at in (0, 4_095, 4_096, 19_999):
        assert not are_numbers(pa.array([*texts[:at], "6500.0.10", *texts[at + 1 :]]))


def test_nothing_real_is_odd() -> None:
    raws = [raw for _, raw in golden_lines("usdm") + golden_lines("coinm")]
    lanes = unfiltered_reader()
    assert [raw for raw in raws if rejected_in((START_NS, raw), lanes)] == []
