"""Our client, calling back for every message."""

from __future__ import annotations

import tickerplant
from benchmarks.peers import tally
from benchmarks.peers.streams import STREAMS


async def client(url: str, taken: tally.Tally) -> None:
    """Take every message by one function."""
    async with tickerplant.connect("usdm", base_url=url) as market:
        market.on(*STREAMS, callback=taken.take)
        await taken.all.wait()


if __name__ == "__main__":
    tally.run(client)
