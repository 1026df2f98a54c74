"""How commands behave when standard output or standard error cannot be written to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from programs import PATIENCE_S, without_settings

pytestmark = pytest.mark.slow("programs are run")

FULL = Path("/dev/full")
DESCRIPTORS = {"stdout": 1, "stderr": 2}
TRADE = (
    b'1767225600002000000 {"stream":"btcusdt@trade","data":{"e":"trade","E":1767225600001,'
    b'"T":1767225600000,"s":"BTCUSDT","t":1,"p":"65280.10","q":"0.001","X":"MARKET","m":true}}\n'
)


@contextmanager
def taking_nothing(way: str) -> Iterator[int]:
    """Open a file that takes nothing: a pipe that nobody reads, or a full device."""
    if way == "full":
        if not FULL.exists():
            pytest.skip("there is no full device here")
        file = os.open(FULL, os.O_WRONLY)
    else:
        reading, file = os.pipe()
        os.close(reading)
    yield file
    os.close(file)


def run(*arguments: str, buffered: bool = True, **ways: str) -> tuple[int, str]:
    """Run the program without `stdout` or `stderr`, in some way; return status and errors."""
    environment = without_settings("PYTHON")
    if not buffered:
        environment["PYTHONUNBUFFERED"] = "1"

    def close() -> None:
        for name, way in ways.items():
            if way == "closed":
                os.close(DESCRIPTORS[name])

    with ExitStack() as stack:
        files: dict[str, int] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        for name, way in ways.items():
            files[name] = stack.enter_context(taking_nothing(way))
        done = subprocess.run(  # noqa: S603  # our own program
            [sys.executable, "-m", "tickerplant", *arguments],
            env=environment,
            timeout=PATIENCE_S,
            check=False,
            preexec_fn=close,
            **files,  # type: ignore[call-overload]
        )
    err = (done.stderr or b"").decode()
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    return done.returncode, err


@pytest.fixture
def trade(tmp_path: Path) -> str:
    """A recording of one trade."""
    path = tmp_path / "trade.txt"
    path.write_bytes(TRADE)
    return str(path)


WAYS = pytest.mark.parametrize(
    ("way", "buffered"), [("gone", True), ("closed", True), ("full", True), ("full", False)]
)


@WAYS
def test_a_broken_standard_error_changes_no_exit_status(
    way: str, buffered: bool, trade: str, tmp_path: Path
) -> None:
    def status(*arguments: str) -> int:
        return run(*arguments, buffered=buffered, stderr=way)[0]

    out = tmp_path / "out"
    assert status("export", trade, "--out", str(out)) == 0
    assert list(out.rglob("*.parquet")), "it was exported"
    assert status("verify", str(tmp_path / "none")) == 2


def test_a_server_ends_well_without_a_standard_error(trade: str) -> None:
    options = ("--wait-for", "0", "--exit-at-end", "--usdm-port", "0", "--coinm-port", "0")
    assert run("replay", trade, *options, stderr="gone")[0] == 0


def test_a_server_serves_without_both_and_no_socket_takes_their_place(trade: str) -> None:
    options = ("--wait-for", "0", "--exit-at-end", "--usdm-port", "0", "--coinm-port", "0")
    assert run("replay", trade, *options, stdout="closed", stderr="closed") == (0, "")
    installed = "from tickerplant.stdio import install; install(); import socket, sys; "
    program = f"exec {sys.executable} -c '{installed} sys.exit(socket.socket().fileno())'"
    done = subprocess.run(f"{program} <&- >&- 2>&-", shell=True, check=False)  # noqa: S602  # our own
    assert done.returncode == 3


@WAYS
def test_a_broken_pipe_is_a_success_and_a_full_disk_a_failure(way: str, buffered: bool) -> None:
    status, err = run("streams", buffered=buffered, stdout=way)
    if way == "full":
        assert (status, err) == (1, "tickerplant: standard output: No space left on device\n")
    else:
        assert (status, err) == (0, "")


@pytest.mark.parametrize("arguments", [("--help",), ("explain", "btcusdt@trade", "--json")])
def test_nothing_is_said_where_nobody_reads(arguments: tuple[str, ...]) -> None:
    assert run(*arguments, stdout="gone", stderr="gone") == (0, "")
