"""The market on tape, from end to end, with the program itself.

A simulated market is recorded through planned renewals; the recorder is killed, and continued; what
it wrote is verified, replayed as it was, and asked with SQL.
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.request import urlopen

import duckdb
import msgspec
import pytest
from connecting import connect_blocking as connect
from programs import PATIENCE_S, USDM, ended, serving, started

from tickerplant.recording.manifest import read_manifest
from tickerplant.recording.manifest_entries import (
    MANIFEST,
    AnyEntry,
    Renewed,
    RunEnded,
    RunOutage,
    RunStarted,
)
from tickerplant.recording.segments import Segments

pytestmark = pytest.mark.slow("a recorder is killed and continued, and connections are renewed")

AGE = "2s"
"""After this the recorder expects an end of its connections; the server's own is far away."""
NUMBERED = ("btcusdt@aggTrade", "btcusdt@trade", "ethusdt@trade")
CHAINED = ("btcusdt@depth@100ms", "ethusdt@depth@100ms")
OTHERS = ("btcusdt@bookTicker", "!markPrice@arr@1s")
STREAMS = (*NUMBERED, *CHAINED, *OTHERS)


def segments_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.zst"))


def entries_of(folder: Path) -> list[AnyEntry]:
    """Return what is in the manifest so far; its first line may be half written yet."""
    if not (folder / MANIFEST).exists() or b"\n" not in (folder / MANIFEST).read_bytes():
        return []
    return read_manifest(str(folder)).entries


def wait_for_renewal(folder: Path, run_number: int) -> None:
    """Return when a connection was renewed in a run, and what was heard before is on disk."""
    for _ in range(PATIENCE_S * 10):
        entries = entries_of(folder)
        runs = [at for at, entry in enumerate(entries) if isinstance(entry, RunStarted)]
        if len(runs) == run_number and any(
            isinstance(entry, Renewed) for entry in entries[runs[-1] :]
        ):
            return
        time.sleep(0.1)
    pytest.fail(f"{folder}: nothing was renewed in run {run_number}")


def ids(host: str) -> list[int]:
    """Return the last ids of what is recorded by them: trades, aggregate trades, books."""
    asked = (("trades", "id"), ("aggTrades", "a"), ("depth", "lastUpdateId"))
    found = []
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for path, key in asked:
            with urlopen(f"http://{host}/fapi/v1/{path}?symbol={symbol}&limit=5") as answer:
                read = json.load(answer)
            found.append((read[-1] if isinstance(read, list) else read)[key])
    return found


def wait_for_loss(host: str) -> None:
    """Return when something of each kind has happened that nobody records."""
    before = ids(host)
    for _ in range(PATIENCE_S * 10):
        if all(now > then for now, then in zip(ids(host), before, strict=True)):
            return
        time.sleep(0.1)
    pytest.fail(f"not everything went on: {before}, then {ids(host)}")


def recorded(folder: Path) -> list[bytes]:
    return [raw for batch in Segments(str(folder)).batches() for _, raw in batch]


def streams_of(messages: Sequence[bytes]) -> Counter[str]:
    named = re.compile(rb'\{"stream":"([^"]+)"')
    return Counter(found[1].decode() for raw in messages if (found := named.match(raw)))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording whose recorder was killed once."""
    folder = tmp_path_factory.mktemp("tape") / "market"
    options = ("--symbols", "BTCUSDT,ETHUSDT", "--quoting", "0.3")
    with serving("simulate", *options) as addresses:
        host = addresses[USDM]
        source = ("--url", f"ws://{host}", "--max-connection-age", AGE)
        command = ("record", *STREAMS, "--out", str(folder), *source)
        with started(*command) as first:
            wait_for_renewal(folder, 1)
            first.send_signal(signal.SIGKILL)
            first.wait()
        wait_for_loss(host)
        with started(*command) as second:
            wait_for_renewal(folder, 2)
            second.send_signal(signal.SIGINT)
            out, err = second.communicate(timeout=PATIENCE_S)
        assert second.returncode == 0, err
        assert "gaps" in (out + err).splitlines()[-1], "expected the totals as the last line"
    return folder


def test_planned_renewals_and_the_kill_are_in_the_manifest(market: Path) -> None:
    manifest = read_manifest(str(market))
    assert len(manifest.runs) == 2
    assert any(isinstance(entry, Renewed) for entry in manifest.entries)
    [hole] = [entry for entry in manifest.entries if isinstance(entry, RunOutage)]
    assert "killed" in hole.reason
    assert [e.reason for e in manifest.entries if isinstance(e, RunEnded)] == ["interrupted"]
    assert set(manifest.symbols) == {"BTCUSDT", "ETHUSDT"}
    assert manifest.counts == streams_of(recorded(market))


def test_verify_finds_the_hole_of_the_kill_and_no_other(market: Path) -> None:
    done = ended("-m", "tickerplant", "verify", str(market), "--json")
    assert done.returncode == 1, done.stderr
    [found] = json.loads(done.stdout)["recordings"]
    gaps = {each["stream"]: each["gaps"] for each in found["streams"]}
    assert {name: gaps[name] for name in (*NUMBERED, *CHAINED)} == dict.fromkeys(
        (*NUMBERED, *CHAINED), 1
    ), "expected that the renewals lost nothing, and the kill something of every stream"
    outages = {each["stream"]: each["outages"] for each in found["streams"]}
    assert set(outages.values()) == {1}
    missing = {each["stream"]: each["missing"] for each in found["streams"]}
    for name in NUMBERED:
        first, second = (trade_ids(market, name, part) for part in (0, 1))
        assert missing[name] == second[0] - first[-1] - 1


def trade_ids(market: Path, stream: str, segment: int) -> list[int]:
    key = "a" if stream.endswith("aggTrade") else "t"
    messages = [
        msgspec.json.decode(raw)
        for raw in recorded(segments_of(market)[segment])
        if raw[:1] == b"{"
    ]
    return [each["data"][key] for each in messages if each["stream"] == stream]


def test_what_one_run_recorded_is_complete(market: Path) -> None:
    done = ended("-m", "tickerplant", "verify", str(segments_of(market)[1]))
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("complete")


def test_a_replay_sends_what_was_recorded_and_answers_as_of_its_end(market: Path) -> None:
    expected = [raw.decode() for raw in recorded(market) if raw.startswith(b'{"stream"')]
    with serving("replay", str(market), "--speed", "0") as addresses:
        host = addresses[USDM]
        address = f"ws://{host}/stream?streams={'/'.join(STREAMS)}"
        with connect(address, max_size=None) as socket:
            received = [str(socket.recv(timeout=PATIENCE_S)) for _ in expected]
            with urlopen(f"http://{host}/fapi/v1/trades?symbol=BTCUSDT&limit=1") as answer:
                [trade] = json.load(answer)
    assert received == expected, "expected the recorded messages, byte for byte and in order"
    assert trade["id"] == trade_ids(market, "btcusdt@trade", 1)[-1]


def test_what_was_exported_is_asked_in_one_line(market: Path, tmp_path: Path) -> None:
    out = tmp_path / "tables"
    done = ended("-m", "tickerplant", "export", str(market), "--out", str(out))
    assert done.returncode == 0, done.stderr
    tables = duckdb.read_parquet(f"{out}/venue=usdm/table=trades/**", hive_partitioning=True)
    counts = streams_of(recorded(market))
    expected = {"BTCUSDT": counts["btcusdt@trade"], "ETHUSDT": counts["ethusdt@trade"]}
    found = tables.aggregate("symbol, count(*)").fetchall()
    assert dict(found) == expected
