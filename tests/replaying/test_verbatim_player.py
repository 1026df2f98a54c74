from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tickerplant.frames import payloads
from tickerplant.plant import Plant
from tickerplant.replaying.player import VerbatimPlayer
from tickerplant.replaying.scan import scan

START_MS = 1_723_161_256_000
STREAM = "btcusdt@trade"


class Subscriber:
    """A subscriber that keeps what it is sent."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.received += payloads(data)


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

    def subscriber(self, *names: str, combined: bool = True) -> Subscriber:
        subscriber = Subscriber()
        self.hub.set_combined(subscriber, combined)
        self.hub.subscribe(subscriber, names)
        return subscriber

    def play(self, start: int = 0, end: int | None = None) -> None:
        self.player.play(self.lines[start:end])
        self.hub.flush()


def test_messages_are_sent_as_they_are_and_nothing_is_derived(tmp_path: Path) -> None:
    raws = [trade(n) for n in range(5)]
    replay = Replay(tmp_path, raws)
    subscriber, other = (
        replay.subscriber(STREAM),
        replay.subscriber("btcusdt@aggTrade", "btcusdt@kline_1m"),
    )
    replay.play()
    replay.plant.advance(START_MS + 120_000)
    replay.hub.flush()
    assert subscriber.received == raws
    assert other.received == [], "expected nothing to be derived"
    assert len(replay.plant.markets["BTCUSDT"].trades) == 0, "expected no state"


def test_a_new_subscriber_receives_the_following_messages(tmp_path: Path) -> None:
    raws = [trade(n) for n in range(6)]
    replay = Replay(tmp_path, raws)
    first = replay.subscriber(STREAM)
    replay.play(0, 2)
    second = replay.subscriber(STREAM, combined=False)
    replay.play(2, 4)
    replay.hub.remove(first)
    replay.play(4)
    assert first.received == raws[:4]
    assert second.received == [raw.partition(b'"data":')[2][:-1] for raw in raws[2:]]


def test_a_stream_without_subscribers_is_not_sent(tmp_path: Path) -> None:
    raws = [trade(n) for n in range(4)]
    replay = Replay(tmp_path, raws)
    replay.play(0, 2)
    subscriber = replay.subscriber(STREAM)
    replay.play(2)
    assert subscriber.received == raws[2:]


def test_market_time_goes_on_with_the_last_message_that_has_one(tmp_path: Path) -> None:
    replay = Replay(tmp_path, [trade(1), trade(7), b'{"result":null,"id":1}'])
    replay.play()
    assert replay.plant.now_ms == START_MS + 7


def test_lines_that_are_not_messages_are_skipped_and_reported_once(tmp_path: Path) -> None:
    raws = [trade(0), b'{"neither":1}', trade(1), b'{"neither":2}']
    replay = Replay(tmp_path, raws)
    subscriber = replay.subscriber(STREAM)
    replay.play()
    assert subscriber.received == [raws[0], raws[2]]
    assert replay.player.undecodable == 2
    assert [skipped.line[1] for skipped in replay.player.skipped] == [raws[1]]


def test_other_envelopes_are_sent_in_the_usual_one(tmp_path: Path) -> None:
    bare = trade(1).partition(b'"data":')[2][:-1]
    spaced = trade(2).replace(b'","data":', b'", "data": ')
    replay = Replay(tmp_path, [trade(0), bare, spaced])
    subscriber = replay.subscriber(STREAM)
    replay.play()
    assert subscriber.received == [trade(0), trade(1), trade(2)]
