"""The program of the child process: one server, until standard input is at its end."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tickerplant import logs
from tickerplant.config import kinds, setting
from tickerplant.config.settings import (
    ReplaySettings,
    ServeSettings,
    SimulateSettings,
    TestServerSettings,
)
from tickerplant.errors import ConfigError, TickerplantError
from tickerplant.hosted.protocol import (
    Answer,
    Command,
    Failed,
    ReplayRequest,
    Request,
    Serving,
    SimulateRequest,
    TestServerRequest,
    line_of,
    problem_of,
    read_command,
    read_request,
    state_answer,
)
from tickerplant.server import event_loop
from tickerplant.server.operations.control_plane import Steering
from tickerplant.serving.run import serve
from tickerplant.serving.service import Service

PARENT_CHECK_S = 1.0
"""How often the child checks whether its parent still exists."""
PATIENT_MS = 10 * 365 * 86_400_000
"""Ten years: the program may stop for as long as it wants, for example in a debugger."""
PATIENCE = dict.fromkeys(
    (
        "close_grace_ms",
        "lifetime_ms",
        "max_unread_ms",
        "ping_interval_ms",
        "pong_timeout_ms",
        "stall_timeout_ms",
    ),
    PATIENT_MS,
)
"""Limits of a server with one client, which it must never disconnect."""
AS_JSON = {"json": True, "log_format": "json", "log_level": "warning"}
"""What a server writes that another program reads."""
FOR_ONE_CLIENT: Mapping[str, Any] = AS_JSON | {
    "usdm_port": 0,
    "coinm_port": 0,
    "wait_for": 0,
    "slow_readers": "wait",
    "limit_numbers": PATIENCE,
}
"""The settings of the server of a hosted market."""


class Control:
    """Reads commands from standard input in a thread, and ends the process at its end."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._loop: asyncio.AbstractEventLoop | None = None
        self._steering: Steering | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._text = b""

    def read_request(self) -> Request:
        """Wait for the request, which is the first line; from then on, watch for the end."""
        request = read_request(self._line())
        threading.Thread(target=self._watch, name="control", daemon=True).start()
        return request

    def begin(self, steering: Steering | None) -> None:
        """Carry out commands in the running event loop from now on."""
        self._steering = steering
        self._loop = asyncio.get_running_loop()

    def _watch(self) -> None:
        while True:
            line = self._line()
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._start, read_command(line))

    def _line(self) -> bytes:
        """Return the next line; does not return at the end of the input, or of the parent."""
        while b"\n" not in self._text:
            # Another child of the parent may have inherited its end of the pipe.
            if select.select([0], (), (), PARENT_CHECK_S)[0]:
                text = os.read(0, 1 << 16)
                if not text:
                    os._exit(0)
                self._text += text
            elif os.getppid() != self._parent:
                os._exit(0)
        line, _, self._text = self._text.partition(b"\n")
        return line

    def _start(self, command: Command) -> None:
        task = asyncio.create_task(self._carry_out(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, command: Command) -> None:
        steering = self._steering
        if steering is None:
            return
        try:
            state = await steering.steer(command.fields) if command.fields else steering.state()
        except TickerplantError as error:
            say(line_of(Answer(command.number, problem=problem_of(error))))
        else:
            say(line_of(state_answer(command.number, state)))


def main(parent: int | None = None) -> None:
    """Serve what the first line of standard input asks for."""
    event_loop.anchor_connection_clock()  # its modules may have been imported long ago
    control = Control(os.getppid() if parent is None else parent)
    request = control.read_request()
    try:
        venue, settings, service = prepared(request)
        service = msgspec.structs.replace(
            service,
            lingers=True,
            awaits_clients=not isinstance(request, TestServerRequest),  # a test has its own clock
            on_ready=lambda: control.begin(service.steering),
        )
        say(line_of(Serving(venue)))
        event_loop.run(serve(settings, service, lambda line: say(line.encode() + b"\n")))
    except TickerplantError as error:
        say(line_of(Failed(problem_of(error))))
        sys.exit(2)
    except Exception:  # noqa: BLE001  # whatever nobody has listed
        logs.logger().exception("! the market cannot be served")
        sys.exit(2)


def rehearse() -> None:
    """Open the usual market of a test server, and forget it."""
    from tickerplant.serving.test_server import test_service  # noqa: PLC0415  # a replay needs none

    test_service(TestServerSettings())


def prepared(request: Request) -> tuple[str, ServeSettings, Service]:
    """Return the venue of a market, and what serves it."""
    logs.configure("json", "warning")
    if isinstance(request, SimulateRequest):
        from tickerplant.serving.simulate import simulate_service  # noqa: PLC0415  # a replay needs none

        simulated = settings_of(SimulateSettings, request.settings)
        return request.venue, simulated, simulate_service(simulated)
    if isinstance(request, TestServerRequest):
        from tickerplant.serving.test_server import test_service  # noqa: PLC0415

        logs.configure()  # people read it, in the report of a test
        for_tests = settings_of(TestServerSettings, request.settings, AS_JSON)
        return request.venue, for_tests, test_service(for_tests)
    from tickerplant.serving.replay import replay_service, scanned  # noqa: PLC0415

    replayed = settings_of(ReplaySettings, request.settings)
    found = scanned(request.paths)
    venue = venue_of(request, found.streams)
    return venue, replayed, replay_service(replayed, found, shows_snapshots=True)


def settings_of(
    kind: Any, fields: dict[str, Any], defaults: Mapping[str, Any] | None = None
) -> Any:
    """Return the settings of a server."""
    given = fields.pop("faults", {})
    try:
        faults = kinds.read_faults(given)
    except ValueError as error:
        raise ConfigError("faults", given, str(error)) from None
    try:
        defaults = FOR_ONE_CLIENT if defaults is None else defaults
        settings = msgspec.convert({**defaults, **fields} | {"fault_rules": faults}, kind)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        name = where.partition("`")[0].partition("[")[0]
        raise ConfigError(name, fields.get(name), reason.removeprefix("Expected ")) from None
    for each in setting.settings_of(kind):
        if each.kind.is_number and fields.get(each.field) is not None:
            each.read(fields[each.field], each.field)  # its bounds
    return settings


def venue_of(request: ReplayRequest, streams: Callable[[str], frozenset[str]]) -> str:
    """Return the venue of a replay: the requested one, or that of the recordings.

    Raises:
        ConfigError: nothing of it was recorded, or the recordings are of both.
    """
    recorded = [name for name in ("usdm", "coinm") if streams(name)]
    if request.venue is None and len(recorded) != 1:
        raise ConfigError("venue", None, "usdm or coinm, because the recordings are of both")
    if request.venue is not None and request.venue not in recorded:
        raise ConfigError("venue", request.venue, f"{recorded[0]}, the venue of the recordings")
    return request.venue or recorded[0]


def say(line: bytes) -> None:
    """Write a line to the parent."""
    try:
        os.write(1, line)
    except OSError:
        os._exit(0)  # there is no parent any more
