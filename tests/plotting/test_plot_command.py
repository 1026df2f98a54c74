"""`tickerplant plot` as a user calls it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from archived import recording
from blocks import line_file
from plotted import at_ns, depth, snapshot, ticker, trade
from programs import PATIENCE_S, wait_open

from tickerplant.cli import main
from tickerplant.recording.line import Line
from tickerplant.recording.manifest_entries import (
    MANIFEST,
    Connected,
    Disconnected,
    encode_entry,
)


def market() -> list[Line]:
    """Three minutes of a market, with forty seconds that nobody recorded."""
    lines = [snapshot(0.0, 10, {99: 5, 98: 7}, {101: 4, 102: 6})]
    for number in range(180):
        if 60 <= number < 100:
            continue
        ids = (10 + number, 11 + number, 11 + number)
        if number == 100:
            lines.append(snapshot(100.05, 10 + number, {99: 5}, {101: 4, 102: 6}))
        lines += [
            depth(number + 0.1, ids, {99: 1 + number % 5}, {}),
            ticker(number + 0.2, 99, 101 + number % 3),
            trade(number + 0.3, number, 100, 1 + number % 4, is_sale=bool(number % 2)),
        ]
    return lines


def texts_of(svg: str) -> list[str]:
    return ["".join(each.itertext()).strip() for each in ET.fromstring(svg).iter()]  # noqa: S314


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(("plot", *arguments))
    output = capsys.readouterr()
    return int(end.value.code or 0), output.out, output.err


def drawn(lines: Sequence[Line], folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the texts in a picture."""
    path, out = line_file(folder / "lines", lines), folder / "picture.svg"
    status, printed, err = run(path, "btcusdt", "--out", str(out), capsys=capsys)
    assert (status, printed) == (0, ""), err
    return texts_of(out.read_text(encoding="utf-8"))


@pytest.mark.heavy
def test_the_picture_has_units_times_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = Path(recording(tmp_path / "r", market())), tmp_path / "a.svg"
    streams = ("btcusdt@trade",)
    entries = [
        Connected(time_ns=at_ns(0), streams=streams, connection=1),
        Disconnected(time_ns=at_ns(110), streams=streams, reason="a <cut> line"),
        Connected(time_ns=at_ns(120), streams=streams, connection=2),
    ]
    with (folder / MANIFEST).open("ab") as file:
        file.write(b"".join(encode_entry(each) + b"\n" for each in entries))
    status, printed, err = run(str(folder), "BTCUSDT", "-o", str(out), capsys=capsys)
    assert (status, printed) == (0, ""), err
    texts = texts_of(out.read_text(encoding="utf-8"))
    assert {"price, USDT", "book, price, USDT", "spread, USDT", "volume, BTC"} <= set(texts)
    assert any(text.startswith("receive time, UTC; 548 columns of") for text in texts)
    assert "quantity at a price, BTC" in texts
    said = " ".join(texts)
    assert "2026-02-25T06:15:00.000Z to 2026-02-25T06:17:59.300Z" in said
    assert "nothing of the symbol was recorded" in said
    assert "06:15:59.300, 41 s" in said
    assert "06:16:50.000, 10 s: btcusdt@trade, disconnected: a <cut> line" in said
    assert "best prices of btcusdt@bookTicker; trades of btcusdt@trade" in texts


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ("@trade", ["no mid: no best prices", "no book: no changes", "no spread: no best"]),
        ("@bookTicker", ["no trades were recorded then", "no volume: no trades", "no book: no"]),
        ("@depth", ["no volume: no trades", "no book: it is never in sync"]),
    ],
)
def test_a_panel_without_data_says_so(
    kinds: str, said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line for line in market() if kinds.encode() in line[1]]
    texts = drawn(lines, tmp_path, capsys)
    for words in said:
        assert any(words in text for text in texts), words


@pytest.mark.heavy
def test_a_png_has_the_wanted_size_and_the_report_its_holes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, png = line_file(tmp_path / "l", market()), tmp_path / "a.png"
    status, _, err = run(path, "BTCUSDT", "-o", str(png), "--size", "640x480", capsys=capsys)
    assert status == 0
    total, hole = err.splitlines()
    assert re.fullmatch(rf"{png}: BTCUSDT over 2 m 59 s, 420 messages, 1 hole; \d+\.\d s", total)
    assert hole.startswith("  2026-02-25T06:15:59.300Z, ")
    assert hole.endswith("nothing of the symbol was recorded")
    data = png.read_bytes()
    assert (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])) == (640, 480)
    assert run(path, "BTCUSDT", "-o", str(png), "-q", capsys=capsys) == (0, "", "")


@pytest.mark.slow("a program is interrupted")
def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    lines = [trade(number / 1_000, number, 100) for number in range(200_000)]
    path = line_file(tmp_path / "lines", lines)
    with subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-m", "tickerplant", "plot", path, "BTCUSDT", "-o", "a.svg"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        wait_open(process.pid, path)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert [each.name for each in tmp_path.iterdir()] == ["lines"]
