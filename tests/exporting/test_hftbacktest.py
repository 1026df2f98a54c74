"""Recordings as files of hftbacktest, against a plain model of what it documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.exporting import hftbacktest_rows
from tickerplant.exporting.hftbacktest import Totals, export_hftbacktest
from tickerplant.exporting.hftbacktest_rows import EventFile, write_in_order
from tickerplant.recording.line import RecordedFile
from tickerplant.recording.line_file import LineFile

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

    # The form of lines has REST answers beside their address only with a colon, which counts in s
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
