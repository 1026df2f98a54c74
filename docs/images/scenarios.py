"""Draws what the scenarios of the library do: one picture each, from a run of the simulation itself.

Seed and start are set, so the pictures change only with the program.  Names of scenarios as
arguments draw these alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MultipleLocator, NullLocator
from msgspec import Struct

from tickerplant.drawing.style import (
    BLUE,
    BUY,
    GREEN,
    INK,
    ORANGE,
    PINK,
    SELL,
    draw_amounts,
    draw_plain_numbers,
    leave_room,
    style,
    svg_of,
)
from tickerplant.events import Event, Liquidation, Trade
from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.instrument import RATE_ONE, Instrument
from tickerplant.market.market import Market
from tickerplant.plant import Plant
from tickerplant.scenarios.board import ScenarioBoard
from tickerplant.scenarios.library import library_names, library_scenario
from tickerplant.scenarios.scenario import Change, Scenario
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.levers import Lever
from tickerplant.sources.simulated import open_market

FOLDER = Path(__file__).parent / "scenarios"
START_MS = 1_795_305_600_000
SEED = 7
SAMPLE_MS = 1_000
LEAD_MS = 20_000
"""Market time before the start of the scenario."""
AFTER_MS = 20_000
"""Market time after its end."""
NEAR = 0.002
"""How far from the mid the depth near it reaches: 0.2 %."""
BAR_MS = 2_000
"""Time of a bar of the volume."""
DATED = "BTCUSDT_261225"
SYMBOL = "BTCUSDT"
INTENSITY, QUOTING = 0.4, 0.5
"""Fewer orders than usual, so that a run takes seconds."""
WIDTH_IN, HEIGHT_IN = 9.0, 5.6
ROW_IN = 0.24
"""Height of a change in the timeline."""
TEXT_COLUMN = 84
"""Most characters of the text of a change."""

LAST, MARK, MARKET, FAULT = GREEN, ORANGE, BLUE, PINK


class Sample(Struct, frozen=True):
    """The market at one time; None where there is nothing."""

    time_s: float
    last: float | None
    bid: float | None
    ask: float | None
    mark: float | None
    bid_depth: float
    """Bids within `NEAR` of the middle, in units of the base asset."""
    ask_depth: float


class Story(Struct):
    """What happened in a run; times are seconds from the start of the scenario."""

    samples: list[Sample] = []
    bought: dict[int, float] = {}
    """Value that takers bought, by the number of the bar."""
    sold: dict[int, float] = {}
    liquidated: dict[int, float] = {}


def shown_symbol(scenario: Scenario) -> str:
    """Return the contract that the picture shows."""
    levers = [change.action for change in scenario.changes if isinstance(change.action, Lever)]
    if any(lever.row.name == "deliver" for lever in levers):
        return DATED
    return next((lever.symbols[0] for lever in levers if lever.symbols), SYMBOL)


def run(scenario: Scenario) -> Story:
    """Return what happens to the shown contract."""
    symbol = shown_symbol(scenario)
    wanted = dict.fromkeys((SYMBOL, symbol if symbol == DATED else SYMBOL))
    traded = instruments(START_MS, list(wanted), None)
    exchange = SimulatedExchange(traded, SEED, START_MS, INTENSITY, quoting=QUOTING)
    plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    clock = MarketClock(plant.timers)
    board = ScenarioBoard(clock, FaultBoard(clock), exchange)
    begin_ms = START_MS + LEAD_MS
    board.start(scenario, begin_ms)
    story = Story()
    sample_ms, end_ms = START_MS, begin_ms + scenario.duration_ms + AFTER_MS
    while plant.now_ms < end_ms:
        time_ms, events = exchange.step()
        while sample_ms < time_ms:
            story.samples.append(sample(plant.markets.get(symbol), (sample_ms - begin_ms) / 1e3))
            sample_ms += SAMPLE_MS
        plant.advance_before(time_ms)
        market = plant.markets.get(symbol)
        for event in events:
            plant.publish(event)
            if market is not None and event.symbol == symbol:
                note(story, event, market.instrument, (time_ms - begin_ms) / 1e3)
    return story


def _progress(line: str) -> None:
    """Show how far a run is."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()


