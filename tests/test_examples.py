from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from programs import PATIENCE_S, USDM, Addresses, environment, first_lines, run, serving

WITH_SOCKETS = (
    "--experimental-websocket",
    "-e",
    "process.exit(typeof WebSocket === 'function' ? 0 : 1)",
)
"""What Node is asked: whether it has WebSockets."""
EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.slow("programs are run beside a server")


@pytest.fixture(scope="module")
def market() -> Iterator[Addresses]:
    """A small simulated market, faster than life."""
    symbols = "BTCUSDT,ETHUSDT,BTCUSD_PERP"
    options = ("--seed", "7", "--speed", "5", "--quoting", "0.3", "--symbols", symbols)
    with serving("simulate", *options) as addresses:
        yield addresses


def run_example(name: str, folder: Path, *arguments: str) -> str:
    """Run one of the examples."""
    return run([str(EXAMPLES / name), *arguments], folder)


def run_client(name: str, folder: Path, market: Addresses, *arguments: str) -> str:
    """Run an example that connects to the exchange, but for its environment."""
    return run([str(EXAMPLES / name), *arguments], folder, environment(market))


def test_a_local_order_book_agrees_with_the_book_ticker(market: Addresses, tmp_path: Path) -> None:
    printed = run_example(
        "plain_order_book.py",
        tmp_path,
        *("BTCUSDT", "--compare", "200"),
        *("--streams", f"ws://{market[USDM]}", "--rest", f"http://{market[USDM]}"),
    )
    assert printed == "BTCUSDT: 200 best prices compared, 0 differ\n"


def test_a_book_that_the_client_keeps_agrees_with_a_snapshot(
    market: Addresses, tmp_path: Path
) -> None:
    printed = run_client("local_order_book.py", tmp_path, market, "btcusdt")
    *changes, reported = printed.splitlines()
    assert len(changes) == 20
    assert all(line.split()[:2] == ["BTCUSDT", "live"] for line in changes), changes
    found = re.fullmatch(r"BTCUSDT: (\d+) of (\d+) levels are those of a fresh snapshot", reported)
    assert found, reported
    assert int(found[1]) > 10


def test_the_api_reports_best_prices(market: Addresses, tmp_path: Path) -> None:
    *prices, weight = run_client("ask_book.py", tmp_path, market).splitlines()
    assert prices[0].startswith("BTCUSDT ")
    assert re.fullmatch(r"weight spent: \d+ of 1920 a minute", weight)


def test_what_was_recorded_has_its_snapshots_and_can_be_replayed(
    market: Addresses, tmp_path: Path
) -> None:
    names = ("btcusdt@trade", "btcusdt@depth@0ms", "ethusdt@depth")
    where = ("--streams", f"ws://{market[USDM]}", "--rest", f"http://{market[USDM]}")
    printed = run_example("record.py", tmp_path, "market.txt", *names, *where, "--seconds", "1")
    messages = int(re.findall(r"(\d+) messages", printed)[0])
    recorded = (tmp_path / "market.txt").read_text(encoding="utf-8")
    lines = [msgspec.json.decode(line.partition(" ")[2]) for line in recorded.splitlines()]
    changes = [each.get("stream", "") for each in lines]
    before = [
        changes[at - 1]
        for at, each in enumerate(lines)
        if "lastUpdateId" in each and "e" not in each
    ]
    assert sorted(before) == ["btcusdt@depth@0ms", "ethusdt@depth"], (
        "expected one snapshot of each book, after its first change"
    )
    options = ("--speed", "0", "--wait-for", "0", "--exit-at-end", "--usdm-port", "0")
    replayed = run(
        ["-m", "tickerplant", "replay", "market.txt", *options, "--coinm-port", "0"], tmp_path
    )
    events = int(re.findall(r"from ([\d,]+) events", replayed)[0].replace(",", ""))
    assert events >= messages > 0, "expected each recorded message, and the snapshots, as events"


@pytest.mark.parametrize("origin", ["live", "simulated", "tape"])
def test_one_strategy_runs_on_three_origins(origin: str, market: Addresses, tmp_path: Path) -> None:
    program = [str(EXAMPLES / "one_strategy.py"), origin]
    if origin == "tape":
        names = ("btcusdt@depth@100ms", "ethusdt@depth@100ms")
        options = ("--url", f"ws://{market[USDM]}", "--out", origin, "--duration", "2s")
        run(["-m", "tickerplant", "record", *options, *names], tmp_path)
        lines = run(program, tmp_path).splitlines()
        assert lines
    else:
        lines = first_lines(program, tmp_path, 20, environment(market))
    for line in lines:
        symbol, mid, imbalance = line.split()
        assert symbol in {"BTCUSDT", "ETHUSDT"}
        assert float(mid) > 0
        assert -1 <= float(imbalance) <= 1


def run_in(language: str, folder: Path, *arguments: str) -> str:
    """Run an example of another language, for which `tickerplant` is this one."""
    found = shutil.which(language)
    if found is None:
        pytest.skip(f"there is no {language}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(  # noqa: S603  # our own examples
        [found, *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_suite_in_javascript_tests_its_book(tmp_path: Path) -> None:
    try:
        run_in("node", tmp_path, *WITH_SOCKETS)
    except AssertionError:
        pytest.skip("this Node has no WebSockets")
    suite = str(EXAMPLES / "any_language" / "book.test.mjs")
    printed = run_in("node", tmp_path, "--experimental-websocket", "--test", suite)
    assert "fail 0" in printed


def test_a_script_tests_best_prices_with_curl(tmp_path: Path) -> None:
    if not (shutil.which("curl") and shutil.which("jq")):
        pytest.skip("there is no curl or no jq")
    printed = run_in("bash", tmp_path, str(EXAMPLES / "any_language" / "smoke.sh"))
    assert "market time 2026-01-01T00:00:10.000Z" in printed
    assert "are the exchange's" in printed


BOT = EXAMPLES / "test_a_bot"
MISTAKES = {
    "test_the_book_is_right_after_an_update_was_lost": "the book of BTCUSDT differs",
    "test_a_trade_that_comes_twice_counts_once": "was counted 2 times",
    "test_the_bot_does_not_trade_while_it_hears_nothing": "assert not True",
}
"""The tests of the bot, each with words of its failure."""
PYTEST = (
    *("-m", "pytest", "-rA", "--tb=short", "-p", "no:cacheprovider"),
    # The plugin, whether or not this installation knows its entry point.
    *("-p", "no:tickerplant", "-p", "tickerplant.testing.plugin"),
)


def run_tests_of_the_bot(program: str, folder: Path) -> str:
    """Run the tests of the tutorial on one of its bots; return what pytest printed."""
    shutil.copy(BOT / program, folder / "bot.py")
    shutil.copy(BOT / "test_bot.py", folder)
    ended = subprocess.run(  # noqa: S603  # a program of this repository
        [sys.executable, *PYTEST],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return ended.stdout + ended.stderr


def test_the_bot_of_the_tutorial_fails_exactly_the_tests_of_its_three_mistakes(
    tmp_path: Path,
) -> None:
    printed = run_tests_of_the_bot("bot.py", tmp_path)
    failed = re.findall(r"^FAILED test_bot.py::(\w+)", printed, re.MULTILINE)
    assert set(failed) == MISTAKES.keys(), printed
    for words in MISTAKES.values():
        assert words in printed


def test_the_mended_bot_passes_all_of_them(tmp_path: Path) -> None:
    assert f"{len(MISTAKES)} passed" in run_tests_of_the_bot("mended_bot.py", tmp_path)
