"""Proxies in the environment, which would take what a test sends to its exchange to another machine."""

from __future__ import annotations

from os import environ
from threading import Lock

from tickerplant.client.proxies import NO_PROXY, proxies

HOST = "127.0.0.1"
LOOPBACK = "127.0.0.1,localhost,::1"


def proxy_lines() -> list[str]:
    """Return a sentence about the proxies that take requests for loopback, if there are any."""
    if not (names := proxies(HOST)):
        return []
    return [f"a proxy takes requests for 127.0.0.1 elsewhere: {', '.join(names)}; set NO_PROXY"]


class Exemption:
    """Lets `NO_PROXY` name loopback while an exchange is open, if there is a proxy; thread-safe."""

    def __init__(self) -> None:
        self._open = 0
        self._before: dict[str, str | None] = {}
        """What the variables were; empty unless they were changed."""
        self._lock = Lock()

    def begin(self) -> None:
        """Note that an exchange is opened."""
        with self._lock:
            self._open += 1
            if not self._before and proxies(HOST):
                lower, upper = map(dict(environ).get, NO_PROXY)
                self._before = dict(zip(NO_PROXY, (lower, upper), strict=True))
                for name, mine in zip(NO_PROXY, (lower or upper, upper or lower), strict=True):
                    environ[name] = f"{mine},{LOOPBACK}" if mine else LOOPBACK

    def end(self) -> None:
        """Note that it is closed."""
        with self._lock:
            self._open -= 1
            if not self._open:
                before, self._before = self._before, {}
                for name, text in before.items():
                    environ.pop(name, None)
                    if text is not None:
                        environ[name] = text
