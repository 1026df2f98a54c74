"""python-binance: its multiplex socket for futures."""

from __future__ import annotations

from binance import AsyncClient, BinanceSocketManager

from benchmarks.peers import tally
from benchmarks.peers.streams import STREAMS


async def client(url: str, taken: tally.Tally) -> None:
    """Take every message of one connection.

    The queue is as long as it takes: with the 100 messages that are the default, the library gives
    up at the first burst.
    """
    BinanceSocketManager.FSTREAM_URL = f"{url}/"
    library = AsyncClient()
    manager = BinanceSocketManager(library, max_queue_size=taken.expected)
    async with manager.futures_multiplex_socket(list(STREAMS)) as socket:
        while not taken.take(await socket.recv()):
            pass
    await library.close_connection()


if __name__ == "__main__":
    tally.run(client)
