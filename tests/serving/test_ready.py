"""What a server prints when it is ready, and at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs
from stage import BTCUSDT, open_plant

from tickerplant.config import kinds
from tickerplant.faults.board import FaultBoard
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


def offer_of(*symbols: str, **fields: Any) -> Offer:
    plant = open_plant([structs.replace(BTCUSDT, symbol=each, pair=each) for each in symbols])
    offer = Offer(
        urls={"usdm": ADDRESS, "coinm": "127.0.0.1:9002"},
        schemes=("ws", "http"),
        profile=plant.profile.name,
        symbol_counts=symbol_counts_of(plant),
        examples=examples_of(plant),
    )
    return structs.replace(offer, **fields)


@pytest.mark.parametrize(
    ("symbols", "offered"),
    [
        (("BTCUSDT",), "/v1/ticker/bookTicker?symbol=BTCUSDT'"),
        ((HOSTILE, "币安人生USDT"), "/v1/ticker/bookTicker?symbol=币安人生USDT'"),
        ((HOSTILE, "A\n"), "/v1/exchangeInfo'"),
    ],
)
def test_what_is_offered_to_paste_holds_nothing_for_a_shell(
    symbols: tuple[str, ...], offered: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()  # nor does it need the current folder
    text = ready_line(offer_of(*symbols), as_json=False)
    assert "PWNED" not in text
    _, _, title, curl, *_ = lines = text.split("\n")
    assert title == "Try:"
    assert curl.startswith(f"  curl 'http://{ADDRESS}/fapi")
    assert curl.endswith(offered)
    assert all(line.isprintable() for line in lines)


BROWSER = f"In a browser: http://{ADDRESS}/"
STANDS = "Market time stands still; ten seconds of it pass with\n  %s"
STEP = f" control step 10s --url http://{ADDRESS}"


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"has_window": True}, (BROWSER,)),
        ({"hosts": ["127.0.0.1", "::1"]}, ("127.0.0.1, ::1.",)),
        ({"stands_still": True}, (STANDS % "", STEP)),
        (
            {"stands_still": True, "token": "a b"},
            (STANDS % "TICKERPLANT_CONTROL_TOKEN='a b' ", STEP),
        ),
    ],
)
def test_a_page_for_browsers_hosts_and_time_that_stands_still_are_named_where_they_are(
    fields: dict[str, Any], shown: tuple[str, ...]
) -> None:
    plain, text = (ready_line(offer_of("BTCUSDT", **each), as_json=False) for each in ({}, fields))
    for each in shown:
        assert each in text
        assert each not in plain


@pytest.mark.parametrize(
    ("bound", "shown"),
    [("0.0.0.0", "127.0.0.1"), ("[::]", "127.0.0.1"), ("[::1]", "[::1]"), ("10.0.0.7", "10.0.0.7")],  # noqa: S104
)
def test_the_addresses_are_those_that_this_machine_can_open(bound: str, shown: str) -> None:
    urls = {"usdm": f"{bound}:9001", "coinm": f"{bound}:9002"}
    offer = offer_of("BTCUSDT", urls=urls, has_window=True)
    text = ready_line(offer, as_json=False)
    assert f"In a browser: http://{shown}:9001/" in text
    addresses = msgspec.json.decode(ready_line(offer, as_json=True), type=Ready).venues["coinm"]
    assert addresses.rest == f"http://{shown}:9002"


def test_json_lines_hold_the_addresses_and_the_totals() -> None:
    offer = offer_of("BTCUSDT")
    line = ready_line(offer, as_json=True)
    ready = msgspec.json.decode(line, type=Ready)
    assert "\n" not in line
    assert ready.profile == offer.profile
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
    (line,) = totals_lines(served, None, 1.25, "interrupted", as_json=False)
    assert line == "Served 2 messages, 30 bytes, to 1 connection in 1.2 s.", "an edge has no events"


@pytest.mark.parametrize(
    ("rules", "has"),
    [("drop=0.1", False), ("http_delay=3s@0.2", False), ("reset=30s", True), ("delay=2s", True)],
)
def test_faults_by_time_at_connections_are_told_apart(rules: str, has: bool) -> None:
    board = FaultBoard(ConnectionClock(lambda: 0))
    board.switch(kinds.read_faults(rules))
    assert has_times(board) is has
