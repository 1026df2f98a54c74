"""The WebSocket client of `aiohttp`, and `orjson`."""

from __future__ import annotations

import orjson  # type: ignore[import-not-found]  # only in the environment of this peer
from aiohttp import ClientSession

from benchmarks.peers import tally
from benchmarks.peers.streams import COMBINED


async def client(url: str, taken: tally.Tally) -> None:
    """Take every message of one connection."""
    async with ClientSession() as session, session.ws_connect(url + COMBINED) as connection:
        async for message in connection:
            if taken.take(orjson.loads(message.data)):
                break


if __name__ == "__main__":
    tally.run(client)
