from __future__ import annotations

import pytest

from tickerplant import logs, progress
from tickerplant.progress import Progress


def test_on_a_terminal_a_line_tells_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "TERMINAL_EVERY_S", 0.0)
    shown = Progress("export", lambda: 0.25)
    assert shown.tell(1_000)
    shown.end()
    told = capsys.readouterr().err
    assert "export ████████······················  25.0%  1,000 messages" in told
    assert told.endswith("\r\x1b[2K")


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
    shown.end()
