"""The nursery: forks the servers of this program from a process that has imported everything.

    program  ──▶  nursery       one socket: a request for each child, with the descriptors it gets
    program  ◀─▶  nursery       a socket for each child: its pid and exit status; or: kill it

The first child starts the nursery, or `prepare` does so before.  A process that was forked from this
one has a nursery of its own.  Only Linux has one; elsewhere each child is a new process.
"""

from __future__ import annotations

import atexit
import os
import select
import socket
import subprocess
import sys
import threading
from _socket import socketpair
from contextlib import ExitStack, suppress
from subprocess import Popen
from typing import IO, TypeAlias

import msgspec

from tickerplant.hosted.fork_server import REQUEST, ChildReport, ForkRequest
from tickerplant.originals import Original
from tickerplant.startup.launch import command_of

FORKS = sys.platform == "linux"
"""Whether a nursery forks the children."""
ONE_THREAD = {b"MKL_NUM_THREADS": b"1", b"OMP_NUM_THREADS": b"1", b"OPENBLAS_NUM_THREADS": b"1"}
"""Keeps libraries from starting threads: only a process without threads can be forked safely."""
SETTINGS = b"TICKERPLANT_"
"""What the names of variables with settings begin with."""
KILLED = -9
"""The exit status of a child whose nursery has ended, because the child ends with it."""
_REPORT = msgspec.json.Decoder(ChildReport)


