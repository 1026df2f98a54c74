from __future__ import annotations

import asyncio

from tickerplant.faults.clock import MarketClock
from tickerplant.market.timers import Timers
from tickerplant.server.faults.transport import FaultyTransport

START_MS = 1_767_225_600_000


class Sink(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def faulty(sink: Sink, timers: Timers) -> FaultyTransport:
    clock = MarketClock(timers)
    return FaultyTransport(
        sink,
        clock,
        sent_ms=lambda: clock.now_ms,
        max_bytes=1_000_000,
        overflow=lambda: None,
        receive=lambda _: None,
        abandon=lambda _: None,
        behind=lambda _: None,
        is_paused=False,
    )


def test_late_data_is_no_later_when_the_market_goes_back() -> None:
    timers, sink = Timers(START_MS), Sink()
    transport = faulty(sink, timers)
    transport.set_latency("f1", lambda _: 200)
    timers.advance(START_MS + 3_600_000)
    transport.write(b"before")
    timers.advance(START_MS + 3_600_050)
    timers.restart(START_MS)
    timers.advance(START_MS + 10)
    transport.write(b"after")
    timers.advance(START_MS + 149)
    assert sink.written == []
    timers.advance(START_MS + 150)
    assert sink.written == [b"before"]
    timers.advance(START_MS + 210)
    assert sink.written == [b"before", b"after"]


def test_a_narrow_line_takes_as_much_as_before_when_the_market_goes_back() -> None:
    timers, sink = Timers(START_MS), Sink()
    transport = faulty(sink, timers)
    transport.set_rate("f1", 1_000)
    timers.advance(START_MS + 3_600_000)
    transport.write(bytes(100))
    timers.restart(START_MS)
    timers.advance(START_MS + 100)
    assert 90 <= sum(map(len, sink.written)) <= 100
    timers.advance(START_MS + 200)
    assert sum(map(len, sink.written)) == 100
