"""Taps of a plant: they record what a subscriber receives, with snapshots in between."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from stage import (
    BTCUSD_PERP,
    BTCUSDT,
    ETHUSDT,
    START_MS,
    happen,
    listen,
    open_plant,
    sent_to,
    snapshot,
    trade,
    update,
)
from written import manifest, of_kind, read, wait_until_written

from tickerplant.errors import ConfigError, RecordingError
from tickerplant.events import ContractChanged
from tickerplant.feed.context import Observer
from tickerplant.instrument import Instrument
from tickerplant.notices import Disconnected, Notice, Recovered
from tickerplant.plant import Plant
from tickerplant.profile import PROFILES
from tickerplant.readiness import Readiness
from tickerplant.recorder.tap import (
    MAX_UNNAMED_SYMBOLS,
    Tap,
    Taps,
    TapSettings,
    default_streams,
    named_streams,
)
from tickerplant.recorder.writer import RecordingWriter, WriterSettings
from tickerplant.recording import manifest_entries
from tickerplant.recording.line import Line
from tickerplant.recording.manifest_entries import (
    Connected,
    InstrumentsListed,
    RunEnded,
    RunStarted,
    SnapshotRecorded,
)
from tickerplant.recording.segments import Segments, segment_paths
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.units import NS_PER_MS
from tickerplant.venue import COINM, USDM

URLS = {USDM.name: "ws://127.0.0.1:9001", COINM.name: "ws://127.0.0.1:9002"}


def tapped(
    plant: Plant,
    folder: Path,
    *names: str,
    settings: WriterSettings = WriterSettings(flush_ms=0),  # noqa: B008  # it is frozen
) -> Tap:
    def clock_ns() -> int:
        return plant.now_ms * NS_PER_MS

    writer = RecordingWriter(
        str(folder),
        venue=USDM,
        url="",
        profile="",
        streams=names,
        settings=settings,
        clock_ns=clock_ns,
    )
    return Tap(plant.hubs["usdm"], writer, names, "http://h", clock_ns=clock_ns)


def open_books(plant: Plant) -> None:
    for symbol in plant.markets:
        plant.publish(snapshot(100, [(6_527_990, 7)], [(6_528_000, 8)], symbol=symbol))


def messages(lines: list[Line]) -> list[tuple[str, Any]]:
    """Streams with payloads, and the symbols of snapshots with theirs."""
    found = []
    for _, raw in lines:
        if raw.startswith(b"http"):
            address, _, body = raw.partition(b" ")
            found.append((address.decode(), json.loads(body)))
        else:
            message = json.loads(raw)
            found.append((message["stream"], message["data"]))
    return found


def test_a_recording_contains_the_messages_of_a_subscriber(tmp_path: Path) -> None:
    plant = open_plant()
    open_books(plant)
    names = ("btcusdt@trade", "btcusdt@depth@100ms", "ethusdt@bookTicker", "!markPrice@arr@1s")
    tap = tapped(plant, tmp_path, *names)
    listener = listen(plant, names)
    plant.hubs["usdm"].set_combined(listener, combined=True)
    received = []
    for step in range(30):
        plant.advance(START_MS + step * 100)
        happen(plant)
        plant.publish(trade(100 + step, plant.now_ms))
        received += sent_to(plant, listener)
    tap.close("done")
    lines, flaws = read(tmp_path)
    found = [{"stream": stream, "data": data} for stream, data in messages(lines)]
    assert [each for each in found if not each["stream"].startswith("http")] == received
    assert flaws == []
    assert tap.messages == len(received) > 90


class Chain:
    """A local book by the documented procedure: one snapshot, then every change continues."""

    def __init__(self) -> None:
        self.last_id: int | None = None
        self.previous_id: int | None = None
        self.joined = 0

    def take(self, data: dict[str, Any]) -> None:
        if self.previous_id is not None:
            assert data["pu"] == self.previous_id, "the chain of changes is broken"
        self.previous_id = data["u"]
        if self.last_id is not None and data["u"] >= self.last_id:
            joins = data["U"] <= self.last_id <= data["u"] or data["pu"] == self.last_id
            assert joins, "the snapshot does not join"
            self.last_id = None
            self.joined += 1


def check_chains(lines: list[Line]) -> Counter[str]:
    """Follow every book; return how many snapshots joined, by symbol."""
    chains: dict[str, Chain] = {}
    for stream, data in messages(lines):
        if stream.startswith("http"):
            symbol = stream.partition("symbol=")[2].partition("&")[0]
            book = chains.setdefault(symbol, Chain())
            assert book.previous_id is None or data["lastUpdateId"] >= book.previous_id
            book.last_id = data["lastUpdateId"]
        elif "@depth" in stream:
            chains.setdefault(data["s"], Chain()).take(data)
    return Counter({symbol: book.joined for symbol, book in chains.items()})


@pytest.mark.heavy
def test_every_segment_rebuilds_the_books_of_a_simulation(tmp_path: Path) -> None:
    start_ms = 1_767_225_595_000
    traded = instruments(start_ms, ("BTCUSDT", "ETHUSDT"))
    exchange = SimulatedExchange(traded, seed=3, start_ms=start_ms, intensity=0.3, quoting=0.3)
    plant = Plant(traded, start_ms=start_ms, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    settings = WriterSettings(flush_ms=0, segment_bytes=80_000)
    tap = tapped(plant, tmp_path, settings=settings)
    while tap.writer.rotated < 3:
        for _ in range(200):
            time_ms, events = exchange.step()
            plant.advance_before(time_ms)
            for event in events:
                plant.publish(event)
        plant.hubs["usdm"].flush()
        tap.tick()
        wait_until_written(tap.writer, tap.messages)  # but for a block at most
    plant.advance(plant.now_ms + 1_000)
    tap.close("done")
    lines, flaws = read(tmp_path)
    assert flaws == []
    check_chains(lines)
    for segment in segment_paths(str(tmp_path))[:2]:
        joined = check_chains(list(chain.from_iterable(Segments(str(segment)).batches())))
        assert joined == {"BTCUSDT": 1, "ETHUSDT": 1}, f"{segment.name} cannot be read on its own"
    noted = Counter(each.symbol for each in of_kind(tmp_path, SnapshotRecorded))
    answers = [stream for stream, _ in messages(lines) if stream.startswith("http")]
    assert noted == Counter(each.partition("symbol=")[2].partition("&")[0] for each in answers)
    assert answers[0] == "http://h/fapi/v1/depth?symbol=BTCUSDT&limit=1000"


def test_a_symbol_that_is_listed_later_is_recorded_from_its_first_message(tmp_path: Path) -> None:
    plant = open_plant([BTCUSDT])
    open_books(plant)
    tap = tapped(plant, tmp_path)
    plant.advance(START_MS + 100)
    plant.publish(ContractChanged("ETHUSDT", ETHUSDT, (), START_MS + 100))
    plant.hubs["usdm"].flush()
    plant.publish(trade(7, START_MS + 100, symbol="ETHUSDT"))
    plant.publish(snapshot(100, [(6_527_990, 7)], [(6_528_000, 8)], symbol="ETHUSDT"))
    plant.hubs["usdm"].flush()
    tap.tick()
    plant.publish(update(100, 102, [(6_527_990, 9)], [], START_MS + 100, symbol="ETHUSDT"))
    plant.advance(START_MS + 1_000)
    tap.close("done")
    lines, _ = read(tmp_path)
    found = [stream for stream, data in messages(lines) if "ETHUSDT" in json.dumps([stream, data])]
    assert found == [
        "!contractInfo",
        "ethusdt@trade",
        "http://h/fapi/v1/depth?symbol=ETHUSDT&limit=1000",
        "ethusdt@depth@100ms",
    ]
    assert check_chains(lines)["ETHUSDT"] == 1
    connected = [each.streams for each in of_kind(tmp_path, Connected)]
    assert connected[1] == ("ethusdt@bookTicker", "ethusdt@depth@100ms", "ethusdt@trade")
    listed = [each.symbols for each in of_kind(tmp_path, InstrumentsListed)]
    reported = [[json.loads(bytes(raw))["symbol"] for raw in symbols] for symbols in listed]
    assert reported == [["BTCUSDT"], ["ETHUSDT"]]
    assert list(manifest(tmp_path).symbols) == ["BTCUSDT", "ETHUSDT"]


def test_changed_contracts_are_noted_again(tmp_path: Path) -> None:
    plant = open_plant([BTCUSDT, ETHUSDT])
    tap = tapped(plant, tmp_path, "btcusdt@trade")
    tap.tick()
    changed = structs.replace(BTCUSDT, status="SETTLING")
    plant.publish(ContractChanged("BTCUSDT", changed, (), START_MS))
    plant.publish(
        ContractChanged("ETHUSDT", structs.replace(ETHUSDT, status="SETTLING"), (), START_MS)
    )
    tap.tick()
    tap.tick()
    tap.close("done")
    listed = [each.symbols for each in of_kind(tmp_path, InstrumentsListed)]
    reported = [
        [(json.loads(bytes(raw))["symbol"], json.loads(bytes(raw))["status"]) for raw in each]
        for each in listed
    ]
    assert reported == [[("BTCUSDT", "TRADING")], [("BTCUSDT", "SETTLING")]], (
        "only recorded contracts"
    )


def test_a_book_gets_a_snapshot_once_it_is_in_sync_and_after_each_gap(tmp_path: Path) -> None:
    plant = open_plant([BTCUSDT])
    tap = tapped(plant, tmp_path, "btcusdt@depth@100ms")

    def look() -> None:
        tap.tick()
        tap.tick()

    look()
    open_books(plant)
    look()
    plant.publish(update(100, 102, [], []))
    look()
    plant.publish(update(110, 112, [], []))
    look()  # at a book with a gap
    plant.publish(snapshot(120, [(1, 1)], [(2, 2)]))
    look()
    plant.publish(update(120, 122, [], []))
    plant.publish(update(130, 132, [], []))
    plant.publish(snapshot(140, [(1, 1)], [(2, 2)]))
    look()  # after a gap that has come and gone
    tap.close("done")
    ids = [each.last_update_id for each in of_kind(tmp_path, SnapshotRecorded)]
    assert ids == [101, 121, 141], "snapshots of the plant have separate ids"


def test_a_strict_plant_is_recorded_on_all_routes(tmp_path: Path) -> None:
    strict = next(each for each in PROFILES.values() if each.splits_routes(USDM))
    plant = open_plant(profile=strict, strict_routing=True)
    tap = tapped(plant, tmp_path, "btcusdt@trade", "btcusdt@bookTicker", "!markPrice@arr@1s")
    for step in range(15):
        plant.advance(START_MS + step * 100)
        happen(plant)
    tap.close("done")
    received = Counter(stream for stream, _ in messages(read(tmp_path)[0]))
    assert set(received) == {"btcusdt@trade", "btcusdt@bookTicker", "!markPrice@arr@1s"}


# Both venues


class Upstream:
    """What a relay knows of an upstream that makes all depth from one stream."""

    def __init__(self) -> None:
        self.observer = Observer()
        self.overhear: Callable[[Notice], object]

    def observe(self, observer: Observer, overhear: Callable[[Notice], object]) -> None:
        self.observer, self.overhear = observer, overhear

    def source_of(self, name: str) -> str:
        return name.partition("@")[0] + "@depth@100ms" if "@depth" in name else name


class Case:
    """A plant, what is said of it, and taps of it."""

    def __init__(self, *traded: Instrument) -> None:
        self.plant = open_plant(traded)
        self.readiness = Readiness()

    def taps(self, folder: Path | str, **settings: Any) -> Taps:
        tapping = TapSettings(folder=str(folder), **settings)
        return Taps(tapping, self.plant, URLS, self.readiness.warn)

    def refusal(self, folder: Path, **settings: Any) -> str:
        with pytest.raises((ConfigError, RecordingError)) as caught:
            self.taps(folder, **settings)
        return str(caught.value)


def test_each_venue_has_a_recording_of_its_own(tmp_path: Path) -> None:
    it = Case(BTCUSDT, BTCUSD_PERP)
    taps = it.taps(tmp_path)
    happen(it.plant)
    lines = taps.close("the time is up")
    assert not taps.has_failed
    for venue, line in zip((USDM, COINM), lines, strict=True):
        folder = tmp_path / venue.name
        [run] = manifest(folder).runs
        assert manifest(folder).venue == venue.name
        assert run.url == URLS[venue.name]
        assert run.profile == "2026q1"
        assert set(run.streams) == set(default_streams(it.plant.venues[venue.name].by_symbol))
        assert of_kind(folder, RunEnded)[0].reason == "the time is up"
        assert f"into {folder}: " in line
        assert len(read(folder)[0]) > 3


def test_a_recording_of_a_venue_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/usdm").symlink_to(tmp_path)
    assert "usdm is no link" in Case(BTCUSDT).refusal(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_venue_without_contracts_or_streams_is_not_recorded(tmp_path: Path) -> None:
    it = Case(BTCUSDT)
    it.taps(tmp_path / "a").close("done")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["usdm"]
    both = Case(BTCUSDT, BTCUSD_PERP)
    both.taps(tmp_path / "b", names=("btcusd_perp@trade",)).close("done")
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["coinm"]
    assert both.taps("").close("done") == []


def test_names_go_to_the_venues_that_have_them() -> None:
    names = ("btcusdt@trade", "btcusd_perp@depth", "!contractInfo", "btcusdt@trade")
    assert named_streams(names, (USDM, COINM)) == {
        "usdm": ("btcusdt@trade", "!contractInfo"),
        "coinm": ("btcusd_perp@depth", "!contractInfo"),
    }


def test_a_name_that_is_no_stream_is_refused(tmp_path: Path) -> None:
    reported = Case(BTCUSDT).refusal(tmp_path / "rec", names=("btcusdt@trdae",))
    assert reported.startswith(
        "invalid value 'btcusdt@trdae' for --record-streams: expected a stream ("
    )
    assert not (tmp_path / "rec").exists()


def test_a_relay_of_many_symbols_requires_the_names_of_streams(tmp_path: Path) -> None:
    many = [
        structs.replace(BTCUSDT, symbol=f"C{n}USDT", pair=f"C{n}USDT")
        for n in range(MAX_UNNAMED_SYMBOLS + 1)
    ]
    it = Case(*many)
    upstreams = {"usdm": Upstream()}
    reported = it.refusal(tmp_path / "rec", upstreams=upstreams)
    assert (
        "invalid value '' for --record-streams: expected the streams to record, such as" in reported
    )
    assert "USDⓈ-M has 51 symbols upstream" in reported
    it.taps(tmp_path / "rec", upstreams=upstreams, names=("c1usdt@trade",)).close("done")
    it.taps(tmp_path / "rec").close("done")


def test_the_manifest_notes_what_happens_to_the_streams_of_an_upstream(tmp_path: Path) -> None:
    it, upstream = Case(BTCUSDT), Upstream()
    names = ("btcusdt@depth@500ms", "btcusdt@trade")
    taps = it.taps(tmp_path, names=names, upstreams={"usdm": upstream})
    base, other = "btcusdt@depth@100ms", "ethusdt@trade"
    upstream.observer.delivering(1, [base, other])
    upstream.overhear(Disconnected(streams=(base, other), time_ms=1, reason="lost", retry_ms=1))
    upstream.overhear(Disconnected(streams=(other,), time_ms=1, reason="lost", retry_ms=1))
    upstream.observer.delivering(2, [base])
    upstream.overhear(Recovered(streams=(base,), time_ms=2, outage_ms=70))
    taps.close("done")
    folder = tmp_path / "usdm"
    depth = ("btcusdt@depth@500ms",)
    assert [each.streams for each in of_kind(folder, Connected)] == [depth, depth]
    assert [each.streams for each in of_kind(folder, manifest_entries.Disconnected)] == [depth]
    assert of_kind(folder, RunStarted)


def test_a_failed_disk_is_reported_while_serving_continues(tmp_path: Path) -> None:
    it = Case(BTCUSDT)
    taps = it.taps(tmp_path)
    happen(it.plant)
    it.plant.hubs["usdm"].flush()
    # The place for the first segment is taken away before it is begun.
    (tmp_path / "usdm").rename(tmp_path / "away")
    lines = taps.close("done")
    taps.tick()
    assert taps.has_failed
    [warning] = it.readiness.warnings
    assert warning.startswith(
        f"usdm: nothing is recorded any more: {tmp_path / 'usdm'}: No such file"
    )
    assert "No such file or directory" in lines[0]


def test_a_recording_of_another_venue_is_refused_before_anything_is_served(tmp_path: Path) -> None:
    RecordingWriter(str(tmp_path / "usdm"), venue=COINM, url="", profile="", streams=()).close(
        "done"
    )
    reported = Case(BTCUSDT, BTCUSD_PERP).refusal(tmp_path)
    assert "is a recording of COIN-M, not of USDⓈ-M" in reported
