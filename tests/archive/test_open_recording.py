"""Recordings as a program opens them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from archived import (
    START_NS,
    TRADE,
    contents,
    golden,
    golden_lines,
    line_of,
    recording,
)
from blocks import line_file

import tickerplant
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.messages import DepthUpdate, Message, Trade
from tickerplant.recording.line import Line


def trades(count: int, symbol: str = "BTCUSDT", start_ns: int = START_NS) -> list[Line]:
    stream = f"{symbol.lower()}@trade"
    return [
        line_of(stream, TRADE | {"s": symbol, "t": number}, start_ns + number * 1_000)
        for number in range(count)
    ]


def flat(venue: str) -> list[tuple[str, str]]:
    """Stream and symbol or pair of every golden message, arrays element by element."""
    return [
        (stream, str(element))
        for stream, content in golden(venue)
        for element in (content if isinstance(content, list) else [content])
    ]


def span_us(opened: tickerplant.Recording) -> list[int]:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [(each - epoch) // timedelta(microseconds=1) for each in (opened.start, opened.end)]


@pytest.mark.parametrize("venue", ["usdm", "coinm"])
def test_messages_come_typed_with_stream_payload_and_time(tmp_path: Path, venue: str) -> None:
    lines = golden_lines(venue)
    opened = tickerplant.open_recording(recording(tmp_path, lines, venue=venue))
    messages = list(opened)
    assert [each.stream for each in messages] == [stream for stream, _ in flat(venue)]
    payloads = dict(lines)
    for message in messages:
        assert message.payload in payloads[message.received_ns]
        assert type(message) is not Message
    assert opened.unreadable == 0
    assert opened.damage == ()


def test_a_recording_reports_its_facts(tmp_path: Path) -> None:
    lines = golden_lines("coinm")
    opened = tickerplant.open_recording(recording(tmp_path, lines, venue="coinm"))
    assert opened.venue == "coinm"
    assert span_us(opened) == [lines[0][0] // 1_000, lines[-1][0] // 1_000]
    assert opened.streams == {stream for stream, _ in contents(lines)}
    assert opened.manifest is not None
    assert opened.manifest.venue == "coinm"


def test_the_venue_of_a_file_of_lines_is_inferred_from_symbols(tmp_path: Path) -> None:
    lines = trades(3, "BTCUSD_PERP")
    opened = tickerplant.open_recording(line_file(tmp_path / "tape", lines))
    assert (opened.venue, opened.manifest) == ("coinm", None)
    assert opened.streams == frozenset()
    assert len(list(opened)) == 3
    assert opened.streams == {"btcusd_perp@trade"}
    assert span_us(opened) == [lines[0][0] // 1_000, lines[-1][0] // 1_000]


def test_raw_gives_every_byte_as_it_was_received(tmp_path: Path) -> None:
    lines = [*golden_lines("usdm"), (START_NS * 1 + 10**9, b'{"result":null,"id":1}')]
    opened = tickerplant.open_recording(recording(tmp_path, lines))
    assert list(opened.raw()) == lines


def test_streams_symbols_and_times_select(tmp_path: Path) -> None:
    lines = sorted([*trades(100), *trades(100, "ETHUSDT")])
    lines += [
        line_of("!markPrice@arr", content, lines[-1][0] + 1)
        for stream, content in golden("usdm")
        if stream == "!markPrice@arr"
    ]
    opened = tickerplant.open_recording(recording(tmp_path, lines))
    everything = list(opened)
    parts: list[tuple[tickerplant.Recording, Callable[[Message], bool]]] = [
        (opened.select(streams=["btcusdt@trade"]), lambda m: m.stream == "btcusdt@trade"),
        (opened.select(streams="btcusdt@trade"), lambda m: m.stream == "btcusdt@trade"),
        (opened.select(symbols=["ethusdt"]), lambda m: m.symbol == "ETHUSDT"),
        (
            opened.select(start=START_NS + 10_000, end=START_NS + 20_000),
            lambda m: START_NS + 10_000 <= m.received_ns < START_NS + 20_000,
        ),
        (
            opened.select(symbols="BTCUSDT").select(start=START_NS + 10_000),
            lambda m: m.symbol == "BTCUSDT" and m.received_ns >= START_NS + 10_000,
        ),
    ]
    for part, kept in parts:
        expected = [message for message in everything if kept(message)]
        assert expected
        assert list(part) == expected


def test_opening_selects_as_select_does(tmp_path: Path) -> None:
    path = recording(tmp_path, sorted([*trades(100), *trades(100, "ETHUSDT")]))
    part = tickerplant.open_recording(
        path, streams=["btcusdt@trade"], symbols="BTCUSDT", start=START_NS + 10_000
    )
    ids = [each.trade_id for each in part if isinstance(each, Trade)]
    assert ids == list(range(10, 100))
    assert part.arrow("trades")["trade_id"].to_pylist() == ids


HOUR_NS = 3_600 * 10**9


@pytest.mark.parametrize("form", ["segments", "lines"])
def test_offsets_count_from_the_start_the_beginning_or_the_end(tmp_path: Path, form: str) -> None:
    lines = [
        line_of("btcusdt@trade", TRADE | {"s": "BTCUSDT", "t": hour}, START_NS + hour * HOUR_NS)
        for hour in range(10)
    ]
    make = recording if form == "segments" else line_file
    opened = tickerplant.open_recording(make(tmp_path / "tape", lines))

    def hours(**given: Any) -> list[int]:
        return [each.trade_id for each in opened.select(**given) if isinstance(each, Trade)]

    assert hours(end="+2h") == [0, 1]
    assert hours(start=START_NS + 3 * HOUR_NS, end="+2h") == [3, 4]
    assert hours(start="+3h", end="+120m") == [3, 4]
    assert hours(start="-2h") == [7, 8, 9]
    assert hours(end="-8h") == [0]
    later = opened.select(start="+5h")
    assert [each.trade_id for each in later.select(end="+1h") if isinstance(each, Trade)] == [5]
    with pytest.raises(ConfigError, match=r"'\+2 hours' for end: expected an ISO date"):
        opened.select(end="+2 hours")


@pytest.mark.parametrize("form", ["segments", "lines"])
def test_times_outside_the_recording_are_refused_with_what_it_covers(
    tmp_path: Path, form: str
) -> None:
    make = recording if form == "segments" else line_file
    opened = tickerplant.open_recording(make(tmp_path / "tape", trades(100)))
    covers = "of the recording, which is from 2026-02-25T06:15:00.000Z to 2026-02-25T06:15:00.000Z"
    with pytest.raises(
        ConfigError, match=f"for end: expected a time after the beginning {covers}$"
    ):
        opened.select(end="2026-02-24")
    with pytest.raises(ConfigError, match=f"for start: expected a time before the end {covers}$"):
        list(opened.select(start="2026-02-26"))
    with pytest.raises(ConfigError, match=f"for start: expected a time before the end {covers}$"):
        opened.select(start="2026-02-26").arrow("trades")


def test_start_end_and_duration_are_of_what_is_selected(tmp_path: Path) -> None:
    second = 10**9
    lines = [
        line_of(f"{symbol}@trade", TRADE | {"s": symbol.upper()}, START_NS + at * second)
        for at in range(250)
        for symbol in (("ethusdt",) if 50 <= at < 60 else ("btcusdt",))
    ]
    for make in (recording, line_file):
        opened = tickerplant.open_recording(make(tmp_path / make.__name__, lines))
        begun = datetime.fromtimestamp(START_NS / second, UTC)

        def at(seconds: int, begun: datetime = begun) -> datetime:
            return begun + timedelta(seconds=seconds)

        assert (opened.start, opened.end) == (at(0), at(249))
        assert opened.duration == timedelta(seconds=249)
        part = opened.select(start="+30s", end="+100s")
        assert (part.start, part.end, part.duration) == (at(30), at(129), timedelta(seconds=99))
        eth = opened.select(symbols="ETHUSDT")
        assert (eth.start, eth.end) == (at(50), at(59))
        assert eth.select(streams="ethusdt@trade", start="+55s").start == at(55)
        pause = opened.select(symbols="ETHUSDT", start="+100s")
        with pytest.raises(RecordingError, match="contains no selected message"):
            _ = pause.start


def test_raw_lines_are_those_of_the_selection(tmp_path: Path) -> None:
    (marks, *_) = [content for stream, content in golden("usdm") if stream == "!markPrice@arr"]
    asked = b"http://127.0.0.1:9001/fapi/v1/%b "
    snapshot = [
        asked % f"depth?symbol={each}".encode() + SNAPSHOT for each in ("ETHUSDT", "BTCUSDT")
    ]
    raws = [
        *(raw for _, raw in trades(2)),
        *(raw for _, raw in trades(2, "ETHUSDT")),
        depth("ETHUSDT", 0)[1],
        depth("BTCUSDT", 0)[1],
        *snapshot,
        asked % b"exchangeInfo" + b'{"symbols":[]}',
        asked % b"ticker/price?symbol=BTCUSDT" + b'{"symbol":"BTCUSDT"}',
        line_of("!markPrice@arr", marks)[1],
        b'{"stream":"btcusdt@trade","data":{"e":"trade"}}',
        b'{"result":null,"id":1}',
    ]
    lines = [(START_NS + at, raw) for at, raw in enumerate(raws)]
    opened = tickerplant.open_recording(line_file(tmp_path / "tape", lines))

    def kept(**given: Any) -> list[int]:
        return [at_ns - START_NS for at_ns, _ in opened.select(**given).raw()]

    assert {"BTCUSDT"} <= {each["s"] for each in marks}
    assert kept() == list(range(len(lines)))
    assert kept(streams="btcusdt@trade") == [0, 1, 8, 9, 11]
    assert kept(streams="ethusdt@depth") == [4, 6, 8, 9]
    assert kept(symbols="BTCUSDT") == [0, 1, 5, 7, 8, 9, 10, 11]
    assert kept(symbols="ETHUSDT", start=START_NS + 3) == [
        *(3, 4, 6, 8),
        *([10] if "ETHUSDT" in {each["s"] for each in marks} else []),
    ]


def test_times_are_iso_datetimes_or_nanoseconds(tmp_path: Path) -> None:
    lines = trades(100, start_ns=1_772_000_100 * 10**9)
    opened = tickerplant.open_recording(line_file(tmp_path / "tape", lines))
    moment = datetime(2026, 2, 25, 6, 15, 0, 50, tzinfo=UTC)
    east = moment.astimezone(timezone(timedelta(hours=8)))
    given = (
        *("2026-02-25T06:15:00.000050", "2026-02-25T14:15:00.000050+08:00"),
        *(moment, east, moment.replace(tzinfo=None), 1_772_000_100_000_050_000),
    )
    for start in given:
        assert len(list(opened.select(start=start))) == 50, start
    for wrong in ("yesterday", 1_772_000_100_000, None.__class__, True):
        with pytest.raises(ConfigError, match=r"invalid value .* for start"):
            opened.select(start=wrong)  # type: ignore[arg-type]


def test_several_recordings_are_read_as_one_in_order_of_time(tmp_path: Path) -> None:
    btc = recording(tmp_path / "usdm", trades(50), venue="usdm")
    coin = recording(tmp_path / "coinm", trades(50, "BTCUSD_PERP", START_NS + 500), venue="coinm")
    opened = tickerplant.open_recording(btc, Path(coin))
    times = [message.received_ns for message in opened]
    assert times == sorted(times)
    assert len(times) == 100
    assert (opened.venue, opened.manifest) == ("", None)
    venues = opened.arrow("trades").column("venue").to_pylist()
    assert venues[:4] == ["usdm", "coinm", "usdm", "coinm"]
    both = tickerplant.open_recording(tmp_path)
    assert list(both.raw()) == sorted(opened.raw())


def test_two_readings_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    opened = tickerplant.open_recording(recording(tmp_path, trades(250)))
    pairs = list(zip(opened, islice(opened, 10, None), strict=False))
    assert len(pairs) == 240
    for first, second in pairs:
        assert isinstance(first, Trade)
        assert isinstance(second, Trade)
        assert second.trade_id == first.trade_id + 10


def open_files() -> int:
    """How many files this process has open; 0 where nothing tells."""
    open_now = Path("/proc/self/fd")
    return len(list(open_now.iterdir())) if open_now.is_dir() else 0


@pytest.mark.heavy
def test_files_are_closed_when_an_iteration_is_abandoned(tmp_path: Path) -> None:
    opened = tickerplant.open_recording(recording(tmp_path, trades(500)))
    before = open_files()
    for make in (opened.__iter__, opened.raw, opened.with_snapshots):
        reading = make()
        next(reading)
        del reading
        gc.collect()
    assert open_files() == before


SNAPSHOT = b'{"lastUpdateId":7,"E":5,"T":4,"bids":[["1.5","2"]],"asks":[["1.6","3"],["1.7","4"]]}'


def depth(symbol: str, at_ns: int) -> Line:
    (content, *_) = [each for name, each in golden("usdm") if name == "btcusdt@depth"]
    return line_of(f"{symbol.lower()}@depth", content | {"s": symbol}, at_ns)


def test_snapshots_stand_where_they_were_recorded(tmp_path: Path) -> None:
    asked = b"http://127.0.0.1:9001/fapi/v1/depth?symbol=ETHUSDT&limit=1000 " + SNAPSHOT
    lines = [
        depth("ETHUSDT", START_NS),
        (START_NS + 1, asked),
        depth("ETHUSDT", START_NS + 2),
        (START_NS + 3, b'http://127.0.0.1:9001/fapi/v1/ticker/price {"symbol":"X"}'),
        (START_NS + 4, b'http://127.0.0.1:9001/fapi/v1/depth?symbol=X {"code":-1121,"msg":"x"}'),
        (START_NS + 5, b'{"result":null,"id":312}'),
    ]
    opened = tickerplant.open_recording(recording(tmp_path, lines))
    kinds = [type(each).__name__ for each in opened.with_snapshots()]
    assert kinds == ["DepthUpdate", "DepthSnapshot", "DepthUpdate"]
    (snapshot,) = opened.snapshots()
    assert (snapshot.symbol, snapshot.last_update_id, snapshot.received_ns) == (
        *("ETHUSDT", 7),
        START_NS + 1,
    )
    assert (snapshot.bids, snapshot.asks[1], snapshot.payload) == (
        *([("1.5", "2")], ("1.7", "4")),
        SNAPSHOT,
    )
    assert all(isinstance(each, DepthUpdate) for each in opened)
    assert opened.unreadable == 0
    rows = opened.arrow("depth_updates").to_pylist()
    from_rest = [row for row in rows if row["stream"] is None]
    assert [(row["side"], row["is_snapshot"], row["final_update_id"]) for row in from_rest] == [
        ("bid", True, 7),
        ("ask", True, 7),
        ("ask", True, 7),
    ]
    assert {row["first_update_id"] for row in from_rest} == {None}
    path = line_file(tmp_path / "tape", lines)
    assert list(tickerplant.open_recording(path, symbols=["BTCUSDT"]).snapshots()) == []
    assert list(tickerplant.open_recording(path, streams=["ethusdt@trade"]).snapshots()) == []


def test_a_time_that_cannot_be_costs_no_other_line_its_own(tmp_path: Path) -> None:
    lines = trades(10)
    lines[3] = 9_223_161_255_088_169_167, lines[3][1]  # its first digit was changed
    opened = tickerplant.open_recording(line_file(tmp_path / "tape", lines))
    assert [each.trade_id for each in opened if isinstance(each, Trade)] == list(range(10))
    received = opened.arrow("trades")["received_time"].cast("int64").to_pylist()
    assert received == [at for at, _ in [*lines[:3], lines[2], *lines[4:]]]
    assert opened.unreadable == 0


def test_times_that_no_table_holds_end_no_reading(tmp_path: Path) -> None:
    lines = trades(10)
    lines[3:] = [(9_723_161_255_088_169_167, raw) for _, raw in lines[3:]]
    opened = tickerplant.open_recording(line_file(tmp_path / "tape", lines))
    assert [each.trade_id for each in opened if isinstance(each, Trade)] == list(range(10))
    assert len(opened.arrow("trades")) == 3
    assert opened.unreadable == 7
    assert "does not fit" in opened.unreadable_reason


def test_the_request_gives_a_symbol_of_other_letters(tmp_path: Path) -> None:
    asked = f"http://a/fapi/v1/depth?symbol={quote('币安人生USDT')}&limit=1000".encode()
    lines = [depth("ETHUSDT", START_NS), (START_NS + 1, asked + b" " + SNAPSHOT)]
    opened = tickerplant.open_recording(recording(tmp_path, lines))
    assert [each.symbol for each in opened.snapshots()] == ["币安人生USDT"]


def test_unreadable_messages_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = trades(10)
    lines[3] = lines[3][0], b'{"stream":"btcusdt@trade","data":{"e":"trade"}}'
    lines[5] = lines[5][0], b'{"stream":"btcusdt@trade","data":'
    lines[7] = lines[7][0], b'{ "data": %b, "stream": "btcusdt@trade" }' % lines[7][1][33:-1]
    opened = tickerplant.open_recording(recording(tmp_path, lines))
    read = [each.trade_id for each in opened if isinstance(each, Trade)]
    assert read == [0, 1, 2, 4, 6, 7, 8, 9]
    assert opened.unreadable == 2
    assert str(lines[3][0]) in opened.unreadable_reason
    list(opened)
    assert opened.unreadable == 2, "each reading has its own count"


def test_a_path_without_a_recording_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        tickerplant.open_recording(tmp_path / "nothing")
    with pytest.raises(RecordingError, match="no recording in it"):
        tickerplant.open_recording(tmp_path)


def test_batches_are_bounded(tmp_path: Path) -> None:
    opened = tickerplant.open_recording(recording(tmp_path, trades(1_000)))
    sizes = [batch.num_rows for batch in opened.batches("trades", batch_rows=150)]
    assert sum(sizes) == 1_000
    assert max(sizes) <= 150 + 100
    assert opened.arrow("trades").column("trade_id").to_pylist() == list(range(1_000))


def test_polars_and_pandas_have_the_same_rows(tmp_path: Path) -> None:
    opened = tickerplant.open_recording(recording(tmp_path, trades(20)))
    expected = opened.arrow("trades").to_pylist()
    polars = opened.polars("trades")
    assert polars.to_dicts() == expected
    assert (polars["price"] * polars["quantity"]).sum() == 20
    pandas = opened.pandas("trades")
    assert pandas["trade_id"].tolist() == [row["trade_id"] for row in expected]
    assert (pandas["price"] * pandas["quantity"]).sum() == 20
    floats = opened.pandas("trades", numbers="float")
    assert floats["price"].dtype == "float64"


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    opened = tickerplant.open_recording(recording(tmp_path, trades(1)))
    table = opened.arrow("liquidations")
    assert table.num_rows == 0
    assert "average_price" in table.column_names
    assert opened.polars("klines").height == 0
    assert "klines" in opened.tables


def test_a_recording_has_a_repr_before_it_is_read(tmp_path: Path) -> None:
    path = recording(tmp_path / "tape", trades(3), venue="usdm")
    opened = tickerplant.open_recording(path)
    assert repr(opened) == f"<Recording {path}, market usdm>"
    assert opened.streams == {"btcusdt@trade"}
    assert repr(opened) == f"<Recording {path}, market usdm, 1 stream>"
    for file in (tmp_path / "tape").iterdir():
        file.unlink()
    again = repr(tickerplant.open_recording(line_file(tmp_path / "lines", trades(3))))
    assert again == f"<Recording {tmp_path / 'lines'}>"
    assert path in repr(opened), "also when it is gone"
