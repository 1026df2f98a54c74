"""False alarms: streams as they really came, and as the simulated exchange publishes them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from silences import Watch, watch

from tickerplant import frames
from tickerplant.feed.expected_interval import ExpectedInterval
from tickerplant.feed.settings import ClientSettings
from tickerplant.plant import Plant
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.streams import resolve
from tickerplant.units import HOUR_MS
from tickerplant.venue import COINM, USDM, Venue

BESIDE = Path(__file__).parents[2].parent
CAPTURES = [
    "ws-*-hftbacktest/*.gz",
    "ws-*-cryptofeed/BINANCE_*.ws.1.0.gz",
    "ws-*-cryptofeed/BINANCE_FUTURES-1125a2.0.gz",
]
LINE = re.compile(rb'([0-9.]+):? {"stream": ?"([^"]+)"')
UNITS = {10: 1e3, 16: 1e-3, 19: 1e-6}
"""Milliseconds of the clocks of collectors, by the digits before the point."""


def looked_at(venue: Venue, name: str, times_ms: list[float]) -> Watch:
    return watch(ExpectedInterval(venue, name, ClientSettings()), times_ms)


def captured() -> Iterator[tuple[str, list[float]]]:
    """The streams of the captures, and when their messages were received."""
    for pattern in CAPTURES:
        for path in sorted(BESIDE.glob(f"*/data/{pattern}")):
            times: dict[str, list[float]] = {}
            with gzip.open(path) as file:
                for line in file:
                    if found := LINE.match(line):
                        received, name = found[1], found[2].decode()
                        unit = UNITS[len(received.partition(b".")[0])]
                        times.setdefault(name, []).append(float(received) * unit)
            for name, each in times.items():
                yield name, sorted(each)


@pytest.mark.slow("hours of captured messages")
def test_real_streams_raise_no_false_alarm() -> None:
    watches = [
        (name, looked_at(COINM if "usd_" in name else USDM, name, times_ms))
        for name, times_ms in captured()
    ]
    if not watches:
        pytest.skip("the captures are not beside the repository")
    assert sum(each.known_ms for _, each in watches) > 2 * HOUR_MS
    busy = ClientSettings().staleness.event_stream_stale_ms
    alarms = [(name, it) for name, each in watches for it in each.alarms if it.patience_ms < busy]
    assert not alarms
    books = [each for name, each in watches if name.endswith("depth@0ms")]
    patience = sorted(each.patience_ms or 0 for each in books)
    assert patience[len(patience) // 2] <= 2_000, "and a silent book is noticed soon"


class _Named(msgspec.Struct):
    stream: str


class Times:
    """When messages were published, by stream."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.of: dict[str, list[float]] = {}

    def write(self, data: bytes) -> None:
        for text in frames.payloads(data):
            name = msgspec.json.decode(text, type=_Named).stream
            self.of.setdefault(name, []).append(self.plant.now_ms)


@pytest.mark.heavy
def test_simulated_streams_raise_no_false_alarm_and_a_busy_book_is_missed_soon() -> None:
    start_ms, kinds = 1_767_225_600_000, ("depth@100ms", "bookTicker", "trade")
    listed = instruments(start_ms, ("BTCUSDT", "ADAUSDT"), None)
    market = SimulatedExchange(listed, seed=7, start_ms=start_ms, quoting=0.5)
    plant = Plant(listed, start_ms=start_ms)
    open_market(plant, market)
    times, hub = Times(plant), plant.hubs[USDM.name]
    hub.set_combined(times, True)
    for name in (f"{each.symbol.lower()}@{kind}" for each in listed for kind in kinds):
        found = resolve(USDM, name)
        assert found is not None
        hub.subscribe(times, [name], found[0].route)
    while market.next_time_ms < start_ms + 40_000:
        time_ms, events = market.step()
        plant.advance(time_ms)
        for event in events:
            plant.publish(event)
        hub.flush()
    watches = {name: looked_at(USDM, name, each) for name, each in times.of.items()}
    assert len(watches) == 6
    assert not any(each.alarms for each in watches.values())
    patience_ms = watches["btcusdt@depth@100ms"].patience_ms
    assert patience_ms is not None
    assert patience_ms <= 2_000
