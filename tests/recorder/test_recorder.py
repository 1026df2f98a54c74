"""A server, a recorder and a recording, compared with what the server published."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from loopback import Loopback, listen, loopback, looped, until
from tuning import tuned
from world import Witness
from written import manifest, read

from tickerplant.client.rest import RestClient
from tickerplant.config import kinds
from tickerplant.envelope import prefix_of
from tickerplant.feed.hosts import hosts_of
from tickerplant.feed.settings import ClientSettings
from tickerplant.feed.weight import WeightBudget
from tickerplant.notices import Notice
from tickerplant.plant import Plant
from tickerplant.profile import CURRENT
from tickerplant.recorder.recorder import Recorder
from tickerplant.recorder.rest_jobs import discover_profile
from tickerplant.recorder.writer import RecordingWriter, WriterSettings
from tickerplant.recording.manifest_entries import (
    Connected,
    Disconnected,
    Entry,
    InstrumentsListed,
    Missing,
    ProfileReported,
    Renewed,
    RunOutage,
    RunStarted,
    SnapshotFailed,
    SnapshotRecorded,
)
from tickerplant.server.endpoint import Connection
from tickerplant.server.server import Server
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import SimulatedSource, open_market
from tickerplant.streams import resolve
from tickerplant.venue import COINM, USDM

T = TypeVar("T")
START_MS = 1_767_225_600_000
QUICK = tuned(
    retry_base_ms=10,
    retry_max_ms=50,
    stable_after_ms=0,
    overlap_ms=200,
    opens_per_s=100,
    requests_per_s=100,
)
NAMES = (
    "btcusdt@trade",
    "btcusdt@aggTrade",
    "btcusdt@bookTicker",
    "btcusdt@depth@100ms",
    "btcusdt@kline_1m",
    "!miniTicker@arr",
    "ethusdt@depth@0ms",
)
NUMBERED = NAMES[:2]
LATER_PORT = 50_000
"""A port, in memory, at which nobody listens at first."""


def nobody(_: Notice) -> None:
    """Ignore a notice."""


class House(Loopback):
    """A simulated market, and a witness at its hub of all published messages."""

    witness: Witness

    def published(self, name: str) -> list[bytes]:
        self.plant.hubs[USDM.name].flush()
        return self.witness.published.get(name, [])

    @property
    def connections(self) -> list[Connection]:
        return self.server.connections

    def reset(self) -> None:
        """Cut every connection as a network does."""
        for connection in self.connections:
            connection.abort()


@asynccontextmanager
async def simulation(*, faults: str = "", port: int = 0) -> AsyncIterator[House]:
    traded = instruments(START_MS, ("BTCUSDT", "ETHUSDT"))
    exchange = SimulatedExchange(traded, seed=5, start_ms=START_MS, intensity=0.3, quoting=0.3)
    plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
    server = Server(
        plant,
        ports={USDM.name: port, COINM.name: 0},
        listen=listen(),
    )
    server.faults.switch(kinds.read_faults(faults) if faults else ())
    await server.start()
    house = House(plant, server, None)  # type: ignore[arg-type]
    house.witness = Witness()
    hub = plant.hubs[USDM.name]
    hub.set_combined(house.witness, True)
    for name in NAMES:
        found = resolve(USDM, name)
        hub.subscribe(house.witness, [name], found[0].route if found else "")
    open_market(plant, exchange)
    source = SimulatedSource(exchange, plant, speed=1.0)
    running = asyncio.create_task(source.run(server.congestion, server.readiness))
    try:
        yield house
    finally:
        running.cancel()
        await asyncio.wait({running})
        await server.stop()


def clock_of_loop() -> Callable[[], int]:
    """Return the time, ns since the epoch, as it passes in the running loop.

    What is received has the time of the machine, which is earlier: the writer raises it.
    """
    loop = asyncio.get_running_loop()
    began_ns = time.time_ns() - int(loop.time() * 1e9)
    return lambda: began_ns + int(loop.time() * 1e9)


class Recording:
    """A recorder at work."""

    def __init__(self, recorder: Recorder, writer: RecordingWriter) -> None:
        self.recorder = recorder
        self.writer = writer
        self.over = asyncio.Event()

    @property
    def feed(self) -> Any:
        return self.recorder.runner.feed

    async def wait_heard(self, *names: str) -> None:
        await until(lambda: set(names) <= set(self.recorder.received))

    async def wait_more(self, *names: str) -> None:
        """Wait until more of each has been heard."""
        heard = [self.feed.merged_streams[name] for name in names]
        before = [each.messages for each in heard]
        await until(
            lambda: all(each.messages > had + 1 for each, had in zip(heard, before, strict=True))
        )

    async def wait_delivered(self) -> None:
        """Wait until all streams are delivered."""
        await until(lambda: all(each.primary for each in self.feed.merged_streams.values()))

    async def wait_anchored(self, count: int) -> None:
        await until(lambda: self.recorder.rest_jobs.snapshots >= count)

    def renew(self) -> None:
        for connection in self.feed.connections.values():
            connection.renew_by(self.feed.context.now_ms)


@asynccontextmanager
async def recording(
    house: Loopback,
    folder: Path,
    *names: str,
    settings: ClientSettings = QUICK,
    snapshots_ms: int | None = 3_600_000,
    levels: int = 1000,
    weight: int = 2400,
    **writing: Any,
) -> AsyncIterator[Recording]:
    """Record until the block ends."""
    hosts = hosts_of(USDM, f"ws://{house.server.urls[USDM.name]}")
    rest = RestClient(hosts, WeightBudget(weight))
    names = names or NAMES
    clock_ns = clock_of_loop()
    writer = RecordingWriter(
        str(folder),
        venue=USDM,
        url=hosts.streams,
        profile=await discover_profile(rest),
        streams=names,
        settings=WriterSettings(flush_ms=100, **writing),
        clock_ns=clock_ns,
    )
    recorder = Recorder(
        hosts,
        names,
        writer,
        rest,
        settings=settings,
        snapshots_ms=snapshots_ms,
        levels=levels,
        on_notice=nobody,
        clock_ns=clock_ns,
    )
    found = Recording(recorder, writer)
    running = asyncio.create_task(recorder.run(found.over))
    try:
        yield found
    finally:
        found.over.set()
        await running
        writer.close("the test is over")


def noted(folder: Path, kind: type[T]) -> list[T]:
    """Return the lines of a kind in the manifest."""
    return [each for each in manifest(folder).entries if isinstance(each, kind)]


class _Envelope(msgspec.Struct):
    stream: str
    data: msgspec.Raw


def recorded(folder: Path) -> tuple[dict[str, list[bytes]], list[bytes]]:
    """Return the payloads by stream, and the answers."""
    lines, flaws = read(folder)
    assert flaws == []
    times = [time_ns for time_ns, _ in lines]
    assert times == sorted(times), "receive times never go back"
    payloads: defaultdict[str, list[bytes]] = defaultdict(list)
    answers = []
    for _, raw in lines:
        if raw.startswith(b"http"):
            answers.append(raw)
        else:
            message = msgspec.json.decode(raw, type=_Envelope)
            payloads[message.stream].append(bytes(message.data))
    return payloads, answers


def pieces(of: list[bytes], whole: list[bytes]) -> list[tuple[int, int]]:
    """Return the runs of `whole` that `of` consists of, in order."""
    runs: list[tuple[int, int]] = []
    at = 0
    for payload in of:
        place = whole.index(payload, at)
        if runs and runs[-1][1] == place:
            runs[-1] = runs[-1][0], place + 1
        else:
            runs.append((place, place + 1))
        at = place + 1
    return runs


def left_out(runs: list[tuple[int, int]]) -> int:
    """Return how much is missing between the pieces."""
    return sum(after[0] - before[1] for before, after in pairwise(runs))


@looped
async def test_messages_are_recorded_byte_for_byte(tmp_path: Path) -> None:
    async with simulation() as house:
        async with recording(house, tmp_path) as tape:
            await tape.wait_heard(*NAMES)
            await tape.wait_anchored(2)
        payloads, answers = recorded(tmp_path)
        for name in NAMES:
            assert len(pieces(payloads[name], house.published(name))) == 1, f"{name} is one piece"
    assert len(answers) == 2
    (run,) = noted(tmp_path, RunStarted)
    assert isinstance(run, RunStarted)
    assert (run.profile, set(run.streams)) == ("2026q1", set(NAMES))
    symbols = manifest(tmp_path).symbols
    assert {"BTCUSDT", "ETHUSDT"} <= set(symbols)
    assert noted(tmp_path, Disconnected) == []
    assert noted(tmp_path, Missing) == []
    assert noted(tmp_path, RunOutage) == []


@looped
async def test_a_snapshot_joins_the_first_recorded_update(tmp_path: Path) -> None:
    async with simulation() as house, recording(house, tmp_path) as tape:
        await tape.wait_anchored(2)
        await tape.wait_more("btcusdt@depth@100ms", "ethusdt@depth@0ms")
    payloads, answers = recorded(tmp_path)
    for answer in answers:
        address, _, body = answer.partition(b" ")
        symbol = address.partition(b"symbol=")[2].partition(b"&")[0].decode()
        assert address.startswith(b"http://127.0.0.1:")
        assert b"/fapi/v1/depth?symbol=" in address
        assert address.endswith(b"&limit=1000")
        last_id = msgspec.json.decode(body)["lastUpdateId"]
        stream = next(name for name in NAMES if name.startswith(f"{symbol.lower()}@depth"))
        updates = [msgspec.json.decode(each) for each in payloads[stream]]
        assert updates[0]["U"] <= last_id, "the snapshot is no older than the first update"
        assert any(each["u"] >= last_id for each in updates), "updates go on from it"
    assert {each.symbol for each in noted(tmp_path, SnapshotRecorded)} == {"BTCUSDT", "ETHUSDT"}


@looped
async def test_a_book_that_leaves_the_levels_of_its_snapshot_gets_another(tmp_path: Path) -> None:
    name = "btcusdt@depth@100ms"
    async with simulation() as house, recording(house, tmp_path, name, levels=5) as tape:
        await tape.wait_anchored(3)
        assert not tape.recorder.schedule.delayed
    snapshots = noted(tmp_path, SnapshotRecorded)
    assert {(each.symbol, each.levels) for each in snapshots} == {("BTCUSDT", 5)}
    times_ns = [each.time_ns for each in snapshots]
    assert all(after - before > 900_000_000 for before, after in pairwise(times_ns)), (
        "at most about one a second"
    )


@looped
async def test_snapshots_that_the_weight_does_not_allow_are_counted_and_come_later(
    tmp_path: Path,
) -> None:
    """Of five a minute, the recorder uses four, and each snapshot weighs two."""
    names = "btcusdt@depth@100ms", "ethusdt@depth@100ms"
    async with (
        simulation() as house,
        recording(house, tmp_path, *names, levels=5, weight=5) as tape,
    ):
        schedule = tape.recorder.schedule
        await until(lambda: schedule.delayed >= 1)
        assert 1 <= schedule.short_of_weight <= 2
        assert tape.recorder.rest_jobs.snapshots <= 2
        await tape.wait_heard(*names)  # messages are recorded meanwhile


@looped
async def test_a_planned_renewal_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    async with simulation() as house:
        async with recording(house, tmp_path) as tape:
            await tape.wait_heard(*NAMES)
            tape.renew()
            await until(lambda: tape.recorder.counters.renewed)
            await tape.wait_more(*NUMBERED)
        payloads, _ = recorded(tmp_path)
        for name in NAMES:
            assert len(pieces(payloads[name], house.published(name))) == 1, f"{name} is one piece"
    renewed = noted(tmp_path, Renewed)
    assert {name for each in renewed for name in each.streams} == set(NAMES)
    assert noted(tmp_path, Disconnected) == []
    assert noted(tmp_path, Missing) == []


@looped
async def test_a_reset_is_noted_with_its_length_and_followed_by_a_snapshot(tmp_path: Path) -> None:
    async with simulation() as house:
        settings = tuned(QUICK, stable_after_ms=60_000, retry_base_ms=900, retry_max_ms=900)
        async with recording(house, tmp_path, settings=settings) as tape:
            await tape.wait_heard(*NAMES)
            await tape.wait_anchored(2)
            house.reset()
            await until(lambda: tape.recorder.manifest.outages)
            await tape.wait_anchored(4)
            await tape.wait_delivered()
        payloads, answers = recorded(tmp_path)
        missed = 0
        for name in NAMES:
            runs = pieces(payloads[name], house.published(name))
            assert len(runs) <= 2, f"{name} is in one piece or two"
            missed += left_out(runs)
        gaps = noted(tmp_path, Missing)
        for name in NUMBERED:
            runs = pieces(payloads[name], house.published(name))
            lost = left_out(runs)
            assert lost == sum(gap.missing or 0 for gap in gaps if gap.stream == name)
    assert missed
    assert len(answers) == 4
    lost_at = {
        name: each.time_ns for each in noted(tmp_path, Disconnected) for name in each.streams
    }
    again = [each for each in noted(tmp_path, Connected) if each.blind_ms]
    assert set(lost_at) == set(NAMES) == {name for each in again for name in each.streams}
    for each in again:
        for name in each.streams:
            outage_ms = (each.time_ns - lost_at[name]) // 1_000_000
            assert each.blind_ms >= outage_ms - 60, "no less than the outage"


class Tape(RecordingWriter):
    """Keeps messages in memory; the test decides whether it is full or has failed."""

    is_full: bool = False
    rotated: int = 0
    failure: OSError | None = None

    def __init__(self) -> None:
        self.lines: list[tuple[str, bytes]] = []
        self.notes: list[Entry] = []

    def add(self, received_ns: int, stream: str, payload: bytes) -> None:
        assert received_ns
        self.lines.append((stream, payload))

    def keeper(self, stream: str) -> Callable[[int, bytes, object], None]:
        begin = len(prefix_of(stream))
        return lambda received_ns, raw, _: self.add(received_ns, stream, raw[begin:-1])

    def add_answer(self, received_ns: int, address: str, body: bytes) -> None:
        assert received_ns
        self.lines.append((address, body))

    def note(self, entry: Entry) -> None:
        self.notes.append(entry)

    def tick(self) -> None:
        pass


@asynccontextmanager
async def taping(
    house: House, *names: str
) -> AsyncIterator[tuple[Tape, asyncio.Event, asyncio.Task[None]]]:
    """Record into memory, without snapshots."""
    hosts = hosts_of(USDM, f"ws://{house.server.urls[USDM.name]}")
    tape, over, rest = Tape(), asyncio.Event(), RestClient(hosts, WeightBudget())
    recorder = Recorder(
        hosts, names, tape, rest, settings=QUICK, snapshots_ms=None, on_notice=nobody
    )
    yield tape, over, asyncio.create_task(recorder.run(over))


@looped
async def test_while_the_tape_has_no_room_the_server_waits_and_nothing_is_lost() -> None:
    name = "btcusdt@trade"
    async with simulation() as house, taping(house, name) as (tape, over, running):
        await until(lambda: tape.lines)
        tape.is_full = True
        await asyncio.sleep(0.3)
        before = len(tape.lines)
        await asyncio.sleep(0.5)
        assert len(tape.lines) == before, "nothing is read"
        tape.is_full = False
        await until(lambda: len(tape.lines) > before + 5)
        over.set()
        await running
        payloads = [payload for stream, payload in tape.lines if stream == name]
        assert len(pieces(payloads, house.published(name))) == 1
    assert not [each for each in tape.notes if isinstance(each, Disconnected | Missing)]


@looped
async def test_a_tape_that_fails_ends_it() -> None:
    async with simulation() as house, taping(house, *NAMES) as (tape, _, running):
        await until(lambda: tape.lines)
        tape.failure = OSError("no space")
        await running


@looped
async def test_a_server_that_comes_later_is_recorded_then_and_says_its_profile(
    tmp_path: Path,
) -> None:
    hosts = hosts_of(USDM, f"ws://127.0.0.1:{LATER_PORT}")
    rest = RestClient(hosts, WeightBudget())
    profile = await discover_profile(rest)
    assert profile == ""
    tape, over = Tape(), asyncio.Event()
    recorder = Recorder(
        hosts,
        NAMES,
        tape,
        rest,
        settings=QUICK,
        snapshots_ms=60_000,
        on_notice=nobody,
        retry_pause_s=0.1,
    )
    running = asyncio.create_task(recorder.run(over))
    await until(lambda: tape.notes)
    async with simulation(port=LATER_PORT):
        await until(lambda: set(recorder.received) == set(NAMES))
        await until(lambda: any(isinstance(each, ProfileReported) for each in tape.notes))
        await until(lambda: any(isinstance(each, InstrumentsListed) for each in tape.notes))
        await until(lambda: recorder.rest_jobs.snapshots == 2)
        over.set()
        await running
    assert isinstance(tape.notes[0], Disconnected)
    assert [each.profile for each in tape.notes if isinstance(each, ProfileReported)] == ["2026q1"]


@looped
async def test_a_control_plane_with_a_token_does_not_hide_the_profile() -> None:
    async with loopback(control_token="open sesame", profile=CURRENT) as house:  # noqa: S106
        rest = RestClient(hosts_of(USDM, f"ws://{house.server.urls['usdm']}"), WeightBudget())
        assert await discover_profile(rest) == "current"
        await rest.close()


@looped
async def test_without_snapshots_none_is_requested(tmp_path: Path) -> None:
    async with simulation() as house, recording(house, tmp_path, snapshots_ms=None) as tape:
        await tape.wait_heard(*NAMES)
    assert recorded(tmp_path)[1] == []


@looped
async def test_rest_that_fails_stops_nothing(tmp_path: Path) -> None:
    async with simulation(faults="http_garbage=1") as house:
        async with recording(house, tmp_path) as tape:
            await tape.wait_heard(*NAMES)
            await until(lambda: tape.recorder.schedule.books["BTCUSDT", "depth"].failures)
        payloads, answers = recorded(tmp_path)
        for name in NAMES:
            assert len(pieces(payloads[name], house.published(name))) == 1
    assert answers == []
    assert {each.symbol for each in noted(tmp_path, SnapshotFailed)} >= {"BTCUSDT"}
    assert noted(tmp_path, InstrumentsListed) == []
