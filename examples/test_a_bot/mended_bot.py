"""A small bot: it keeps an order book, counts trades, and says when it may trade.

It is `bot.py` without its three mistakes.
"""

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

Side = dict[Decimal, Decimal]
SILENCE_MS = 5_000


class Bot:
    """Follows one symbol, in a thread, from `start` to `stop`."""

    def __init__(self, rest: str, streams: str, symbol: str, now_ms: Callable[[], int]) -> None:
        name = symbol.lower()
        self.streams = f"{streams}/stream?streams={name}@depth@100ms/{name}@trade"
        self.snapshot = f"{rest}/fapi/v1/depth?symbol={symbol}&limit=1000"
        self.now_ms = now_ms
        self.heard_ms = 0
        self.bids: Side = {}
        self.asks: Side = {}
        self.update_id = 0
        self.trades: list[int] = []
        self.is_connected = False
        self.is_stopped = False

    def may_trade(self) -> bool:
        """Whether there are prices to trade at, and they are not old."""
        is_silent = self.now_ms() - self.heard_ms > SILENCE_MS
        return bool(self.bids and self.asks) and not is_silent

    def on_message(self, message: dict[str, Any]) -> None:
        """Take a message of a stream."""
        self.heard_ms = message["E"]
        if message["e"] == "trade":
            if not self.trades or message["t"] > self.trades[-1]:
                self.trades.append(message["t"])
        elif message["e"] == "depthUpdate":
            self.on_depth(message)

    def on_depth(self, update: dict[str, Any]) -> None:
        """Change the book, which begins with a snapshot."""
        is_next = update["pu"] == self.update_id or update["U"] <= self.update_id
        if not self.update_id or (update["u"] >= self.update_id and not is_next):
            self.take_snapshot()
        if update["u"] >= self.update_id:
            change(self.bids, update["b"])
            change(self.asks, update["a"])
            self.update_id = update["u"]

    def take_snapshot(self) -> None:
        """Begin the book anew."""
        with urllib.request.urlopen(self.snapshot, timeout=10) as answer:  # noqa: S310  # http
            found = json.load(answer)
        self.bids, self.asks = {}, {}
        change(self.bids, found["bids"])
        change(self.asks, found["asks"])
        self.update_id = found["lastUpdateId"]

    def run(self) -> None:
        """Read messages, and connect again when the connection is lost."""
        while not self.is_stopped:
            try:
                with connect(self.streams, close_timeout=1) as self.socket:
                    self.is_connected = True
                    for text in self.socket:
                        self.on_message(json.loads(text)["data"])
            except (OSError, WebSocketException):
                time.sleep(0.1)
            self.update_id = 0

    def start(self) -> None:
        """Run in a thread."""
        threading.Thread(target=self.run, daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self.is_stopped = True
        self.socket.close()


def change(side: Side, levels: list[list[str]]) -> None:
    """Change one side of a book; the quantity 0 removes a level."""
    for price, quantity in levels:
        side[Decimal(price)] = Decimal(quantity)
        if not Decimal(quantity):
            del side[Decimal(price)]
