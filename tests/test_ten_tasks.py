"""The ten programs of `examples/ten_tasks/` print what they are said to print, against one market."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from programs import USDM, Addresses, environment, first_lines, run, serving

import tickerplant
from tickerplant.messages import Trade

TASKS = Path(__file__).parent.parent / "examples" / "ten_tasks"
HOUR = "2026-11-22T09:00"
"""The start of the hour in the programs that read a recording; a test puts its own in its place."""
MINUTE_MS = 60_000
PRICE = r"\d+\.\d+"
BOOK = rf"(BTC|ETH)USDT {PRICE} \[(Level\(price='{PRICE}', quantity='{PRICE}'\)(, )?){{5}}\]"
LIVE = (
    ("best_prices.py", 20, f"{PRICE} {PRICE}"),
    ("best_prices_blocking.py", 20, f"{PRICE} {PRICE}"),
    ("trades_and_quote.py", 60, rf"BTCUSDT {PRICE} {PRICE}|(BTC|ETH)USDT (buy|sell) {PRICE} {PRICE}"),
    ("books_in_sync.py", 40, BOOK),
    ("candles_with_history.py", 501, rf"\d+ {PRICE}"),
)  # fmt: skip
"""Programs that do not end: how many lines are read, and what each is like, but for notices."""
RECORDED = ("hour_of_trades.py", "hour_with_books.py", "hour_replayed.py")

slow = pytest.mark.slow("programs are run beside a server")


@pytest.fixture(scope="module")
def market() -> Iterator[Addresses]:
    """A small simulated market in which a minute takes three seconds."""
    market = ("--seed", "7", "--speed", "20", "--symbols", "BTCUSDT,ETHUSDT")
    thin = ("--intensity", "0.2", "--quoting", "0.3")
    with serving("simulate", *market, *thin) as addresses:
        yield addresses


@pytest.fixture(scope="module")
def folder(market: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recording `tape` of that market, and the programs that read it."""
    folder = tmp_path_factory.mktemp("recorded")
    names = [f"{symbol}@{kind}" for symbol in ("btcusdt", "ethusdt") for kind in ("trade", "depth@100ms")]  # fmt: skip
    options = ("--url", f"ws://{market[USDM]}", "--out", "tape", "--duration", "2s")
    run(["-m", "tickerplant", "record", *options, *names], folder)
    start = tickerplant.open_recording(folder / "tape").start.isoformat()
    for program in RECORDED:
        text = (TASKS / program).read_text(encoding="utf-8")
        assert HOUR in text
        (folder / program).write_text(text.replace(HOUR, start), encoding="utf-8")
    return folder


@slow
@pytest.mark.parametrize(("program", "count", "like"), LIVE, ids=[row[0] for row in LIVE])
def test_what_is_live_is_printed(
    program: str, count: int, like: str, market: Addresses, tmp_path: Path
) -> None:
    printed = first_lines([str(TASKS / program)], tmp_path, count, environment(market))
    lines = [line for line in printed if not re.match(r"[A-Z]\w+\(", line)]
    assert not [line for line in lines if not re.fullmatch(like, line)]
    if program == "candles_with_history.py":
        opened = [int(line.split()[0]) for line in lines]
        assert {later - earlier for earlier, later in pairwise(opened)} == {MINUTE_MS}


@slow
def test_twenty_candles_follow_each_other(market: Addresses, tmp_path: Path) -> None:
    printed = run([str(TASKS / "twenty_candles.py")], tmp_path, environment(market))
    opened = [int(line.split()[0]) for line in printed.splitlines()]
    assert len(opened) == 20
    assert {later - earlier for earlier, later in pairwise(opened)} == {MINUTE_MS}


@slow
def test_gaps_are_told_where_messages_are_missing(tmp_path: Path) -> None:
    options = ("--seed", "7", "--speed", "20", "--symbols", "BTCUSDT", "--quoting", "0.3")
    program = [str(TASKS / "gaps_and_silence.py")]
    # In the time of a thousand trades, connections are reset about ten times.
    with serving("simulate", *options, "--fault", "reset=5s") as addresses:
        lines = first_lines(program, tmp_path, 1_000, environment(addresses))
    assert {"Disconnected", "Recovered", "Gap"} <= {line.partition("(")[0] for line in lines}
    last_id = 0
    for line in lines:
        if line.startswith("Gap("):
            found = re.search(r"after_id=(\d+), before_id=(\d+), missing=(\d+)", line)
            assert found
            assert int(found[1]) == last_id
            last_id = int(found[2]) - 1
        elif "(" not in line:
            trade_id = int(line.split()[0])
            assert trade_id == last_id + 1 or not last_id, f"{trade_id} after {last_id}"
            last_id = trade_id


@slow
def test_a_recorded_hour_is_read_as_a_table_with_its_books_and_as_a_market(folder: Path) -> None:
    tape = tickerplant.open_recording(folder / "tape")
    trades = [each for each in tape if isinstance(each, Trade)]
    table, with_books, replayed = (run([program], folder) for program in RECORDED)
    assert table.startswith(f"shape: ({len(trades):_}, ")
    rows = [line.split() for line in with_books.splitlines()]
    assert [row[:2] for row in rows] == [[str(each.trade_id), each.price] for each in trades]
    assert sum(row[2] != "None" for row in rows) > len(rows) / 2, "most books are in sync"
    assert replayed
    assert not [line for line in replayed.splitlines() if not re.fullmatch(BOOK, line)]


ROW = re.compile(r"^\| \d+ \| \[[^]]+\]\((\w+\.py)\) \| (\d+)\b", re.MULTILINE)


def test_the_line_counts_of_the_table_are_those_of_the_programs() -> None:
    table = (TASKS / "README.md").read_text(encoding="utf-8")
    counted = {
        path.name: sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        for path in TASKS.glob("*.py")
    }
    assert {name: int(lines) for name, lines in ROW.findall(table)} == counted
    assert len(counted) == 10
