"""`simulate --record` and `relay --record`, as they are called."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from time import sleep

import pytest
from programs import PATIENCE_S, ended, started
from test_tap import check_chains
from written import manifest, of_kind, read

from tickerplant.cli import main
from tickerplant.recording.manifest_entries import (
    Connected,
    Disconnected,
    RunEnded,
    RunOutage,
    SnapshotRecorded,
)

pytestmark = pytest.mark.sockets

SMALL = (
    *("--usdm-port", "0", "--coinm-port", "0", "--symbols", "BTCUSDT,BTCUSD_PERP"),
    *("--intensity", "0.3", "--quoting", "0.3"),
)
LIMITED = """
import resource, sys
sys.dont_write_bytecode = True  # a limit would leave half a module for all others
from tickerplant.cli import main

limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
main(sys.argv[1:])
"""


def test_a_simulation_is_recorded_and_continued(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("simulate", *SMALL, "--record", str(tmp_path), "--speed", "0", "--duration", "5s")
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        out, err = capfd.readouterr()
        assert end.value.code == 0, err
        assert re.search(rf"Recorded [\d,]+ messages and snapshots into {tmp_path}/usdm: ", out)
    for venue, symbol in (("usdm", "BTCUSDT"), ("coinm", "BTCUSD_PERP")):
        folder = tmp_path / venue
        reported = manifest(folder)
        assert [run.run for run in reported.runs] == [1, 2]
        [hole] = of_kind(folder, RunOutage)
        assert hole.reason == "nobody recorded"
        assert [each.reason for each in of_kind(folder, RunEnded)] == ["the time is up"] * 2
        lines, flaws = read(folder)
        assert flaws == []
        before = [line for line in lines if line[0] <= hole.from_ns]
        assert check_chains(before)[symbol] == 1
        assert check_chains(lines[len(before) :])[symbol] == 1


@pytest.mark.slow("a process with a disk of its own")
def test_serving_continues_without_a_disk_and_the_exit_status_says_so(tmp_path: Path) -> None:
    arguments = ("simulate", *SMALL, "--record", str(tmp_path), "--speed", "0", "--duration", "10s")
    done = ended("-c", LIMITED, "6000", *arguments)
    assert done.returncode == 1
    segment = next((tmp_path / "usdm").glob("*.zst"))
    place = f"{segment}: File too large, at byte {segment.stat().st_size}"
    assert f"nothing is recorded any more: {place}" in done.stderr
    assert "Served 0 messages, 0 bytes" in done.stdout, "recorded messages are not sent to a client"
    assert f": {place}." in done.stdout


@pytest.mark.slow("processes are interrupted")
def test_a_relay_is_recorded_with_the_outages_of_its_upstream(tmp_path: Path) -> None:
    with started("simulate", *SMALL) as simulation:
        assert simulation.stdout is not None
        address = simulation.stdout.readline().split()[1]
        ports = ("--usdm-port", "0", "--coinm-port", "0")
        record = ("--record", str(tmp_path), "--log-level", "error")
        with started("relay", "--usdm-url", address, *ports, *record) as relay:
            folder = tmp_path / "usdm"
            while not (any(folder.glob("*.zst")) and of_kind(folder, SnapshotRecorded)):
                sleep(0.05)
            sleep(1)  # let updates follow
            simulation.send_signal(signal.SIGINT)
            simulation.wait(PATIENCE_S)
            while not of_kind(folder, Disconnected):
                sleep(0.05)
            relay.send_signal(signal.SIGINT)
            out, err = relay.communicate(timeout=PATIENCE_S)
            assert relay.returncode == 0, err
    assert re.search(r"^Served 0 messages, 0 bytes, to 0 connections .* s\.$", out, re.MULTILINE)
    assert "Traceback" not in err
    assert "Unclosed" not in err
    assert not (tmp_path / "coinm").exists(), "it is not relayed"
    connected = {name for each in of_kind(folder, Connected) for name in each.streams}
    assert connected == set(manifest(folder).runs[0].streams)
    lines, flaws = read(folder)
    assert flaws == []
    assert check_chains(lines)["BTCUSDT"] >= 1
    assert of_kind(folder, RunEnded)[-1].reason == "interrupted"
