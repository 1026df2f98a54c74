"""What tests like to replace, as it was when this module was imported: clocks, files, sockets.

freezegun, pyfakefs and pytest-socket replace a function in every module that has it, and mocks replace
methods of classes.  None of them looks into a class of ours.
"""

from __future__ import annotations

import http.client
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import IO, Any, ClassVar, TypeVar, cast

T = TypeVar("T")


def original(kind: type[T]) -> type[T]:
    """Return a class that stays as `kind` is now, with all that it inherits."""
    kept: dict[str, Any] = {}
    for each in reversed(kind.__mro__[:-1]):
        kept |= vars(each)
    for name in ("__dict__", "__slots__", "__weakref__"):
        kept.pop(name, None)
    return type(kind.__name__, (kind,), kept)


class Original:
    """Functions and classes of the standard library."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    close = staticmethod(os.close)
    fstat = staticmethod(os.fstat)
    getpid = staticmethod(os.getpid)
    open: ClassVar[Callable[..., IO[bytes]]] = staticmethod(cast("Callable[..., IO[bytes]]", open))
    os_open = staticmethod(os.open)
    pipe = staticmethod(os.pipe)
    pread = staticmethod(os.pread)
    pwrite = staticmethod(os.pwrite)
    read = staticmethod(os.read)

    poll = staticmethod(select.poll)
    getaddrinfo = staticmethod(socket.getaddrinfo)
    Socket = original(socket.socket)
    Thread = original(threading.Thread)
    HTTPConnection = original(http.client.HTTPConnection)
    HTTPSConnection = original(http.client.HTTPSConnection)


class Owner:
    """The process in which it was made."""

    def __init__(self) -> None:
        self._pid = Original.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is the process, and none that was forked from it."""
        return Original.getpid() == self._pid

    def check(self, what: str) -> None:
        """Do nothing in the process.

        Raises:
            RuntimeError: in one that was forked from it; `what` names the object.
        """
        if not self.is_here:
            raise RuntimeError(
                f"{what} belongs to process {self._pid}, from which this one was forked: open another "
                "one here"
            )
