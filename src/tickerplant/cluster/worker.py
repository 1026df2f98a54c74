"""The program of a worker: one edge on sockets that its parent has opened, until told to stop."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import msgspec
from msgspec import Struct

from tickerplant import logs
from tickerplant.cluster.options import BusSettings
from tickerplant.cluster.program import join
from tickerplant.cluster.served import Served
from tickerplant.cluster.workers import (
    Listening,
    Progress,
    Refused,
    Stop,
    WorkerTask,
    line_of,
    read_order,
    read_task,
)
from tickerplant.config.settings import EdgeSettings
from tickerplant.errors import TickerplantError
from tickerplant.logs import Complaints
from tickerplant.progress import StatusLine
from tickerplant.server import event_loop
from tickerplant.server.listener import BACKLOG
from tickerplant.startup.process import freeze_objects, interruption
from tickerplant.startup.tls import follow_hangups, tls_of

PROGRESS_S = 1.0
"""How often the parent is told what was served."""
LONGEST_LINE = 1 << 20


def main() -> None:
    """Serve as the first line of standard input says."""
    os.set_blocking(sys.stdout.fileno(), False)  # a parent that stands still does not stop us
    try:
        status = event_loop.run(_work())
    except Exception as error:  # noqa: BLE001  # the parent says what it is
        name = "" if isinstance(error, TickerplantError) else f"{type(error).__name__}: "
        _say(Refused(f"{name}{error}"))
        logs.logger().debug("! it cannot serve", exc_info=True)
        status = 2
    sys.exit(status)


async def _work() -> int:
    orders = asyncio.StreamReader(limit=LONGEST_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    line = await orders.readline()
    if not line:
        return 0
    task = read_task(line)
    settings = msgspec.convert(task.settings, EdgeSettings)
    status_line = StatusLine()  # the parent may show one on the same terminal
    logs.configure(
        settings.log_format,
        settings.log_level,
        cast("TextIO", status_line) if status_line.is_terminal else None,
        worker=task.number,
    )
    return await _serve(task, settings, orders)


async def _serve(task: WorkerTask, settings: EdgeSettings, orders: asyncio.StreamReader) -> int:
    complaints, interrupted = Complaints(), interruption()
    event_loop.report_faults(complaints)
    sockets = {
        name: [socket.socket(fileno=number) for number in numbers]
        for name, numbers in task.sockets.items()
    }
    ordered = asyncio.create_task(_is_told_to_stop(orders, task.bus))
    joining = asyncio.create_task(join(settings, task.bus, complaints, task.name))
    before: list[asyncio.Future[Any]] = [ordered, joining, interrupted]
    await asyncio.wait(before, return_when=asyncio.FIRST_COMPLETED)
    if not joining.done():
        joining.cancel()
        await asyncio.wait({joining})
        return 0
    tls = tls_of(settings)
    served = Served(
        settings,
        joining.result(),
        complaints,
        tls.certificate if tls else None,
        sockets=sockets,
        worker=task.name,
        is_beside_plant=task.is_beside_plant,
    )
    for sock in itertools.chain(*sockets.values()):
        sock.listen(BACKLOG)
    await served.start()
    follow_hangups(tls, settings)
    telling = asyncio.create_task(_tell(served))
    try:
        _say(Listening())
        freeze_objects()
        ends: list[asyncio.Future[Any]] = [ordered, interrupted, served.running]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if served.running.done():
            served.running.result()
        if ordered.done() and not ordered.result():  # the parent was killed
            served.lose_clients()
    except Exception as error:
        if not isinstance(error, TickerplantError):
            logs.logger().exception("! serving failed")
        raise
    finally:
        telling.cancel()
        await served.stop()
        _say(_progress(served))
    return 0


async def _is_told_to_stop(orders: asyncio.StreamReader, bus: BusSettings) -> bool:
    """Return whether the parent says so; otherwise it has ended without a word.

    Meanwhile `bus` is kept as it is reached.
    """
    while line := await orders.readline():
        with suppress(msgspec.DecodeError):
            order = read_order(line)
            if isinstance(order, Stop):
                return True
            for name, value in msgspec.structs.asdict(order.bus).items():
                setattr(bus, name, value)
    return False


async def _tell(served: Served) -> None:
    """Tell the parent regularly what was served."""
    while True:
        await asyncio.sleep(PROGRESS_S)
        _say(_progress(served))


def _progress(served: Served) -> Progress:
    return Progress(**msgspec.structs.asdict(served.totals))


def _say(item: Struct) -> None:
    """Write a line to the parent, if there is room and a parent."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), line_of(item))
