"""Our client, with the messages in an `async for`."""

from __future__ import annotations

import tickerplant
from benchmarks.peers import tally
from benchmarks.peers.streams import STREAMS


async def client(url: str, taken: tally.Tally) -> None:
    """Take every message of one iterator."""
    async with tickerplant.connect("usdm", base_url=url) as market:
        async for message in market.stream(*STREAMS):
            if taken.take(message):
                break


if __name__ == "__main__":
    tally.run(client)
