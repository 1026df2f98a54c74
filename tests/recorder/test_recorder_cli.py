"""`tickerplant record` as a user runs it, against a server of this test.

Tests of signals, kills and standard error start a process; in the others, the command and its server
share a loop in memory.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import memory_loop
import msgspec
import pytest
from blocks import write_tail
from loopback import Loopback, loopback, looped_on_sockets, until
from programs import hear_hangups, without_settings
from written import manifest, read

from tickerplant.cli import main
from tickerplant.recording.manifest_entries import MANIFEST, RunEnded
from tickerplant.venue import COINM, USDM, VENUES

NAME = "btcusdt@trade"
CLOSED = "ws://127.0.0.1:9"
SERVED = USDM_URL, COINM_URL = "ws://127.0.0.1:1", "ws://127.0.0.1:2"
"""The first ports in memory."""
TOTALS = re.compile(
    r"recorded ([\d,]+) messages? of (\d+) of (\d+) streams? in [\d.]+ s, .*"
    r" The same command continues the recording\.\n"
)


@asynccontextmanager
async def running(
    *arguments: str, stderr: int = PIPE, before: Callable[[], object] | None = None
) -> AsyncIterator[Process]:
    """Start to record; it is killed at the end."""
    # A limit of this process would leave half a module for all others.
    environment = without_settings("PYTHON") | {"PYTHONDONTWRITEBYTECODE": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tickerplant", "record", *arguments),
        stdout=PIPE,
        stderr=stderr,
        env=environment,
        preexec_fn=before or hear_hangups,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


Run: TypeAlias = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in a loop in memory, beside a server; returns its status and standard error."""
    for name in os.environ:
        if name.startswith("TICKERPLANT_"):
            monkeypatch.delenv(name)

    def run(
        *arguments: str, server: Callable[[], AbstractAsyncContextManager[Loopback]] = loopback
    ) -> tuple[int, str]:
        def in_memory(command: Coroutine[None, None, int]) -> int:
            async def beside() -> int:
                async with server() as house:
                    assert [f"ws://{house.server.urls[each.name]}" for each in VENUES] == [*SERVED]
                    return await command

            return memory_loop.run(beside())

        monkeypatch.setattr(asyncio, "run", in_memory)
        with pytest.raises(SystemExit) as ended:
            main(["record", *arguments])
        out, err = capfd.readouterr()
        assert out == "", "nothing is written to standard output"
        assert "Traceback" not in err, err
        assert isinstance(ended.value.code, int)
        return ended.value.code, err

    return run


@asynccontextmanager
async def trading() -> AsyncIterator[Loopback]:
    """Serve a market in which trades happen all the time."""
    async with loopback() as server:

        async def trade() -> None:
            while True:
                server.trade()
                await asyncio.sleep(0.002)

        task = asyncio.create_task(trade())
        try:
            yield server
        finally:
            task.cancel()


def url(server: Loopback) -> str:
    return f"ws://{server.server.urls[USDM.name]}"


def to(folder: Path, server: Loopback | str) -> tuple[str, ...]:
    address = server if isinstance(server, str) else url(server)
    return "--out", str(folder), "--url", address


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.zst"))


def ids(folder: Path) -> list[int]:
    """Return the ids of the recorded trades."""
    lines, flaws = read(folder)
    assert flaws == []
    return [msgspec.json.decode(raw)["data"]["t"] for _, raw in lines if raw.startswith(b"{")]


def kill(folder: Path) -> None:
    """Leave half a block at the end, and a manifest that tells of none, as a killed recorder does."""
    with max(folder.glob("*.zst")).open("ab") as segment:
        segment.write(b"torn")
    lines = (folder / MANIFEST).read_bytes().splitlines(keepends=True)
    (folder / MANIFEST).write_bytes(b"".join(lines[:-2]))
    write_tail(folder)


def end_of(folder: Path) -> Any:
    return manifest(folder).entries[-1]


