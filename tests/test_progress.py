from __future__ import annotations

import os
import re
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, cast

import pytest
from programs import open_terminal

from tickerplant import logs
from tickerplant.progress import Progress, StatusLine

CLEAR = "\r\x1b[2K"


@contextmanager
def terminal(
    monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8", columns: int = 80
) -> Iterator[Callable[[], str]]:
    """Make standard error a terminal; yield a function that returns all that was written to it."""
    leader, follower = open_terminal()
    termios.tcsetwinsize(leader, (24, columns))
    written = b""

    def read() -> str:
        nonlocal written
        os.write(follower, b"#")
        while not written.endswith(b"#"):
            written += os.read(leader, 65_536)
        written = written[:-1]
        return written.decode(encoding).replace("\r\n", "\n")

    with os.fdopen(follower, "w", encoding=encoding, closefd=False) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        yield read
    os.close(leader)
    os.close(follower)


def seen(written: str) -> list[str]:
    """The lines that are on the terminal in the end."""
    return [re.split(re.escape(CLEAR), line)[-1] for line in written.split("\n")]


@pytest.mark.parametrize("columns", [200, 60, 30, 6])
def test_the_line_fits_the_terminal_and_its_bar_takes_the_rest(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    words = ("2024-08-08T23:54:16.000Z", "10x", "paused")
    with terminal(monkeypatch, columns=columns) as read:
        Progress("replay", lambda: 0.5, state=lambda: words, every_s=0).report(1)
        line = seen(read())[-1]
        assert len(line) <= columns - 1
        assert line.startswith("replay"[: columns - 1])
        if columns >= 60:
            assert " 50.0%  2024-08-08T23:54:16.000Z  10x  paused" in line
        bar = line.count("█") + line.count("·")
        assert bar == 30 if columns == 200 else bar in {0, 6, 12}
        assert columns > 60 or not bar


def test_log_lines_appear_above_the_status_line_and_nothing_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch) as read:
        status_line = StatusLine()
        logs.configure(stream=cast("TextIO", status_line))
        shown = Progress("replay", lambda: 0.5, status_line=status_line, every_s=0)
        for number in range(3):
            shown.report(number)
            logs.logger().info(f"= line {number}")
        lines = seen(read())
        assert [line.partition(" ")[2] for line in lines[:3]] == [f"= line {n}" for n in range(3)]
        assert lines[3].startswith("replay "), "it is shown again below a line of the log"
        shown.clear()
        logs.logger().info("= over")
        assert [line.partition(" ")[2] for line in seen(read())[3:]] == ["= over", ""]


def test_without_a_terminal_it_writes_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    Progress("replay", lambda: 1.5, every_s=0).report(7)
    assert "= replay share=100.0% messages=7" in capsys.readouterr().err
