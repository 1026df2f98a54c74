from __future__ import annotations

import os
import pty
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, cast

import pytest

from tickerplant import logs, progress
from tickerplant.outlet import Outlet
from tickerplant.progress import Progress

CLEAR = "\r\x1b[2K"


@contextmanager
def terminal(
    monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8"
) -> Iterator[Callable[[], str]]:
    """Have a terminal for standard error; yield what returns all that was written to it."""
    leader, follower = pty.openpty()
    monkeypatch.setattr(progress, "TERMINAL_EVERY_S", 0.0)
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


def test_on_a_terminal_a_line_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as read:
        shown = Progress("export", lambda: 0.25)
        assert shown.tell(1_000)
        assert re.fullmatch(r"export █+·+  25\.0%  1,000 messages  [\d,]+/s", seen(read())[-1])
        shown.clear()
        assert seen(read()) == [""]


def test_the_line_has_the_width_of_the_terminal_and_its_bar_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("2024-08-08T23:54:16.000Z", "10x", "paused")
    with terminal(monkeypatch) as read:
        for columns in (200, 90, 60, 30, 5):
            monkeypatch.setattr(Outlet, "columns", columns - 1)
            Progress("replay", lambda: 0.5, state=lambda: words).tell(1)
            line = seen(read())[-1]
            assert len(line) <= columns - 1
            assert line.startswith("replay"[: columns - 1])
            if columns >= 60:
                assert " 50.0%  2024-08-08T23:54:16.000Z  10x  paused" in line
            signs = line.count("█") + line.count("·")
            assert signs == 30 if columns == 200 else signs in {0, 6, 12}
            assert columns > 60 or not signs


def test_lines_of_the_log_stand_whole_above_the_line_and_nothing_stays_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch) as read:
        outlet = Outlet()
        logs.configure(stream=cast("TextIO", outlet))
        shown = Progress("replay", lambda: 0.5, outlet=outlet)
        for number in range(3):
            shown.tell(number)
            logs.logger().info(f"= line {number}")
        lines = seen(read())
        assert [line.partition(" ")[2] for line in lines[:3]] == [f"= line {n}" for n in range(3)]
        assert lines[3].startswith("replay "), "it is shown again below a line of the log"
        shown.clear()
        logs.logger().info("= over")
        assert [line.partition(" ")[2] for line in seen(read())[3:]] == ["= over", ""]


def test_a_terminal_whose_encoding_lacks_the_signs_has_plain_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch, "ascii") as read:
        Progress("verify", lambda: 0.5).tell(1)
        assert re.match(r"verify #+\.+  50\.0%", seen(read())[-1])


def test_elsewhere_it_is_a_line_of_the_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    logs.configure()
    Progress("replay", lambda: 1.5).tell(7)
    assert "= replay share=100.0% messages=7" in capsys.readouterr().err


def test_it_is_not_told_too_often() -> None:
    asked: list[int] = []

    def share() -> float:
        asked.append(1)
        return 0.5

    shown = Progress("replay", share)
    assert not shown.tell(1)
    assert not asked, "expected that the share is asked for only when it is told"


def test_without_a_standard_error_nothing_is_shown_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    shown = Progress("replay", lambda: 0.5)
    assert not shown.tell(1)
    shown.clear()
