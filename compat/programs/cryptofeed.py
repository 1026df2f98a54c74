"""cryptofeed: its feeds of both venues, over TLS because it takes no other address."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from compat.trial import COINM, REST, STREAM, USDM, Server, Trial, until

SYMBOLS = {USDM: "BTC-USDT-PERP", COINM: "BTC-USD-PERP"}
PATIENCE_S = 90.0
"""A candle ends within a minute of the market; liquidations are rarer."""

Take = Callable[..., Coroutine[None, None, None]]


class Arrivals(dict[tuple[str, str], bool]):
    """The channels of each venue that are asked for, and whether they brought something."""

    def expect(self, venue: str, channel: str) -> Take:
        """Expect a channel; return the callback for it."""
        self[venue, channel] = False

        async def take(*_: object) -> None:
            self[venue, channel] = True

        return take


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


async def main() -> None:
    """Run the feeds of both venues until every channel has delivered something, or it takes too long."""
    trial, arrivals = Trial("cryptofeed"), Arrivals()
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):  # its HTTP clients read one of these each
        os.environ[name] = trial.server.certificate
    running = feeds(trial.server, arrivals)
    for feed in running:
        feed.start(asyncio.get_running_loop())
    await asyncio.to_thread(until, lambda: all(arrivals.values()), PATIENCE_S)
    for feed in running:
        feed.stop()
    for (venue, channel), has_come in arrivals.items():
        kind = REST if channel == "open_interest" else STREAM
        trial.add(venue, kind, channel, "" if has_come else "nothing arrived")


if __name__ == "__main__":
    asyncio.run(main())