@pytest.mark.slow("a process is interrupted")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@looped_on_sockets
async def test_an_interruption_ends_it_with_the_totals_and_status_0(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with trading() as server, running(NAME, *to(tmp_path, server)) as process:
        await until(lambda: stored(tmp_path))
        process.send_signal(number)
        process.send_signal(number)  # as an impatient user does
        _, err = await process.communicate()
    assert process.returncode == 0, err
    totals = TOTALS.fullmatch(err.decode().splitlines(keepends=True)[-1])
    assert totals, err
    found = ids(tmp_path)
    assert int(totals[1].replace(",", "")) == len(found)
    assert found == list(range(found[0], found[0] + len(found)))
    assert end_of(tmp_path).reason == "interrupted"


def test_a_recording_begins_ends_with_its_time_and_is_continued(tmp_path: Path, run: Run) -> None:
    arguments = (NAME, "nope@trade", *to(tmp_path, USDM_URL), "--duration", "0.7s")
    status, first = run(*arguments, server=trading)
    assert status == 0, first
    assert first.count("! NOPE is not listed; it is recorded if it comes") == 1
    assert "BTCUSDT is not listed" not in first
    assert "= recording begins" in first
    assert isinstance(end_of(tmp_path), RunEnded)
    assert end_of(tmp_path).reason == "the time is up"
    _, second = run(*arguments, server=trading)
    assert "= recording begins" not in second
    assert re.search(r"= recording continues, nobody recorded for \d+\.\d s ", second), second
    kill(tmp_path)
    _, third = run(*arguments, server=trading)
    assert "the incomplete end of 4 bytes is truncated" in third
    assert "= recording continues, the recorder was killed: nothing was recorded for " in third


def test_a_recording_without_messages_prints_the_reason_and_exits_with_1(
    tmp_path: Path,
    run: Run,
) -> None:
    status, err = run(NAME, *to(tmp_path, CLOSED), "--duration", "0.5s")
    assert status == 1
    assert "refused: connection refused" in err
    assert f"nothing was received for {NAME}" in err
    assert TOTALS.fullmatch(err.splitlines(keepends=True)[-1]), err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("@{tmp}/latin", "--out", "{tmp}"), "in each line: it is not UTF-8"),
        (("@{tmp}/empty", "--out", "{tmp}"), "expected at least one name"),
        (("@{tmp}/long", "--out", "{tmp}"), "long, line 2: "),
        ((NAME, "--out", "{tmp}/empty"), "empty"),
    ],
)
def test_wrong_usage_prints_one_line(
    tmp_path: Path, run: Run, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "latin").write_bytes(b"\xe9t\xe9@trade\n")
    (tmp_path / "empty").write_text("# nothing\n")
    (tmp_path / "long").write_text(f"{NAME}\n{'x' * 300}@trade\n")
    given = [each.replace("{tmp}", str(tmp_path)) for each in arguments]
    status, err = run(*given, "--url", CLOSED)
    assert status == 2
    assert said in err
    assert err.count("\n") == 1


def test_the_port_of_the_other_venue_is_warned_of(tmp_path: Path, run: Run) -> None:
    given = ("btcusd_perp@trade", *to(tmp_path, USDM_URL), "--venue", COINM.name)
    status, err = run(*given, "--duration", "0.3s")
    assert f"WARNING ! {USDM_URL} serves USDⓈ-M, not COIN-M" in err
    assert status == 1


@pytest.mark.slow("a process with a disk of its own")
@looped_on_sockets
async def test_a_full_disk_ends_it_with_file_and_offset_and_an_intact_recording(
    tmp_path: Path,
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))

    async with (
        trading() as server,
        running(NAME, *to(tmp_path, server), before=limit) as process,
    ):
        _, error = await process.communicate()
    err = error.decode()
    assert process.returncode == 1, err
    assert "Traceback" not in err
    place = rf"tickerplant: the recording stopped: {tmp_path}/000001-.*: .*, at byte \d+\n"
    assert re.fullmatch(place, err.splitlines(keepends=True)[-1]), err
    found = ids(tmp_path)
    assert found == list(range(found[0], found[0] + len(found)))


@pytest.mark.slow("a process with a standard error of its own")
@looped_on_sockets
async def test_it_continues_while_standard_error_is_blocked(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x")
    os.set_blocking(writing, True)
    async with trading() as server:
        arguments = (NAME, "nonsense", *to(tmp_path, server), "--duration", "2s")
        async with running(*arguments, stderr=writing) as process:
            assert await process.wait() == 0
    os.close(reading)
    os.close(writing)
    assert ids(tmp_path)


@pytest.mark.parametrize("names", [("!bookTicker",), ("btcusd_perp@trade", "!bookTicker")])
def test_the_venue_that_answers_is_recorded_if_nothing_else_names_one(
    tmp_path: Path, run: Run, names: tuple[str, ...]
) -> None:
    _, err = run(*names, *to(tmp_path, COINM_URL), "--duration", "0.3s")
    assert "venue=coinm" in err
    assert manifest(tmp_path).venue == COINM.name
