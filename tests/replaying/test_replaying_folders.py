"""Recordings with a manifest: its content is used, and a position is reached from nearby."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from blocks import line_file, packed_lines, write_manifest, write_segment
from msgspec import structs
from played import Replay
from stage import BTCUSD_PERP, BTCUSDT, ETHUSDT, open_plant

from tickerplant.envelope import wrap
from tickerplant.errors import RecordingError
from tickerplant.frames import text_frame
from tickerplant.logs import Complaints
from tickerplant.queries import find_path
from tickerplant.recording.line import Line
from tickerplant.recording.manifest_entries import (
    FORMAT,
    MANIFEST,
    AnyEntry,
    InstrumentsListed,
    RecordingStarted,
    RunStarted,
    SnapshotRecorded,
)
from tickerplant.recording.segments import segment_name
from tickerplant.recording.timestamps import TimeSpec
from tickerplant.replaying.plan import Plan, warm_up_start_ns
from tickerplant.replaying.scan import scan
from tickerplant.server.query_service import QueryService
from tickerplant.venue import VENUES

START_MS = 1_795_285_140_000
NS = 1_000_000
SECONDS = 3_600
STREAMS = ("btcusdt@trade", "btcusdt@depth@100ms")


def exchange_info(symbol: str) -> msgspec.Raw:
    """The contract as the exchange lists it."""
    plant = open_plant([BTCUSDT, ETHUSDT, BTCUSD_PERP])
    for venue in VENUES:
        query = find_path(venue, f"{venue.rest_prefix}/v1/exchangeInfo")
        assert query is not None
        response = QueryService(plant.venues[venue.name], Complaints()).answer(query, {})
        for each in msgspec.json.decode(response)["symbols"]:
            if each["symbol"] == symbol:
                return msgspec.Raw(msgspec.json.encode(each))
    raise AssertionError(symbol)


def at_ns(second: int) -> int:
    return (START_MS + second * 1_000) * NS


def trade(second: int, symbol: str = "BTCUSDT") -> bytes:
    time_ms = START_MS + second * 1_000
    return (
        f'{{"e":"trade","E":{time_ms},"T":{time_ms},"s":"{symbol}","t":{second},'
        f'"p":"65000.10","q":"1","X":"MARKET","m":false}}'
    ).encode()


def change(second: int) -> bytes:
    time_ms = START_MS + second * 1_000
    return (
        f'{{"e":"depthUpdate","E":{time_ms},"T":{time_ms},"s":"BTCUSDT","U":{2 * second - 1},'
        f'"u":{2 * second},"pu":{2 * second - 2},"b":[["64000.00","{second}"]],"a":[]}}'
    ).encode()


def snapshot(second: int) -> bytes:
    time_ms = START_MS + second * 1_000
    return (
        f"http://h/fapi/v1/depth?symbol=BTCUSDT&limit=1000 "
        f'{{"lastUpdateId":{2 * second},"E":{time_ms},"T":{time_ms},'
        f'"bids":[["64500.00","{second}"]],"asks":[["66000.00","1"]]}}'
    ).encode()


def written(
    folder: Path,
    lines: list[Line],
    *,
    venue: str = "usdm",
    symbols: Sequence[str] = ("BTCUSDT",),
    anchors: Sequence[int] = (),
    profile: str = "current",
    counts: dict[str, int] | None = None,
    requested: Sequence[str] = STREAMS,
) -> Path:
    """A finished recording in blocks of ten lines."""
    folder.mkdir(parents=True)
    sealed = write_segment(folder / segment_name(1, "20261121T181900Z"), lines, 10)
    streams = dict.fromkeys(STREAMS, 1) if counts is None else counts
    now_ns = lines[0][0]
    entries: list[AnyEntry] = [
        RecordingStarted(time_ns=now_ns, format=FORMAT, venue=venue, software="a test"),
        RunStarted(
            time_ns=now_ns, run=1, url="", profile=profile, streams=tuple(requested), software=""
        ),
        InstrumentsListed(time_ns=now_ns, symbols=tuple(map(exchange_info, symbols))),
        *(
            SnapshotRecorded(time_ns=at_ns(s), symbol="BTCUSDT", last_update_id=2 * s, levels=1000)
            for s in anchors
        ),
        structs.replace(sealed, streams=streams),
    ]
    write_manifest(folder, entries)
    return folder


ANCHORS = (1, 600, 1_200, 1_800, 2_400, 3_000)


def an_hour() -> list[Line]:
    """A trade and a change of the book a second, and now and then a snapshot."""
    found: list[Line] = []
    for second in range(1, SECONDS + 1):
        found.append((at_ns(second), wrap("btcusdt@depth@100ms", change(second))))
        if second in ANCHORS:
            found.append((at_ns(second), snapshot(second)))
        found.append((at_ns(second) + 1, wrap("btcusdt@trade", trade(second))))
    return found


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("hours") / "usdm", an_hour(), anchors=ANCHORS)


def test_venue_profile_contracts_and_streams_come_from_the_manifest(hour: Path) -> None:
    found = scan([str(hour)], max_lines=1)
    assert found.profile == "current"
    assert found.streams("usdm") == set(STREAMS), "also those that are not in the first line"
    [instrument] = found.instruments
    assert (instrument.symbol, instrument.max_price) == ("BTCUSDT", BTCUSDT.max_price)
    assert instrument.tick_size == BTCUSDT.tick_size, "as listed, not as it can be guessed"


def silent(path: Path) -> list[str]:
    """What a replay warns of at its start."""
    replay = Replay([path], {"usdm": ["btcusdt@trade"]})
    replay.run()
    return [each for each in replay.readiness.warnings if "silent" in each]


@pytest.mark.parametrize(
    ("never", "shown"),
    [
        (["ethusdt@trade"], "ETHUSDT"),
        (
            [f"a{n}usdt@trade" for n in range(9)],
            "A0USDT, A1USDT, A2USDT, A3USDT, A4USDT and 4 more",
        ),
    ],
)
def test_requested_symbols_without_messages_are_reported_in_one_line(
    tmp_path: Path, never: list[str], shown: str
) -> None:
    folder = written(tmp_path / "r", an_hour()[:100], anchors=(1,), requested=[*STREAMS, *never])
    text = "requested by the collector, but no message was recorded: their streams are silent"
    assert silent(folder) == [f"{shown}: {text}"]


def test_symbols_that_were_not_requested_or_may_be_present_are_not_reported(tmp_path: Path) -> None:
    listed = written(tmp_path / "listed", an_hour()[:100], symbols=("BTCUSDT", "ETHUSDT"))
    [depth] = silent(listed)
    assert depth == "ETHUSDT: book-derived streams are silent: no depth was recorded"
    all_symbols = [*STREAMS, "!ticker@arr", "btcusdt@forceOrder"]
    assert (
        silent(written(tmp_path / "all", an_hour()[:100], anchors=(1,), requested=all_symbols))
        == []
    )
    names = [*STREAMS, "ethusdt@trade"]
    counted = dict.fromkeys(names, 1)
    elsewhere = written(tmp_path / "counted", an_hour()[:100], requested=names, counts=counted)
    assert scan([str(elsewhere)], max_lines=10).unrecorded == [], "its segments have it further on"
    crashed = written(tmp_path / "crashed", an_hour()[:100], requested=names)
    (crashed / segment_name(2, "20261121T191900Z")).write_bytes(packed_lines(an_hour()[100:110]))
    assert scan([str(crashed)], max_lines=50).unrecorded == [], (
        "of the last segment nothing is known"
    )
    assert scan([str(crashed)]).unrecorded == ["ETHUSDT"], "of a small one all is"


def test_what_one_recording_lacks_may_be_in_another(tmp_path: Path) -> None:
    names = [*STREAMS, "ethusdt@trade"]
    partial = written(tmp_path / "r", an_hour()[:100], requested=names)
    other = line_file(tmp_path / "other", [(at_ns(5), wrap("ethusdt@trade", trade(5, "ETHUSDT")))])
    assert scan([str(partial)]).unrecorded == ["ETHUSDT"]
    assert scan([str(partial), other]).unrecorded == []


def test_contracts_that_a_manifest_does_not_list_are_guessed(tmp_path: Path) -> None:
    folder = written(tmp_path / "r", an_hour()[:100], symbols=())
    [instrument] = scan([str(folder)]).instruments
    assert instrument.symbol == "BTCUSDT"
    assert instrument.max_price != BTCUSDT.max_price


def test_a_contract_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    folder = written(tmp_path / "r", an_hour()[:100])
    manifest = folder / MANIFEST
    manifest.write_bytes(
        manifest.read_bytes().replace(b'"pricePrecision":2', b'"pricePrecision":-2')
    )
    warnings: list[str] = []
    scan([str(folder)], warn=warnings.append)
    [warning] = warnings
    assert warning.startswith(f"{manifest}: skipped the contract BTCUSDT: pricePrecision is -2")


def test_a_recording_of_an_unknown_venue_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "r", an_hour()[:10], venue="spot")
    with pytest.raises(RecordingError, match="its venue is 'spot', expected one of usdm, coinm"):
        scan([str(folder)])


def test_both_venues_in_one_folder_are_served_on_their_ports(tmp_path: Path) -> None:
    usdm = [(at_ns(s), wrap("btcusdt@trade", trade(s))) for s in range(1, 50)]
    coinm = [
        (at_ns(s) + 5, wrap("btcusd_perp@trade", trade(s, "BTCUSD_PERP").replace(b".10", b".1")))
        for s in range(1, 50)
    ]
    written(tmp_path / "both" / "usdm", usdm, counts={"btcusdt@trade": 49})
    written(
        tmp_path / "both" / "coinm",
        coinm,
        venue="coinm",
        symbols=["BTCUSD_PERP"],
        counts={"btcusd_perp@trade": 49},
    )
    names = {"usdm": ["btcusdt@trade"], "coinm": ["btcusd_perp@trade", "btcusd_perp@aggTrade"]}
    played = Replay([tmp_path / "both"], names)
    played.run()
    assert played.listeners["usdm"].data.count(b'"e":"trade"') == 49
    assert played.listeners["coinm"].data.count(b'"e":"trade"') == 49
    assert played.listeners["coinm"].data.count(b'"e":"aggTrade"') >= 40


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("second", "warm_up_s", "from_second"),
    [
        (2_000, 0, 1_790),
        (2_000, 500, 1_500),
        (1_805, 0, 1_190),
        (1_810, 0, 1_790),
        (300, 0, 0),
        (5, 0, 0),
        (3_600, 3_600, 0),
    ],
)
def test_a_warm_up_begins_before_the_last_snapshot(
    hour: Path, second: int, warm_up_s: int, from_second: int
) -> None:
    found = scan([str(hour)])
    start_ns = warm_up_start_ns(at_ns(second), warm_up_s * 10**9, found.files, [0])
    assert max(start_ns, at_ns(0)) == at_ns(from_second)


def test_files_of_lines_are_played_from_the_beginning(hour: Path, tmp_path: Path) -> None:
    found = scan([str(hour), line_file(tmp_path / "lines", an_hour())])
    assert warm_up_start_ns(at_ns(2_000), 0, found.files, [0, 0]) == 0


@pytest.mark.heavy
@pytest.mark.parametrize("pace", ["receive", "event"])
def test_a_warm_up_skips_what_is_long_before_the_position(
    hour: Path, pace: Literal["receive", "event"]
) -> None:
    plan = Plan(begin=TimeSpec(at_ns(3_500)), speed=0, warm_up_ns=300 * 10**9, pace=pace)
    played = Replay([hour], {"usdm": STREAMS}, plan=plan, wait_for=2)
    complete = Replay([hour], {"usdm": []}, plan=Plan(speed=0, end=TimeSpec(at_ns(3_500))))
    complete.run()
    events_before = complete.plant.published.total()

    async def look() -> None:
        await asyncio.sleep(0.1)
        assert played.source.state().state == "waiting"
        market, other = played.plant.markets["BTCUSDT"], complete.plant.markets["BTCUSDT"]
        assert market.book_live
        assert market.book.last_update_id == other.book.last_update_id == 2 * 3_499
        assert market.book.best_bid == (6_450_000, 3_000_000), "that of the last snapshot"
        assert played.plant.now_ms == complete.plant.now_ms
        assert played.plant.published.total() < events_before / 3

    played.run_with(look)
    played = Replay([hour], {"usdm": ["btcusdt@trade"]}, plan=plan)
    played.run()
    expected = b"".join(text_frame(trade(second)) for second in range(3_500, SECONDS + 1))
    assert played.listeners["usdm"].data == expected


def test_subscriptions_to_unavailable_streams_are_counted(hour: Path) -> None:
    played = Replay([hour], {"usdm": []})

    async def visit() -> None:
        await asyncio.sleep(1)
        hub = played.plant.hubs["usdm"]
        names = ["btcusdt@markPrice", "btcusdt@forceOrder", "btcusdt@rpiDepth@500ms"]
        derived = ["btcusdt@bookTicker", "btcusdt@aggTrade", "btcusdt@kline_5m", "!ticker@arr"]
        for name in (*names, *names, *derived, *STREAMS):
            listener = played.listeners["usdm"]
            hub.subscribe(listener, [name])
            hub.unsubscribe(listener, [name])
        assert hub.silent == {"not recorded": 2 * len(names)}

    played.run_with(visit)
