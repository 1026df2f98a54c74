"""cryptofeed: its feeds of both venues, over TLS because it takes no other address."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from typing import Any

from compat.trial import COINM, REST, STREAM, USDM, Report, Server, read_server

LIBRARY = "cryptofeed"
SYMBOLS = {USDM: "BTC-USDT-PERP", COINM: "BTC-USD-PERP"}
PATIENCE_S = 90.0
"""A candle ends within a minute of the market; liquidations are rarer."""

Take = Callable[..., Coroutine[None, None, None]]


class Arrivals:
    """Which channels of which venue brought something, of those that should."""

    def __init__(self) -> None:
        self.missing: set[tuple[str, str]] = set()
        self.asked: list[tuple[str, str]] = []
        self.complete = asyncio.Event()

    def expect(self, venue: str, channel: str) -> Take:
        """Expect a channel; return the callback for it."""
        self.asked.append((venue, channel))
        self.missing.add((venue, channel))

        async def take(*_: object) -> None:
            self.missing.discard((venue, channel))
            if not self.missing:
                self.complete.set()

        return take


def trust(server: Server) -> None:
    """Let the library trust the server's certificate: its HTTP clients read one of these each."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        os.environ[name] = server.certificate


def feeds(server: Server, arrivals: Arrivals) -> list[Any]:
    """Return a feed for each venue with its addresses changed, and one for liquidations.

    Liquidations of one contract are rare, so those of all perpetuals are asked for.
    """
    from cryptofeed import defines  # noqa: PLC0415  # reads its certificates when it is imported
    from cryptofeed.connection import WebsocketEndpoint  # noqa: PLC0415
    from cryptofeed.exchanges import BinanceDelivery, BinanceFutures  # noqa: PLC0415

    channels = [defines.CANDLES, defines.FUNDING, defines.L2_BOOK, defines.TICKER, defines.TRADES]
    made: list[Any] = []
    for venue, kind in {USDM: BinanceFutures, COINM: BinanceDelivery}.items():
        address = server.address(venue)
        kind.websocket_endpoints = [
            WebsocketEndpoint(f"wss://{address}", options={"compression": None})
        ]
        kind.rest_endpoints[0].address = f"https://{address}"
        wanted = channels + [defines.OPEN_INTEREST] * (venue == USDM)
        callbacks = {channel: arrivals.expect(venue, channel) for channel in wanted}
        made.append(kind(symbols=[SYMBOLS[venue]], channels=wanted, callbacks=callbacks))
        perpetuals = [symbol for symbol in kind.symbols() if symbol.endswith("-PERP")]
        rare = {defines.LIQUIDATIONS: arrivals.expect(venue, defines.LIQUIDATIONS)}
        made.append(kind(symbols=perpetuals, channels=[*rare], callbacks=rare))
    return made


async def listen(server: Server, arrivals: Arrivals) -> None:
    """Run the feeds until every channel has delivered something, or the timeout expires."""
    loop = asyncio.get_running_loop()
    running = feeds(server, arrivals)
    for feed in running:
        feed.start(loop)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(arrivals.complete.wait(), PATIENCE_S)
    for feed in running:
        feed.stop()


def main() -> None:
    """Try the feeds of both venues."""
    server, report, arrivals = read_server(), Report(), Arrivals()
    trust(server)
    asyncio.run(listen(server, arrivals))
    for venue, channel in arrivals.asked:
        kind = REST if channel == "open_interest" else STREAM
        reason = "nothing arrived" if (venue, channel) in arrivals.missing else ""
        report.add(LIBRARY, venue, kind, channel, reason)


if __name__ == "__main__":
    main()