class ForkedChild:
    """A child that a nursery forks; it is used as `subprocess.Popen` is.  Thread-safe.

    Its channel brings its pid and exit status; what is written to it kills the child.
    """

    def __init__(
        self,
        to_child: IO[bytes],
        from_child: IO[bytes],
        log: IO[bytes] | None,
        channel: socket.socket,
    ) -> None:
        self.stdin: IO[bytes] | None = to_child
        self.stdout: IO[bytes] | None = from_child
        self.stderr: IO[bytes] | None = log
        self.returncode: int | None = None
        """Its exit status when `poll` or `wait` has learned it, negative for a signal."""
        self._channel = channel
        self._pid = 0
        self._text = b""
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """Its process id; waits until it is forked.

        Raises:
            ChildProcessError: the nursery ended before.
        """
        while not self._pid and self._learn(None):
            pass
        if not self._pid:
            raise ChildProcessError("the process that starts servers has ended")
        return self._pid

    def poll(self) -> int | None:
        """Return its exit status; None while it runs."""
        while self._learn(0):
            pass
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its exit status.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.
        """
        until_s = None if timeout is None else Original.monotonic() + timeout
        while self.returncode is None:
            left_s = None if until_s is None else max(0.0, until_s - Original.monotonic())
            if not self._learn(left_s) and self.returncode is None:
                raise subprocess.TimeoutExpired("tickerplant", timeout or 0)
        return self.returncode

    def kill(self) -> None:
        """Kill it; do nothing if it has ended."""
        self._learn(0)
        if self.returncode is None and not self._pid:  # it will not be forked
            self.returncode = KILLED
            self._channel.close()
        elif self.returncode is None:
            with suppress(OSError):  # the nursery has ended, and the child with it
                self._channel.send(b"k")

    def _learn(self, timeout_s: float | None) -> bool:
        """Take what the nursery reports within `timeout_s`; return whether more may follow."""
        if self.returncode is not None:
            return False
        ready = Original.poll()  # `select.select` cannot wait for large descriptors
        ready.register(self._channel, select.POLLIN)
        if not ready.poll(None if timeout_s is None else timeout_s * 1_000):
            return False
        with self._lock:
            try:
                text = self._channel.recv(4_096, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True  # another thread has taken it
            except OSError:
                text = b""
            *lines, self._text = (self._text + text).split(b"\n")
            for line in lines:
                report = _REPORT.decode(line)
                self._pid = report.pid or self._pid
                self.returncode = report.status
            if not text and self.returncode is None:
                self.returncode = KILLED
            is_over = self.returncode is not None
            if is_over:
                self._channel.close()
            return not is_over


Child: TypeAlias = "subprocess.Popen[bytes] | ForkedChild"
"""The process of a server, with its input and output."""


class Nursery:
    """A process that forks children; it has started, but may still be importing."""

    def __init__(self) -> None:
        self._socket, theirs = _socket_pair()
        with theirs:
            self._process = Popen(  # noqa: S603  # our own program
                command_of("tickerplant.hosted.fork_server", str(os.getpid())),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment() | ONE_THREAD,
                start_new_session=True,  # Ctrl-C is for this process
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self._process.pid)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        # Not `Popen.poll`, which keeps a lock for ever if Ctrl-C comes at the wrong moment.
        ended = Original.poll()
        ended.register(self._socket, 0)
        return not ended.poll(0)

    def fork(self, stderr: int | None) -> ForkedChild:
        """Ask for a child, and return it; do not wait until it is there.

        Raises:
            OSError: the nursery has ended.
        """
        request = msgspec.msgpack.encode(ForkRequest(_environment()))
        with ExitStack() as given, ExitStack() as kept:

            def give(descriptor: int) -> int:
                given.callback(Original.close, descriptor)
                return descriptor

            def keep(descriptor: int, mode: str) -> IO[bytes]:
                return kept.enter_context(Original.open(descriptor, mode))

            stdin, to_child = Original.pipe()
            from_child, stdout = Original.pipe()
            descriptors = [give(stdin), give(stdout)]
            streams = keep(to_child, "wb"), keep(from_child, "rb")
            log = None
            if stderr is None:
                from_log, stderr = Original.pipe()
                log = keep(from_log, "rb")
                give(stderr)
            channel, theirs = _socket_pair()
            kept.enter_context(channel)
            text = give(os.memfd_create("request"))
            Original.pwrite(text, request, 0)
            descriptors += [stderr, give(theirs.detach()), text]
            with suppress(OSError):
                descriptors.append(give(Original.os_open(".", os.O_PATH)))
            # One byte: an interruption comes before or after it, and the next request is whole.
            socket.send_fds(self._socket, [REQUEST], descriptors)
            kept.pop_all()
        return ForkedChild(*streams, log, channel)

    def end(self) -> None:
        """End it, and its children with it."""
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def disown(self) -> None:
        """Leave it to the process that this one was forked from."""
        self._socket.close()
        self._process.returncode = 0  # or `Popen` complains that it still runs


_guard = threading.Lock()
_nursery: Nursery | None = None
"""The nursery of this process."""


def prepare() -> int | None:
    """Start the nursery, if it does not run; do not wait until it is ready.

    Returns:
        Its process id; None where there is none.
    """
    if not FORKS:
        return None
    with _guard:
        return _running().pid


def spawn(request_line: bytes, *, stderr: int | None = None) -> Child:
    """Return a new process that runs the program of `child.py`, and has got its request.

    It ends when its input does, or this process.

    Args:
        request_line: The request, a line; what follows is written to its standard input.
        stderr: A descriptor that becomes its standard error; None for a pipe.

    Raises:
        OSError: no process can be started.
    """
    child = _forked(stderr) if FORKS else _started(stderr)
    assert child.stdin is not None  # noqa: S101  # it is a pipe
    child.stdin.write(request_line)
    child.stdin.flush()
    return child


def _forked(stderr: int | None) -> ForkedChild:
    with _guard:
        try:
            return _running().fork(stderr)
        except (BrokenPipeError, ConnectionResetError):  # it has just ended
            end_nursery()
            return _running().fork(stderr)


def _started(stderr: int | None) -> subprocess.Popen[bytes]:
    return Popen(  # noqa: S603  # our own program
        command_of("tickerplant.hosted.child"),
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if stderr is None else stderr,
        start_new_session=True,  # Ctrl-C is for this process
    )


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socketpair()
    return Original.Socket(fileno=ours.detach()), Original.Socket(fileno=theirs.detach())


def _environment() -> dict[bytes, bytes]:
    """Return the environment of a child, without settings: some are secret, and it reads none."""
    return {name: text for name, text in os.environb.items() if not name.startswith(SETTINGS)}


def _running() -> Nursery:
    global _nursery  # noqa: PLW0603  # one for each process
    if _nursery is None or not _nursery.is_running:
        end_nursery()
        _nursery = Nursery()
    return _nursery


def end_nursery() -> None:
    """End the nursery, if it runs, and all children with it; the next child starts another one."""
    global _nursery
    ended, _nursery = _nursery, None
    if ended is not None:
        ended.end()


def _after_fork() -> None:
    """Leave the nursery to the process that this one was forked from."""
    global _guard, _nursery  # noqa: PLW0603
    left, _nursery = _nursery, None
    _guard = threading.Lock()
    if left is not None:
        left.disown()


atexit.register(end_nursery)
if FORKS:
    os.register_at_fork(after_in_child=_after_fork)
