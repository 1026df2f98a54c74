"""A transport that is slow, silent or lost for a while: what stall, latency and their like do."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tickerplant.faults.clock import FaultClock, Timer
from tickerplant.server.containment import contained

if sys.platform != "win32":
    import fcntl
    import termios

SLICE_MS = 20
"""A line of limited bandwidth takes bytes so often."""
MAX_INPUT_BYTES = 1 << 16
"""The transport is not read while more than this waits to be received."""
BEHIND_BYTES = 1 << 14
"""A connection is behind while more than this waits."""
RESET_TRIES, RESET_POLL_S = 100, 0.001
"""How often and after which time it is looked whether a client has all that precedes a reset."""
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""For SO_LINGER: linger, for no time."""
_COUNT = struct.Struct("i")
_AS_EVER = (
    *("is_reading", "is_closing", "can_write_eof", "get_extra_info"),
    *("get_write_buffer_limits", "set_write_buffer_limits"),
)
"""What faults do not change of a transport."""


class _Line:
    """A bandwidth: bytes may be sent at times on a grid, as many as it has collected by then."""

    def __init__(self, rate_bytes: int, now_ms: int) -> None:
        self._rate_bytes = rate_bytes
        self._most_bytes = max(1.0, rate_bytes * SLICE_MS / 1_000)
        self._bytes = self._most_bytes
        self._since_ms = now_ms

    def take(self, wanted_bytes: int, now_ms: int) -> int:
        """Return how many of the bytes may be sent now."""
        earned_bytes = self._rate_bytes * (now_ms - self._since_ms) / 1_000
        self._bytes = min(self._most_bytes, self._bytes + earned_bytes)
        self._since_ms = now_ms
        taken_bytes = min(wanted_bytes, int(self._bytes))
        self._bytes -= taken_bytes
        return taken_bytes


