"""Record streams to a file that `tickerplant replay` reads.

Run `python examples/record.py market.gz btcusdt@trade btcusdt@bookTicker btcusdt@depth@0ms`.

One line per message: when it was received, in nanoseconds, and the message as it was received.  The
book of every symbol with a depth stream is asked for once, so that a replay can rebuild it.
"""

from __future__ import annotations

import argparse
import gzip
import time
import urllib.request
from pathlib import Path
from typing import BinaryIO, cast

from websockets.sync.client import connect


def opened(path: Path) -> BinaryIO:
    """Return `path` open for writing, compressed if its name says so."""
    return cast("BinaryIO", gzip.open(path, "wb")) if path.suffix == ".gz" else path.open("wb")


def write(file: BinaryIO, message: bytes) -> None:
    """Write one message as it was received just now."""
    file.write(b"%d %b\n" % (time.time_ns(), message))


def main() -> None:
    """Record until the time is up."""
    parser = argparse.ArgumentParser(description="Record streams to a file.")
    parser.add_argument("path", type=Path, help="a name that ends with .gz is compressed")
    parser.add_argument("names", nargs="+", metavar="stream")
    parser.add_argument("--streams", default="ws://127.0.0.1:9001", help="where the streams are")
    parser.add_argument("--rest", default="http://127.0.0.1:9001", help="where REST is")
    parser.add_argument("--seconds", type=float, default=10, help="how long")
    options = parser.parse_args()

    address = f"{options.streams}/stream?streams={'/'.join(options.names)}"
    symbols = {name.partition("@")[0].upper() for name in options.names if "@depth" in name}
    messages = 0
    with opened(options.path) as file, connect(address, close_timeout=1) as socket:
        write(file, socket.recv(decode=False))
        for symbol in sorted(symbols):
            depth = f"{options.rest}/fapi/v1/depth?symbol={symbol}&limit=1000"
            with urllib.request.urlopen(depth, timeout=10) as answer:  # noqa: S310  # the user's
                write(file, answer.read())
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            write(file, socket.recv(decode=False))
            messages += 1
    print(f"{options.path}: {messages} messages, {options.path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
