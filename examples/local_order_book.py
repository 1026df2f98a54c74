"""Keep a local order book by the documented procedure, and check it against the book ticker.

Run `python examples/local_order_book.py BTCUSDT`.

Two streams tell of the same book: `@depth@0ms` its changes, `@bookTicker` its best prices.  Both
number what they tell with the same update ids, so after the update `u` the best prices of the local
book must be those of the book ticker with the same `u`.
"""

# ruff: noqa: T201  # a program for people prints

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from typing import Any, TypeAlias

from websockets.sync.client import ClientConnection, connect

Best: TypeAlias = tuple[str, str, str, str]
"""Bid price, bid quantity, ask price, ask quantity, as printed."""

KEPT_TICKERS = 10_000


class GapError(Exception):
    """An update was missed: the book must be taken anew."""


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
            if update["U"] > self.last_id:
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


def snapshot(rest: str, symbol: str) -> dict[str, Any]:
    """Return the book of `symbol` as REST tells it now."""
    address = f"{rest}/fapi/v1/depth?symbol={symbol}&limit=1000"
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310  # the user's address
        found: dict[str, Any] = json.load(answer)
        return found


def compare(socket: ClientConnection, rest: str, symbol: str, wanted: int) -> int:
    """Follow the streams until `wanted` best prices were compared; return how many differed."""
    book: OrderBook | None = None
    told: dict[int, Best] = {}
    seen: dict[int, Best] = {}
    compared = differing = 0
    while compared < wanted:
        message = json.loads(socket.recv())["data"]
        if message["e"] == "bookTicker":
            update_id = message["u"]
            told[update_id] = (message["b"], message["B"], message["a"], message["A"])
        else:
            # The first update has arrived, so whatever comes after the snapshot will be seen.
            book = book or OrderBook(snapshot(rest, symbol))
            try:
                if not book.apply(message):
                    continue
            except GapError as gap:
                print(f"{gap}: taking the book anew")
                book = None
                continue
            update_id = message["u"]
            seen[update_id] = book.best()
        if update_id in told and update_id in seen:
            compared += 1
            if told[update_id] != seen[update_id]:
                differing += 1
                print(f"{update_id}: told {told[update_id]}, kept {seen[update_id]}")
        for kept in (told, seen):
            if len(kept) > KEPT_TICKERS:
                del kept[next(iter(kept))]
    return differing


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
        differing = compare(socket, options.rest, options.symbol.upper(), options.compare)
    print(f"{options.symbol}: {options.compare} best prices compared, {differing} differ")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
