"""What one message costs at a pace: one subscriber, evenly spaced messages, the whole process.

Hardly anything is sent at such rates: what counts is how often a process wakes up, and what it does then.
"""

from __future__ import annotations

import asyncio
import gzip
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

from benchmarks.capture import START_MS
from benchmarks.machine import SERVER_CORE, pin, processes
from benchmarks.processes import usages
from benchmarks.program import Program
from benchmarks.receiver import shake_hands
from benchmarks.senders import PATH, frames
from benchmarks.table import Cell, Table, median_ratio, spread

RATES_PER_S = (1_000, 5_000)
REPETITIONS = 3
SECONDS, QUICK_SECONDS = 5.0, 2.0
AIM = 1.15
"""Highest ratio to bare asyncio that is good enough."""
BUFFER_BYTES = 1 << 18
STALL_S = 30.0
HEADER_BYTES = 4
"""Of a frame between 126 bytes and 64 KiB."""
COMPILER = "gcc"
C_SOURCE = r"""
    #define _GNU_SOURCE
    #include <arpa/inet.h>
    #include <netinet/tcp.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <time.h>
    #include <unistd.h>
    int main(int argc, char **argv) {
        long count = atol(argv[1]), gap_ns = 1000000000L / atol(argv[2]), size = atol(argv[3]);
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t length = sizeof at;
        int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
        if (argc != 4 || bind(listener, (void *)&at, length) || listen(listener, 1)) return 1;
        getsockname(listener, (void *)&at, &length);
        printf("%d\n", ntohs(at.sin_port));
        fflush(stdout);
        int sock = accept(listener, 0, 0);
        setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        char *data = malloc(size);
        memset(data, 'x', size);
        struct timespec due, cpu;
        clock_gettime(CLOCK_MONOTONIC, &due);
        for (long number = 0; number < count; number++) {
            due.tv_nsec += gap_ns;
            if (due.tv_nsec >= 1000000000L) { due.tv_nsec -= 1000000000L; due.tv_sec++; }
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, 0);
            if (send(sock, data, size, 0) != size) return 1;
        }
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
        printf("%.9f\n", cpu.tv_sec + cpu.tv_nsec / 1e9);
        return 0;
    }
"""


def run(*, quick: bool = False) -> list[Table]:
    """Measure a replay, bare asyncio and C, interleaved."""
    repetitions, seconds = (1, QUICK_SECONDS) if quick else (REPETITIONS, SECONDS)
    rows: list[tuple[Cell, ...]] = []
    with TemporaryDirectory() as name:
        directory = Path(name)
        compiled = _compiled(directory)
        for rate in RATES_PER_S:
            count = round(rate * seconds)
            recording = directory / f"{rate}.gz"
            _record(recording, count, rate)
            runs = [
                (
                    _replay(recording, count),
                    _bare(count, rate),
                    _in_c(compiled, count, rate) if compiled else None,
                )
                for _ in range(repetitions)
            ]
            rows.append(_row(rate, count, runs))
    return [
        Table(
            title="pace: CPU per message, one subscriber, µs of the whole process",
            columns=(
                "messages/s",
                "tickerplant replay",
                "bare asyncio",
                "ratio",
                "aim",
                "C",
                "ratio",
            ),
            rows=rows,
            notes=[
                "Evenly spaced bookTicker messages in their envelope; each is due at a time of its own.",
                "Bare asyncio sleeps and writes ready-made frames; C does with `clock_nanosleep` and `send`.",
                "The timers of asyncio are late by up to a millisecond: above 1,000 messages/s it sends",
                "several at a time, and those of the replay and of C are exact.",
                *(() if compiled else (f"C was not measured: there is no {COMPILER}.",)),
            ],
        )
    ]


def _row(
    rate: int, count: int, runs: Sequence[tuple[float, float, float | None]]
) -> tuple[Cell, ...]:
    replay, bare = ([each[column] / count * 1e6 for each in runs] for column in (0, 1))  # type: ignore[operator]
    in_c = [each[2] / count * 1e6 for each in runs if each[2] is not None]
    return (
        rate,
        spread(replay),
        spread(bare),
        median_ratio(replay, bare),
        AIM,
        spread(in_c) if in_c else None,
        median_ratio(replay, in_c) if in_c else None,
    )


def _record(path: Path, count: int, rate: int) -> None:
    """Write a recording of evenly spaced messages."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        for number, frame in enumerate(islice(cycle(frames()), count)):
            received_ns = START_MS * 1_000_000 + number * 1_000_000_000 // rate
            file.write(b"%d %b\n" % (received_ns, frame[HEADER_BYTES:]))


def _replay(recording: Path, count: int) -> float:
    """Return the CPU seconds of a replay from its first message to its last."""
    with Program("replay", str(recording), "--speed=1") as program:
        sock = shake_hands(program.port, PATH)
        before_s = usages(program.pid)[0].cpu_s
        _read(sock, count)
        return usages(program.pid)[0].cpu_s - before_s


def _bare(count: int, rate: int) -> float:
    connection, remote = processes().Pipe()
    process = processes().Process(target=_send_at_pace, args=(remote, count, rate), daemon=True)
    process.start()
    remote.close()
    try:
        _read(socket.create_connection(("127.0.0.1", connection.recv())), count)
        cpu_s: float = connection.recv()
    finally:
        process.join()
    return cpu_s


def _send_at_pace(remote: Connection, count: int, rate: int) -> None:
    """Send messages to the first that connects, and tell the CPU time."""
    pin(SERVER_CORE)
    asyncio.run(_serve_at_pace(remote, count, rate))


async def _serve_at_pace(remote: Connection, count: int, rate: int) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    async def send(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        messages = list(islice(cycle(frames()), count))
        began_s, first_s = time.process_time(), loop.time()
        for number, message in enumerate(messages, 1):
            left_s = first_s + number / rate - loop.time()
            if left_s > 0:
                await asyncio.sleep(left_s)
            writer.write(message)
        done.set_result(time.process_time() - began_s)
        writer.close()

    server = await asyncio.start_server(send, "127.0.0.1", 0)
    remote.send(server.sockets[0].getsockname()[1])
    remote.send(await done)
    server.close()


def _compiled(directory: Path) -> Path | None:
    """Return the program in C; None where nothing compiles it."""
    compiler = shutil.which(COMPILER)
    if compiler is None:
        return None
    source, program = directory / "pace.c", directory / "pace"
    source.write_text(dedent(C_SOURCE))
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)  # noqa: S603  # our own source
    return program


def _in_c(program: Path, count: int, rate: int) -> float:
    arguments = [str(program), str(count), str(rate), str(len(frames()[0]))]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own source
        assert process.stdout is not None
        pin(SERVER_CORE, process.pid)
        _read(socket.create_connection(("127.0.0.1", int(process.stdout.readline()))), count)
        return float(process.stdout.readline())


def _read(sock: socket.socket, count: int) -> None:
    """Read so many messages, then close."""
    buffer, missing = bytearray(BUFFER_BYTES), count * len(frames()[0])
    with sock:
        sock.settimeout(STALL_S)
        while missing > 0:
            size = sock.recv_into(buffer)
            assert size, "the connection was closed"
            missing -= size