class FaultyTransport(asyncio.Transport):
    """Stands between a connection and the transport of its socket, from its first fault on.

    Everything keeps its order.  What waits is bounded: the connection is told when it is too much.

    Args:
        transport: The transport of the socket.
        clock: The time in which data is late.
        sent_ms: Returns when data that is written now was sent, on that clock.
        max_bytes: How much may wait.
        overflow: Called once when more waits, in the middle of a write: to close the connection
            later, see `make_room`.
        receive: Takes data of the client that was late.
        abandon: Told of an error, instead of whoever writes or keeps the clock.
        behind: Told whether so much waits that messages had better wait elsewhere, when it changes.
        is_paused: Whether the connection wants nothing to be read at first.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        clock: FaultClock,
        *,
        sent_ms: Callable[[], int],
        max_bytes: int,
        overflow: Callable[[], object],
        receive: Callable[[bytes], object],
        abandon: Callable[[Exception], object],
        behind: Callable[[bool], object],
        is_paused: bool,
    ) -> None:
        super().__init__()
        for name in _AS_EVER:
            setattr(self, name, getattr(transport, name))
        self.stalls = 0
        """How many faults want that nothing is sent and read."""
        self.losses = 0
        """How many faults want that nothing is read, and that what is sent is lost."""
        self._transport = transport
        self._clock = clock
        self._sent_ms = sent_ms
        self._max_bytes = max_bytes
        self._overflow = overflow
        self._receive = receive
        self.abandon = abandon
        self._latencies: dict[str, Callable[[int], int]] = {}
        """What returns how much later data of a time arrives, always the same for the same time."""
        self._lines: dict[str, _Line] = {}
        self._output: deque[tuple[int, bytes]] = deque()
        self._output_bytes = 0
        self._input: deque[tuple[int, bytes]] = deque()
        self._input_bytes = 0
        self._timer: Timer | None = None
        self._timer_ms = 0
        self._ends_with: Callable[[], object] | None = None
        """Ends the stream when all that waits is sent."""
        self._behind = behind
        self._is_behind = False
        self._is_paused = is_paused
        """Whether the connection wants nothing to be read."""
        self._is_full = False
        """Whether more waited than may, so that nothing follows until `make_room`."""
        self._is_over = False
        self._is_pumping = False

    @property
    def _now_ms(self) -> int:
        """The time of the clock, as if it had never gone back."""
        return self._clock.now_ms + self._clock.gone_back_ms

    @property
    def is_silent(self) -> bool:
        """Whether its client receives nothing for now, whatever it does."""
        return bool(self.stalls or self.losses)

    @property
    def is_held(self) -> bool:
        """Whether anything of it waits for a fault, so that its client cannot have taken it."""
        return self.is_silent or bool(self._output)

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for a fault, and were not written."""
        return self._output_bytes

    # What faults do.

    def stall(self) -> None:
        """Send and read nothing until a `resume` for each `stall`."""
        self.stalls += 1
        self._set_reading()
        self.pump()

    def resume(self) -> None:
        """Send what waited, and read again, unless something else stalls."""
        self.stalls -= 1
        self._set_reading()
        self.pump()

    def lose(self) -> None:
        """Lose what waits and what is written from now on, and read nothing."""
        self.losses += 1
        self._forget()
        self._set_reading()

    def set_latency(self, name: str, delay_ms: Callable[[int], int] | None) -> None:
        """Let data be late from now on, by a function of its time, or no longer."""
        if delay_ms is not None:
            self._latencies[name] = delay_ms
            return
        self._latencies.pop(name, None)
        if not self._latencies:
            self._output = deque((0, data) for _, data in self._output)
            self._input = deque((0, data) for _, data in self._input)
        self.pump()

    def set_rate(self, name: str, rate_bytes: int | None) -> None:
        """Send no more than this each second from now on, or as much as possible again."""
        if rate_bytes is None:
            self._lines.pop(name, None)
        else:
            self._lines[name] = _Line(rate_bytes, self._now_ms)
        self.pump()

    @property
    def is_timed(self) -> bool:
        """Whether it matters when something is written."""
        return bool(self._latencies or self._lines)

    # Both directions.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`, now or later."""
        if self._is_over or self.losses or self._is_full:
            return
        if not (self._output or self.stalls or self._latencies or self._lines):
            self._transport.write(data)
            return
        self._output.append((self._due_ms(self._output), bytes(data)))
        self._output_bytes += len(data)
        if self._output_bytes > self._max_bytes:
            self._is_full = True
            self._overflow()
        self._go_on(takes_input=False)  # the hub writes: its subscriptions must not change now

    def make_room(self) -> None:
        """Take what is written again, without a bound: the connection is about to be closed."""
        self._is_full, self._max_bytes = False, 1 << 62

    def received(self, data: bytes) -> bytes:
        """Take what the client has sent; return what of it is received now."""
        if self.losses:
            return b""
        if not (self._input or self.stalls or self._latencies):
            return data
        self._input.append((self._due_ms(self._input), data))
        self._input_bytes += len(data)
        self._set_reading()
        self.pump()
        return b""

    def _due_ms(self, queue: deque[tuple[int, bytes]]) -> int:
        if not self._latencies:
            return queue[-1][0] if queue else 0
        sent_ms = self._sent_ms() + self._clock.gone_back_ms
        due_ms = sent_ms + sum(delay_ms(sent_ms) for delay_ms in self._latencies.values())
        return max(due_ms, queue[-1][0]) if queue else due_ms

    def pump(self) -> None:
        """Send and receive what may be sent and received by now."""
        self._go_on(takes_input=True)

    @contained
    def _go_on(self, *, takes_input: bool) -> None:
        if self._is_pumping or self._is_over:
            return
        self._is_pumping = True
        try:
            self._send()
            if takes_input:
                self._take_input()
        finally:
            self._is_pumping = False
        if self._ends_with is not None and not (self._output or self.stalls or self._is_over):
            ends_with, self._ends_with = self._ends_with, None
            ends_with()
        self._set_timer(least_ms=self._now_ms + takes_input)
        self._set_behind()

    def _send(self) -> None:
        now_ms, output = self._now_ms, self._output
        sent: list[bytes] = []
        while output and not self.stalls and output[0][0] <= now_ms:
            due_ms, data = output[0]
            count = len(data)
            for line in self._lines.values():
                count = line.take(count, now_ms)
            sent.append(data[:count])
            self._output_bytes -= count
            if count < len(data):
                output[0] = due_ms, data[count:]
                break
            output.popleft()
        if any(sent):
            self._transport.write(b"".join(sent))

    def _take_input(self) -> None:
        now_ms = self._now_ms
        while self._input and not self.is_silent and self._input[0][0] <= now_ms:
            _, data = self._input.popleft()
            self._input_bytes -= len(data)
            self._receive(data)
        self._set_reading()

    def _set_timer(self, least_ms: int) -> None:
        """Go on when something is due, and read no sooner than `least_ms`."""
        now_ms = self._now_ms
        dues_ms = []
        if self._output and not self.stalls:
            grid_ms = (now_ms // SLICE_MS + 1) * SLICE_MS
            dues_ms.append(self._output[0][0] if self._output[0][0] > now_ms else grid_ms)
        if self._input and not self.is_silent:
            dues_ms.append(max(self._input[0][0], least_ms))
        if self._is_over or not dues_ms:
            self._cancel_timer()
        elif self._timer is None or self._timer_ms != min(dues_ms):
            self._cancel_timer()
            self._timer_ms = min(dues_ms)
            self._timer = self._clock.after(self._timer_ms - now_ms, self._on_timer)

    def _set_behind(self) -> None:
        is_behind = bool(self.stalls) or self._output_bytes > BEHIND_BYTES
        if is_behind is not self._is_behind and not self._is_over:
            self._is_behind = is_behind
            self._behind(is_behind)

    def _on_timer(self, _due_ms: int) -> None:
        self._timer = None
        self.pump()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _forget(self) -> None:
        self._output.clear()
        self._input.clear()
        self._output_bytes = self._input_bytes = 0
        self._cancel_timer()

    def forget(self) -> None:
        """Discard what waits: the connection is lost."""
        self._is_over = True
        self._forget()

    # The surface of a transport.

    def _set_reading(self) -> None:
        if self._is_over:
            return
        if self._is_paused or self.is_silent or self._input_bytes > MAX_INPUT_BYTES:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`."""
        self._is_paused = True
        self._set_reading()

    def resume_reading(self) -> None:
        """Read again, now or when no fault is against it."""
        self._is_paused = False
        self._set_reading()

    def write_eof(self) -> None:
        """End the stream in this direction, after what waits."""
        self._end_with(self._transport.write_eof)

    def close(self) -> None:
        """Close the connection once everything is sent."""
        self._end_with(self._transport.close)

    def _end_with(self, ends_with: Callable[[], object]) -> None:
        if self._output or self.stalls:
            self._ends_with = ends_with
        elif not self.losses:
            ends_with()

    def abort(self) -> None:
        """Close the connection at once; what waits is lost."""
        self.forget()
        self._transport.abort()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are unsent, those that wait for a fault included."""
        return self._output_bytes + self._transport.get_write_buffer_size()


def reset(transport: asyncio.Transport, tries: int = RESET_TRIES) -> None:
    """Close a connection with a TCP reset, once what was written is on its way, or soon."""
    sock = transport.get_extra_info("socket")
    if (
        tries
        and not transport.is_closing()
        and (transport.get_write_buffer_size() or queued_bytes(sock))
    ):
        asyncio.get_running_loop().call_later(RESET_POLL_S, reset, transport, tries - 1)
        return
    if sock is not None:
        with suppress(OSError):  # it is gone
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    transport.abort()


def queued_bytes(sock: Any) -> int:
    """Return how many bytes the system still holds for the client; 0 if it does not tell."""
    if sock is None or not sys.platform.startswith("linux"):
        return 0
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_COUNT.size))
    except OSError:
        return 0
    count: int = _COUNT.unpack(answer)[0]
    return count
