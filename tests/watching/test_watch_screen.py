from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from tickerplant.notices import Disconnected, Notice
from tickerplant.watching.screen import COLUMNS, MAX_NOTICES, draw, room
from tickerplant.watching.table import RowView, StreamState, View

TIME_MS = 1_767_225_600_000


def row(symbol: str = "BTCUSDT", state: StreamState = "live", **changed: Any) -> RowView:
    fields: dict[str, Any] = {
        "stream": f"{symbol.lower()}@bookTicker",
        "symbol": symbol,
        "latest": "65280.10 to 65280.20  (1.5 to 2.5)",
        "messages": 12_345,
        "rate": 117.2,
        "age_ms": 430,
        "delay_ms": 14.2,
        "gaps": 0,
        "missing": 0,
        "state": state,
    }
    return RowView(**(fields | changed))


def notice() -> Notice:
    return Disconnected(streams=("a@trade",), time_ms=TIME_MS, reason="reset", retry_ms=100)


def drawn(
    *rows: RowView,
    hidden: int = 0,
    not_live: int = 0,
    notices: int = 0,
    size: tuple[int, int] = (140, 40),
    color: bool = False,
) -> str:
    view = View(
        rows=list(rows),
        hidden=hidden,
        hidden_not_live=not_live,
        notices=[notice()] * notices,
    )
    width, height = size
    file = StringIO()
    console = Console(
        file=file, width=width, force_terminal=color, color_system="standard" if color else None
    )
    console.print(draw("USDM at ws://x", view, width, height))
    return file.getvalue()


def test_a_row_fills_its_columns() -> None:
    title, empty, head, text = drawn(row(gaps=2, missing=1_500)).splitlines()
    assert (title.strip(), empty.strip()) == ("USDM at ws://x", "")
    assert head.split() == [column.title for column in COLUMNS]
    assert text.split("65280")[0].split() == ["btcusdt@bookTicker", "BTCUSDT"]
    values = text.partition("2.5)")[2].split()
    assert values == ["12,345", "117", "0.4", "s", "14", "ms", "2", "1,500", "live"]


def test_an_unknown_value_is_a_dash() -> None:
    text = drawn(row(rate=None, age_ms=None, delay_ms=None, state="waiting", messages=0))
    assert text.splitlines()[-1].split()[-7:] == ["0", "-", "-", "-", "0", "0", "waiting"]


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"rate": 0.25}, "0.25"),
        ({"rate": 12_345.6}, "12,346"),
        ({"delay_ms": -23_000}, "-23 s"),
        ({"delay_ms": 3_600_000}, "1 h 00 m"),
        ({"delay_ms": -7.4}, "-7 ms"),
        ({"age_ms": 185_000}, "3 m 05 s"),
    ],
)
def test_numbers_are_short(changed: dict[str, Any], shown: str) -> None:
    assert f"  {shown}  " in drawn(row(**changed))


def test_stale_and_disconnected_streams_are_coloured() -> None:
    age = "0.4 s"
    assert re.search(rf"\x1b\[1;33m *{age}", drawn(row(state="stale"), color=True))
    assert "\x1b[1;31mdisconnected" in drawn(row(state="disconnected"), color=True)
    live = drawn(row(), color=True)
    assert "\x1b[32mlive" in live
    assert "[1;3" not in live.splitlines()[-1]


def test_rows_that_do_not_fit_are_counted() -> None:
    assert drawn(row(), hidden=1).splitlines()[-1].strip() == "… 1 more row"
    text = drawn(row(), hidden=2_000, not_live=3).splitlines()[-1]
    assert text.strip() == "… 2,000 more rows, 3 of them not live"


def test_the_latest_notices_follow_with_their_time() -> None:
    lines = drawn(row(), notices=9).splitlines()
    assert lines[-MAX_NOTICES - 1].strip() == ""
    for text in lines[-MAX_NOTICES:]:
        assert text.startswith("00:00:00Z  a@trade: disconnected, reset")
        assert "next attempt" not in text


@pytest.mark.parametrize("size", [(140, 40), (80, 24), (60, 12), (40, 8), (20, 6), (3, 2)])
@pytest.mark.parametrize("notices", [0, 1, 9])
def test_a_screen_is_never_larger_than_the_terminal(size: tuple[int, int], notices: int) -> None:
    width, height = size
    fits = room(height, notices)
    assert fits >= 1
    shown = [row(f"S{number}USDT", latest="币安人生" * 40) for number in range(fits)]
    text = drawn(*shown, hidden=7, not_live=2, notices=notices, size=size).splitlines()
    if height >= 8:
        assert len(text) <= height
    assert all(len(each) <= width for each in text)


def test_a_narrow_terminal_hides_the_least_important_columns() -> None:
    head = drawn(row(), size=(80, 24)).splitlines()[2].split()
    assert head[0] == "stream"
    assert {"latest", "age", "gaps", "state"} <= set(head)
    assert "symbol" not in head


def test_the_title_shows_the_length_of_an_outage() -> None:
    view = View(rows=[], hidden=0, hidden_not_live=0, notices=[], disconnected=2, outage_ms=42_000)
    console = Console(file=StringIO(), width=100)
    with console.capture() as captured:
        console.print(draw("USDM at ws://x", view, 100, 40))
    assert captured.get().startswith("2 streams disconnected for 42 s · USDM at ws://x")


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, "btcusdt@bookTicker  65280.10 to 65280.20  (…     0.4 s     0"),
        (40, "btcusdt@bookTicker  65280.10 to 65280.2…"),
        (20, "btc…  65280.10 to 6…"),
    ],
)
def test_a_very_narrow_terminal_still_shows_a_price(width: int, shown: str) -> None:
    assert drawn(row(), size=(width, 12)).splitlines()[-1].strip() == shown
