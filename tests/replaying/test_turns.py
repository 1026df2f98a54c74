"""A replay gives the event loop its turns, so that the server responds and stops in time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from played import NS, START_MS, Replay, recorded, trade
from programs import PATIENCE_S, open_terminal

from tickerplant.recording.opening import recorded_files
from tickerplant.recording.stored_text import CHUNK_BYTES
from tickerplant.replaying.line_cursor import LineCursor
from tickerplant.replaying.message_times import ByEventTime
from tickerplant.replaying.plan import Plan
from tickerplant.replaying.source import SLICE_S

YEAR_MS = 365 * 86_400_000
TRADES = 2_500
FAR_NS = (START_MS + TRADES + 1) * NS


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of lines of many chunks."""
    lines = [(n, "btcusdt@trade", trade(n)) for n in range(1, TRADES + 1)]
    return recorded(tmp_path_factory.mktemp("large") / "r", lines)


@pytest.mark.parametrize("by_event", [False, True])
@pytest.mark.parametrize("at", [1, TRADES // 2, TRADES])
def test_a_position_in_a_large_file_is_found_in_steps(
    large: Path, at: int, *, by_event: bool
) -> None:
    [file] = recorded_files([str(large)])
    cursor = LineCursor([ByEventTime(file) if by_event else file], FAR_NS)
    target_ns = (START_MS + at) * NS
    steps = sum(1 for _ in cursor.seek_in_steps(target_ns))
    chunks = large.stat().st_size * (at - 1) / TRADES / CHUNK_BYTES
    assert chunks - 1 <= steps <= chunks + 1
    assert cursor.next_ns == target_ns


def test_a_cursor_has_no_next_line_while_it_seeks(large: Path) -> None:
    cursor = LineCursor(recorded_files([str(large)]), FAR_NS)
    cursor.seek(0)
    seek_in_steps = cursor.seek_in_steps((START_MS + TRADES) * NS)
    next(seek_in_steps)
    assert cursor.next_ns is None
    cursor.seek(0)
    assert cursor.next_ns == (START_MS + 1) * NS, "an abandoned search does not disturb the next"


def slow_machine() -> float:
    """Every look at the clock takes longer than a slice may."""
    return 1.1 * SLICE_S


@pytest.mark.heavy
@pytest.mark.parametrize("rebased", [False, True])
def test_a_seek_gives_the_event_loop_its_turns(large: Path, *, rebased: bool) -> None:
    plan = Plan(speed=0, verbatim=True, rebased=rebased)
    replay = Replay(
        [large], {"usdm": ["btcusdt@trade"]}, plan=plan, keeps_running=True, now_ms=lambda: START_MS
    )
    turns, states = 0, set[str]()

    async def visit() -> None:
        nonlocal turns
        while replay.source.state().state != "over":  # noqa: ASYNC110  # it counts turns
            await asyncio.sleep(0)
        target_ns = (START_MS + TRADES - 1) * NS
        await replay.source.steer({"paused": True})
        seeking = asyncio.create_task(replay.source.steer({"seek": target_ns}))
        while "paused" not in states:
            await asyncio.sleep(0)
            turns += 1
            states.add(replay.source.state().state)
        assert replay.source.state().received_ns == target_ns
        await seeking

    replay.run_with(visit, slow_machine)
    assert turns >= large.stat().st_size // CHUNK_BYTES
    assert states == {"over", "warming up", "paused"}


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """A message a year."""
    lines = [(n * YEAR_MS, "btcusdt@trade", trade(n, at_ms=n * YEAR_MS)) for n in range(1, 9)]
    return recorded(tmp_path / "sparse", lines)


def read_all(terminal: int) -> Iterator[bytes]:
    try:
        while data := os.read(terminal, 65_536):
            yield data
    except OSError:  # nobody has the other side any more
        return


@pytest.mark.sockets
@pytest.mark.slow("a process in a terminal is interrupted")
@pytest.mark.parametrize(("number", "speed"), [(signal.SIGINT, "1"), (signal.SIGTERM, "0")])
def test_a_signal_ends_a_sparse_replay_and_clears_the_status_line(
    sparse: Path, number: signal.Signals, speed: str
) -> None:
    ours, theirs = open_terminal()
    options = ("--usdm-port", "0", "--coinm-port", "0", "--wait-for", "0", "--speed", speed)
    command = [sys.executable, "-m", "tickerplant", "replay", str(sparse), *options, "--loop"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:  # noqa: S603  # our own program
        os.close(theirs)
        inferred = b""
        for data in read_all(ours):
            inferred += data
            if b"\x1b[2Kreplay " in inferred:  # it plays, and shows how far it is
                process.send_signal(number)
                break
        inferred += b"".join(read_all(ours))
        out, _ = process.communicate(timeout=PATIENCE_S)
    os.close(ours)
    assert process.returncode == 0
    assert out.splitlines()[-1].startswith(b"Served 0 messages")
    assert inferred.endswith(b"\r\x1b[2K"), "the line that changes is taken away"
