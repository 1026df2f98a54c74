"""Watch the best prices of some symbols.

Run `python examples/best_prices.py btcusdt ethusdt`.
"""

from __future__ import annotations

import argparse
import json

from websockets.sync.client import connect


def main() -> None:
    """Print one line for each change of a best price or quantity."""
    parser = argparse.ArgumentParser(description="Watch the best prices of some symbols.")
    parser.add_argument("symbols", nargs="*", default=["btcusdt"])
    parser.add_argument("--streams", default="ws://127.0.0.1:9001", help="where the streams are")
    parser.add_argument("--messages", type=int, default=20, help="stop after so many")
    options = parser.parse_args()

    names = "/".join(f"{symbol.lower()}@bookTicker" for symbol in options.symbols)
    # Messages still flow in when this program leaves; the library need not wait for their end.
    with connect(f"{options.streams}/stream?streams={names}", close_timeout=1) as socket:
        for _ in range(options.messages):
            best = json.loads(socket.recv())["data"]
            print(
                f"{best['s']:14} {best['b']:>12} x {best['B']:<12} {best['a']:>12} x {best['A']}",
                flush=True,
            )


if __name__ == "__main__":
    main()
