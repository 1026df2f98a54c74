from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.formatting import (
    clock_text,
    columns,
    duration_text,
    names_text,
    printable_json,
    table,
    timestamp_text,
)


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (-5, "0.0 s"),
        (430, "0.4 s"),
        (9_949, "9.9 s"),
        (9_950, "10 s"),
        (59_400, "59 s"),
        (59_600, "1 m 00 s"),
        (185_000, "3 m 05 s"),
        (7_800_000, "2 h 10 m"),
    ],
)
def test_durations_are_short(milliseconds: float, expected: str) -> None:
    assert duration_text(milliseconds) == expected


def test_times_are_in_utc() -> None:
    assert timestamp_text(1_767_225_600_000_001_999) == "2026-01-01T00:00:00.000001Z"
    assert clock_text(1_767_229_261_500) == "01:01:01Z"


def test_many_names_are_the_first_of_them() -> None:
    assert names_text([]) == ""
    assert names_text(["a", "b", "c"]) == "a, b, c"
    assert names_text(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


HEAD = ("stream", "speed", "route", "what it carries")
ROWS = [
    ("<symbol>@trade", "real time", "public", "Every trade."),
    ("!x", "", "", "Nothing of much."),
]


@pytest.mark.parametrize("width", [None, 200, 51])
def test_a_table_that_fits_is_in_columns(width: int | None) -> None:
    assert list(table(HEAD, ROWS, width)) == [
        "stream          speed      route   what it carries",
        "<symbol>@trade  real time  public  Every trade.",
        "!x                                 Nothing of much.",
    ]


def test_columns_are_as_wide_as_a_terminal_shows_their_cells() -> None:
    rows = [("stream", "n"), ("币安人生@trade", "1"), ("a@trade", "12"), ("e\u0301@trade", "3")]
    assert list(columns(rows, {"n"})) == [
        "stream           n",
        "币安人生@trade   1",
        "a@trade         12",
        "e\u0301@trade          3",
    ]


def test_a_table_that_is_wider_than_the_terminal_is_in_paragraphs() -> None:
    assert list(table(HEAD, ROWS, 30)) == [
        "<symbol>@trade",
        "  speed real time; route",
        "  public",
        "  Every trade.",
        "!x",
        "  Nothing of much.",
    ]


@given(st.text())
def test_json_for_a_terminal_is_printable_and_means_the_same(text: str) -> None:
    for indent in (0, 2):
        encoded = msgspec.json.format(msgspec.json.encode({"q": [text, 1]}), indent=indent)
        shown = printable_json(encoded)
        assert all(line.isprintable() for line in shown.decode().split("\n"))
        assert msgspec.json.decode(shown) == {"q": [text, 1]}


def test_what_is_printable_stays_and_what_is_no_text_is_replaced() -> None:
    text = '{"s":"币安人生USDT","p":"1"}'.encode()
    assert printable_json(text) == text
    assert printable_json(b'"\x9b2J \xc2\x9b2J \xf3\xa0\x80\x81"') == (
        '"\N{REPLACEMENT CHARACTER}2J \\u009b2J \\udb40\\udc01"'.encode()
    )
