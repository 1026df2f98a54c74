"""Exports to Parquet and CSV: what is in them, and what becomes of them when they are cut off."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from archived import (
    SHARED,
    START_NS,
    contents,
    golden_lines,
    line_file,
    recording,
    simulated,
)
from blocks import packed_lines
from msgspec import structs

import tickerplant
from tickerplant.config.resolve import resolve
from tickerplant.config.settings import ExportSettings
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.exporting import csv_files, export, journal, parquet
from tickerplant.exporting.buffers import LIMITS, Limits
from tickerplant.exporting.journal import JOURNAL, UNFINISHED
from tickerplant.exporting.unit_export import UnitExport
from tickerplant.recording.line import Line
from tickerplant.recording.timestamps import TimeSpec

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


def run(folder: Path, /, *paths: Path | str, limits: Limits = LIMITS, **flags: object) -> int:
    settings = resolve("export", ExportSettings, {"out": str(folder)} | flags, {})
    return export.export(settings, [str(path) for path in paths], limits)


def files(out: Path) -> dict[str, bytes]:
    """Everything in a folder but the journal, whose paths differ."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != JOURNAL
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


# Parquet


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


def test_levels_candles_and_places_are_those_of_the_messages(
    tape: Path, said: Said, tmp_path: Path
) -> None:
    out = tmp_path / "lake"
    assert run(out, tape, tables="trades,depth_updates,klines") == 0
    levels = Counter[tuple[str, str]]()
    for venue, _, depth in events(said, "depthUpdate"):
        levels[venue, depth["s"]] += max(len(depth["b"]) + len(depth["a"]), 1)
    found = one(
        f"select venue, symbol, count(*) from '{out}/*/table=depth_updates/**/*.parquet' group by all"
    )
    assert {row[:2]: row[2] for row in found} == levels
    closed = [
        (message["s"], message["k"]["t"] * 1_000_000, Decimal(message["k"]["c"]))
        for _, _, message in events(said, "kline")
        if message["k"]["x"]
    ]
    assert len(closed) == 3
    found = one(
        f"select symbol, epoch_ns(open_time), close_price from '{out}/*/table=klines/**/*.parquet' "
        "where is_closed"
    )
    assert sorted(found) == sorted(closed)
    days = one(f"select distinct date::text from '{out}/*/table=trades/**/*.parquet'")
    assert days == [("2026-02-25",)]


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


