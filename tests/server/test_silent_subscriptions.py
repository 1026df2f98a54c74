from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
import structlog
from stage import Listener, open_plant

from tickerplant import logs
from tickerplant.hub.hub import Hub
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.profile import CURRENT
from tickerplant.server.endpoint import MAX_SILENT_AT_ONCE, MAX_SILENT_LOGGED, SilentSubscriptions

KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    output = io.StringIO()
    logs.configure("text", "info", output)
    yield output
    structlog.reset_defaults()
    logging.getLogger().handlers.clear()


class Port:
    """Somebody subscribes at a port, and its silent names are noted."""

    def __init__(self, plant: Plant | None = None) -> None:
        self.hub: Hub = (plant or open_plant()).hubs["usdm"]
        self.complaints = Complaints()
        self._noted = SilentSubscriptions(self.hub, self.complaints)

    def subscribe(self, *names: str, route: str = "") -> None:
        silent = self.hub.subscribe(Listener(), names, route)
        if silent:
            self._noted.add("c1", silent)


def lines(written: io.StringIO) -> list[str]:
    """The lines since the last time, without their times."""
    found = [line.partition(" ")[2] for line in written.getvalue().splitlines()]
    written.seek(0)
    written.truncate()
    return found


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("BTCUSDT@trade", "unknown stream stream=BTCUSDT@trade why='names are case-sensitive: btcusdt@trade'"),
        ("btcu\u017fdt@trade", "unknown stream stream=btcu\u017fdt@trade why='no stream has this name'"),
        ("btcusdt@trades", "unknown stream stream=btcusdt@trades why='no stream has this name; did you mean btcusdt@trade?'"),
        ("btcusdt@depth5@250ms", "unknown stream stream=btcusdt@depth5@250ms why='its speed is one of 100, 500, not 250; the one of 250 ms is btcusdt@depth5'"),
        ("btcustd@trade", "unknown symbol stream=btcustd@trade why='no such symbol is listed now; did you mean btcusdt@trade?'"),
        ("zzzusdt@trade", "unknown symbol stream=zzzusdt@trade why='no such symbol is listed now'"),
        ("zzzusdt_perpetual@continuousKline_1m", "unknown symbol stream=zzzusdt_perpetual@continuousKline_1m why='no such pair is listed now'"),
        ("btcusdt@compositeIndex", "unknown symbol stream=btcusdt@compositeIndex why='the stream does not cover BTCUSDT'"),
        ("btcusd_perp@trade", "unknown symbol stream=btcusd_perp@trade why='its symbol has the form of one of COIN-M, not of USDⓈ-M'"),
        ("!assetIndex@arr", "unknown symbol stream=!assetIndex@arr why='none of its subjects is listed now'"),
    ],
)  # fmt: skip
def test_a_silent_name_is_logged_with_what_is_wrong(
    written: io.StringIO, name: str, line: str
) -> None:
    Port().subscribe(name)
    assert lines(written) == [f"WARNING c1 ! a subscription is silent: {line}"]


def test_a_stream_on_the_wrong_path_is_logged_with_the_right_one(written: io.StringIO) -> None:
    port = Port(open_plant(profile=CURRENT, strict_routing=True))
    port.subscribe("btcusdt@aggTrade", route="public")
    (line,) = lines(written)
    assert "wrong route stream=btcusdt@aggTrade why='delivered under /market only'" in line


def test_each_name_is_logged_once_and_counted_every_time(written: io.StringIO) -> None:
    port = Port()
    for name in ("no@such", "no@such", "other@such", "no@such", "zzzusdt@trade"):
        port.subscribe(name)
    assert len(lines(written)) == 3
    assert port.complaints.counts == {"silent: unknown stream": 4, "silent: unknown symbol": 1}


def test_of_a_message_with_many_silent_names_a_few_are_logged(written: io.StringIO) -> None:
    port = Port()
    port.subscribe(*(f"no@such{number}" for number in range(700)))
    *first, last = lines(written)
    assert len(first) == MAX_SILENT_AT_ONCE
    assert (
        last
        == f"WARNING c1 ! {700 - MAX_SILENT_AT_ONCE} more subscriptions of the message are silent"
    )
    assert port.complaints.counts["silent: unknown stream"] == 700


@pytest.mark.heavy
def test_the_log_ends_with_one_line_that_says_so(written: io.StringIO) -> None:
    port = Port()
    for number in range(MAX_SILENT_LOGGED + 50):
        port.subscribe(f"no@such{number}")
    found = lines(written)
    assert len(found) == MAX_SILENT_LOGGED + 1
    assert (
        found[-1]
        == f"WARNING ! {MAX_SILENT_LOGGED} silent names are in the log; others are only counted"
    )
    assert port.complaints.counts["silent: unknown stream"] == MAX_SILENT_LOGGED + 50
    port.subscribe(*(f"more@such{number}" for number in range(9)))
    assert lines(written) == []


def test_a_key_with_dashes_that_was_sent_as_an_interval_is_not_logged(
    written: io.StringIO,
) -> None:
    key = "3f2b8c1e-9d4a-4e7b-8a6f-5c0d1e2f3a4b"
    Port().subscribe(f"btcusdt@kline_{key}", f"btcusdt@{key}", f"{key}@trade")
    assert "3f2b" not in written.getvalue()
    assert len(lines(written)) == 3


@pytest.mark.parametrize(
    "name", [KEY, f"{KEY}@trade", f"{KEY.upper()}@trade", f"btcusdt@kline_{KEY}", f"{KEY} {KEY}"]
)
def test_a_key_that_was_sent_as_a_name_is_not_logged(written: io.StringIO, name: str) -> None:
    Port().subscribe(name)
    (line,) = lines(written)
    assert KEY[:25] not in line.lower()


def test_control_characters_never_reach_the_terminal(written: io.StringIO) -> None:
    Port().subscribe("btcusdt@\x1b[2J", "btcusdt@kline_\x1b]0;", "a\nb@trade")
    assert "\x1b" not in written.getvalue()
    assert len(lines(written)) == 3
