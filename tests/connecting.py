"""Connections of tests: they read on, so that they see their end, and do not wait long for it."""

from __future__ import annotations

from typing import Any

from websockets.asyncio.client import connect as websockets_connect
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websockets_connect_blocking

CLOSE_TIMEOUT_S = 0.5
"""How long a client of a test waits for the end of a connection that it closes."""
OPTIONS: dict[str, Any] = {"max_queue": None, "close_timeout": CLOSE_TIMEOUT_S, "proxy": None}
"""A client whose queue were bounded would stop reading, and not see the end of a connection."""


def connect(url: str, **options: Any) -> websockets_connect:
    """Return what opens a connection for a coroutine, and closes it at the end of a block."""
    return websockets_connect(url, **OPTIONS | options)


def connect_blocking(url: str, **options: Any) -> ClientConnection:
    """Open a connection that another thread reads."""
    opened: ClientConnection = websockets_connect_blocking(url, **OPTIONS | options)
    return opened
