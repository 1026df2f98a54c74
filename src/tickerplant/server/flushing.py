"""When the frames that wait in the hubs of a server are written to its sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tickerplant.hub.hub import Hub
from tickerplant.server.congestion import Congestion


class Flusher:
    """Writes the frames that wait in `hubs`, once at the end of each turn of the event loop.

    Args:
        loop: The event loop of the server.
        hubs: What is flushed; from now on they wake this flusher.
        congestion: The connections that read too slowly; those over the bound are closed after a
            flush.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, hubs: Iterable[Hub], congestion: Congestion
    ) -> None:
        self._loop = loop
        self._hubs = tuple(hubs)
        self._congestion = congestion
        self._is_scheduled = False
        for hub in self._hubs:
            hub.wake = self._schedule

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        for hub in self._hubs:
            hub.flush()
        if self._congestion.congested:
            self._congestion.close_slow()
