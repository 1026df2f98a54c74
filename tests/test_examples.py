"""The programs of `examples`, as their readers run them: what each prints last, against one market."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from programs import PATIENCE_S, ROOT, USDM, Addresses, environment, first_lines, run, serving

import tickerplant
from tickerplant.messages import Trade

EXAMPLES = ROOT / "examples"
TASKS = EXAMPLES / "ten_tasks"
BOT = EXAMPLES / "test_a_bot"
HOUR = "2026-11-22T09:00"
"""The start of the hour in the programs that read a recording; a test puts its own in its place."""
PRICE = r"\d+\.\d+"
BOOK = rf"(BTC|ETH)USDT {PRICE} \[(Level\(price='{PRICE}', quantity='{PRICE}'\)(, )?){{5}}\]"
STRATEGY = rf"(BTC|ETH)USDT {PRICE} -?{PRICE}"
NOTICE = r"[A-Z]\w+\(.*"
ENDING = {
    "plain_order_book.py BTCUSDT --compare 200 --streams ws://{usdm} --rest http://{usdm}": (
        r"BTCUSDT: 200 best prices compared, 0 differ"
    ),
    "local_order_book.py btcusdt": r"BTCUSDT: \d\d+ of \d+ levels are those of a fresh snapshot",
    "ask_book.py": r"weight spent: \d+ of 1920 a minute",
    "ten_tasks/twenty_candles.py": rf"\d+ {PRICE}",
}
"""Programs that end, with their arguments, and what their last line is like."""
ENDLESS = {
    "one_strategy.py live": (20, STRATEGY),
    "one_strategy.py simulated": (20, STRATEGY),
    "ten_tasks/best_prices.py": (20, f"{PRICE} {PRICE}"),
    "ten_tasks/best_prices_blocking.py": (20, f"{PRICE} {PRICE}"),
    "ten_tasks/trades_and_quote.py": (
        60,
        rf"BTCUSDT {PRICE} {PRICE}|(BTC|ETH)USDT (buy|sell) {PRICE} {PRICE}",
    ),
    "ten_tasks/books_in_sync.py": (40, BOOK),
    "ten_tasks/candles_with_history.py": (501, rf"\d+ {PRICE}"),
}
"""Programs that do not end: how many lines are read, and what each is like that is no notice."""

slow = pytest.mark.slow("programs are run beside a server")


@pytest.fixture(scope="module")
def market() -> Iterator[Addresses]:
    """A small simulated market in which a minute takes three seconds."""
    market = ("--seed", "7", "--speed", "20", "--symbols", "BTCUSDT,ETHUSDT,BTCUSD_PERP")
    with serving("simulate", *market, "--intensity", "0.2", "--quoting", "0.3") as addresses:
        yield addresses


@pytest.fixture(scope="module")
def folder(market: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recording `tape` of that market."""
    folder = tmp_path_factory.mktemp("recorded")
    kinds = ("trade", "depth@100ms")
    names = [f"{symbol}@{kind}" for symbol in ("btcusdt", "ethusdt") for kind in kinds]
    options = ("--url", f"ws://{market[USDM]}", "--out", "tape", "--duration", "2s")
    run(["-m", "tickerplant", "record", *options, *names], folder)
    return folder


def words_of(command: str, market: Addresses) -> list[str]:
    name, *arguments = command.format(usdm=market[USDM]).split()
    return [str(EXAMPLES / name), *arguments]


@slow
@pytest.mark.parametrize("command", ENDING)
def test_a_program_ends_with_what_it_promises(
    command: str, market: Addresses, tmp_path: Path
) -> None:
    printed = run(words_of(command, market), tmp_path, environment(market))
    assert re.fullmatch(ENDING[command], printed.splitlines()[-1]), printed


@slow
@pytest.mark.parametrize("command", ENDLESS)
def test_a_program_prints_what_is_live(command: str, market: Addresses, tmp_path: Path) -> None:
    count, like = ENDLESS[command]
    lines = first_lines(words_of(command, market), tmp_path, count, environment(market))
    assert not [line for line in lines if not re.fullmatch(f"{like}|{NOTICE}", line)]


