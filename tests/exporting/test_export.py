"""Exports to Parquet: what is in them, and what becomes of them when they are cut off."""

from __future__ import annotations

import fcntl
import io
import json
import re
import resource
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from archived import (
    START_NS,
    contents,
    recording,
    simulated,
)
from blocks import line_file, packed_lines

import tickerplant
from tickerplant.config.resolve import resolve
from tickerplant.config.settings import ExportSettings
from tickerplant.errors import ConfigError
from tickerplant.exporting import export, partitions
from tickerplant.exporting.partitions import Partitions
from tickerplant.exporting.parts import LOCK, OPTIONS, UNFINISHED
from tickerplant.own_folder import OwnFolder
from tickerplant.recording.line import Line
from tickerplant.recording.manifest_entries import (
    MANIFEST,
    Connected,
    Disconnected,
    Dropped,
    Entry,
    Missing,
    encode_entry,
)
from tickerplant.units import NS_PER_S

pytestmark = pytest.mark.heavy

Said = dict[str, list[Line]]


@pytest.fixture(scope="module")
def said() -> Said:
    return simulated()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, said: Said) -> Path:
    """A simulated market on tape, in three segments a venue; not to be changed."""
    folder = tmp_path_factory.mktemp("recorded")
    for venue, lines in said.items():
        third = len(lines) // 3
        segments = lines[:third], lines[third : 2 * third], lines[2 * third :]
        recording(folder / venue, *segments, venue=venue)
    return folder


@pytest.fixture
def tape(tmp_path: Path, recorded: Path) -> Path:
    """A copy of the tape for a test to change."""
    return Path(shutil.copytree(recorded, tmp_path / "tape"))


def run(folder: Path, /, *paths: Path | str, **flags: object) -> int:
    settings = resolve("export", ExportSettings, {"out": str(folder)} | flags, {})
    return export.export(settings, [str(path) for path in paths])


