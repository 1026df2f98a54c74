"""Ask for best prices over the WebSocket API.

Run `python examples/ask_book.py BTCUSDT`; without a symbol it asks for all.
"""

from __future__ import annotations

import argparse
import json
import sys

from websockets.sync.client import connect


def main() -> None:
    """Print the best prices, and what the question cost."""
    parser = argparse.ArgumentParser(description="Ask for best prices over the WebSocket API.")
    parser.add_argument("symbol", nargs="?", help="one symbol; every symbol if left out")
    parser.add_argument("--api", default="ws://127.0.0.1:9001/ws-fapi/v1", help="where the API is")
    options = parser.parse_args()

    params = {"symbol": options.symbol.upper()} if options.symbol else {}
    with connect(options.api) as socket:
        socket.send(json.dumps({"id": 1, "method": "ticker.book", "params": params}))
        reply = json.loads(socket.recv())
    if "error" in reply:
        sys.exit(f"{reply['error']['code']} {reply['error']['msg']}")
    result = reply["result"]
    for best in result if isinstance(result, list) else [result]:
        print(f"{best['symbol']:14} {best['bidPrice']:>12} {best['askPrice']:>12}")
    weight = reply["rateLimits"][0]
    print(f"weight used this minute: {weight['count']} of {weight['limit']}")


if __name__ == "__main__":
    main()
