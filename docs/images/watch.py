"""Draws `watch.svg`: the table of `tickerplant watch` on a simulated market.

The market is seeded and its clock is set, so the picture changes only with the program.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from tickerplant.formatting import count_text
from tickerplant.messages.readers import reader
from tickerplant.messages.trade import Trade
from tickerplant.notices import Gap
from tickerplant.plant import Plant
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.units import MINUTE_MS, NS_PER_MS
from tickerplant.watching.screen import Screen
from tickerplant.watching.table import Table

PICTURE = Path(__file__).with_suffix(".svg")
NAMES = (
    *("btcusdt@bookTicker", "btcusdt@trade", "btcusdt@depth@100ms", "btcusdt@kline_1m"),
    *("ethusdt@bookTicker", "ethusdt@markPrice@1s", "!miniTicker@arr"),
)
START_MS = 1_795_305_600_000
LATENCY_NS = 800_000
WIDTH, HEIGHT = 116, 19
MISSING = range(40, 43)
"""The trades that are lost, to show how a gap is reported."""


class Viewer:
    """Takes the messages of a plant as a client would receive them."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.table = Table(NAMES)
        self.messages = self.trades = 0
        self.last_trade_id = 0
        hub = plant.hubs["usdm"]
        for name in NAMES:
            hub.listen(name, partial(self._take, reader(name).decode))
        self.flush = hub.flush

    def _take(self, decode: Callable[[bytes], Any], name: str, payload: bytes) -> None:
        found = decode(payload)
        for message in found if isinstance(found, list) else [found]:
            message.stream = name
            message.received_ns = self.plant.now_ms * NS_PER_MS + LATENCY_NS
            if isinstance(message, Trade) and self._is_lost(message):
                continue
            self.messages += 1
            self.table.take(message)

    def _is_lost(self, trade: Trade) -> bool:
        self.trades += 1
        if self.trades in MISSING:
            return True
        if missing := trade.trade_id - self.last_trade_id - 1 if self.last_trade_id else 0:
            gap = Gap(
                streams=(trade.stream,),
                time_ms=self.plant.now_ms,
                symbol=trade.symbol,
                after_id=self.last_trade_id,
                before_id=trade.trade_id,
                missing=missing,
            )
            self.table.take(gap)
        self.last_trade_id = trade.trade_id
        return False


def picture() -> str:
    """Return the picture as SVG."""
    traded = instruments(START_MS, None, None)
    exchange = SimulatedExchange(traded, seed=7, start_ms=START_MS)
    plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    viewer, second_ms = Viewer(plant), START_MS
    while plant.now_ms < START_MS + MINUTE_MS // 2:
        time_ms, events = exchange.step()
        plant.advance_before(time_ms)
        for event in events:
            plant.publish(event)
        viewer.flush()
        if plant.now_ms > second_ms:
            viewer.table.view(plant.now_ms * NS_PER_MS, HEIGHT)  # samples the rates
            second_ms += 1_000
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    view = viewer.table.view(plant.now_ms * NS_PER_MS + 2 * LATENCY_NS, HEIGHT - 7)
    words = ("USDⓈ-M at ws://127.0.0.1:9001", "30 s", count_text(viewer.messages, "message"))
    console.print(Screen().draw(" · ".join(words), view, WIDTH, HEIGHT))
    # The page must not load a font from elsewhere.
    form = re.sub(r" *@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="tickerplant watch", code_format=form, unique_id="watch")


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