def files(out: Path) -> dict[str, bytes]:
    """Everything in a folder but the file that is locked."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != LOCK
    }


def one(query: str) -> list[tuple[Any, ...]]:
    found = duckdb.sql(query)
    assert found is not None
    return found.fetchall()


def events(said: Said, event: str) -> list[tuple[str, str, Any]]:
    return [
        (venue, stream, content)
        for venue, lines in said.items()
        for stream, content in contents(lines)
        if content["e"] == event
    ]


def test_duckdb_sums_what_decimals_sum(tape: Path, said: Said, tmp_path: Path) -> None:
    out = tmp_path / "lake"
    assert run(out, tape, tables="trades") == 0
    count: Counter[str] = Counter()
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    worth: defaultdict[str, Decimal] = defaultdict(Decimal)
    for _, _, trade in events(said, "trade"):
        count[trade["s"]] += 1
        total[trade["s"]] += Decimal(trade["q"])
        worth[trade["s"]] += Decimal(trade["p"]) * Decimal(trade["q"])
    assert len(count) == 3
    found = one(
        "select symbol, count(*), sum(quantity), sum(price * quantity) "
        f"from '{out}/*/table=trades/**/*.parquet' group by 1"
    )
    assert {row[0]: row[1:] for row in found} == {
        symbol: (count[symbol], total[symbol], worth[symbol]) for symbol in count
    }
    same = one(
        "select symbol, count(*), sum(quantity) from read_parquet("
        f"'{out}/**/*.parquet', hive_partitioning=true, union_by_name=true) "
        "where \"table\" = 'trades' group by 1"
    )
    assert {row[0]: row[1:] for row in same} == {each: (count[each], total[each]) for each in count}


def test_rows_stand_as_they_were_received(tape: Path, tmp_path: Path) -> None:
    out = tmp_path / "lake"
    assert run(out, tape / "usdm", tables="book_tickers", symbols="BTCUSDT") == 0
    frame = pl.read_parquet(f"{out}/**/*.parquet", hive_partitioning=True)
    received = frame["received_time"].dt.timestamp("ns").to_list()
    opened = tickerplant.open_recording(tape / "usdm").select(streams="btcusdt@bookTicker")
    assert received == [message.received_ns for message in opened]
    assert set(frame["symbol"]) == {"BTCUSDT"}


def test_times_are_timestamps_in_utc_to_every_reader(
    tape: Path, said: Said, tmp_path: Path
) -> None:
    out = tmp_path / "lake"
    assert run(out, tape / "usdm", tables="trades") == 0
    folder = out / "venue=usdm/table=trades/symbol=BTCUSDT/date=2026-02-25"
    trades = [
        (at_ns, json.loads(raw)["data"])
        for at_ns, raw in said["usdm"]
        if b'"btcusdt@trade"' in raw[:40]
    ]
    received = [at_ns for at_ns, _ in trades]
    traded = [trade["T"] * 1_000_000 for _, trade in trades]
    frame = pl.read_parquet(f"{folder}/*.parquet")
    assert frame.schema["received_time"] == pl.Datetime("ns", "UTC")
    assert frame["received_time"].dt.timestamp("ns").to_list() == received
    assert frame["trade_time"].dt.timestamp("ns").to_list() == traded
    table = pd.read_parquet(folder)
    assert str(table["received_time"].dtype) == "datetime64[ns, UTC]"
    assert table["received_time"].astype("int64").tolist() == received
    found = one(f"select epoch_ns(trade_time), typeof(trade_time) from '{folder}/*.parquet'")
    assert found[0][1].startswith("TIMESTAMP")
    assert [time_ns for time_ns, _ in found] == traded
    days = one(f"select distinct trade_time::date::text from '{folder}/*.parquet'")
    assert days == [("2026-02-25",)]


@pytest.mark.parametrize(
    ("numbers", "kind"), [("decimal", "DECIMAL(38,12)"), ("float", "DOUBLE"), ("text", "VARCHAR")]
)
def test_numbers_have_the_requested_form(
    tape: Path, tmp_path: Path, numbers: str, kind: str
) -> None:
    assert run(tmp_path / "lake", tape, tables="trades", numbers=numbers) == 0
    found = one(f"select typeof(price) from '{tmp_path}/lake/**/*.parquet' limit 1")
    assert found == [(kind,)]


def test_few_rows_in_memory_lose_nothing_and_keep_their_order(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = "trades,depth_updates,mark_prices"
    assert run(tmp_path / "many", tape / "usdm", tables=tables) == 0
    monkeypatch.setattr(partitions, "MESSAGE_ROWS", 200)
    monkeypatch.setattr(partitions, "WAITING_BYTES", 1 << 16)
    assert run(tmp_path / "few", tape / "usdm", tables=tables) == 0
    many, few = (list((tmp_path / name).rglob("*.parquet")) for name in ("many", "few"))
    assert len(few) > 3 * len(many)
    for place in {path.parent for path in many}:
        sorted_parts = sorted(tmp_path.glob(f"few/{place.relative_to(tmp_path / 'many')}/*"))
        rows = [
            pl.concat(map(pl.read_parquet, each))
            for each in (sorted(place.iterdir()), sorted_parts)
        ]
        assert rows[0].equals(rows[1])
        assert len(rows[0])


def test_the_page_says_how_parquet_becomes_csv(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/read-a-recording.md").read_text(
        encoding="utf-8"
    )
    (line,) = re.findall(r'^duckdb -c "(copy .*)"$', page, re.MULTILINE)
    assert run(tmp_path / "lake", tape / "usdm", tables="trades") == 0
    monkeypatch.chdir(tmp_path)
    duckdb.sql(line)
    (rows,) = one("select count(*) from 'lake/*/table=trades/symbol=BTCUSDT/**/*.parquet'")
    assert one("select count(*) from 'trades.csv'") == [rows]
    assert rows[0] > 0


# Cut off, and going on


class Killed(BaseException):
    """What no program catches."""


SMALL: dict[str, Any] = {"tables": "trades,book_tickers"}


def killed_at(
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    name: str,
    call: int,
    how: type[BaseException] = Killed,
) -> None:
    """Let the `call`th call of a function end the program, as far as a test can."""
    real: Callable[..., Any] = getattr(where, name)
    calls = Counter[str]()

    def function(*arguments: Any, **more: Any) -> Any:
        calls[name] += 1
        if calls[name] == call:
            raise how
        return real(*arguments, **more)

    monkeypatch.setattr(where, name, function)


@pytest.mark.parametrize(
    ("where", "name", "call"),
    [
        *((Partitions, "_write", call) for call in (1, 5, 12)),
        *((OwnFolder, "replace", call) for call in (1, 2, 6, 9)),
    ],
)
def test_resuming_after_a_kill_makes_the_same_files(
    recorded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    name: str,
    call: int,
) -> None:
    assert run(tmp_path / "whole", recorded, **SMALL) == 0
    with monkeypatch.context() as patched:
        # Nothing of what a program would do on its way out is done.
        patched.setattr(Partitions, "abandon", lambda _: None)
        killed_at(patched, where, name, call)
        with pytest.raises(Killed):
            run(tmp_path / "cut", recorded, **SMALL)
    left = tmp_path / "cut/venue=usdm/table=trades/symbol=A/date=2026-02-25"
    left.mkdir(parents=True)
    (left / f"part-1.parquet{UNFINISHED}").write_bytes(b"of another segment")
    assert run(tmp_path / "cut", recorded, **SMALL) == 0
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_files_that_begin_alike_and_have_other_names_are_all_exported(
    said: Said, tmp_path: Path
) -> None:
    first, *rest = said["usdm"][:600]
    halves = rest[:300], rest[300:]
    paths = [line_file(tmp_path / f"{at}.txt", [first, *half]) for at, half in enumerate(halves)]
    assert run(tmp_path / "out", *paths, tables="book_tickers") == 0
    found = [raw for half in halves for _, raw in half if b"@bookTicker" in raw[:40]]
    assert one(f"select count(*) from '{tmp_path}/out/**/*.parquet'") == [(len(found),)]


def test_a_second_time_does_nothing_wherever_the_recording_is(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(out, tape, tables="trades") == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    for place in (tape, tape.rename(tmp_path / "elsewhere")):
        capsys.readouterr()
        assert run(out, tmp_path / "elsewhere", tables="trades", json=place == tape) == 0
        assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == before
    assert "6 of 6 files were exported before" in capsys.readouterr().err


def test_new_segments_are_added_and_one_that_grew_is_redone(
    tape: Path, said: Said, tmp_path: Path
) -> None:
    third = len(said["usdm"]) // 3
    growing = tmp_path / "growing"
    recording(growing, said["usdm"][:third], said["usdm"][third : third + 100])
    assert run(tmp_path / "out", growing, tables="trades") == 0
    moved = growing.rename(tmp_path / "moved")
    short = Path(shutil.copytree(moved, tmp_path / "short"))
    for segment in (tape / "usdm").glob("*.zst"):
        (moved / segment.name).write_bytes(segment.read_bytes())
    assert run(tmp_path / "out", moved, tables="trades") == 0
    assert run(tmp_path / "whole", tape / "usdm", tables="trades") == 0
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert run(tmp_path / "out", short, tables="trades") == 0
    assert run(tmp_path / "both", short, moved, tables="trades") == 0
    assert run(tmp_path / "back", moved, short, tables="trades") == 0
    for name in ("out", "both", "back"):
        assert files(tmp_path / name) == files(tmp_path / "whole"), (
            "a copy from before adds nothing"
        )


def test_a_file_that_is_gone_is_made_again(tape: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(out, tape, tables="trades") == 0
    before = files(out)
    made = sorted(out.rglob("*.parquet"))
    for path in (made[0], made[-1]):
        path.unlink()
        assert run(out, tape, tables="trades") == 0
        assert files(out) == before


def test_other_options_want_another_folder(tape: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "out", tape, tables="trades") == 0
    for flags, words in (
        ({"tables": "klines"}, "is of an export with --tables trades .*, not of .*--tables klines"),
        ({"numbers": "float"}, "--numbers decimal .*--numbers float"),
        ({"symbols": "BTCUSDT"}, "--symbols all .*--symbols BTCUSDT"),
        ({"begin": "2026-02-25"}, "--from all .*--from 1771977600000000000"),
    ):
        with pytest.raises(ConfigError, match=f"for --out: expected another folder: .*{words}"):
            run(tmp_path / "out", tape, **{"tables": "trades"} | flags)


@pytest.mark.parametrize("name", ["part-000001-1.parquet", f"part-{0:019}-{0:016}-1-1of1.parquet"])
def test_files_of_somebody_else_are_not_taken_for_ours(
    tape: Path, tmp_path: Path, name: str
) -> None:
    place = tmp_path / "venue=usdm/table=trades/symbol=BTCUSDT/date=2026-02-25"
    place.mkdir(parents=True)
    foreign = io.BytesIO()
    pl.DataFrame({"a": [1]}).write_parquet(foreign)
    for content in (b"mine", foreign.getvalue()):
        (place / name).write_bytes(content)
        with pytest.raises(
            ConfigError, match=r"another folder: .* in it is of something else, not"
        ):
            run(tmp_path, tape)
        assert (place / name).read_bytes() == content


def test_a_folder_with_columns_of_another_version_is_refused(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path / "lake", tape / "usdm", tables="trades") == 0
    (path, *_) = (tmp_path / "lake").rglob("*.parquet")
    assert OPTIONS in pq.read_metadata(path).metadata
    monkeypatch.setattr(export, "VERSION", "2")
    with pytest.raises(ConfigError, match=r"columns of version 1, not of .* columns of version 2"):
        run(tmp_path / "lake", tape / "usdm", tables="trades")


def test_one_export_at_a_time_writes_into_a_folder(tape: Path, tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="a folder not in use by another export"):
            run(tmp_path, tape)


def test_ctrl_c_prints_totals_and_how_to_resume(
    tape: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    killed_at(monkeypatch, Partitions, "flush", 3, KeyboardInterrupt)
    assert run(tmp_path / "out", tape) == 130
    output = capsys.readouterr().err
    assert "rows: " in output
    assert "interrupted after 2 of 6 files; run the same command to resume" in output
    assert not list((tmp_path / "out").rglob(f"*{UNFINISHED}"))


def test_a_full_disk_is_reported_and_leaves_no_partial_file(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
        assert run(tmp_path / "out", tape, tables="trades") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    output = capsys.readouterr().err
    (line,) = output.splitlines()
    assert "File too large; finished files are kept; run the same command" in line
    assert files(tmp_path / "out") == {}
    assert run(tmp_path / "out", tape, tables="trades") == 0


# What is wrong with a recording


def test_damage_is_reported_by_the_run_that_meets_it_and_the_rest_is_exported(
    tape: Path, said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = sorted((tape / "usdm").glob("*.zst"))[1]
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    assert run(tmp_path / "out", tape, tables="book_tickers") == 1
    output = capsys.readouterr().err
    assert f"! {segment}, byte" in output
    assert "with 100 messages" in output
    rows = one(f"select count(*) from '{tmp_path}/out/*/table=book_tickers/**/*.parquet'")
    assert rows[0][0] > len(events(said, "bookTicker")) - 100
    assert run(tmp_path / "out", tape, tables="book_tickers") == 0
    assert "6 of 6 files were exported before" in capsys.readouterr().err


def test_many_damages_are_reported_by_the_first_and_their_number(
    tmp_path: Path,
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = said["usdm"][:3_000]
    lines[0] = lines[0][0], b"?"
    tape = Path(recording(tmp_path / "tape", lines))
    (segment,) = tape.glob("*.zst")
    blocks = [bytearray(packed_lines(lines[at : at + 100])) for at in range(0, 3_000, 100)]
    for block in blocks[1:26]:
        block[-5] ^= 0xFF
    segment.write_bytes(b"".join(blocks))
    assert run(tmp_path / "out", tape) == 1
    output = capsys.readouterr().err
    assert output.count("with 100 messages") == 25
    assert "messages left out: 1; received at" in output
    monkeypatch.setattr(export, "MAX_DAMAGE", 20)
    assert run(tmp_path / "few", tape, json=True) == 1
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["damage"]) == shown.err.count("with 100 messages") == 20
    assert "further damages: 6" in shown.err


HOSTILE = (
    "../../etc/passwd",
    "..",
    "A/B",
    "A=B",
    "A\\B",
    "A B",
    "A\nB",
    "币安人生USDT",
    "A%2FB",
    "'A'",
)


def test_a_symbol_from_outside_stays_in_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trade = {"e": "trade", "E": 1, "T": 1, "t": 1, "p": "1", "q": "1", "X": "MARKET", "m": True}
    content = [trade | {"s": symbol} for symbol in (*HOSTILE, "", "X" * 65)]
    content += [trade | {"s": "A", "E": -1}, trade | {"s": "A", "p": "nonsense"}]
    lines = [
        (START_NS, json.dumps({"stream": f"{number}@trade", "data": each}).encode())
        for number, each in enumerate(content)
    ]
    out = tmp_path / "in" / "out"
    assert run(out, recording(tmp_path / "tape", lines)) == 1
    assert "messages left out: 4; " in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"in", "tape"}
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"out"}
    assert len(list(out.rglob("*.parquet"))) == len(HOSTILE)
    symbols = one(f"select distinct symbol from '{out}/**/*.parquet'")
    assert {row[0] for row in symbols} == set(HOSTILE), "DuckDB reads %XX"


@pytest.mark.parametrize("name", [LOCK, "venue=usdm", "venue=usdm/table=trades"])
def test_no_link_leads_out_of_the_folder(
    said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine"
    tape = recording(tmp_path / "tape", said["usdm"][:50])
    for path in ("symbol=A/date=2026-02-25/part-1.parquet.unfinished", "mine"):
        for place in (mine, mine / "table=trades"):
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(b"mine")
    (out / name).parent.mkdir(parents=True)
    (out / name).symlink_to(mine / "mine" if name == LOCK else mine)
    before = files(mine)
    assert run(out, tape) == 1
    assert f"{out / name}: is a link" in capsys.readouterr().err
    assert files(mine) == before


def test_a_table_without_rows_is_reported(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "out", tape, tables="trades,liquidations") == 1
    assert "nothing was recorded for liquidations" in capsys.readouterr().err
    wanted: dict[str, Any] = {"symbols": "BTCUSDT,nope,XRPUSDT"}
    assert run(tmp_path / "none", tape, json=True, **wanted) == 1
    assert json.loads(capsys.readouterr().out)["missing_symbols"] == ["NOPE", "XRPUSDT"]
    assert run(tmp_path / "none", tape, **wanted) == 1, "as before"
    assert capsys.readouterr().err.splitlines()[-1] == "nothing was recorded of NOPE, XRPUSDT"


def test_holes_are_those_that_the_manifest_tells(
    said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = recording(tmp_path / "tape", said["usdm"])
    at_ns, later_ns = START_NS + 58 * NS_PER_S, START_NS + 59 * NS_PER_S
    streams = ("btcusdt@trade", "ethusdt@trade", "btcusdt@depth")
    gap: dict[str, Any] = {"symbol": "BTCUSDT", "after_id": 1, "before_id": 5, "missing": 3}
    told: list[Entry] = [
        Connected(time_ns=START_NS, streams=streams),
        Missing(time_ns=at_ns, stream="btcusdt@trade", reason="said", **gap),
        Disconnected(time_ns=at_ns + 1, streams=streams, reason="cut"),
        Connected(time_ns=later_ns, streams=streams),
        Missing(time_ns=later_ns + 1, stream="btcusdt@trade", **gap),
        Dropped(time_ns=later_ns, count=7, reason="the disk is slow"),
    ]
    with Path(tape, MANIFEST).open("ab") as file:
        file.writelines(encode_entry(each) + b"\n" for each in told)
    wanted: dict[str, Any] = {"symbols": "BTCUSDT", "tables": "trades"}
    assert run(tmp_path / "out", tape, json=True, **wanted) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(each["stream"], each["missing"]) for each in shown["holes"]] == [
        ("btcusdt@trade", 3),
        ("btcusdt@trade", 3),
        ("", 7),
    ]
    assert [each["to_ns"] - each["from_ns"] for each in shown["holes"]] == [0, NS_PER_S - 1, 0]
    assert shown["unproven"] == []
    assert run(tmp_path / "out", tape, **wanted) == 0
    text = capsys.readouterr().err
    assert "! 3 holes by the manifest: 13 messages missing" in text
    assert "(disconnected: cut)" in text
    assert run(tmp_path / "late", tape, json=True, begin=str(later_ns + 1), **wanted) == 0
    assert json.loads(capsys.readouterr().out)["holes"] == [], "they are before what is exported"


def test_of_a_recording_without_a_manifest_only_verify_knows_the_holes(
    said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = line_file(tmp_path / "lines", said["usdm"])
    assert run(tmp_path / "out", path, tables="trades", json=True) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["holes"], shown["unproven"]) == ([], [path])
    assert (shown["out"], shown["kept"], shown["interrupted"]) == (f"{tmp_path / 'out'}", 0, False)
    assert shown["rows"] == {
        "trades": len([each for each in events(said, "trade") if each[0] == "usdm"])
    }
    assert run(tmp_path / "again", path, tables="trades") == 0
    assert f"= {path}: no manifest, only verify knows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("inner", "lost"), [("", "nothing"), ("lake", "manifest.jsonl"), ("a/b", "*.zst")]
)
def test_an_export_into_a_recording_is_refused(tape: Path, inner: str, lost: str) -> None:
    for path in (tape / "usdm").glob(lost):
        path.unlink()
    before = sorted(tape.rglob("*"))
    with pytest.raises(ConfigError, match=r"for --out: expected a folder of its own, .* recording"):
        run(tape / "usdm" / inner, tape / "coinm")
    assert sorted(tape.rglob("*")) == before, "nothing is made"


def test_a_file_that_is_no_segment_makes_no_recording(tape: Path, tmp_path: Path) -> None:
    (tmp_path / "000001-notes.zst").write_bytes(b"something else")
    assert run(tmp_path / "out", tape / "coinm") == 0


def test_a_file_of_lines_is_a_unit(said: Said, tmp_path: Path) -> None:
    path = line_file(tmp_path / "tape.txt", said["usdm"])
    assert run(tmp_path / "out", path, tmp_path / "tape.txt", tables="trades") == 0
    rows = one(f"select count(*) from '{tmp_path}/out/**/*.parquet'")
    wanted = [each for venue, _, each in events(said, "trade") if venue == "usdm"]
    assert rows == [(len(wanted),)], "a path that is named twice is exported once"
