"""The official modular SDKs: every stream, REST and WebSocket API method, with typed parsing."""

from __future__ import annotations

import asyncio

from compat.programs.official_answers import Warnings, ask_api, ask_rest
from compat.programs.official_client import SDKS, client_of, library_of
from compat.programs.official_streams import listen
from compat.trial import COINM, USDM, WS_API, Outcome, Report, read_server


async def main() -> None:
    """Try both SDKs, everything they offer of market data."""
    server, report, warnings = read_server(), Report(), Warnings()
    for venue in SDKS:
        client_of(server, venue)  # imports; the packages do not bear it in two threads at once
    listening = asyncio.gather(*(listen(report, server, venue) for venue in SDKS))
    for venue in SDKS:
        await asyncio.to_thread(ask_rest, report, server, venue, warnings)
    await ask_api(report, server, USDM)
    reason = "there are no market-data methods, as on the exchange"
    report.add(library_of(COINM), COINM, WS_API, "market data", reason, Outcome.NOT_OFFERED)
    await listening


if __name__ == "__main__":
    asyncio.run(main())
