"""Proxies in the environment, which would take what a test sends to its exchange to another machine."""

from __future__ import annotations

from os import environ
from threading import Lock

LOOPBACK = "127.0.0.1,localhost,::1"
NO_PROXY = ("no_proxy", "NO_PROXY")
"""Both spellings: some libraries read one, some the other, and some the first that is there."""


def proxies() -> list[str]:
    """Return the names of the variables that name a proxy which takes requests for loopback."""
    exempt = ",".join(environ.get(each, "") for each in NO_PROXY).replace(" ", "").split(",")
    if "127.0.0.1" in exempt or "*" in exempt:
        return []
    names = (name for name, value in environ.items() if value and name not in NO_PROXY)
    return sorted(name for name in names if name.lower().endswith("_proxy"))


def proxy_lines() -> list[str]:
    """Return a sentence about the proxies that take requests for loopback, if there are any."""
    if not (names := proxies()):
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
            if not self._before and proxies():
                lower, upper = (environ.get(each) for each in NO_PROXY)
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