def note(story: Story, event: Event, instrument: Instrument, time_s: float) -> None:
    """Add an event of the shown contract to the story."""
    if isinstance(event, Trade | Liquidation):
        price = event.price if isinstance(event, Trade) else event.average_price
        units = instrument.price.decimals, instrument.quantity.decimals
        size = event.quantity if isinstance(event, Trade) else event.filled_quantity
        at = price / 10 ** units[0]
        value, bar = at * size / 10 ** units[1], int(time_s * 1_000 // BAR_MS)
        if isinstance(event, Liquidation):
            into = story.liquidated
        else:
            into = story.sold if event.buyer_is_maker else story.bought
        into[bar] = into.get(bar, 0.0) + value


def sample(market: Market | None, time_s: float) -> Sample:
    """Return the market of a contract now."""
    if market is None:
        return Sample(time_s, None, None, None, None, 0.0, 0.0)
    unit, size = 10**market.instrument.price.decimals, 10**market.instrument.quantity.decimals
    bids, asks = market.book.top(1_000)
    bid = bids[0][0] if bids else None
    ask = asks[0][0] if asks else None
    middle = (bid + ask) / 2 if bid and ask else bid or ask or 0
    return Sample(
        time_s,
        market.last_price / unit if market.last_price else None,
        None if bid is None else bid / unit,
        None if ask is None else ask / unit,
        None if market.mark_price is None else market.mark_price.mark_price / RATE_ONE,
        sum(quantity for price, quantity in bids if price >= middle * (1 - NEAR)) / size,
        sum(quantity for price, quantity in asks if price <= middle * (1 + NEAR)) / size,
    )


# Drawing


def draw(scenario: Scenario, story: Story) -> str:
    """Return the picture of a run as SVG."""
    with style():
        rows = len(scenario.changes)
        heights = [3.0, 1.0, 1.2, 1.3, 1.3 * ROW_IN * (rows + 0.6)]
        size = (WIDTH_IN, HEIGHT_IN + ROW_IN * rows)
        figure = Figure(figsize=size)
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        draw_prices(axes[0], story)
        draw_spread(axes[1], story)
        draw_depth(axes[2], story)
        draw_volume(axes[3], story)
        draw_changes(axes[4], scenario)
        end_s = scenario.duration_ms / 1e3
        for axis in axes:
            axis.grid(axis="x")
            axis.axvspan(-LEAD_MS / 1e3, 0, color="#eceff1", linewidth=0, zorder=0)
            axis.axvspan(end_s, end_s + AFTER_MS / 1e3, color="#eceff1", linewidth=0, zorder=0)
            for change in scenario.changes:
                color = MARKET if change.is_market else FAULT
                axis.axvline(change.at_ms / 1e3, color=color, linewidth=0.6, linestyle=(0, (2, 3)))
        axes[0].set_xlim(-LEAD_MS / 1e3, end_s + AFTER_MS / 1e3)
        axes[0].set_title(
            f"{scenario.title}   ({shown_symbol(scenario)}, seed {SEED})",
            loc="left",
            fontsize=11,
            fontweight="bold",
        )
        axes[-1].xaxis.set_major_locator(MultipleLocator(30))
        axes[-1].xaxis.set_major_formatter(FuncFormatter(minutes_text))
        axes[-1].set_xlabel("market time from the start of the scenario, minutes:seconds")
        figure.align_ylabels(axes)
        figure.subplots_adjust(left=0.1, right=0.985, top=0.955, bottom=0.075, hspace=0.14)
        return svg_of(figure)


def minutes_text(seconds: float, _: int) -> str:
    """Return a time of the axis."""
    sign = "-" if seconds < 0 else ""
    return f"{sign}{int(abs(seconds)) // 60}:{int(abs(seconds)) % 60:02}"


def series(story: Story, name: str) -> tuple[list[float], list[float]]:
    """Return a line of the samples; it has gaps where there is nothing."""
    values = [getattr(each, name) for each in story.samples]
    return [each.time_s for each in story.samples], [
        float("nan") if value is None else value for value in values
    ]


def draw_prices(axis: Axes, story: Story) -> None:
    """Draw the prices of the last trade and the mark prices."""
    axis.plot(*series(story, "last"), color=LAST, linewidth=1.0, label="last price")
    axis.plot(*series(story, "mark"), color=MARK, linewidth=1.0, label="mark price")
    axis.set_ylabel("price, USDT")
    draw_plain_numbers(axis)
    axis.legend(loc="best", frameon=False, ncols=2)


def draw_spread(axis: Axes, story: Story) -> None:
    """Draw the distance of the best prices."""
    spreads = [
        (each.ask - each.bid) / each.bid * 1e4 if each.bid and each.ask else float("nan")
        for each in story.samples
    ]
    axis.plot([each.time_s for each in story.samples], spreads, color=INK, linewidth=0.8)
    axis.set_ylabel("spread,\n0.01 %")
    found = [spread for spread in spreads if spread == spread]  # noqa: PLR0124  # not a NaN
    axis.set_yscale("log")
    axis.set_ylim(0.6 * min(found), max(1.0, 2 * max(found)))
    axis.yaxis.set_major_locator(LogLocator(numticks=4))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def draw_depth(axis: Axes, story: Story) -> None:
    """Draw the quantities near the middle: bids below, asks above."""
    times = [each.time_s for each in story.samples]
    for name, sign, color in (("ask_depth", 1, SELL), ("bid_depth", -1, BUY)):
        values = [sign * getattr(each, name) for each in story.samples]
        axis.fill_between(times, values, color=color, linewidth=0, label=name[:3] + "s")
    axis.axhline(0, color=INK, linewidth=0.5)
    axis.set_ylabel(f"depth within\n{NEAR:.1%}")
    draw_amounts(axis)
    leave_room(axis)
    axis.legend(loc="upper right", frameon=False, ncols=2)


def draw_volume(axis: Axes, story: Story) -> None:
    """Draw the value traded in each bar, and that of liquidations."""
    numbers = range(-LEAD_MS // BAR_MS, int(story.samples[-1].time_s * 1e3) // BAR_MS + 1)
    edges = [number * BAR_MS / 1e3 for number in (*numbers, numbers[-1] + 1)]
    per_s = BAR_MS / 1e3
    for found, sign, color, label in (
        (story.bought, 1, BUY, "bought"),
        (story.sold, -1, SELL, "sold"),
    ):
        values = [sign * found.get(number, 0.0) / per_s for number in numbers]
        axis.stairs(values, edges, fill=True, color=color, label=label)
    if story.liquidated:
        values = [-story.liquidated.get(number, 0.0) / per_s for number in numbers]
        axis.stairs(values, edges, fill=True, color=INK, label="liquidated")
    axis.axhline(0, color=INK, linewidth=0.5)
    axis.set_ylabel("volume,\nUSDT / s")
    draw_amounts(axis)
    leave_room(axis)
    axis.legend(loc="upper right", frameon=False, ncols=3)


def draw_changes(axis: Axes, scenario: Scenario) -> None:
    """Draw each change as a bar from its beginning to its end, with its text."""
    total_s = scenario.duration_ms / 1e3
    for row, change in enumerate(scenario.changes):
        begin_s, end_s = change.at_ms / 1e3, min(ends_ms(change, scenario) / 1e3, total_s)
        color = MARKET if change.is_market else FAULT
        axis.barh(
            row, max(end_s - begin_s, 1.0), left=begin_s, height=0.62, color=color, alpha=0.35
        )
        text = change.text.partition(" ")[2]
        text = text if len(text) <= TEXT_COLUMN else text[: TEXT_COLUMN - 1] + "…"
        is_left = begin_s < total_s * 0.55
        axis.text(
            begin_s + 1.5 if is_left else max(begin_s, end_s) - 1.5,
            row,
            text,
            ha="left" if is_left else "right",
            va="center",
            fontsize=7.5,
        )
    axis.set_ylim(len(scenario.changes) - 0.4, -0.6)
    axis.set_yticks([])
    axis.set_ylabel("changes")


def ends_ms(change: Change, scenario: Scenario) -> int:
    """Return when a change has ended by itself, from the start of the scenario."""
    action = change.action
    if isinstance(action, Lever):
        lengths = action.values
        own_ms = int(lengths.get("over", 0)) + int(lengths.get("notice", 0))
        if lengths.get("recover"):
            own_ms += int(lengths["recover_over"])
        if action.row.has_duration:
            own_ms = action.for_ms or scenario.duration_ms
        return change.at_ms + own_ms
    if action.is_instant:
        return change.at_ms
    for_ms: int | None = action.window.for_ms
    return scenario.duration_ms if for_ms is None else change.at_ms + for_ms


def main(names: Sequence[str]) -> None:
    """Draw the scenarios `names`, or all of them."""
    FOLDER.mkdir(exist_ok=True)
    chosen = names or library_names()
    for number, name in enumerate(chosen, 1):
        _progress(f"{number} of {len(chosen)}: {name}")
        scenario = library_scenario(name)
        picture = draw(scenario, run(scenario))
        path = FOLDER / f"{name}.svg"
        if not path.is_file() or path.read_text(encoding="utf-8") != picture:
            path.write_text(picture, encoding="utf-8")
            sys.stdout.write(f"docs/images/scenarios/{name}.svg\n")
    _progress("")


if __name__ == "__main__":
    main(sys.argv[1:])
