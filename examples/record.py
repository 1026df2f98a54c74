"""Record streams to a file that `tickerplant replay` reads.

Run `python examples/record.py market.gz btcusdt@trade btcusdt@bookTicker btcusdt@depth@0ms`.

One line per message: its receive time in nanoseconds, and the message.  A snapshot of every book with
a depth stream is requested once, after the first update of that book, so that a replay can rebuild it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
import urllib.request
from pathlib import Path
from typing import BinaryIO, cast

from websockets.sync.client import connect

DEPTH = re.compile(r"([^@]+)@depth(?:@\d+ms)?")
"""Streams of the changes of a book; `@depth5` and similar ones need no snapshot."""


def opened(path: Path) -> BinaryIO:
    """Return `path` open for writing, compressed if its name says so."""
    return cast("BinaryIO", gzip.open(path, "wb")) if path.suffix == ".gz" else path.open("wb")


def write(file: BinaryIO, message: bytes) -> None:
    """Write one message that was received just now."""
    file.write(b"%d %b\n" % (time.time_ns(), message))


def symbol_of(name: str) -> str | None:
    """Return the symbol whose book changes by the stream `name`, None if none does."""
    found = DEPTH.fullmatch(name)
    return found[1].upper() if found else None


def main() -> None:
    """Record until the time is up."""
    parser = argparse.ArgumentParser(description="Record streams to a file.")
    parser.add_argument("path", type=Path, help="a name that ends with .gz is compressed")
    parser.add_argument("names", nargs="+", metavar="stream")
    parser.add_argument("--streams", default="ws://127.0.0.1:9001", help="where the streams are")
    parser.add_argument("--rest", default="http://127.0.0.1:9001", help="where REST is")
    parser.add_argument("--prefix", default="/fapi", help="of REST paths; /dapi on COIN-M")
    parser.add_argument("--seconds", type=float, default=10, help="how long")
    options = parser.parse_args()

    address = f"{options.streams}/stream?streams={'/'.join(options.names)}"
    depth = f"{options.rest}{options.prefix}/v1/depth?limit=1000&symbol="
    missing = {symbol for name in options.names if (symbol := symbol_of(name))}
    messages = 0
    with opened(options.path) as file, connect(address, close_timeout=1) as socket:
        end = time.monotonic() + options.seconds
        while (left := end - time.monotonic()) > 0:
            try:
                message = socket.recv(timeout=left, decode=False)
            except TimeoutError:
                break
            write(file, message)
            messages += 1
            symbol = symbol_of(json.loads(message)["stream"]) if missing else None
            if symbol in missing:
                missing.remove(symbol)
                with urllib.request.urlopen(depth + symbol, timeout=10) as answer:  # noqa: S310  # the user's
                    write(file, answer.read())
    print(f"{options.path}: {messages} messages, {options.path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
