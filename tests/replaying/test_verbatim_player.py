from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tickerplant.frames import payloads
from tickerplant.plant import Plant
from tickerplant.replaying.player import VerbatimPlayer
from tickerplant.replaying.scan import scan

START_MS = 1_723_161_256_000
STREAM = "btcusdt@trade"


class Ear:
    """A subscriber that keeps what it is sent."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.heard += payloads(data)


def trade(n: int, stream: str = STREAM) -> bytes:
    return (
        b'{"stream":"%b","data":{"e":"trade","E":%d,"T":%d,"s":"BTCUSDT","t":%d,"p":"100.00",'
        b'"q":"1.000","X":"MARKET","m":false}}'
    ) % (stream.encode(), START_MS + n, START_MS + n, n)


class Replay:
    """A plant and a verbatim player of `raws`."""

    def __init__(self, folder: Path, raws: Sequence[bytes]) -> None:
        self.lines = [((START_MS + n) * 10**6, raw) for n, raw in enumerate(raws)]
        path = folder / "lines"
        path.write_bytes(b"".join(b"%d %b\n" % line for line in self.lines))
        found = scan([str(path)])
        self.plant = Plant(found.instruments, start_ms=found.start_ms)
        self.player = VerbatimPlayer(self.plant, found, found.files[0])
        self.plant.start_passthrough("usdm", found.streams("usdm"))
        self.hub = self.plant.hubs["usdm"]

    def ear(self, *names: str, combined: bool = True) -> Ear:
        ear = Ear()
        self.hub.set_combined(ear, combined)
        self.hub.subscribe(ear, names)
        return ear

    def play(self, start: int = 0, end: int | None = None) -> None:
        self.player.play(self.lines[start:end])
        self.hub.flush()


def test_messages_are_sent_as_they_are_and_nothing_is_derived(tmp_path: Path) -> None:
    raws = [trade(n) for n in range(5)]
    replay = Replay(tmp_path, raws)
    ear, other = replay.ear(STREAM), replay.ear("btcusdt@aggTrade", "btcusdt@kline_1m")
    replay.play()
    replay.plant.advance(START_MS + 120_000)
    replay.hub.flush()
    assert ear.heard == raws
    assert other.heard == [], "expected nothing to be derived"
    assert len(replay.plant.markets["BTCUSDT"].trades) == 0, "expected no state"


def test_who_comes_in_between_hears_what_follows(tmp_path: Path) -> None:
    raws = [trade(n) for n in range(6)]
    replay = Replay(tmp_path, raws)
    first = replay.ear(STREAM)
    replay.play(0, 2)
    second = replay.ear(STREAM, combined=False)
    replay.play(2, 4)
    replay.hub.remove(first)
    replay.play(4)
    assert first.heard == raws[:4]
    assert second.heard == [raw.partition(b'"data":')[2][:-1] for raw in raws[2:]]


def test_nobody_hears_a_stream_that_nobody_wants(tmp_path: Path) -> None:
    raws = [trade(n) for n in range(4)]
    replay = Replay(tmp_path, raws)
    replay.play(0, 2)
    ear = replay.ear(STREAM)
    replay.play(2)
    assert ear.heard == raws[2:]


def test_a_hushed_plant_hears_nothing(tmp_path: Path) -> None:
    raws = [trade(n) for n in range(4)]
    replay = Replay(tmp_path, raws)
    ear = replay.ear(STREAM)
    replay.plant.mute()
    replay.play(0, 2)
    replay.plant.unmute()
    replay.play(2)
    assert ear.heard == raws[2:]


def test_market_time_goes_on_with_the_last_message_that_has_one(tmp_path: Path) -> None:
    replay = Replay(tmp_path, [trade(1), trade(7), b'{"result":null,"id":1}'])
    replay.play()
    assert replay.plant.now_ms == START_MS + 7


def test_what_is_no_message_is_left_out_and_said_once(tmp_path: Path) -> None:
    raws = [trade(0), b'{"neither":1}', trade(1), b'{"neither":2}']
    replay = Replay(tmp_path, raws)
    ear = replay.ear(STREAM)
    replay.play()
    assert ear.heard == [raws[0], raws[2]]
    assert replay.player.undecodable == 2
    assert [skipped.line[1] for skipped in replay.player.skipped] == [raws[1]]


def test_other_envelopes_are_sent_in_the_usual_one(tmp_path: Path) -> None:
    bare = trade(1).partition(b'"data":')[2][:-1]
    spaced = trade(2).replace(b'","data":', b'", "data": ')
    replay = Replay(tmp_path, [trade(0), bare, spaced])
    ear = replay.ear(STREAM)
    replay.play()
    assert ear.heard == [trade(0), trade(1), trade(2)]