def test_both_ends_of_a_time_select(tape: Path, said: Said, tmp_path: Path) -> None:
    times = sorted(received_ns for received_ns, _ in said["usdm"])
    start_ns, end_ns = (times[len(times) * part // 4] for part in (1, 3))
    out = tmp_path / "lake"
    assert run(out, tape / "usdm", tables="book_tickers", begin=start_ns, end=end_ns) == 0
    (found,) = one(f"select count(*) from '{out}/**/*.parquet'")
    expected = [
        received_ns
        for received_ns, raw in said["usdm"]
        if b"@bookTicker" in raw[:40] and start_ns <= received_ns < end_ns
    ]
    assert found[0] == len(expected) > 0


def rows_as_text(files: str) -> list[Any]:
    """Return all rows, sorted; duckdb needs another library to return times as objects."""
    return one(f"select columns(*)::varchar from '{files}' order by all")


def test_few_open_files_and_few_buffered_rows_lose_nothing(tape: Path, tmp_path: Path) -> None:
    tables = "trades,depth_updates,mark_prices"
    assert run(tmp_path / "many", tape / "usdm", tables=tables) == 0
    few = Limits(file_rows=100, total_rows=200, group_rows=150, group_bytes=1 << 16, open_files=2)
    assert run(tmp_path / "few", tape / "usdm", tables=tables, limits=few) == 0
    groups = {
        pq.ParquetFile(each).num_row_groups for each in (tmp_path / "many").rglob("*.parquet")
    }
    assert groups == {1}, "rows that are buffered together are one row group"
    for table in tables.split(","):
        rows = [
            rows_as_text(f"{tmp_path}/{name}/*/table={table}/**/*.parquet")
            for name in ("many", "few")
        ]
        assert rows[0] == rows[1]
        assert rows[0]


# CSV


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_the_layout_of_the_archive(tape: Path, said: Said, tmp_path: Path) -> None:
    out = tmp_path / "archive"
    assert run(out, tape, format="csv") == 0
    daily = out / "data" / "futures"
    trades = read_csv(daily / "um/daily/trades/BTCUSDT/BTCUSDT-trades-2026-02-25.csv")
    received = [each for _, _, each in events(said, "trade") if each["s"] == "BTCUSDT"]
    assert trades == [
        {
            "id": str(each["t"]),
            "price": each["p"],
            "qty": each["q"],
            "quote_qty": f"{(Decimal(each['p']) * Decimal(each['q'])).normalize():f}",
            "time": str(each["T"]),
            "is_buyer_maker": "true" if each["m"] else "false",
        }
        for each in received
        if each["X"] == "MARKET"
    ]
    (coin, *_) = read_csv(daily / "cm/daily/trades/BTCUSD_PERP/BTCUSD_PERP-trades-2026-02-25.csv")
    base = Decimal(coin["qty"]) * 100 / Decimal(coin["price"])
    assert 0 <= base - Decimal(coin["base_qty"]) < Decimal("1e-8")
    (candle,) = read_csv(daily / "um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2026-02-25.csv")
    assert list(candle) == [
        *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume"),
        *("count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
    ]
    assert candle["ignore"] == "0"
    aggregates = read_csv(daily / "um/daily/aggTrades/ETHUSDT/ETHUSDT-aggTrades-2026-02-25.csv")
    assert [row["agg_trade_id"] for row in aggregates] == [
        str(each["a"]) for _, _, each in events(said, "aggTrade") if each["s"] == "ETHUSDT"
    ]
    tops = read_csv(daily / "um/daily/bookTicker/ETHUSDT/ETHUSDT-bookTicker-2026-02-25.csv")
    assert [(row["update_id"], row["best_ask_qty"]) for row in tops] == [
        (str(each["u"]), each["A"])
        for _, _, each in events(said, "bookTicker")
        if each["s"] == "ETHUSDT"
    ]


def test_liquidations_have_the_columns_of_the_archive(tmp_path: Path) -> None:
    tape = recording(tmp_path / "tape", golden_lines("usdm"))
    assert run(tmp_path / "out", tape, format="csv", tables="liquidations") == 0
    path = next((tmp_path / "out").rglob("*.csv"))
    assert path.parent.parent.name == "liquidationSnapshot"
    (row, *_) = read_csv(path)
    assert list(row) == [
        *("time", "side", "order_type", "time_in_force", "original_quantity", "price"),
        *("average_price", "order_status", "last_fill_quantity", "accumulated_fill_quantity"),
    ]


def test_a_table_that_the_archive_does_not_have_is_refused(tape: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"depth_updates.*one that the archive's CSV has: trades"):
        run(tmp_path / "out", tape, format="csv", tables="depth_updates")


# Cut off, and going on


class Killed(BaseException):
    """What no program catches."""


FORMS = pytest.mark.parametrize("to", ["parquet", "csv"])
SMALL: dict[str, Any] = {"limits": Limits(file_rows=40), "tables": "trades,book_tickers"}


def killed_at(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, call: int) -> None:
    """Let the `call`th call of a function end the program, as far as a test can."""
    real: Callable[..., Any] = getattr(where, name)
    calls = Counter[str]()

    def function(*arguments: Any, **more: Any) -> Any:
        calls[name] += 1
        if calls[name] == call:
            raise Killed
        return real(*arguments, **more)

    monkeypatch.setattr(where, name, function)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, recorded: Path) -> dict[str, Any]:
    """The files of an export that was not interrupted, by form."""
    folder = tmp_path_factory.mktemp("exported")
    for to in ("parquet", "csv"):
        assert run(folder / to, recorded, format=to, **SMALL) == 0
    return {to: files(folder / to) for to in ("parquet", "csv")}


@pytest.mark.parametrize(
    ("to", "moment"),
    [
        ("parquet", "while it is written"),
        ("parquet", "before it is journalled"),
        ("csv", "while it is written"),
        ("csv", "torn"),
    ],
)
def test_resuming_after_a_kill_makes_the_same_files(
    recorded: Path,
    exported: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    to: str,
    moment: str,
) -> None:
    cut = tmp_path / "cut"
    with monkeypatch.context() as patched:
        # Nothing of what a program would do on its way out is done.
        patched.setattr(parquet.ParquetWriter, "abandon", lambda _: None)
        patched.setattr(csv_files.CsvWriter, "abandon", lambda _: None)
        if moment == "while it is written":
            killed_at(patched, UnitExport, "_write", 9)
        else:
            killed_at(patched, journal.Journal, "write", 4)
        with pytest.raises(Killed):
            run(cut, recorded, format=to, **SMALL)
    if moment == "torn":
        with (cut / JOURNAL).open("ab") as file:
            file.write(b'{"kind":"unit","number":')
    assert run(cut, recorded, format=to, **SMALL) == 0
    assert files(cut) == exported[to]


def test_a_kill_while_files_are_assembled_costs_nothing(
    tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trades = {"format": "csv", "tables": "trades"}
    assert run(tmp_path / "whole", tape, limits=LIMITS, **trades) == 0
    with monkeypatch.context() as patched:
        killed_at(patched, journal.Journal, "write", 10)
        with pytest.raises(Killed):
            run(tmp_path / "cut", tape, limits=LIMITS, **trades)
    assert run(tmp_path / "cut", tape, limits=LIMITS, **trades) == 0
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


@FORMS
def test_a_second_time_does_nothing(
    tape: Path, tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(out, tape, format=to, tables="trades") == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert run(out, tape, format=to, tables="trades") == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert "6 of 6 files were exported before" in capsys.readouterr().err


@FORMS
def test_new_segments_are_added_and_one_that_grew_is_redone(
    tape: Path, said: Said, tmp_path: Path, to: str
) -> None:
    third = len(said["usdm"]) // 3
    growing = tmp_path / "growing"
    recording(growing, said["usdm"][:third], said["usdm"][third : third + 100])
    assert run(tmp_path / "out", growing, format=to, tables="trades") == 0
    moved = growing.rename(tmp_path / "moved")
    for segment in (tape / "usdm").glob("*.zst"):
        (moved / segment.name).write_bytes(segment.read_bytes())
    assert run(tmp_path / "out", moved, format=to, tables="trades") == 0
    assert run(tmp_path / "whole", tape / "usdm", format=to, tables="trades") == 0
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_another_recording_in_the_same_place_takes_nothing_away(said: Said, tmp_path: Path) -> None:
    half = len(said["usdm"]) // 2
    path = tmp_path / "today.txt"
    for lines in (said["usdm"][:half], said["usdm"][half:]):
        assert run(tmp_path / "out", line_file(path, lines), tables="book_tickers") == 0
    wanted = [each for venue, _, each in events(said, "bookTicker") if venue == "usdm"]
    assert one(f"select count(*) from '{tmp_path}/out/**/*.parquet'") == [(len(wanted),)]


def test_a_recording_that_was_moved_is_known(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "out", tape, tables="trades") == 0
    assert run(tmp_path / "out", tape.rename(tmp_path / "elsewhere"), tables="trades") == 0
    assert "6 of 6 files were exported before" in capsys.readouterr().err


@FORMS
def test_a_file_that_is_gone_is_made_again(tape: Path, tmp_path: Path, to: str) -> None:
    out = tmp_path / "out"
    assert run(out, tape, format=to, tables="trades") == 0
    before = files(out)
    made = sorted(out.rglob("*.parquet" if to == "parquet" else "*.csv"))
    for path in (made[0], made[-1]):
        path.unlink()
        assert run(out, tape, format=to, tables="trades") == 0
        assert files(out) == before, "with the same name, so that parts sort as the segments do"


def test_other_options_want_another_folder(tape: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "out", tape, tables="trades") == 0
    for flags, words in (
        ({"tables": "klines"}, "exported with --tables trades, not klines"),
        ({"format": "csv"}, "for --out: .* exported with --format parquet, not csv"),
        ({"symbols": "BTCUSDT"}, "exported with --symbols all, not BTCUSDT"),
        ({"begin": "2026-02-25"}, "exported with --from all, not 1771977600000000000"),
    ):
        with pytest.raises(ConfigError, match=words):
            run(tmp_path / "out", tape, limits=LIMITS, **{"tables": "trades"} | flags)


def test_files_of_somebody_else_are_not_taken_for_ours(tape: Path, tmp_path: Path) -> None:
    place = tmp_path / "venue=usdm/table=trades/symbol=BTCUSDT/date=2026-02-25"
    place.mkdir(parents=True)
    (place / "part-000001-1.parquet").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=f"an export with its {JOURNAL}, or none"):
        run(tmp_path, tape)
    assert (place / "part-000001-1.parquet").read_bytes() == b"mine"


def test_a_folder_with_columns_of_another_version_is_refused(tape: Path, tmp_path: Path) -> None:
    out = tmp_path / "lake"
    assert run(out, tape / "usdm", tables="trades") == 0
    path = out / JOURNAL
    path.write_bytes(path.read_bytes().replace(b'"version":2', b'"version":1', 1))
    with pytest.raises(ConfigError, match="another folder: it was exported with the columns of an"):
        run(out, tape / "usdm", tables="trades")
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":9', 1))
    with pytest.raises(ConfigError, match="with the columns of a later version of this program"):
        run(out, tape / "usdm", tables="trades")


def test_one_export_at_a_time_writes_into_a_folder(tape: Path, tmp_path: Path) -> None:
    options = journal.Options(
        format="parquet", tables=(), symbols=(), start_ns=0, end_ns=1, numbers="text", version=2
    )
    with (
        journal.opened_journal(tmp_path / "out", options, ()),
        pytest.raises(ConfigError, match="a folder not in use by another export"),
    ):
        run(tmp_path / "out", tape)


def test_ctrl_c_prints_totals_and_how_to_resume(
    tape: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = UnitExport.run
    runs = Counter[str]()

    def run_or_interrupt(exported: UnitExport) -> None:
        runs["units"] += 1
        real(exported)
        if runs["units"] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(UnitExport, "run", run_or_interrupt)
    assert run(tmp_path / "out", tape) == 130
    output = capsys.readouterr().err
    assert "rows: " in output
    assert "interrupted after 2 of 6 files; run the same command to resume" in output
    assert not list((tmp_path / "out").rglob(f"*{UNFINISHED}"))


def test_a_full_disk_is_reported_and_leaves_no_partial_file(
    tape: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(_writer: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "out"))

    with monkeypatch.context() as patched:
        patched.setattr(parquet.ParquetWriter, "finish", full)
        assert run(tmp_path / "out", tape, tables="trades") == 1
    output = capsys.readouterr().err
    assert "No space left on device; finished files are kept" in output
    assert files(tmp_path / "out") == {}
    assert run(tmp_path / "out", tape, tables="trades") == 0


# What is wrong with a recording


def test_damage_is_reported_every_time_and_the_rest_is_exported(
    tape: Path, said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = sorted((tape / "usdm").glob("*.zst"))[1]
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    for _ in range(2):
        assert run(tmp_path / "out", tape, tables="mark_prices") == 1
        output = capsys.readouterr().err
        assert f"! {segment}, byte" in output
        assert "with 100 messages" in output
    rows = one(f"select count(*) from '{tmp_path}/out/*/table=mark_prices/**/*.parquet'")
    assert rows[0][0] > len(events(said, "markPriceUpdate")) - 100


def test_many_damages_are_reported_by_the_first_and_their_number(
    tmp_path: Path, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said["usdm"][:3_000]
    lines[0] = lines[0][0], b"?"
    tape = Path(recording(tmp_path / "tape", lines))
    (segment,) = tape.glob("*.zst")
    blocks = [bytearray(packed_lines(lines[at : at + 100])) for at in range(0, 3_000, 100)]
    for block in blocks[1:26]:
        block[-5] ^= 0xFF
    segment.write_bytes(b"".join(blocks))
    for _ in range(2):
        assert run(tmp_path / "out", tape) == 1
        output = capsys.readouterr().err
        assert output.count("with 100 messages") == journal.MAX_KEPT_DAMAGE
        assert "further damages: 5" in output
        assert "messages left out: 1; received at" in output


def test_a_missing_segment_is_reported(
    tmp_path: Path, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = Path(recording(tmp_path / "tape", said["usdm"][:50], said["usdm"][50:100]))
    first, second = sorted(tape.glob("*.zst"))
    sealed = {
        "kind": "segment",
        "time_ns": START_NS,
        "name": second.name,
        "first_ns": 1,
        "last_ns": 2,
        "lines": 50,
        "blocks": 1,
        "text_bytes": 1,
        "size_bytes": 1,
        "sha256": "",
        "streams": {},
    }
    with (tape / "manifest.jsonl").open("a") as file:
        file.write(json.dumps(sealed) + "\n")
    second.unlink()
    assert run(tmp_path / "out", tape) == 1
    assert f"! {second}, byte 0: the segment is missing" in capsys.readouterr().err
    assert first.exists()


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


@FORMS
def test_a_symbol_from_outside_stays_in_the_folder(tmp_path: Path, to: str) -> None:
    trade = {"e": "trade", "E": 1, "T": 1, "t": 1, "p": "1", "q": "1", "X": "MARKET", "m": True}
    lines = [
        (
            START_NS,
            json.dumps({"stream": f"{number}@trade", "data": trade | {"s": symbol}}).encode(),
        )
        for number, symbol in enumerate((*HOSTILE, "", "X" * 65))
    ]
    out = tmp_path / "in" / "out"
    assert run(out, recording(tmp_path / "tape", lines), format=to) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"in", "tape"}
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"out"}
    name = "*.parquet" if to == "parquet" else "*.csv"
    found = list(out.rglob(name))
    assert len(found) == len(HOSTILE)
    if to == "parquet":
        symbols = one(f"select distinct symbol from '{out}/**/*.parquet'")
        assert {row[0] for row in symbols} == set(HOSTILE), "DuckDB reads %XX"


@pytest.mark.parametrize(
    ("to", "name"),
    [
        *(("parquet", name) for name in (JOURNAL, "venue=usdm", "venue=mine")),
        *(("csv", name) for name in (JOURNAL, csv_files.PARTS, "data")),
    ],
)
def test_no_link_leads_out_of_the_folder(
    said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str, name: str
) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine"
    tape = recording(tmp_path / "tape", said["usdm"][:50])
    part = "table=trades/symbol=A/date=2026-02-25/part-000009-1.parquet"
    for path in (part, "futures/A.csv.zst", "mine.csv"):
        (mine / path).parent.mkdir(parents=True, exist_ok=True)
        (mine / path).write_bytes(b"mine")
    if name == "venue=mine":
        assert run(out, tape, format=to) == 0
    out.mkdir(exist_ok=True)
    (out / name).symlink_to(mine / "mine.csv" if name.count(".") == 1 and name[0] != "." else mine)
    before, theirs = files(mine), files(out)
    assert run(out, tape, format=to) == 1
    assert f"{out / name}: is a link" in capsys.readouterr().err
    assert (files(mine), files(out)) == (before, theirs)


def test_a_text_that_would_break_a_csv_file_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trade = {"e": "trade", "E": 1, "T": 1, "s": "A", "t": 1, "q": "1", "X": "MARKET", "m": True}
    order = {"s": "A", "S": "BUY", "q": "1", "p": "1", "ap": "1", "X": "FILLED", "l": "1", "z": "1"}
    messages = [
        ("a@trade", trade | {"p": "1"}),
        ("a@trade", trade | {"p": "nonsense"}),
        ("a@forceOrder", {"e": "forceOrder", "E": 1, "o": order | {"T": 1, "f": "IOC\n1"}}),
        ("a@forceOrder", {"e": "forceOrder", "E": 1, "o": order | {"T": 1, "X": "A,B"}}),
        ("a@forceOrder", {"e": "forceOrder", "E": 1, "o": order | {"T": 1}}),
    ]
    lines = [
        (START_NS, json.dumps({"stream": stream, "data": data}).encode())
        for stream, data in messages
    ]
    assert run(tmp_path / "out", recording(tmp_path / "tape", lines), format="csv") == 1
    assert "messages left out: 3" in capsys.readouterr().err
    for path in (tmp_path / "out").rglob("*.csv"):
        assert len(path.read_text().splitlines()) == 2


def test_a_table_without_rows_is_reported(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "out", tape, tables="trades,liquidations") == 1
    assert "nothing was recorded for liquidations" in capsys.readouterr().err
    assert run(tmp_path / "none", tape, symbols="XRPUSDT") == 1
    assert "nothing was recorded of XRPUSDT" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["parquet", "csv"])
def test_holes_of_the_recording_are_printed_and_listed(
    to: str, said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three trades are missing, and nothing else."""
    trades = [line for line in said["usdm"] if b'"btcusdt@trade"' in line[1]]
    others = [line for line in said["usdm"] if line not in trades[5:8]]
    path = line_file(tmp_path / "lines", others)
    assert (
        run(tmp_path / "out", path, format=to, symbols="BTCUSDT", json=True, tables="trades") == 0
    )
    shown = json.loads(capsys.readouterr().out)
    (hole,) = shown["holes"]
    assert hole == {
        "stream": "btcusdt@trade",
        "from_ns": trades[4][0],
        "to_ns": trades[8][0],
        "missing": 3,
        "cause": "",
    }
    assert (shown["hole_count"], shown["missing_messages"], shown["dropped_messages"]) == (1, 3, 0)

    assert run(tmp_path / "again", path, format=to, symbols="BTCUSDT", tables="trades") == 0
    text = capsys.readouterr().err
    assert "! 1 hole in btcusdt@trade, from " in text
    assert ": 3 messages missing, as far as ids show it" in text
    late = str(trades[9][0])
    assert run(tmp_path / "late", path, format=to, symbols="BTCUSDT", json=True, begin=late) == 0
    assert json.loads(capsys.readouterr().out)["holes"] == [], "it is before what is exported"


@pytest.mark.parametrize("lines_only", [False, True], ids=["folder", "lines"])
@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            {"begin": TimeSpec(START_NS + 2 * 10**9)},
            "for --from: expected a time before the end; {}",
        ),
        ({"end": TimeSpec(START_NS)}, "for --to: expected a time after the beginning; {}"),
        (
            {"begin": TimeSpec(START_NS + 5), "end": TimeSpec(START_NS + 5)},
            "for --to: expected a time after --from, 2026-02-25",
        ),
    ],
    ids=["after the end", "before the beginning", "nothing between"],
)
def test_times_outside_the_recording_are_refused_with_its_own(
    tmp_path: Path, wanted: dict[str, TimeSpec], said: str, *, lines_only: bool
) -> None:
    raw = b'{"stream":"btcusdt@trade","data":{}}'
    lines = [(START_NS, raw), (START_NS + 10**9, raw)]
    path = recording(tmp_path / "tape", lines)
    if lines_only:
        path = line_file(tmp_path / "lines", lines)
    settings = structs.replace(
        resolve("export", ExportSettings, {"out": str(tmp_path / "out")}, {}), **wanted
    )
    its_own = "the recording is from 2026-02-25T06:15:00.000Z to 2026-02-25T06:15:01.000Z"
    with pytest.raises(ConfigError, match=said.format(its_own)):
        export.export(settings, [path])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("to", "inner", "lost"),
    [("parquet", "", "nothing"), ("csv", "lake", "manifest.jsonl"), ("parquet", "a/b", "*.zst")],
)
def test_an_export_into_a_recording_is_refused(tape: Path, to: str, inner: str, lost: str) -> None:
    for path in (tape / "usdm").glob(lost):
        path.unlink()
    before = sorted(tape.rglob("*"))
    with pytest.raises(ConfigError, match=r"for --out: expected a folder of its own, .* recording"):
        run(tape / "usdm" / inner, tape / "coinm", format=to)
    assert sorted(tape.rglob("*")) == before, "nothing is made"


def test_a_file_that_is_no_segment_makes_no_recording(tape: Path, tmp_path: Path) -> None:
    (tmp_path / "000001-notes.zst").write_bytes(b"something else")
    assert run(tmp_path / "out", tape / "coinm") == 0


@pytest.mark.parametrize("to", ["parquet", "csv"])
def test_each_symbol_without_rows_is_reported_every_time(
    tape: Path, tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        assert run(out, tape / "usdm", format=to, symbols="BTCUSDT,nope,XRPUSDT") == 1
        err = capsys.readouterr().err
        assert err.splitlines()[-1] == "nothing was recorded of NOPE, XRPUSDT"
    assert run(tmp_path / "all", tape / "usdm", format=to, symbols="BTCUSDT") == 0
    assert run(tmp_path / "all", tape / "usdm", format=to, symbols="BTCUSDT") == 0, "as before"


def test_wrong_usage_is_refused(tape: Path, tmp_path: Path) -> None:
    for flags, words in (
        (
            {"tables": "trade"},
            "invalid value 'trade' for --tables: expected one of trades, agg_trades",
        ),
        ({"out": ""}, "invalid value '' for --out: expected a folder path"),
        ({"out": None}, "--out is missing: expected the folder"),
        (
            {"format": "csv", "numbers": "float"},
            "invalid value 'float' for --numbers: .* except for parquet",
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            run(tmp_path / "out", tape, **flags)
    with pytest.raises(RecordingError, match="No such file"):
        run(tmp_path / "out", tmp_path / "nothing")
    (tmp_path / "file").touch()
    for to in ("parquet", "csv"):
        with pytest.raises(RecordingError, match="file: is a file; give a folder"):
            run(tmp_path / "file", tape, format=to)


whole = pytest.mark.slow("it reads a whole capture of an exchange")
CAPTURES: Sequence[tuple[str, Sequence[str], dict[str, int]]] = (
    (
        "ws-usdm-2024-08-hftbacktest",
        ("btcusdt_20240808.gz", "ethusdt_20240808.gz"),
        {"trades": 21_313 + 14_076, "book_tickers": 66_089 + 53_992},
    ),
    (
        "ws-coinm-2024-08-hftbacktest",
        ("btcusd_perp_20240808.gz", "btcusd_perp_20240809.gz"),
        {"trades": 2_286 + 2_949, "book_tickers": 19_136 + 29_219},
    ),
    (
        "ws-usdm-2023-04-hftbacktest",
        ("btcusdt_20230404.dat.gz", "btcusdt_20230405.dat.gz"),
        {"trades": 2_197 + 10_738, "book_tickers": 6_765 + 37_440, "mark_prices": 99 + 415},
    ),
    (
        "ws-coinm-2021-07-22-cryptofeed",
        ("BINANCE_DELIVERY.ws.1.0.gz", "BINANCE_DELIVERY.http.0.0.gz"),
        {"book_tickers": 2_240, "agg_trades": 51, "klines": 33},
    ),
    (
        "ws-usdm-2026-09-jarvistrader",
        ("usdm_streams.txt",),
        {"liquidations": 21, "book_tickers": 16, "agg_trades": 16, "klines": 4, "mark_prices": 3},
    ),
)


@pytest.mark.parametrize(
    ("folder", "names", "counts"),
    [*CAPTURES[3:], *(pytest.param(*each, marks=whole) for each in CAPTURES[:3])],
    ids=lambda each: str(each)[:40],
)
def test_a_capture_becomes_as_many_rows_as_its_description_says(
    tmp_path: Path, folder: str, names: Sequence[str], counts: dict[str, int]
) -> None:
    paths = [SHARED / folder / name for name in names]
    if not all(path.exists() for path in paths):
        pytest.skip("the captures are not beside the repository")
    tables = ",".join(counts)
    assert run(tmp_path / "out", *paths, tables=tables) == 0
    for table, count in counts.items():
        rows = one(f"select count(*) from '{tmp_path}/out/*/table={table}/**/*.parquet'")
        assert rows == [(count,)], table


def test_a_file_of_lines_is_a_unit(said: Said, tmp_path: Path) -> None:
    path = line_file(tmp_path / "tape.txt", said["usdm"])
    assert run(tmp_path / "out", path, tmp_path / "tape.txt", tables="trades") == 0
    rows = one(f"select count(*) from '{tmp_path}/out/**/*.parquet'")
    wanted = [each for venue, _, each in events(said, "trade") if venue == "usdm"]
    assert rows == [(len(wanted),)], "a path that is named twice is exported once"
