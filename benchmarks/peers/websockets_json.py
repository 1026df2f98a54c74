"""The `websockets` library and the `json` of Python."""

from __future__ import annotations

import json

from websockets.asyncio.client import connect

from benchmarks.peers import tally
from benchmarks.peers.streams import COMBINED


async def client(url: str, taken: tally.Tally) -> None:
    """Take every message of one connection."""
    async with connect(url + COMBINED) as connection:
        async for message in connection:
            if taken.take(json.loads(message)):
                break


if __name__ == "__main__":
    tally.run(client)
