"""Whose book a snapshot is that does not tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from archived import START_NS, line_of, recording
from blocks import line_file

from tickerplant.archive.snapshots import only_book
from tickerplant.recording.line import Line


def lines_of(*streams: str) -> list[Line]:
    return [line_of(stream, {"e": "x", "E": 1}, START_NS + n) for n, stream in enumerate(streams)]


@pytest.mark.parametrize(
    ("streams", "symbol"),
    [
        (("btcusdt@depth", "btcusdt@depth@100ms", "btcusdt@rpiDepth@500ms"), "BTCUSDT"),
        (("ethusdt@trade", "btcusdt@depth"), "BTCUSDT"),
        (("ethusdt@depth5", "btcusdt@depth"), "BTCUSDT"),
        (("ethusdt@depth", "btcusdt@depth"), ""),
        (("ethusdt@trade", "!ticker@arr", "ethusdt@depth5"), "ETHUSDT"),
        (("ethusdt@trade", "btcusdt@trade"), ""),
        (("!ticker@arr", "tradingSession"), ""),
    ],
)
def test_depth_updates_decide_and_without_them_any_stream(
    tmp_path: Path, streams: tuple[str, ...], symbol: str
) -> None:
    lines = lines_of(*streams)
    assert only_book(line_file(tmp_path / "tape", lines)) == symbol
    assert only_book(recording(tmp_path / "folder", lines)) == symbol


def test_no_more_than_the_first_lines_are_read(
    tmp_path: Path,
) -> None:
    path = line_file(tmp_path / "tape", [*lines_of("a@depth"), *lines_of("b@depth")])
    assert only_book(path, max_lines=1) == "A"