@slow
def test_what_was_recorded_can_be_replayed(market: Addresses, tmp_path: Path) -> None:
    names = ("btcusdt@trade", "btcusdt@depth@0ms", "ethusdt@depth")
    where = ("--streams", f"ws://{market[USDM]}", "--rest", f"http://{market[USDM]}")
    program = [str(EXAMPLES / "record.py"), "market.txt", *names, *where, "--seconds", "1"]
    messages = int(re.findall(r"(\d+) messages", run(program, tmp_path))[0])
    options = ("--speed", "0", "--wait-for", "0", "--exit-at-end", "--usdm-port", "0")
    replay = ["-m", "tickerplant", "replay", "market.txt", *options, "--coinm-port", "0"]
    events = int(re.findall(r"from ([\d,]+) events", run(replay, tmp_path))[0].replace(",", ""))
    assert events >= messages > 0, "expected each recorded message, and the snapshots, as events"


@slow
def test_a_recorded_hour_is_a_table_has_books_and_is_a_market(folder: Path) -> None:
    tape = tickerplant.open_recording(folder / "tape")
    trades = [each for each in tape if isinstance(each, Trade)]
    printed = []
    for name in ("hour_of_trades.py", "hour_with_books.py", "hour_replayed.py"):
        text = (TASKS / name).read_text(encoding="utf-8")
        assert HOUR in text
        (folder / name).write_text(text.replace(HOUR, tape.start.isoformat()), encoding="utf-8")
        printed.append(run([name], folder))
    table, with_books, replayed = printed
    assert table.startswith(f"shape: ({len(trades):_}, ")
    rows = [line.split() for line in with_books.splitlines()]
    assert [row[:2] for row in rows] == [[str(each.trade_id), each.price] for each in trades]
    assert re.fullmatch(BOOK, replayed.splitlines()[-1])
    strategy = run([str(EXAMPLES / "one_strategy.py"), "tape"], folder)
    assert re.fullmatch(STRATEGY, strategy.splitlines()[-1])


@slow
def test_gaps_are_told_where_messages_are_missing(tmp_path: Path) -> None:
    options = ("--seed", "7", "--speed", "20", "--symbols", "BTCUSDT", "--quoting", "0.3")
    # In the time of a thousand trades, connections are reset about ten times.
    with serving("simulate", *options, "--fault", "reset=5s") as addresses:
        program = [str(TASKS / "gaps_and_silence.py")]
        lines = first_lines(program, tmp_path, 1_000, environment(addresses))
    assert {"Disconnected", "Recovered", "Gap"} <= {line.partition("(")[0] for line in lines}
    last_id = 0
    for line in lines:
        if found := re.match(r"Gap\(.*after_id=(\d+), before_id=(\d+)", line):
            assert int(found[1]) == last_id
            last_id = int(found[2]) - 1
        elif "(" not in line:
            trade_id = int(line.split()[0])
            assert trade_id == last_id + 1 or not last_id, f"{trade_id} after {last_id}"
            last_id = trade_id


def test_the_line_counts_of_the_ten_tasks_are_those_of_the_programs() -> None:
    table = (TASKS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| \[[^]]+\]\((\w+\.py)\) \| (\d+)\b", table, re.MULTILINE)
    counted = {
        path.name: sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        for path in TASKS.glob("*.py")
    }
    assert {name: int(lines) for name, lines in rows} == counted
    assert len(counted) == 10


# Other languages, the bot of the tutorial, the notebook


def ended(folder: Path, *command: str) -> str:
    """Run a program, for which `tickerplant` is this one, to whatever end; return what it printed."""
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"there is no {command[0]}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(  # noqa: S603  # our own examples
        [program, *command[1:]],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.stdout + done.stderr


@slow
def test_a_suite_in_javascript_tests_its_book(tmp_path: Path) -> None:
    node = ("node", "--experimental-websocket")
    if "function" not in ended(tmp_path, *node, "-p", "typeof WebSocket"):
        pytest.skip("this Node has no WebSockets")
    printed = ended(tmp_path, *node, "--test", str(EXAMPLES / "any_language" / "book.test.mjs"))
    assert re.search(r"\bfail 0\b", printed), printed
    assert re.search(r"\bpass [1-9]", printed), printed


