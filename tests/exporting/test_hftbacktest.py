"""Recordings as files of hftbacktest, against a plain model of what it documents."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pytest
from blocks import packed_lines
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.errors import ConfigError, RecordingError
from tickerplant.exporting import hftbacktest_rows
from tickerplant.exporting.hftbacktest import UNFINISHED_FOLDER, Totals, export_hftbacktest
from tickerplant.exporting.hftbacktest_rows import EventFile, comment_of, npz_rows, write_in_order
from tickerplant.recording.line import RecordedFile
from tickerplant.recording.line_file import LineFile
from tickerplant.recording.manifest_entries import (
    FORMAT,
    MANIFEST,
    RecordingStarted,
    SegmentSealed,
    encode_entry,
)
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import segment_name

BESIDE = Path(__file__).parents[2].parent
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
BOTH = EXCH | LOCAL
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
NOON = 1_763_726_400 * 10**9
"""2025-11-21 12:00 UTC."""
MS = 10**6
NEVER = 1 << 62

Event: TypeAlias = tuple[int, int, int, float, float]
"""Kind and side, exchange time, local time, price, quantity."""


def in_both_orders(events: Sequence[Event], base_latency_ns: int = 0) -> list[Event]:
    """What hftbacktest makes of events: both orders, merged step by step."""
    latency = min((local - exch for _, exch, local, _, _ in events), default=0)
    shift = base_latency_ns - latency if latency < 0 else 0
    by_exchange = sorted(events, key=lambda event: event[1])
    by_local = sorted(events, key=lambda event: event[2])
    rows: list[tuple[Event, int]] = []
    while by_exchange or by_local:
        if not by_exchange:
            rows.append((by_local.pop(0), LOCAL))
        elif by_exchange[0][1:3] == by_local[0][1:3]:
            rows.append((by_exchange.pop(0), BOTH))
            by_local.pop(0)
        elif by_exchange[0][1:3] < by_local[0][1:3]:
            rows.append((by_exchange.pop(0), EXCH))
        else:
            rows.append((by_local.pop(0), LOCAL))
    return [
        (kind | flags, exch, local + shift, price, quantity)
        for (kind, exch, local, price, quantity), flags in rows
    ]


def rows_of(path: Path) -> list[Event]:
    data = np.load(path)["data"]
    assert not any(data[name].any() for name in ("order_id", "ival", "fval"))
    return list(
        zip(
            *(data[name].tolist() for name in ("ev", "exch_ts", "local_ts", "px", "qty")),
            strict=True,
        )
    )


@contextmanager
def small_pieces(chunk_rows: int, block_rows: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hftbacktest_rows, "CHUNK_ROWS", chunk_rows)
        patch.setattr(hftbacktest_rows, "BLOCK_ROWS", block_rows)
        yield


@given(
    times=st.lists(
        st.tuples(st.integers(0, 3), st.integers(-12, 6))
        | st.tuples(st.just(0), st.integers(-2, 1)),
        min_size=1,
        max_size=60,
    ),
    base_latency_ns=st.integers(0, 5),
    chunk_rows=st.integers(1, 9),
    block_rows=st.integers(1, 4),
)
def test_both_orders_are_those_of_the_model(
    tmp_path_factory: pytest.TempPathFactory,
    times: list[tuple[int, int]],
    base_latency_ns: int,
    chunk_rows: int,
    block_rows: int,
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    waiting = EventFile(folder / "A.rows")
    events: list[Event] = []
    local = 1_000
    for number, (step, delay) in enumerate(times):
        local += step
        events.append((DEPTH | BUY, local + delay, local, float(number), 1.0))
        waiting.add(DEPTH | BUY, local + delay, local, ((float(number), 1.0),))
    waiting.write()
    with small_pieces(chunk_rows, block_rows):
        written = write_in_order(waiting.path, folder / "A.npz", base_latency_ns, b"")

    made = rows_of(folder / "A.npz")
    assert len(made) == written.rows
    lag_ns = min(local - exch for _, exch, local, _, _ in events)
    assert written.shift_ns == (base_latency_ns - lag_ns if lag_ns < 0 else 0)
    assert written.early_rows == sum(local < exch for _, exch, local, _, _ in events)
    assert made == in_both_orders(events, base_latency_ns)
    for flag, column in ((EXCH, 1), (LOCAL, 2)):
        side = [row for row in made if row[0] & flag]
        assert len(side) == len(events), "every event comes once on each side"
        assert [row[column] for row in side] == sorted(row[column] for row in side)


def depth(
    exch_ms: int, final_id: int, bids: object = (), asks: object = (), speed: str = "@0ms"
) -> dict[str, Any]:
    ids = {"U": final_id, "u": final_id, "pu": final_id - 1}
    data = {"e": "depthUpdate", "E": exch_ms + 1, "T": exch_ms, "s": "BTCUSDT", **ids}
    return {"stream": f"btcusdt@depth{speed}", "data": {**data, "b": bids, "a": asks}}


def trade(exch_ms: int, price: str, symbol: str = "BTCUSDT", **more: object) -> dict[str, Any]:
    data = {"e": "trade", "E": exch_ms + 1, "T": exch_ms, "s": symbol, "t": 7, "p": price}
    data |= {"q": "0.100", "X": "MARKET", "m": False, **more}
    return {"stream": f"{symbol.lower()}@{data['e']}", "data": data}


def answer(exch_ms: int, last_id: int, bids: object, asks: object) -> str:
    book = {"lastUpdateId": last_id, "E": exch_ms + 1, "T": exch_ms, "bids": bids, "asks": asks}
    return json.dumps(book)


def asked(body: str, path: str = "fapi/v1/depth?symbol=BTCUSDT&limit=1000") -> str:
    return f"http://127.0.0.1:9001/{path} {body}"


Line: TypeAlias = tuple[int, "dict[str, Any] | str"]


def recording(path: Path, *lines: Line) -> LineFile:
    def text(message: dict[str, Any] | str) -> str:
        return message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))

    # the form of lines has REST answers beside their address only with a colon, which counts in s
    def line(received_ns: int, message: dict[str, Any] | str) -> str:
        at = f"{received_ns // 10**9}.{received_ns % 10**9:09d}"
        address, _, body = text(message).partition(" ")
        if not address.startswith("http"):
            return f"{at}: {text(message)}\n"
        return f"{address} -> {at}: {body}\n"

    path.write_text("".join(line(received_ns, message) for received_ns, message in lines))
    return LineFile(str(path))


def exported(folder: Path, *lines: Line, **options: Any) -> Totals:
    return export(folder, recording(folder / "lines", *lines), **options)


def export(folder: Path, *recordings: RecordedFile, **options: Any) -> Totals:
    span: dict[str, Any] = {"symbols": frozenset(), "start_ns": 0, "end_ns": NEVER}
    return export_hftbacktest(recordings, folder / "out", **(span | options))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").iterdir())


BTC = "BTCUSDT_20251121.npz"
T0 = NOON // MS


def test_the_array_has_the_layout_of_hftbacktest(tmp_path: Path) -> None:
    exported(tmp_path, (NOON, trade(T0 - 5, "100.0")))
    with np.load(tmp_path / "out" / BTC) as archive:
        assert archive.files == ["data"]
        assert archive["data"].dtype.descr == [
            ("ev", "<u8"),
            ("exch_ts", "<i8"),
            ("local_ts", "<i8"),
            ("px", "<f8"),
            ("qty", "<f8"),
            ("order_id", "<u8"),
            ("ival", "<i8"),
            ("fval", "<f8"),
        ]


def test_trades_and_levels_become_events_in_the_order_of_the_message(tmp_path: Path) -> None:
    totals = exported(
        tmp_path,
        (NOON, trade(T0 - 9, "100.1")),
        (NOON + 1, depth(T0 - 8, 5, [["99.9", "0.000"], ["99.8", "2"]], [["100.2", "3.5"]])),
        (NOON + 2, trade(T0 - 8, "99.9", m=True)),
        (NOON + 3, trade(T0 - 7, "1.0", X="INSURANCE_FUND")),
    )
    assert totals == Totals(files=1, events=5)
    early, later = NOON - 9 * MS, NOON - 8 * MS
    assert rows_of(tmp_path / "out" / BTC) == [
        (TRADE | BUY | BOTH, early, NOON, 100.1, 0.1),
        (DEPTH | BUY | BOTH, later, NOON + 1, 99.9, 0.0),
        (DEPTH | BUY | BOTH, later, NOON + 1, 99.8, 2.0),
        (DEPTH | SELL | BOTH, later, NOON + 1, 100.2, 3.5),
        (TRADE | SELL | BOTH, later, NOON + 2, 99.9, 0.1),
    ]


@pytest.mark.parametrize("bare", [False, True])
def test_a_snapshot_clears_as_far_as_it_reaches(tmp_path: Path, bare: bool) -> None:
    book = answer(T0 - 1, 5, [["99", "1"], ["98", "2"]], [["101", "3"], ["104", "4"]])
    exported(
        tmp_path,
        (NOON, trade(T0 - 2, "100")),
        (NOON + 9, book if bare else asked(book)),
    )
    at = NOON - MS, NOON + 9
    assert rows_of(tmp_path / "out" / BTC)[1:] == [
        (CLEAR | BUY | BOTH, *at, 98.0, 0.0),
        (SNAPSHOT | BUY | BOTH, *at, 99.0, 1.0),
        (SNAPSHOT | BUY | BOTH, *at, 98.0, 2.0),
        (CLEAR | SELL | BOTH, *at, 104.0, 0.0),
        (SNAPSHOT | SELL | BOTH, *at, 101.0, 3.0),
        (SNAPSHOT | SELL | BOTH, *at, 104.0, 4.0),
    ]


def test_updates_newer_than_a_snapshot_are_repeated_to_the_local_side(
    tmp_path: Path,
) -> None:
    exported(
        tmp_path,
        (NOON, depth(T0 - 4, 5, [["99", "5"]])),
        (NOON + 1, depth(T0 - 3, 6, [["99", "6"]])),
        (NOON + 2, asked(answer(T0 - 4, 5, [["99", "5"]], []))),
    )
    rows = rows_of(tmp_path / "out" / BTC)
    local_rows = [row for row in rows if row[0] & LOCAL]
    assert [row[0] & 0xFF for row in local_rows] == [DEPTH, DEPTH, CLEAR, SNAPSHOT, DEPTH]
    assert local_rows[-1] == (DEPTH | BUY | LOCAL, NOON - 3 * MS, NOON + 2, 99.0, 6.0)
    happened = [row for row in rows if row[0] & EXCH]
    assert [row[0] & 0xFF for row in happened] == [DEPTH, CLEAR, SNAPSHOT, DEPTH]


def test_local_times_are_moved_where_the_recorders_clock_was_behind(tmp_path: Path) -> None:
    lines = (NOON, trade(T0 + 30, "1")), (NOON + 50 * MS, trade(T0 + 70, "2"))
    exported(tmp_path, *lines, base_latency_ns=7)
    assert [row[2] for row in rows_of(tmp_path / "out" / BTC)] == [
        NOON + 30 * MS + 7,
        NOON + 80 * MS + 7,
    ]


def test_a_day_ends_at_midnight_by_receive_time(tmp_path: Path) -> None:
    midnight = NOON + 43_200 * 10**9
    totals = exported(
        tmp_path,
        (midnight - 1, trade(midnight // MS - 3, "1")),
        (midnight, trade(midnight // MS - 2, "2")),
        (midnight + 1, trade(midnight // MS - 1, "3", "ETHUSDT")),
    )
    assert totals == Totals(files=3, events=3)
    assert files(tmp_path) == [BTC, "BTCUSDT_20251122.npz", "ETHUSDT_20251122.npz"]


def test_only_the_selected_part_is_exported(tmp_path: Path) -> None:
    totals = exported(
        tmp_path,
        *((NOON + n, trade(T0 - 9, f"{n}.5")) for n in range(5)),
        (NOON + 2, trade(T0 - 9, "1", "ETHUSDT")),
        symbols=frozenset({"BTCUSDT"}),
        start_ns=NOON + 1,
        end_ns=NOON + 4,
    )
    assert totals == Totals(files=1, events=3, symbols=frozenset({"BTCUSDT"}))
    assert [row[3] for row in rows_of(tmp_path / "out" / BTC)] == [1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("extras", "kinds"),
    [
        (set(), []),
        ({"book_tickers"}, [103, 104]),
        ({"book_tickers", "mark_prices"}, [103, 104, 100, 101, 102]),
    ],
)
def test_book_tickers_and_mark_prices_are_extras(
    tmp_path: Path, extras: set[str], kinds: list[int]
) -> None:
    ticker = {"e": "bookTicker", "u": 9, "s": "BTCUSDT", "b": "1", "B": "2", "a": "3", "A": "4"}
    mark = {"e": "markPriceUpdate", "E": T0, "s": "BTCUSDT", "p": "6", "i": "5", "P": "0"}
    exported(
        tmp_path,
        (NOON, trade(T0, "1")),
        (NOON, {"stream": "!bookTicker", "data": {**ticker, "T": T0, "E": T0}}),
        (NOON, {"stream": "!markPrice@arr@1s", "data": [{**mark, "r": "0.0001", "T": T0 + 9**9}]}),
        extras=frozenset(extras),
    )
    rows = rows_of(tmp_path / "out" / BTC)[1:]
    assert [row[0] & 0xFF for row in rows] == kinds
    expected = {103: (1, 2), 104: (3, 4), 100: (5, 0), 101: (6, 0), 102: (0.0001, 0)}
    assert [row[3:] for row in rows] == [expected[kind] for kind in kinds]
    assert all(row[1:3] == (NOON, NOON) for row in rows), "at the time of the event, not of funding"


def test_the_finer_of_two_streams_is_used(tmp_path: Path) -> None:
    totals = exported(
        tmp_path,
        (NOON, trade(T0, "1", e="aggTrade")),
        (NOON + 1, trade(T0, "2")),
        (NOON + 2, trade(T0, "3", e="aggTrade")),
        (NOON + 3, depth(T0, 5, [["4", "1"]])),
        (NOON + 4, depth(T0, 5, [["5", "1"]], speed="@500ms")),
        (NOON + 5, depth(T0, 5, [["6", "1"]], speed="")),
        (NOON + 6, depth(T0, 5, [["7", "1"]], speed="20@100ms")),
        (NOON + 120 * 10**9, trade(T0, "8", e="aggTrade")),
    )
    assert totals.skipped == {}
    assert [row[3] for row in rows_of(tmp_path / "out" / BTC)] == [1, 2, 4, 8]


@pytest.mark.parametrize("spaced", [False, True])
def test_a_message_in_any_form_makes_the_same_event(tmp_path: Path, spaced: bool) -> None:
    message = trade(T0, "1.5")
    text = json.dumps(message) if spaced else json.dumps(message["data"])
    assert exported(tmp_path, (NOON, message), (NOON, text), (NOON, text)).skipped == {}
    assert rows_of(tmp_path / "out" / BTC) == [(TRADE | BUY | BOTH, NOON, NOON, 1.5, 0.1)] * 3


def test_recordings_are_read_as_one(tmp_path: Path) -> None:
    first = recording(tmp_path / "1", (NOON, trade(T0, "1")), (NOON + 2, trade(T0, "3")))
    second = recording(tmp_path / "2", (NOON + 1, trade(T0, "2")), (NOON + 3, trade(T0, "4")))
    assert export(tmp_path, first, second) == Totals(files=1, events=4)
    assert [row[3] for row in rows_of(tmp_path / "out" / BTC)] == [1, 2, 3, 4]


def test_a_file_is_not_made_again_from_the_same(tmp_path: Path) -> None:
    lines = [(NOON, trade(T0, "1"))]
    assert exported(tmp_path, *lines).files == 1
    source = LineFile(str(tmp_path / "lines"))
    assert export(tmp_path, source) == Totals(files=0, events=0, kept=1)
    assert export(tmp_path, source, extras=frozenset({"book_tickers"})).files == 1, (
        "it would be another file"
    )
    assert exported(tmp_path, *lines, (NOON + 1, trade(T0, "2"))).files == 1, "it was recorded on"
    (tmp_path / "out" / BTC).write_bytes(b"PK\3\4 torn")
    assert export(tmp_path, source).files == 1, "what is no whole file is replaced"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"stream": "btcusdt@trade", "data": {"p": "1"}}, "a message that cannot be read"),
        (trade(1 << 62, "1"), "a message that cannot be read"),
        (trade(T0, "?"), "a message that cannot be read"),
        (
            trade(T0, "inf"),
            "a price or quantity that is invalid, too large, or has too many decimals",
        ),
        (trade(T0, "1", "../../X"), "a symbol that cannot be a file name"),
        (trade(T0, "1", "X/Y"), "a symbol that cannot be a file name"),
        (trade(T0, "1", "X" * 65), "a symbol that cannot be a file name"),
        (asked("{}"), "an invalid depth snapshot"),
        (asked("{}", "fapi/v1/time"), ""),
        ('{"result":null,"id":1}', ""),
        ('[{"x":1}]', "a message that cannot be read"),
    ],
)
def test_invalid_messages_are_counted_and_the_rest_is_exported(
    tmp_path: Path, message: dict[str, Any] | str, reason: str
) -> None:
    totals = exported(
        tmp_path, (NOON, trade(T0, "1")), (NOON + 1, message), (NOON + 2, trade(T0, "2"))
    )
    assert totals == Totals(files=1, events=2, skipped={reason: 1} if reason else {})
    assert files(tmp_path) == [BTC]


def test_a_snapshot_that_could_be_of_several_symbols_is_left_out(tmp_path: Path) -> None:
    book = answer(T0, 5, [["99", "1"]], [])
    both = (NOON, trade(T0, "1")), (NOON, trade(T0, "1", "ETHUSDT")), (NOON + 1, book)
    totals = exported(tmp_path, *both)
    assert totals == Totals(files=2, events=2, skipped={"a snapshot without a symbol": 1})


def test_a_snapshot_belongs_to_the_symbol_of_its_request(tmp_path: Path) -> None:
    book = answer(T0, 5, [["99", "1"]], [])
    exported(
        tmp_path,
        (NOON, trade(T0, "1")),
        (NOON, asked(book, "fapi/v1/depth?limit=5&symbol=%E5%B8%81USDT")),
        (NOON, asked(book, "fapi/v1/depth?symbol=..%2FX")),
        (NOON, asked(book, "fapi/v1/rpiDepth?symbol=BTCUSDT")),
    )
    assert files(tmp_path) == [BTC, "币USDT_20251121.npz"]


def test_times_that_no_file_can_hold_end_the_export(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text(
        f"{NOON} {json.dumps(trade(T0, '1'), separators=(',', ':'))}\n9999999999999999999 []\n"
    )
    totals = export(tmp_path, LineFile(str(tmp_path / "lines")))
    assert (totals.files, totals.events) == (1, 1)
    assert totals.skipped == {"messages from a receive time after 2099 on": 1}


@contextmanager
def room_for(size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size, which to a program looks as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_where_there_is_no_room_the_error_says_so_and_nothing_is_left(tmp_path: Path) -> None:
    source = recording(
        tmp_path / "lines", *((NOON + n, trade(T0 - n * 7 % 997, f"{n}.5")) for n in range(1000))
    )
    with room_for(30_000), pytest.raises(RecordingError, match="File too large"):
        export(tmp_path, source)
    assert files(tmp_path) == []


def test_where_there_is_no_room_for_the_array_it_is_the_same_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 1 << 62, 100_000).tobytes()
    with (
        room_for(100_000),
        pytest.raises(OSError, match="File too large"),
        npz_rows(tmp_path / "a.npz", "data", np.dtype("<i8"), 100_000, b"") as file,
    ):
        file.write(noise)


def test_the_remains_of_a_killed_export_are_removed(tmp_path: Path) -> None:
    workshop = tmp_path / "out" / UNFINISHED_FOLDER
    workshop.mkdir(parents=True)
    (workshop / "BTCUSDT.rows").write_bytes(b"half")
    assert exported(tmp_path, (NOON, trade(T0, "1"))) == Totals(files=1, events=1)
    assert files(tmp_path) == [BTC]


def test_an_interruption_leaves_finished_days_only(tmp_path: Path) -> None:
    next_day = NOON + 86_400 * 10**9

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    lines = [(NOON, trade(T0, "1")), *((next_day + n, trade(T0, "2")) for n in range(5000))]
    with pytest.raises(KeyboardInterrupt):
        exported(tmp_path, *lines, progress=interrupt)
    assert files(tmp_path) == [BTC]
    again = export(tmp_path, LineFile(str(tmp_path / "lines")))
    assert again == Totals(files=1, events=5000, kept=1)


def test_two_exports_do_not_share_a_folder(tmp_path: Path) -> None:
    source = recording(tmp_path / "lines", *((NOON + n, trade(T0, "1")) for n in range(5000)))
    rejected: list[str] = []

    def second(_: int) -> None:
        try:
            export(tmp_path, LineFile(source.path))
        except ConfigError as error:
            rejected.append(str(error))

    assert export(tmp_path, source, progress=second).files == 1
    folder = str(tmp_path / "out")
    expected = "a folder not in use by another export"
    assert set(rejected) == {f"invalid value {folder!r} for --out: expected {expected}"}


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="invalid value 'x' for --extras"):
        export(tmp_path, extras=frozenset({"x"}))
    with pytest.raises(ConfigError, match="invalid value -1 for --base-latency-ns"):
        export(tmp_path, base_latency_ns=-1)


def test_a_file_that_is_not_an_archive_has_no_comment(tmp_path: Path) -> None:
    assert comment_of(tmp_path / "none.npz") == b""


def segment(folder: Path, number: int, *lines: tuple[int, dict[str, Any]]) -> SegmentSealed:
    """Write a segment, and return what a manifest says of a finished one."""
    texts = [(at, json.dumps(message, separators=(",", ":")).encode()) for at, message in lines]
    path = folder / segment_name(number, "20251121T120000Z")
    path.write_bytes(packed_lines(texts))
    return SegmentSealed(
        time_ns=NOON,
        name=path.name,
        first_ns=lines[0][0],
        last_ns=lines[-1][0],
        lines=len(lines),
        blocks=1,
        text_bytes=0,
        size_bytes=path.stat().st_size,
        sha256=sha256(path.read_bytes()).hexdigest(),
        streams={},
    )


def test_days_stay_while_a_recording_grows(tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    folder.mkdir()
    midnight = NOON + 43_200 * 10**9
    begun = RecordingStarted(time_ns=NOON, format=FORMAT, venue="usdm", software="a test")

    def made(*sealed: SegmentSealed) -> Totals:
        entries = (begun, *sealed)
        (folder / MANIFEST).write_bytes(b"".join(encode_entry(each) + b"\n" for each in entries))
        return export(tmp_path, *recorded_files([str(folder)]))

    first = segment(folder, 1, (NOON, trade(T0, "1")))
    assert made(first) == Totals(files=1, events=1)
    second = segment(folder, 2, (midnight, trade(T0, "2")), (midnight + 1, trade(T0, "3")))
    assert made(first, second) == Totals(files=1, events=2, kept=1)
    third = segment(folder, 3, (midnight + 2, trade(T0, "4")))
    assert made(first, second, third) == Totals(files=1, events=3, kept=1)
    assert made(first, second, third) == Totals(files=0, events=0, kept=2)


CAPTURES = [
    ("ws-usdm-2024-08-hftbacktest", "btcusdt_20240808.gz", "BTCUSDT_20240808", 21_313, 2),
    ("ws-usdm-2024-08-hftbacktest", "ethusdt_20240808.gz", "ETHUSDT_20240808", 14_076, 1),
    ("ws-coinm-2024-08-hftbacktest", "btcusd_perp_20240808.gz", "BTCUSD_PERP_20240808", 2_286, 2),
    ("ws-coinm-2024-08-hftbacktest", "btcusd_perp_20240809.gz", "BTCUSD_PERP_20240809", 2_949, 0),
]


@pytest.mark.heavy
@pytest.mark.parametrize(("folder", "name", "made", "trades", "again"), CAPTURES)
def test_captures_become_the_events_of_the_model(
    tmp_path: Path, folder: str, name: str, made: str, trades: int, again: int
) -> None:
    path = next(BESIDE.glob(f"*/data/{folder}/{name}"), None)
    if path is None:
        pytest.skip("the captures are not beside the repository")
    totals = export(tmp_path, LineFile(str(path)))
    assert totals.skipped == {}
    rows = rows_of(tmp_path / "out" / f"{made}.npz")
    assert len(rows) == totals.events
    assert sum(row[0] & 0xFF == TRADE and bool(row[0] & LOCAL) for row in rows) == trades

    lines = [line for batch in LineFile(str(path)).batches() for line in batch]
    events, repeated = naive_events(lines)
    assert len({row[1] for row in repeated}) == again, "updates that are newer than the snapshot"
    expected = naive_rows(events, repeated)
    assert rows == expected


def naive_events(lines: list[tuple[int, bytes]]) -> tuple[list[Event], list[Event]]:
    """All events as they were received, and those that are repeated to the local side."""
    events: list[Event] = []
    repeated: list[Event] = []
    updates: list[dict[str, Any]] = []
    for received_ns, raw in lines:
        message = msgspec.json.decode(raw)
        data = message.get("data", message)

        def report(
            into: list[Event],
            kind: int,
            data: dict[str, Any],
            levels: object,
            at: int = received_ns,
        ) -> None:
            assert isinstance(levels, list)
            time = data["T"] * MS
            into += [(kind, time, at, float(price), float(size)) for price, size in levels]

        if data.get("e") == "trade" and data["X"] == "MARKET":
            report(events, TRADE | (SELL if data["m"] else BUY), data, [[data["p"], data["q"]]])
        elif data.get("e") == "depthUpdate":
            updates.append(data)
            report(events, DEPTH | BUY, data, data["b"])
            report(events, DEPTH | SELL, data, data["a"])
        elif "lastUpdateId" in data:
            for side, levels in ((BUY, data["bids"]), (SELL, data["asks"])):
                report(events, CLEAR | side, data, [[levels[-1][0], 0]])
                report(events, SNAPSHOT | side, data, levels)
            for update in updates:
                if update["u"] > data["lastUpdateId"]:
                    report(repeated, DEPTH | BUY, update, update["b"])
                    report(repeated, DEPTH | SELL, update, update["a"])
    return events, repeated


def naive_rows(events: list[Event], repeated: list[Event]) -> list[Event]:
    """The model with what is repeated after the snapshot, quick enough for half a million."""
    shift = -min(0, *(local - exch for _, exch, local, _, _ in events))
    by_exchange = sorted(events, key=lambda event: event[1])
    rows: list[Event] = []
    next_exchange = 0
    for kind, exch, local, *level in events:  # they are in local order
        while by_exchange[next_exchange % len(events)][1:3] < (exch, local):
            if next_exchange >= len(events):
                break
            early = by_exchange[next_exchange]
            rows.append((early[0] | EXCH, early[1], early[2] + shift, *early[3:]))
            next_exchange += 1
        flags = LOCAL
        if next_exchange < len(events) and by_exchange[next_exchange][1:3] == (exch, local):
            flags = BOTH
            next_exchange += 1
        rows.append((kind | flags, exch, local + shift, level[0], level[1]))
    if repeated:
        local_rows = [
            n for n, row in enumerate(rows) if row[0] & LOCAL and row[0] & 0xFF == SNAPSHOT
        ]
        expected: list[Event] = [
            (kind | LOCAL, exch, local + shift, px, qty) for kind, exch, local, px, qty in repeated
        ]
        rows[local_rows[-1] + 1 : local_rows[-1] + 1] = expected
    return rows
