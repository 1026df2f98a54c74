"""`tickerplant verify` as a user calls it."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from blocks import line_file, write_manifest
from programs import PATIENCE_S, started, wait_open
from recordings import folder, tape

from tickerplant.cli import main
from tickerplant.recording.line import Line
from tickerplant.recording.manifest_entries import FORMAT, RecordingStarted, RunEnded, RunStarted
from tickerplant.recording.segments import segment_paths
from tickerplant.venue import COINM, USDM


@pytest.fixture(scope="module")
def market() -> list[Line]:
    return tape(USDM, 4)


@pytest.fixture(scope="module")
def other() -> list[Line]:
    return tape(COINM, 4)


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    with pytest.raises(SystemExit) as end:
        main(("verify", *arguments))
    output = capsys.readouterr()
    return int(end.value.code or 0), output.out.splitlines(), output.err


def without_trade(lines: list[Line], number: int) -> list[Line]:
    trades = [n for n, (_, raw) in enumerate(lines) if b"btcusdt@trade" in raw]
    return [line for n, line in enumerate(lines) if n != trades[number]]


@pytest.mark.heavy
def test_several_recordings_have_a_table_each_and_one_last_line(
    market: list[Line], other: list[Line], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = tmp_path / "both"
    both.mkdir()
    folder(both / "coinm", [other])
    folder(both / "usdm", [market[:400], without_trade(market[400:], 2)])
    status, out, _ = run(str(both), capsys=capsys)
    assert status == 1
    titles = [line.partition(":")[0] for line in out if line.startswith("/")]
    assert titles == [str(both / "coinm"), str(both / "usdm")]
    assert out[-1] == "NOT complete: 1 gap, 1 message missing"


def test_json_is_one_document(
    market: list[Line], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(tmp_path / "r", [without_trade(market, 3)])
    status, out, _ = run(path, "--json", capsys=capsys)
    assert status == 1
    document = json.loads("\n".join(out))
    assert document["complete"] is False
    assert document["summary"] == "NOT complete: 1 gap, 1 message missing"
    [recording] = document["recordings"]
    [stream] = [each for each in recording["streams"] if each["gaps"]]
    assert (stream["stream"], stream["proof"], stream["missing"]) == (
        "btcusdt@trade",
        "ids by one",
        1,
    )
    [gap] = stream["first_gaps"]
    assert gap["place"]["path"] == str(segment_paths(path)[0])
    books = [each["book"] for each in recording["streams"] if each["book"]]
    assert all(book["from_start"] for book in books)


def test_unreadable_paths_are_reported_beside_readable_ones(
    market: list[Line], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = line_file(tmp_path / "lines", market)
    poem = tmp_path / "poem"
    poem.write_text("roses are red\n")
    nowhere = str(tmp_path / "nowhere")
    status, out, _ = run(nowhere, path, str(poem), str(tmp_path), capsys=capsys)
    assert status == 1
    assert out[0].startswith(f"{path}: ")
    assert f"! {nowhere}: No such file or directory" in out
    assert any(line.startswith(f"! {poem}: ") and "expected" in line for line in out)
    assert any(line.startswith(f"! {tmp_path}: no recording in it") for line in out)
    assert out[-1] == "NOT complete: 3 paths that cannot be read"


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda _: None])
def test_where_nothing_can_be_read_the_status_is_2(
    make: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(make)
    make(tmp_path / "r")
    status, out, err = run(str(tmp_path / "r"), capsys=capsys)
    assert (status, out) == (2, [])
    [line] = err.splitlines()
    assert line.startswith(f"tickerplant: {tmp_path / 'r'}: ")
    status, out, err = run(str(tmp_path / "r"), "--json", capsys=capsys)
    assert (status, err) == (2, "")
    document = json.loads("\n".join(out))
    assert [damage["path"] for damage in document["unread"]] == [str(tmp_path / "r")]


def test_a_recorder_that_received_nothing_leaves_an_incomplete_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r"
    path.mkdir()
    names = ("btcusdt@trade", "ethusdt@depth")
    at_ns = 1_772_323_200_000_000_000
    begun = RecordingStarted(time_ns=at_ns, format=FORMAT, venue="usdm", software="a test")
    run_begun = RunStarted(
        time_ns=at_ns, run=1, url="ws://x", profile="", streams=names, software="a test"
    )
    ended = RunEnded(time_ns=at_ns + 1, reason="interrupted")
    write_manifest(path, [begun, run_begun, ended])
    status, out, err = run(str(path), capsys=capsys)
    assert (status, err) == (1, "")
    assert out[0].endswith("1 run, 0 messages")
    for name in names:
        assert any(line.split()[:4] == [name, "-", "-", "0"] for line in out), "it is in the table"
    assert "  ! nothing was received" in out
    assert out[-1].startswith("NOT complete: ")
    status, out, _ = run(str(path), "--json", capsys=capsys)
    assert status == 1
    [recording] = json.loads("\n".join(out))["recordings"]
    assert [each["stream"] for each in recording["streams"]] == list(names)


def test_signs_that_a_terminal_would_obey_are_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "\\u001b[2Jx@trade"
    lines = [
        (1_772_323_200_000_000_000 + n, f'{{"stream":"{name}","data":{{"t":{n * 2}}}}}'.encode())
        for n in range(3)
    ]
    _, out, _ = run(line_file(tmp_path / "lines", lines), capsys=capsys)
    assert "·[2Jx@trade" in "\n".join(out)
    assert all(line.isprintable() for line in out)


@pytest.mark.slow("a program is run")
def test_ctrl_c_ends_it_with_what_was_seen(market: list[Line], tmp_path: Path) -> None:
    path = line_file(tmp_path / "lines", market * 50)
    with started("verify", path) as process:
        wait_open(process.pid, path)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert err == ""
    assert out.splitlines()[-1].startswith("interrupted: ")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are Unicode")
def test_a_path_that_is_not_unicode_is_reported_too(
    market: list[Line], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(tmp_path / os.fsdecode(b"no\xff"), [market])
    status, lines, err = run("--json", path, capsys=capsys)
    assert (status, err) == (0, "")
    assert json.loads("".join(lines))["recordings"][0]["paths"] == [path]
