from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blocks import line_file
from played import NS, START_MS, trade
from stage import Listener, listen

from tickerplant.envelope import wrap
from tickerplant.plant import Plant
from tickerplant.replaying.player import VerbatimPlayer
from tickerplant.replaying.scan import scan

STREAM = "btcusdt@trade"


def message(n: int) -> bytes:
    return wrap(STREAM, trade(n))


class Replay:
    """A plant and a verbatim player of `raws`."""

    def __init__(self, folder: Path, raws: Sequence[bytes]) -> None:
        self.lines = [((START_MS + n) * NS, raw) for n, raw in enumerate(raws)]
        found = scan([line_file(folder / "lines", self.lines)])
        self.plant = Plant(found.instruments, start_ms=found.start_ms)
        self.player = VerbatimPlayer(self.plant, found, found.files[0])
        self.plant.start_passthrough("usdm", found.streams("usdm"))
        self.hub = self.plant.hubs["usdm"]

    def subscriber(self, *names: str, combined: bool = True) -> Listener:
        listener = listen(self.plant, names)
        self.hub.set_combined(listener, combined)
        return listener

    def play(self, start: int = 0, end: int | None = None) -> None:
        self.player.play(self.lines[start:end])
        self.hub.flush()


def test_messages_are_sent_as_they_are_and_nothing_is_derived(tmp_path: Path) -> None:
    raws = [message(n) for n in range(5)]
    replay = Replay(tmp_path, raws)
    subscriber, other = (
        replay.subscriber(STREAM),
        replay.subscriber("btcusdt@aggTrade", "btcusdt@kline_1m"),
    )
    replay.play()
    replay.plant.advance(START_MS + 120_000)
    replay.hub.flush()
    assert subscriber.texts() == raws
    assert other.texts() == [], "expected nothing to be derived"
    assert len(replay.plant.markets["BTCUSDT"].trades) == 0, "expected no state"


def test_a_new_subscriber_receives_the_following_messages(tmp_path: Path) -> None:
    raws = [message(n) for n in range(6)]
    replay = Replay(tmp_path, raws)
    first = replay.subscriber(STREAM)
    replay.play(0, 2)
    second = replay.subscriber(STREAM, combined=False)
    replay.play(2, 4)
    replay.hub.remove(first)
    replay.play(4)
    assert first.texts() == raws[:4]
    assert second.texts() == [raw.partition(b'"data":')[2][:-1] for raw in raws[2:]]


def test_a_stream_without_subscribers_is_not_sent(tmp_path: Path) -> None:
    raws = [message(n) for n in range(4)]
    replay = Replay(tmp_path, raws)
    replay.play(0, 2)
    subscriber = replay.subscriber(STREAM)
    replay.play(2)
    assert subscriber.texts() == raws[2:]


def test_market_time_goes_on_with_the_last_message_that_has_one(tmp_path: Path) -> None:
    replay = Replay(tmp_path, [message(1), message(7), b'{"result":null,"id":1}'])
    replay.play()
    assert replay.plant.now_ms == START_MS + 7


def test_lines_that_are_not_messages_are_skipped_and_reported_once(tmp_path: Path) -> None:
    raws = [message(0), b'{"neither":1}', message(1), b'{"neither":2}']
    replay = Replay(tmp_path, raws)
    subscriber = replay.subscriber(STREAM)
    replay.play()
    assert subscriber.texts() == [raws[0], raws[2]]
    assert replay.player.undecodable == 2
    assert [skipped.line[1] for skipped in replay.player.skipped] == [raws[1]]


def test_other_envelopes_are_sent_in_the_usual_one(tmp_path: Path) -> None:
    bare = message(1).partition(b'"data":')[2][:-1]
    spaced = message(2).replace(b'","data":', b'", "data": ')
    replay = Replay(tmp_path, [message(0), bare, spaced])
    subscriber = replay.subscriber(STREAM)
    replay.play()
    assert subscriber.texts() == [message(0), message(1), message(2)]
