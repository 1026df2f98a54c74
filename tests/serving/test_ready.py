"""What a server prints when it is ready, and at the end."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec import structs
from stage import BTCUSDT, open_plant

from tickerplant.config import kinds
from tickerplant.faults.board import FaultBoard
from tickerplant.plant import Plant
from tickerplant.server.faults.clock import ConnectionClock
from tickerplant.server.totals import Totals as ServerTotals
from tickerplant.serving.run import has_times
from tickerplant.startup.lines import Ready, Totals
from tickerplant.startup.ready import (
    Offer,
    examples_of,
    ready_line,
    symbol_counts_of,
    totals_lines,
)

ADDRESS = "127.0.0.1:9001"
HOSTILE = "X'; echo PWNED; #\x1b]0;title\x07"


def offer_of(plant: Plant) -> Offer:
    return Offer(
        urls={"usdm": ADDRESS, "coinm": "127.0.0.1:9002"},
        schemes=("ws", "http"),
        profile=plant.profile.name,
        symbol_counts=symbol_counts_of(plant),
        examples=examples_of(plant),
    )


@pytest.mark.parametrize(
    ("symbols", "offered"),
    [
        (("BTCUSDT",), "/v1/ticker/bookTicker?symbol=BTCUSDT'"),
        ((HOSTILE, "币安人生USDT"), "/v1/ticker/bookTicker?symbol=币安人生USDT'"),
        ((HOSTILE, "A\n"), "/v1/exchangeInfo'"),
    ],
)
def test_what_is_offered_to_paste_holds_nothing_for_a_shell(
    symbols: tuple[str, ...], offered: str
) -> None:
    plant = open_plant([structs.replace(BTCUSDT, symbol=each, pair=each) for each in symbols])
    text = ready_line(offer_of(plant), as_json=False)
    assert "PWNED" not in text
    _, _, title, curl, *_ = lines = text.split("\n")
    assert title == "Try:"
    assert curl.startswith(f"  curl 'http://{ADDRESS}/fapi")
    assert curl.endswith(offered)
    assert all(line.isprintable() for line in lines)


def test_the_address_is_told_where_the_current_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    assert ADDRESS in ready_line(offer_of(open_plant([BTCUSDT])), as_json=False)


def test_the_address_for_browsers_is_named_if_they_get_a_page() -> None:
    offer = offer_of(open_plant([BTCUSDT]))
    assert "browser" not in ready_line(offer, as_json=False)
    *_, line = ready_line(structs.replace(offer, has_window=True), as_json=False).split("\n")
    assert line == f"In a browser: http://{ADDRESS}/"


@pytest.mark.parametrize(
    ("token", "given"), [("", ""), ("a b", "TICKERPLANT_CONTROL_TOKEN='a b' ")]
)
def test_a_market_that_stands_still_is_said_to_with_the_command_that_lets_it_go_on(
    token: str, given: str
) -> None:
    offer = structs.replace(offer_of(open_plant([BTCUSDT])), token=token)
    assert "stands still" not in ready_line(offer, as_json=False)
    *_, title, command = ready_line(structs.replace(offer, stands_still=True), as_json=False).split(
        "\n"
    )
    assert title == "Market time stands still; ten seconds of it pass with"
    assert command.startswith(f"  {given}")
    assert command.endswith(f" control step 10s --url http://{ADDRESS}")


@pytest.mark.parametrize(
    ("bound", "shown"),
    [("0.0.0.0", "127.0.0.1"), ("[::]", "127.0.0.1"), ("[::1]", "[::1]"), ("10.0.0.7", "10.0.0.7")],  # noqa: S104
)
def test_the_addresses_are_those_that_this_machine_can_open(bound: str, shown: str) -> None:
    urls = {"usdm": f"{bound}:9001", "coinm": f"{bound}:9002"}
    offer = structs.replace(offer_of(open_plant([BTCUSDT])), urls=urls, has_window=True)
    text = ready_line(offer, as_json=False)
    assert f"In a browser: http://{shown}:9001/" in text
    addresses = msgspec.json.decode(ready_line(offer, as_json=True), type=Ready).venues["coinm"]
    assert addresses.rest == f"http://{shown}:9002"


def test_every_host_is_named_if_there_are_several() -> None:
    hosts = ["127.0.0.1", "::1"]
    offer = structs.replace(offer_of(open_plant([BTCUSDT])), hosts=hosts)
    assert "127.0.0.1, ::1." in ready_line(offer, as_json=False)


def test_json_lines_hold_the_addresses_and_the_totals() -> None:
    plant = open_plant([BTCUSDT])
    line = ready_line(offer_of(plant), as_json=True)
    ready = msgspec.json.decode(line, type=Ready)
    assert "\n" not in line
    assert ready.profile == plant.profile.name
    assert list(ready.venues) == ["usdm", "coinm"]
    usdm = ready.venues["usdm"]
    assert (usdm.streams, usdm.rest) == (f"ws://{ADDRESS}", f"http://{ADDRESS}")
    assert usdm.api == f"ws://{ADDRESS}/ws-fapi/v1"
    assert (usdm.symbols, ready.venues["coinm"].symbols) == (1, 0)
    served = ServerTotals(messages=2, sent_bytes=30, connections=1)
    (line,) = totals_lines(served, 7, 1.23456, "interrupted", ["a line"], as_json=True)
    totals = msgspec.json.decode(line, type=Totals)
    assert (totals.messages, totals.bytes, totals.connections, totals.events) == (2, 30, 1, 7)
    assert totals.ended == "interrupted"
    assert totals.seconds == 1.235
    assert totals.recorded == ("a line",)


def test_the_totals_of_an_edge_tell_of_no_events() -> None:
    served = ServerTotals(messages=2, sent_bytes=30, connections=1)
    (line,) = totals_lines(served, None, 1.25, "interrupted", as_json=False)
    assert line == "Served 2 messages, 30 bytes, to 1 connection in 1.2 s."


@pytest.mark.parametrize(
    ("rules", "has"),
    [("drop=0.1", False), ("http_delay=3s@0.2", False), ("reset=30s", True), ("delay=2s", True)],
)
def test_faults_by_time_at_connections_are_told_apart(rules: str, has: bool) -> None:
    board = FaultBoard(ConnectionClock(lambda: 0))
    board.switch(kinds.read_faults(rules))
    assert has_times(board) is has
