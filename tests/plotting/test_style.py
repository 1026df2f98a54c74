from __future__ import annotations

from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from tickerplant.plotting.style import (
    amount_text,
    date_of,
    draw_hole,
    draw_plain_numbers,
    draw_time_axis,
    png_of,
    style,
    svg_of,
)
from tickerplant.units import NS_PER_S

START_NS = 1_772_323_200 * NS_PER_S  # 2026-03-01


def drawn(name: str) -> Figure:
    figure = Figure(figsize=(4, 2))
    axis = figure.subplots()
    axis.plot([date_of(START_NS), date_of(START_NS + 60 * NS_PER_S)], [65_000.1, 65_000.4])
    draw_hole(axis, START_NS + 10 * NS_PER_S, START_NS + 20 * NS_PER_S)
    draw_plain_numbers(axis)
    draw_time_axis(axis, START_NS, START_NS + 60 * NS_PER_S, name)
    return figure


def test_the_same_figure_is_the_same_text_and_times_are_utc() -> None:
    with style():
        one, other = svg_of(drawn("a <b> & $x$ 币")), svg_of(drawn("a <b> & $x$ 币"))
    assert one == other
    texts = {"".join(each.itertext()) for each in ET.fromstring(one).iter()}  # noqa: S314
    assert {"a <b> & $x$ 币", "00:00", "2026-Mar-01 00:01", "65,000.20"} <= texts


def test_the_users_own_settings_change_nothing_and_are_left_alone() -> None:
    with style():
        plain = svg_of(drawn("a"))
    before = mpl.rcParams["font.size"]
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "timezone": "Asia/Tokyo"}):
        with style():
            assert svg_of(drawn("a")) == plain
        assert mpl.rcParams["font.size"] == 30
    assert mpl.rcParams["font.size"] == before


def test_a_png_has_the_pixels_of_the_figure() -> None:
    with style():
        data = png_of(drawn("a"))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])) == (400, 200)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.25, "0.25"), (1_500, "1.5k"), (2e6, "2M"), (3e9, "3G")]
)
def test_amounts_are_short(value: float, text: str) -> None:
    assert amount_text(value) == text