@slow
def test_a_script_tests_best_prices_with_curl(tmp_path: Path) -> None:
    if not (shutil.which("curl") and shutil.which("jq")):
        pytest.skip("there is no curl or no jq")
    printed = ended(tmp_path, "bash", str(EXAMPLES / "any_language" / "smoke.sh"))
    assert "are the exchange's" in printed.splitlines()[-1], printed


@slow
@pytest.mark.parametrize(
    ("program", "mistakes"),
    [
        (
            "bot.py",
            {
                "the_book_is_right_after_an_update_was_lost": "the book of BTCUSDT differs",
                "a_trade_that_comes_twice_counts_once": "was counted 2 times",
                "the_bot_does_not_trade_while_it_hears_nothing": "assert not True",
            },
        ),
        ("mended_bot.py", {}),
    ],
)
def test_a_bot_of_the_tutorial_fails_exactly_the_tests_of_its_mistakes(
    program: str, mistakes: dict[str, str], tmp_path: Path
) -> None:
    shutil.copy(BOT / program, tmp_path / "bot.py")
    shutil.copy(BOT / "test_bot.py", tmp_path)
    # The plugin, whether or not this installation knows its entry point.
    plugin = ("-p", "no:tickerplant", "-p", "tickerplant.testing.plugin")
    options = ("-rA", "--tb=short", "-p", "no:cacheprovider")
    printed = ended(tmp_path, sys.executable, "-m", "pytest", *options, *plugin)
    failed = re.findall(r"^FAILED test_bot.py::test_(\w+)", printed, re.MULTILINE)
    assert {*failed} == mistakes.keys(), printed
    assert all(words in printed for words in mistakes.values()), printed
    assert f"{3 - len(mistakes)} passed" in printed or mistakes


NOTEBOOK = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))
SHORTER = {'duration="1m"': 'duration="20s"', '"--duration", "2m"': '"--duration", "40s"'}
"""The lengths of its markets, and those for the test."""
BEFORE = "import matplotlib.pyplot\nmatplotlib.pyplot.show = lambda: None\n"
"""Without a screen; figures stay open, so that they can be looked at afterwards."""
AFTER = """
import json
print(json.dumps({
    "figures": [len(plt.figure(number).axes) for number in plt.get_fignums()],
    "quotes": len(quotes), "trades": len(trades), "table": table.height,
    "traded": [seconds["bought"].sum() + seconds["sold"].sum(), table["quantity"].sum()],
    "in_order": all(bids[0].price < mid < asks[0].price for _, mid, bids, asks in sampled),
    "tape": str(tape),
}))
"""


def test_jupyter_can_open_the_notebook_which_is_kept_without_outputs() -> None:
    nbformat.validate(NOTEBOOK)
    cells = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert [cell["id"] for cell in cells if cell["outputs"] or cell["execution_count"]] == []


@slow
def test_the_cells_of_the_notebook_run_one_after_the_other(tmp_path: Path) -> None:
    cells = ["".join(each["source"]) for each in NOTEBOOK["cells"] if each["cell_type"] == "code"]
    program = "\n".join([BEFORE, *cells, AFTER])
    for usual, short in SHORTER.items():
        assert usual in program
        program = program.replace(usual, short)
    (tmp_path / "cells.py").write_text(program, encoding="utf-8")
    env = {**os.environ, "MPLBACKEND": "agg", "TMPDIR": str(tmp_path)}
    found = json.loads(run(["-W", "error", "cells.py"], tmp_path, env).splitlines()[-1])
    assert Path(found["tape"]).is_relative_to(tmp_path), "what it writes is temporary"
    assert found["figures"] == [1, 2, 1, 2], (
        "one in a row, or two below each other, or a bar beside"
    )
    assert min(found["quotes"], found["table"]) > 300
    assert found["trades"] > 30
    assert found["traded"][0] == pytest.approx(found["traded"][1]), "each was bought or sold"
    assert found["in_order"]
