"""The program of the nursery: imports what a server needs, then forks a child for each request.

It has one thread and uses no signals.  It ends, and its children with it, when its socket is at its
end or its parent has ended.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import msgspec
from msgspec import Struct

REQUEST = b"r"
"""What asks for a child; everything else is in the descriptors that come with it."""
DESCRIPTORS = 6
"""Most descriptors of a request."""
PARENT_CHECK_S = 1.0
"""How often it is checked whether the parent still exists."""
CHILD = "tickerplant.hosted.child"
"""The module of the children."""
FIRST = (CHILD, "tickerplant.serving.test_server")
"""What is imported before the first child is forked."""
LATER = ("tickerplant.serving.replay",)
"""What is imported when nothing is asked."""
FIRST_START_S = 0.2
"""About how long a first child takes to open its market."""
STANDARD = 3
"""How many standard descriptors there are; the next one is the lifeline of a child."""
CHANNEL = 3
"""The place of the channel among the descriptors of a request."""
TEXT = 4
"""The place of the file with the `ForkRequest`."""


class ForkRequest(Struct, frozen=True):
    """Fork a child.

    Its descriptors are the standard input, output and error of the child, the channel for reports,
    a file with this Struct, and its current folder, if that is known.
    """

    environment: dict[bytes, bytes]
    """The environment variables of the child."""


class ChildReport(Struct, frozen=True, omit_defaults=True):
    """What has become of a child."""

    pid: int = 0
    """Its process id, when it was forked."""
    status: int | None = None
    """Its exit status, when it has ended; negative for a signal."""


def main() -> None:
    """Fork children for the process that is the first argument; standard input is the socket."""
    parent = int(sys.argv[1])
    requests = socket.socket(fileno=os.dup(0))
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a program that ignores it passes that on
    ForkServer(requests, parent).run()


class ForkServer:
    """Forks children until the parent has ended."""

    def __init__(self, requests: socket.socket, parent: int) -> None:
        self._requests = requests
        self._parent = parent
        self._children: set[int] = set()
        self._ready = selectors.DefaultSelector()
        self._ready.register(requests, selectors.EVENT_READ, self._take_request)

    def run(self) -> NoReturn:
        """Import everything, and fork children until the parent has ended."""
        # Without it structlog imports no library for tracebacks that a server does not draw.
        sys.modules["rich"] = None  # type: ignore[assignment]
        for name in FIRST:
            preload(name)
        self._turn(0)
        self._turn(FIRST_START_S)  # leaves the cores to a first child
        rehearse()
        for name in LATER:
            self._turn(0)
            preload(name)
        while True:
            self._turn(PARENT_CHECK_S)

    def _turn(self, timeout_s: float) -> None:
        for key, _ in self._ready.select(timeout_s):
            if self._ready.get_map().get(key.fd) is key:  # unless its child ended in this turn
                key.data()
        if os.getppid() != self._parent:
            self._end()

    def _take_request(self) -> None:
        head, given, _, _ = socket.recv_fds(self._requests, len(REQUEST), DESCRIPTORS)
        if not head:
            self._end()
        request = msgspec.msgpack.decode(whole(given.pop(TEXT)), type=ForkRequest)
        channel = socket.socket(fileno=given.pop(CHANNEL))
        channel.setblocking(False)
        if is_silent(channel):
            self._fork(request, given, channel)
        else:
            channel.close()  # it was killed before it was there
        for each in given:
            os.close(each)

    def _fork(self, request: ForkRequest, given: list[int], channel: socket.socket) -> None:
        lifeline, theirs = os.pipe()
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            tell(channel, ChildReport(status=1))
            channel.close()
            os.write(given[2], f"cannot start a process: {error}\n".encode())
            os.close(lifeline)
        else:
            if pid == 0:
                run_child(request, given, theirs, parent)
            self._children.add(pid)
            self._ready.register(channel, selectors.EVENT_READ, partial(self._kill, pid, channel))
            end = partial(self._take_end, pid, channel, lifeline)
            self._ready.register(lifeline, selectors.EVENT_READ, end)
            tell(channel, ChildReport(pid=pid))
        os.close(theirs)

    def _kill(self, pid: int, channel: socket.socket) -> None:
        """Kill a child, as the parent asks, or because it has forgotten it."""
        self._ready.unregister(channel)
        os.kill(pid, signal.SIGKILL)  # no other process: it was not waited for yet

    def _take_end(self, pid: int, channel: socket.socket, lifeline: int) -> None:
        """Report the exit status of a child that is at its end."""
        self._ready.unregister(lifeline)
        os.close(lifeline)
        _, status = os.waitpid(pid, 0)
        self._children.discard(pid)
        if self._ready.get_map().get(channel):
            self._ready.unregister(channel)
        tell(channel, ChildReport(status=os.waitstatus_to_exitcode(status)))
        channel.close()

    def _end(self) -> NoReturn:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)


def preload(name: str) -> None:
    """Import a module, and keep what it has made out of garbage collections."""
    with suppress(Exception):  # a child that needs it says what is wrong
        import_module(name)
    gc.collect()
    gc.freeze()


def rehearse() -> None:
    """Open a market and drop it: the interpreter has adapted to it when a child opens its own."""
    with suppress(Exception):
        import_module(CHILD).rehearse()
    gc.collect()
    gc.freeze()


def run_child(request: ForkRequest, given: list[int], lifeline: int, parent: int) -> NoReturn:
    """Run the program of the children in this process, which was just forked."""
    status: str | int | None = 1
    try:
        os.setsid()
        for folder in given[STANDARD:]:
            os.fchdir(folder)
        for number, descriptor in enumerate([*given[:STANDARD], lifeline]):
            os.dup2(descriptor, number, inheritable=number < STANDARD)
        for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208  # names are enough
            if descriptor > STANDARD:
                with suppress(OSError):  # that of the listing is closed already
                    os.close(descriptor)
        os.environb.clear()
        os.environb.update(request.environment)
        sys.argv[1:] = []
        import_module(CHILD).main(parent)
        status = 0
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001  # shown as by the interpreter
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)


def whole(file: int) -> bytes:
    """Return what is in a file, and close it."""
    try:
        return os.pread(file, os.fstat(file).st_size, 0)
    finally:
        os.close(file)


def is_silent(channel: socket.socket) -> bool:
    """Return whether the parent still waits for the child of a channel."""
    try:
        channel.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def tell(channel: socket.socket, report: ChildReport) -> None:
    """Send a report, unless nobody waits for it any more."""
    with suppress(OSError):
        channel.send(msgspec.json.encode(report) + b"\n")
