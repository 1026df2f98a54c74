"""The picture of a symbol: prices and trades, the book, the spread and the volume, one below the other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from msgspec import Struct

from tickerplant.formatting import duration_text, iso_text, printable
from tickerplant.plotting.columns import BookSample, Range
from tickerplant.plotting.style import (
    BUY,
    DPI,
    FAINT,
    INK,
    SELL,
    date_of,
    draw_absence,
    draw_amounts,
    draw_hole,
    draw_plain_numbers,
    draw_shades,
    draw_time_axis,
    leave_room,
)
from tickerplant.plotting.tape import (
    ALL_TICKERS,
    BEST_LEVELS,
    BOOK,
    TICKER,
    Hole,
    Tape,
)
from tickerplant.units import NS_PER_MS

LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 95, 85, 60, 95
COLUMN_PX = 2
"""Width of a column."""
ROW_PX = 2
"""Height of a price of the heat map."""
HEIGHTS = (3.0, 2.6, 1.0, 1.2)
BETWEEN = 0.12
"""Room between panels, as a share of their average height."""
SHOWN_HOLES = 2
FAR = 15
"""A spread that reaches this multiple of the usual one is drawn over a logarithmic axis."""
BAR_COLUMNS = 4
"""Columns of a bar of the volume; the number of columns is a multiple of it."""
CHARACTER_PX = 6.8
"""About the width of a letter."""
NEAR_LEVELS = 50
"""The prices of the grid reach at least as far from the middle as this level usually is."""
MARGIN = 0.35
"""And as far beyond the range of the middle as this share of it."""
_SHADES = LinearSegmentedColormap.from_list("depth", ["#eef5fa", "#7fbde0", "#0072b2", "#00253d"])
_SOURCES = {
    TICKER: "best prices of {}",
    BOOK: "best prices of the book from {}",
    ALL_TICKERS: "best prices of {}",
    BEST_LEVELS: "best prices of {}",
}


class Units(Struct, frozen=True):
    """What prices and quantities are counted in."""

    price: str
    """Such as `USDT`; empty if it is not known."""
    quantity: str
    """Such as `BTC` or `contracts`."""


def columns_in(width_px: int) -> int:
    """Return how many columns a picture has room for."""
    return max((width_px - LEFT_PX - RIGHT_PX) // (COLUMN_PX * BAR_COLUMNS), 12) * BAR_COLUMNS


def drawn(tape: Tape, units: Units, width_px: int, height_px: int) -> Figure:
    """Return the picture of what was recorded of a symbol; to be called and saved in `style()`."""
    columns = tape.columns
    figure = Figure(figsize=(width_px / DPI, height_px / DPI))
    figure.subplots_adjust(
        left=LEFT_PX / width_px,
        right=1 - RIGHT_PX / width_px,
        top=1 - TOP_PX / height_px,
        bottom=BOTTOM_PX / height_px,
        hspace=BETWEEN,
    )
    panels = figure.subplots(len(HEIGHTS), 1, sharex=True, height_ratios=HEIGHTS)
    quotes = tape.quotes.get(tape.quote_source)
    mid = spread = None
    if quotes is not None:
        streams = quotes.streams
        unknown = columns.touched(tape.spans_without(streams))
        mid = quotes.mid.carried(unknown, quotes.broken)
        spread = quotes.spread.carried(unknown, quotes.broken)
    _draw_prices(panels[0], tape, mid, units)
    _draw_book(figure, panels[1], tape, mid, units, height_px)
    _draw_spread(panels[2], tape, spread, units)
    _draw_volume(panels[3], tape, units)
    for axis in panels:
        axis.grid(axis="x")
    width_text = _width_text(columns.width_ns)
    draw_time_axis(
        panels[-1],
        columns.start_ns,
        columns.end_ns,
        f"receive time, UTC; {columns.count:,} columns of {width_text} each",
    )
    panels[0].set_title(
        f"{printable(tape.symbol)}   {iso_text(columns.start_ns)} to {iso_text(columns.end_ns)}",
        loc="left",
        fontsize=11.5,
        fontweight="bold",
        pad=24,
    )
    figure.align_ylabels(panels)
    most = int((width_px - LEFT_PX) / CHARACTER_PX)
    lines = [line if len(line) <= most else line[: most - 1] + "…" for line in hole_lines(tape)]
    figure.text(LEFT_PX / width_px, 8 / height_px, "\n".join(lines), color=FAINT, va="bottom")
    return figure


def hole_lines(tape: Tape) -> list[str]:
    """Return what is missing in a picture, as two short lines."""
    count = len(tape.holes) + tape.more_holes
    if not count:
        return ["Nothing is known to be missing; tickerplant verify checks whether that is so."]
    longest = sorted(tape.holes, key=lambda each: each.from_ns - each.to_ns)[:SHOWN_HOLES]
    said = "; ".join(hole_text(each) for each in sorted(longest))
    more = f"{count:,} holes, the longest: " if count > len(longest) else ""
    return ["Hatched: not recorded, or not known; nothing is drawn across it.", f"{more}{said}"]


def hole_text(hole: Hole) -> str:
    """Return a hole as text."""
    length = duration_text((hole.to_ns - hole.from_ns) / NS_PER_MS)
    what = f"{hole.what}, " if hole.streams else ""
    return printable(f"{iso_text(hole.from_ns)[11:23]}, {length}: {what}{hole.reason}")


def _width_text(width_ns: float) -> str:
    width_ms = width_ns / NS_PER_MS
    return f"{width_ms:.3g} ms" if width_ms < 1_000 else duration_text(width_ms)


def _draw_prices(axis: Axes, tape: Tape, mid: Range | None, units: Units) -> None:
    trades = tape.trades.get(tape.trade_kind)
    axis.set_ylabel(_with_unit("price", units.price))
    if mid is None and trades is None:
        draw_absence(axis, "no prices: neither best prices nor trades were recorded then")
        return
    middles = [(begin + end) / 2 for begin, end in _edges(tape)]
    if mid is not None:
        _draw_range(axis, tape, mid, INK, "mid")
    if trades is not None:
        largest = max(*trades.bought, *trades.sold) or 1.0
        for is_buy, color, marker, label in (
            (True, BUY, "^", "bought"),
            (False, SELL, "v", "sold"),
        ):
            quantities = trades.bought if is_buy else trades.sold
            found = [
                (middles[at], price, 5 + 60 * (quantities[at] / largest) ** 0.5)
                for at, price in enumerate(trades.average_prices(is_buy=is_buy))
                if price is not None
            ]
            if found:
                times, prices, sizes = zip(*found, strict=True)
                axis.scatter(
                    times, prices, sizes, color=color, marker=marker, alpha=0.6, linewidths=0,
                    label=f"{label}, average price",
                )  # fmt: skip
    if mid is not None:
        _draw_unknown(axis, tape, [each is None for each in mid.last])
    elif trades is not None:
        _draw_unknown(axis, tape, tape.columns.covered(tape.spans_without(trades.streams)))
    draw_plain_numbers(axis)
    notes = []
    if mid is None:
        notes.append("no mid: no best prices were recorded then")
    else:
        notes.append(source_text(tape))
    if trades is None:
        notes.append("no trades were recorded then")
    else:
        notes.append(f"trades of {', '.join(sorted(trades.streams))}")
    _draw_note(axis, "; ".join(notes))
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.03), ncols=3, borderpad=0.1)


def source_text(tape: Tape) -> str:
    """Return where best prices are taken from."""
    streams = ", ".join(sorted(tape.quotes[tape.quote_source].streams))
    return _SOURCES[tape.quote_source].format(streams)


def _draw_book(
    figure: Figure, axis: Axes, tape: Tape, mid: Range | None, units: Units, height_px: int
) -> None:
    axis.set_ylabel(_with_unit("book, price", units.price))
    if not tape.depth_streams:
        draw_absence(axis, "no book: no changes of its depth were recorded then")
        return
    panel_px = (height_px - TOP_PX - BOTTOM_PX) * HEIGHTS[1] / sum(HEIGHTS)
    books = tape.carried_books()
    found = heat_map(books, max(int(panel_px / ROW_PX), 20))
    if found is None:
        draw_absence(axis, "no book: it is never in sync, because no snapshot fits its changes")
        return
    _draw_heat(figure, axis, tape, found, units)
    if mid is not None:
        _draw_range(axis, tape, mid, SELL, "")
    _draw_unknown(axis, tape, [each is None for each in books])
    axis.set_ylim(found.low, found.high)
    draw_plain_numbers(axis, 5)
    _draw_note(axis, f"{', '.join(sorted(tape.depth_streams))}, with mid")


def _draw_heat(figure: Figure, axis: Axes, tape: Tape, found: HeatMap, units: Units) -> None:
    quantities = found.quantity[found.quantity > 0]
    low, high = np.quantile(quantities, [0.25, 0.998]) if quantities.size else (1.0, 1.0)
    scale = LogNorm(low, max(high, 2 * low), clip=True)
    axis.imshow(
        np.ma.masked_where(~(found.quantity > 0), found.quantity),
        cmap=_SHADES,
        norm=scale,
        aspect="auto",
        origin="lower",
        interpolation="none",
        zorder=0.6,
        extent=(
            date_of(tape.columns.start_ns),
            date_of(tape.columns.end_ns),
            found.low,
            found.high,
        ),
    )
    draw_shades(figure, axis, _SHADES, scale, _with_unit("quantity at a price", units.quantity))


def _draw_spread(axis: Axes, tape: Tape, spread: Range | None, units: Units) -> None:
    axis.set_ylabel(_with_unit("spread", units.price))
    if spread is None:
        draw_absence(axis, "no spread: no best prices were recorded then")
        return
    _draw_range(axis, tape, spread, INK, "")
    _draw_note(axis, "line: last of each column; band: lowest to highest, as for mid")
    _draw_unknown(axis, tape, [each is None for each in spread.last])
    known = [each for each in (*spread.low, *spread.high) if each is not None]
    usual = [each for each in spread.last if each is not None]
    if min(known, default=0.0) > 0 and max(known) > FAR * median(usual):
        axis.set_yscale("log")
        axis.set_ylim(min(known) / 2, max(known) * 1.5)
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
        return
    low, high = axis.get_ylim()
    axis.set_ylim(min(low, 0.0) if min(known, default=0.0) < 0 else 0.0, high)
    draw_plain_numbers(axis, 4)


def _draw_volume(axis: Axes, tape: Tape, units: Units) -> None:
    axis.set_ylabel(_with_unit("volume", units.quantity))
    trades = tape.trades.get(tape.trade_kind)
    if trades is None:
        draw_absence(axis, "no volume: no trades were recorded then")
        return
    dates = [date_of(each) for each in tape.columns.edges_ns]
    edges = dates[::BAR_COLUMNS]
    bought, sold = (
        [sum(each[at : at + BAR_COLUMNS]) for at in range(0, len(each), BAR_COLUMNS)]
        for each in (trades.bought, trades.sold)
    )
    axis.stairs(bought, edges, fill=True, color=BUY, label="bought")
    axis.stairs([-each for each in sold], edges, fill=True, color=SELL, label="sold")
    axis.axhline(0, color=INK, linewidth=0.5)
    _draw_unknown(axis, tape, tape.columns.covered(tape.spans_without(trades.streams)))
    draw_amounts(axis)
    _draw_note(axis, f"bars of {_width_text(tape.columns.width_ns * BAR_COLUMNS)}")
    leave_room(axis)
    axis.legend(loc="upper right", ncols=2, borderpad=0.1)


def _draw_range(axis: Axes, tape: Tape, found: Range, color: str, label: str) -> None:
    edges = [date_of(each) for each in tape.columns.edges_ns]
    last, low, high = (_array(each) for each in (found.last, found.low, found.high))
    axis.stairs(high, edges, baseline=low, fill=True, color=color, alpha=0.25, linewidth=0)
    axis.stairs(last, edges, baseline=None, color=color, linewidth=0.9, label=label or None)


def _array(values: Sequence[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([np.nan if each is None else each for each in values])


def _draw_unknown(axis: Axes, tape: Tape, marks: Sequence[bool]) -> None:
    for from_ns, to_ns in tape.columns.spans_of(marks):
        draw_hole(axis, from_ns, to_ns)


def _draw_note(axis: Axes, text: str) -> None:
    axis.text(
        0.0, 1.0, printable(text), transform=axis.transAxes, fontsize=7.5, color=FAINT, va="bottom"
    )


def _edges(tape: Tape) -> list[tuple[float, float]]:
    dates = [date_of(each) for each in tape.columns.edges_ns]
    return list(itertools.pairwise(dates))


def _with_unit(name: str, unit: str) -> str:
    return f"{name}, {unit}" if unit else name


class HeatMap(Struct, frozen=True):
    """Quantities by price and time."""

    low: float
    """The lowest price."""
    high: float
    """The highest one."""
    quantity: Any
    """An array of prices, from the lowest, by columns: the quantity at these prices, bids and asks
    together; NaN where it is not known."""


def heat_map(books: Sequence[BookSample | None], rows: int) -> HeatMap | None:
    """Return the grid of some books, one for each column; None if there is no book with two sides."""
    known = [each for each in books if each is not None and each.bids and each.asks]
    if not known:
        return None
    middles = [(each.bids[0] + each.asks[0]) / 2 for each in known]
    near = median(
        max(middle - each.bids[: 2 * NEAR_LEVELS][-2], each.asks[: 2 * NEAR_LEVELS][-2] - middle)
        for each, middle in zip(known, middles, strict=True)
    )
    lowest, highest = min(middles), max(middles)
    margin = max(near, MARGIN * (highest - lowest), highest * 1e-6)
    low, high = max(lowest - margin, 0.0), highest + margin
    grid = np.full((rows, len(books)), np.nan)
    edges = np.linspace(low, high, rows + 1)
    step = (high - low) / rows
    for column, book in enumerate(books):
        if book is None:
            continue
        levels = np.array(book.bids + book.asks).reshape(-1, 2)
        levels = levels[(levels[:, 0] >= low) & (levels[:, 0] <= high)]
        at = np.minimum((levels[:, 0] - low) / step, rows - 1)
        cells = np.zeros(rows)
        np.add.at(cells, at.astype(int), levels[:, 1])
        is_unknown = (edges[1:] <= book.lowest_bid) | (edges[:-1] >= book.highest_ask)
        cells[is_unknown & (cells == 0)] = np.nan
        grid[:, column] = cells
    return HeatMap(low, high, grid)
