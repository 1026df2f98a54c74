"""Keep a local order book by the documented procedure, and check it against the book ticker.

Run `python examples/plain_order_book.py BTCUSDT`.  It needs only `websockets`: any client of the
exchange can do it.

Two streams describe the same book: `@depth@0ms` its changes, `@bookTicker` its best prices.  Both
have the same update ids, so after the update `u` the best prices of the local book must be those of
the book ticker with the same `u`.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from typing import Any, TypeAlias

from websockets.sync.client import ClientConnection, connect

Best: TypeAlias = tuple[str, str, str, str]
"""Bid price, bid quantity, ask price and ask quantity, as text."""

KEPT_TICKERS = 10_000
SERVICE_UNAVAILABLE = 503


class GapError(Exception):
    """An update was missed: the book must be rebuilt."""


class OrderBook:
    """A book that begins with a snapshot and follows the updates."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.bids = {float(price): (price, quantity) for price, quantity in snapshot["bids"]}
        self.asks = {float(price): (price, quantity) for price, quantity in snapshot["asks"]}
        self.last_id: int = snapshot["lastUpdateId"]
        self._joined = False

    def apply(self, update: dict[str, Any]) -> bool:
        """Apply an update; return False for one that the snapshot already contains.

        Raises:
            GapError: the update does not follow the one before.
        """
        if not self._joined:
            if update["u"] < self.last_id:
                return False
            # On a quiet book a snapshot may fall exactly between two updates.
            if update["U"] > self.last_id != update["pu"]:
                raise GapError(f"the snapshot {self.last_id} is older than {update['U']}")
            self._joined = True
        elif update["pu"] != self.last_id:
            raise GapError(f"update {update['u']} follows {update['pu']}, not {self.last_id}")
        self.last_id = update["u"]
        _change(self.bids, update["b"])
        _change(self.asks, update["a"])
        return True

    def best(self) -> Best:
        """Return the best prices and their quantities."""
        return (*self.bids[max(self.bids)], *self.asks[min(self.asks)])


def _change(side: dict[float, tuple[str, str]], levels: list[list[str]]) -> None:
    for price, quantity in levels:
        if float(quantity):
            side[float(price)] = (price, quantity)
        else:
            side.pop(float(price), None)


def snapshot(rest: str, symbol: str) -> dict[str, Any] | None:
    """Return a snapshot of the book of `symbol`; None while the server has none (503)."""
    address = f"{rest}/fapi/v1/depth?symbol={symbol}&limit=1000"
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310  # the user's
            taken: dict[str, Any] = json.load(answer)
            return taken
    except urllib.error.HTTPError as refused:
        if refused.code == SERVICE_UNAVAILABLE:
            return None
        raise


class Comparison:
    """The best prices of both sides by update id, and how often they were the same."""

    def __init__(self) -> None:
        self.sent: dict[int, Best] = {}
        self.kept: dict[int, Best] = {}
        self.compared = 0
        self.differing = 0

    def add(self, side: dict[int, Best], update_id: int, best: Best) -> None:
        """Remember the best prices of one side, and compare them once both are known."""
        side[update_id] = best
        if len(side) > KEPT_TICKERS:
            del side[next(iter(side))]
        if update_id in self.sent and update_id in self.kept:
            self.compared += 1
            if self.sent[update_id] != self.kept[update_id]:
                self.differing += 1
                print(f"{update_id}: sent {self.sent[update_id]}, kept {self.kept[update_id]}")


def compare(socket: ClientConnection, rest: str, symbol: str, wanted: int) -> Comparison:
    """Follow the streams until `wanted` best prices were compared."""
    comparison = Comparison()
    book: OrderBook | None = None
    while comparison.compared < wanted:
        message = json.loads(socket.recv())["data"]
        if message["e"] == "bookTicker":
            best = (message["b"], message["B"], message["a"], message["A"])
            comparison.add(comparison.sent, message["u"], best)
            continue
        if book is None:
            # An update has arrived, so everything after the snapshot will be received.
            taken = snapshot(rest, symbol)
            book = OrderBook(taken) if taken else None
        try:
            if book and book.apply(message):
                comparison.add(comparison.kept, book.last_id, book.best())
        except GapError as gap:
            print(f"{gap}: taking a new snapshot")
            book = None
    return comparison


def main() -> None:
    """Compare, print how it went, and exit with 1 if the books differ."""
    parser = argparse.ArgumentParser(description="Keep a local order book and check it.")
    parser.add_argument("symbol", nargs="?", default="BTCUSDT")
    parser.add_argument("--streams", default="ws://127.0.0.1:9001", help="where the streams are")
    parser.add_argument("--rest", default="http://127.0.0.1:9001", help="where REST is")
    parser.add_argument("--compare", type=int, default=500, help="stop after so many")
    options = parser.parse_args()

    name = options.symbol.lower()
    address = f"{options.streams}/stream?streams={name}@depth@0ms/{name}@bookTicker"
    with connect(address, close_timeout=1) as socket:
        found = compare(socket, options.rest, options.symbol.upper(), options.compare)
    print(f"{options.symbol}: {found.compared} best prices compared, {found.differing} differ")
    sys.exit(1 if found.differing else 0)


if __name__ == "__main__":
    main()
