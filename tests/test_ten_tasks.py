"""The ten programs of `examples/ten_tasks/` print what the market that they watch contains."""

from __future__ import annotations

import contextlib
import re
import urllib.request
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest
from programs import PATIENCE_S, USDM, Addresses, environment, first_lines, run, serving
from websockets.sync.client import connect

import tickerplant
from tickerplant.messages import DepthSnapshot, DepthUpdate, Trade

TASKS = Path(__file__).parent.parent / "examples" / "ten_tasks"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
HOUR = "2026-11-22T09:00"
"""The start of the hour in the programs that read a recording; a test puts its own in its place."""
MINUTE_MS = 60_000
DELAY_S = 0.5
"""How much later than another client the witness may receive a message."""


@pytest.fixture(scope="module")
def market() -> Iterator[Addresses]:
    """A small simulated market in which a minute takes three seconds."""
    options = ("--seed", "7", "--speed", "20", "--intensity", "0.2")
    with serving("simulate", *options, "--symbols", "BTCUSDT,ETHUSDT,BTCUSD_PERP") as addresses:
        yield addresses


@pytest.fixture(scope="module")
def folder(market: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recording `tape` of that market."""
    folder = tmp_path_factory.mktemp("recorded")
    names = [f"{each.lower()}@{kind}" for each in SYMBOLS for kind in ("trade", "depth@100ms")]
    options = ("--url", f"ws://{market[USDM]}", "--out", "tape", "--duration", "5s")
    run(["-m", "tickerplant", "record", *options, *names], folder)
    return folder


@contextlib.contextmanager
def witness(market: Addresses, *streams: str) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Receive streams with another client; yield a function that returns what came until now."""
    url = f"ws://{market[USDM]}/stream?streams={'/'.join(streams)}"
    with connect(url, max_queue=None, close_timeout=1) as socket:

        def received() -> list[dict[str, Any]]:
            payloads, end_s = [], monotonic() + DELAY_S
            with contextlib.suppress(TimeoutError):
                while True:
                    message = socket.recv(timeout=max(0.0, end_s - monotonic()))
                    payloads.append(msgspec.json.decode(message)["data"])
            return payloads

        socket.recv()  # the streams are being received
        yield received


def klines(market: Addresses) -> dict[int, str]:
    """Return the closing prices of minutes by their open times, as REST responds."""
    url = f"http://{market[USDM]}/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1000"
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:  # our own server
        return {row[0]: row[4] for row in msgspec.json.decode(response.read())}


@pytest.mark.sockets
@pytest.mark.heavy
@pytest.mark.parametrize("program", ["best_prices.py", "best_prices_blocking.py"])
def test_best_prices_are_those_of_the_stream(
    program: str, market: Addresses, tmp_path: Path
) -> None:
    with witness(market, "btcusdt@bookTicker") as received:
        lines = first_lines([str(TASKS / program)], tmp_path, 20, environment(market))
        sent = [f"{each['b']} {each['a']}" for each in received()]
    at = next(at for at in range(len(sent)) if sent[at : at + 20] == lines)
    assert at >= 0, "expected twenty messages in a row, none missing and none twice"


@pytest.mark.sockets
@pytest.mark.heavy
def test_trades_of_two_symbols_and_a_quote_are_told_apart(
    market: Addresses, tmp_path: Path
) -> None:
    streams = ("btcusdt@trade", "ethusdt@trade", "btcusdt@bookTicker")
    with witness(market, *streams) as received:
        lines = first_lines([str(TASKS / "trades_and_quote.py")], tmp_path, 60, environment(market))
        sent = set()
        for each in received():
            if each["e"] == "trade":
                side = "sell" if each["m"] else "buy"
                sent.add(f"{each['s']} {side} {each['q']} {each['p']}")
            else:
                sent.add(f"{each['s']} {each['b']} {each['a']}")
    assert set(lines) <= sent
    assert {len(line.split()) for line in lines} == {3, 4}


PRINTED_BOOK = re.compile(r"(\w+) ([\d.]+) \[(.*)\]")
PRINTED_LEVEL = re.compile(r"Level\(price='([\d.]+)', quantity='([\d.]+)'\)")


def between(bid: float, ask: float) -> float:
    """Return the mid price, without what binary fractions add to it."""
    return round((bid + ask) / 2, 6)


def assert_books(lines: list[str], mids: dict[str, set[float]]) -> None:
    """Fail unless each line is the top of a book whose mid price is one of `mids` of its symbol."""
    for line in lines:
        found = PRINTED_BOOK.fullmatch(line)
        assert found, line
        assert float(found[2]) in mids[found[1]], line
        prices = [float(price) for price, _ in PRINTED_LEVEL.findall(found[3])]
        assert len(prices) == 5
        assert prices == sorted(prices, reverse=True)
        assert prices[0] < float(found[2])


@pytest.mark.sockets
@pytest.mark.heavy
def test_books_have_the_mid_prices_of_the_best_prices(market: Addresses, tmp_path: Path) -> None:
    streams = [f"{each.lower()}@bookTicker" for each in SYMBOLS]
    with witness(market, *streams) as received:
        lines = first_lines([str(TASKS / "books_in_sync.py")], tmp_path, 40, environment(market))
        mids: dict[str, set[float]] = {each: set() for each in SYMBOLS}
        for each in received():
            mids[each["s"]].add(between(float(each["b"]), float(each["a"])))
    assert_books(lines, mids)
    assert {line.split()[0] for line in lines} == set(SYMBOLS)


@pytest.mark.sockets
@pytest.mark.heavy
def test_twenty_candles_are_those_of_rest(market: Addresses, tmp_path: Path) -> None:
    printed = run([str(TASKS / "twenty_candles.py")], tmp_path, environment(market))
    candles = [line.split() for line in printed.splitlines()]
    assert len(candles) == 20
    closed = klines(market)
    assert [closed[int(opened)] for opened, _ in candles[:-1]] == [
        price for _, price in candles[:-1]
    ]


@pytest.mark.sockets
@pytest.mark.heavy
def test_history_is_joined_to_live_candles(market: Addresses, tmp_path: Path) -> None:
    program = [str(TASKS / "candles_with_history.py")]
    lines = first_lines(program, tmp_path, 501, environment(market))
    told = [line.split() for line in lines if "(" not in line]  # a notice, on a slow machine
    candles = [(int(opened), price) for opened, price in told]
    assert len(candles) > 490
    assert {later - earlier for (earlier, _), (later, _) in pairwise(candles)} == {MINUTE_MS}
    closed = klines(market)
    assert [closed[opened] for opened, _ in candles] == [price for _, price in candles]


@pytest.mark.sockets
@pytest.mark.heavy
def test_gaps_are_told_where_messages_are_missing(tmp_path: Path) -> None:
    options = ("--seed", "7", "--speed", "20", "--symbols", "BTCUSDT", "--fault", "reset=20s")
    with serving("simulate", *options) as addresses:
        lines = first_lines(
            [str(TASKS / "gaps_and_silence.py")], tmp_path, 2000, environment(addresses)
        )
    kinds = {line.partition("(")[0] for line in lines if "(" in line}
    assert {"Disconnected", "Recovered", "Gap"} <= kinds
    last_id, missing = 0, 0
    for line in lines:
        if line.startswith("Gap("):
            found = re.search(r"after_id=(\d+), before_id=(\d+), missing=(\d+)", line)
            assert found
            assert int(found[1]) == last_id
            missing = int(found[3])
            last_id = int(found[2]) - 1
        elif "(" not in line:
            trade_id = int(line.split()[0])
            assert trade_id == last_id + 1 or not last_id, f"{trade_id} after {last_id}"
            last_id = trade_id
    assert missing > 0


def at_its_hour(program: str, folder: Path) -> str:
    """Write a program with the start of the recording `tape` in place of its hour; return its name."""
    text = (TASKS / program).read_text(encoding="utf-8")
    assert HOUR in text
    start = tickerplant.open_recording(folder / "tape").start.isoformat()
    (folder / program).write_text(text.replace(HOUR, start), encoding="utf-8")
    return program


def recorded_trades(folder: Path) -> list[Trade]:
    messages = tickerplant.open_recording(folder / "tape")
    return [each for each in messages if isinstance(each, Trade)]


def recorded_mids(folder: Path) -> dict[str, set[float]]:
    """Return every mid price of the recorded books, kept by the documented procedure in a few lines."""
    sides: dict[str, tuple[dict[float, float], dict[float, float]]] = {}
    mids: dict[str, set[float]] = {each: set() for each in SYMBOLS}
    ids = dict.fromkeys(SYMBOLS, 0)
    pending: dict[str, list[DepthUpdate]] = {each: [] for each in SYMBOLS}
    for each in tickerplant.open_recording(folder / "tape").with_snapshots():
        symbol = each.symbol
        if isinstance(each, DepthSnapshot):
            sides[symbol] = {}, {}
            ids[symbol] = each.last_update_id
            changes: list[DepthUpdate | DepthSnapshot] = [each, *pending[symbol]]
        elif isinstance(each, DepthUpdate):
            pending[symbol].append(each)
            changes = [each]
        else:
            continue
        if symbol not in sides:
            continue
        for change in changes:
            if isinstance(change, DepthUpdate) and change.final_update_id < ids[symbol]:
                continue
            for side, levels in zip(sides[symbol], (change.bids, change.asks), strict=True):
                for price, quantity in levels:
                    side[float(price)] = float(quantity)
                    if not float(quantity):
                        del side[float(price)]
            bids, asks = sides[symbol]
            mids[symbol].add(between(max(bids), min(asks)))
    return mids


@pytest.mark.sockets
@pytest.mark.heavy
def test_the_table_has_every_trade_of_the_recording(folder: Path) -> None:
    printed = run([at_its_hour("hour_of_trades.py", folder)], folder)
    trades = recorded_trades(folder)
    assert len(trades) > 10
    assert printed.startswith(f"shape: ({len(trades):_}, ")
    assert trades[0].price.rstrip("0") in printed


@pytest.mark.sockets
@pytest.mark.heavy
def test_every_trade_is_printed_with_its_book(folder: Path) -> None:
    printed = run([at_its_hour("hour_with_books.py", folder)], folder)
    rows = [line.split() for line in printed.splitlines()]
    trades = recorded_trades(folder)
    assert [(row[0], row[1]) for row in rows] == [
        (str(each.trade_id), each.price) for each in trades
    ]
    mids = recorded_mids(folder)
    known = [
        (each.symbol, float(row[2]))
        for each, row in zip(trades, rows, strict=True)
        if row[2] != "None"
    ]
    assert len(known) > len(trades) / 2, "expected that books are in sync most of the time"
    assert not [(symbol, mid) for symbol, mid in known if mid not in mids[symbol]]


@pytest.mark.sockets
@pytest.mark.heavy
def test_a_replayed_hour_has_the_books_of_the_recording(folder: Path) -> None:
    printed = run([at_its_hour("hour_replayed.py", folder)], folder)
    lines = printed.splitlines()
    assert lines
    assert_books(lines, recorded_mids(folder))


def test_only_the_origin_of_the_market_differs_between_live_and_replayed() -> None:
    live, replayed = (
        (TASKS / name).read_text(encoding="utf-8").splitlines()
        for name in ("books_in_sync.py", "hour_replayed.py")
    )
    (differing,) = [(a, b) for a, b in zip(live, replayed, strict=True) if a != b]
    assert [line.split("(")[0].strip() for line in differing] == [
        "async with tickerplant.connect",
        "async with tickerplant.replay",
    ]


ROW = re.compile(r"^\| \d+ \| \[[^]]+\]\((\w+\.py)\) \| (\d+)\b", re.MULTILINE)


def test_the_line_counts_of_the_table_are_those_of_the_programs() -> None:
    table = (TASKS / "README.md").read_text(encoding="utf-8")
    counted = {
        path.name: sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        for path in TASKS.glob("*.py")
    }
    assert {name: int(lines) for name, lines in ROW.findall(table)} == counted
    assert len(counted) == 10
