from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import msgspec
import pytest
from programs import COINM, PATIENCE_S, USDM, Addresses, environment, first_lines, run, serving

WITH_SOCKETS = (
    "--experimental-websocket",
    "-e",
    "process.exit(typeof WebSocket === 'function' ? 0 : 1)",
)
"""What Node is asked: whether it has WebSockets."""
EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def market() -> Iterator[Addresses]:
    """A small simulated market, faster than life."""
    symbols = "BTCUSDT,ETHUSDT,BTCUSD_PERP"
    with serving("simulate", "--seed", "7", "--speed", "5", "--symbols", symbols) as addresses:
        yield addresses


def run_example(name: str, folder: Path, *arguments: str) -> str:
    """Run one of the examples."""
    return run([str(EXAMPLES / name), *arguments], folder)


def run_client(name: str, folder: Path, market: Addresses, *arguments: str) -> str:
    """Run an example that connects to the exchange, but for its environment."""
    return run([str(EXAMPLES / name), *arguments], folder, environment(market))


@pytest.mark.sockets
def test_a_local_order_book_agrees_with_the_book_ticker(market: Addresses, tmp_path: Path) -> None:
    printed = run_example(
        "plain_order_book.py",
        tmp_path,
        *("BTCUSDT", "--compare", "200"),
        *("--streams", f"ws://{market[USDM]}", "--rest", f"http://{market[USDM]}"),
    )
    assert printed == "BTCUSDT: 200 best prices compared, 0 differ\n"


@pytest.mark.sockets
def test_a_book_that_the_client_keeps_agrees_with_a_snapshot(
    market: Addresses, tmp_path: Path
) -> None:
    printed = run_client("local_order_book.py", tmp_path, market, "btcusdt")
    *changes, reported = printed.splitlines()
    assert len(changes) == 20
    assert all(line.split()[:2] == ["BTCUSDT", "live"] for line in changes), changes
    found = re.fullmatch(r"BTCUSDT: (\d+) of (\d+) levels are those of a fresh snapshot", reported)
    assert found, reported
    assert int(found[1]) > 100


@pytest.mark.sockets
@pytest.mark.parametrize(("arguments", "count"), [(("btcusdt",), 1), ((), 2)])
def test_the_api_reports_best_prices(
    arguments: tuple[str, ...], count: int, market: Addresses, tmp_path: Path
) -> None:
    printed = run_client("ask_book.py", tmp_path, market, *arguments).splitlines()
    assert len(printed) == count + 1, printed
    assert printed[0].startswith("BTCUSDT")
    assert re.fullmatch(r"weight spent: \d+ of 1920 a minute", printed[-1])


@pytest.mark.sockets
def test_what_was_recorded_can_be_replayed(market: Addresses, tmp_path: Path) -> None:
    names = ("btcusdt@trade", "btcusdt@bookTicker", "btcusdt@depth@0ms")
    where = ("--streams", f"ws://{market[USDM]}", "--rest", f"http://{market[USDM]}")
    printed = run_example("record.py", tmp_path, "market.gz", *names, *where, "--seconds", "0.5")
    messages = int(re.findall(r"(\d+) messages", printed)[0])
    options = ("--speed", "0", "--wait-for", "0", "--exit-at-end", "--usdm-port", "0")
    replayed = run(
        ["-m", "tickerplant", "replay", "market.gz", *options, "--coinm-port", "0"], tmp_path
    )
    events = int(re.findall(r"from ([\d,]+) events", replayed)[0].replace(",", ""))
    assert events >= messages > 0, "expected each recorded message, and the snapshot, as an event"


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("names", "server", "prefix", "snapshots"),
    [
        (
            ("btcusdt@trade", "btcusdt@depth@0ms", "ethusdt@depth", "ethusdt@depth5"),
            USDM,
            "/fapi",
            2,
        ),
        (("btcusd_perp@bookTicker", "btcusd_perp@depth@0ms"), COINM, "/dapi", 1),
        (("btcusdt@trade", "btcusdt@depth20@100ms"), USDM, "/fapi", 0),
    ],
)
def test_each_book_is_recorded_after_its_first_change(
    names: tuple[str, ...],
    server: str,
    prefix: str,
    snapshots: int,
    market: Addresses,
    tmp_path: Path,
) -> None:
    where = ("--streams", f"ws://{market[server]}", "--rest", f"http://{market[server]}")
    options = ("--prefix", prefix, "--seconds", "1")
    run_example("record.py", tmp_path, "market.txt", *names, *where, *options)
    changed: set[str] = set()
    first = before = ""
    found = 0
    for line in (tmp_path / "market.txt").read_text(encoding="utf-8").splitlines():
        message = msgspec.json.decode(line.partition(" ")[2])
        if "lastUpdateId" in message:
            assert before == first != "", "expected right before it the first change of its book"
            found += 1
        before = message.get("stream", "")
        if re.search(r"@depth(@|$)", before) and before not in changed:
            changed.add(before)
            first = before
    assert found == snapshots


@pytest.mark.sockets
@pytest.mark.heavy
@pytest.mark.parametrize("origin", ["live", "simulated", "tape"])
def test_one_strategy_runs_on_three_origins(origin: str, market: Addresses, tmp_path: Path) -> None:
    program = [str(EXAMPLES / "one_strategy.py"), origin]
    if origin == "tape":
        names = ("btcusdt@depth@100ms", "ethusdt@depth@100ms")
        options = ("--url", f"ws://{market[USDM]}", "--out", origin, "--duration", "3s")
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


@pytest.mark.sockets
@pytest.mark.heavy
def test_a_suite_in_javascript_tests_its_book(tmp_path: Path) -> None:
    try:
        run_in("node", tmp_path, *WITH_SOCKETS)
    except AssertionError:
        pytest.skip("this Node has no WebSockets")
    suite = str(EXAMPLES / "any_language" / "book.test.mjs")
    printed = run_in("node", tmp_path, "--experimental-websocket", "--test", suite)
    assert "fail 0" in printed


@pytest.mark.sockets
@pytest.mark.heavy
def test_a_script_tests_best_prices_with_curl(tmp_path: Path) -> None:
    if not (shutil.which("curl") and shutil.which("jq")):
        pytest.skip("there is no curl or no jq")
    printed = run_in("bash", tmp_path, str(EXAMPLES / "any_language" / "smoke.sh"))
    assert "market time 2026-01-01T00:00:10.000Z" in printed
    assert "are the exchange's" in printed


@pytest.mark.sockets
@pytest.mark.heavy
def test_a_suite_of_unittest_needs_no_other_package(tmp_path: Path) -> None:
    run_in(sys.executable, tmp_path, str(EXAMPLES / "any_language" / "test_spread.py"))


def test_the_page_about_other_languages_shows_these_examples() -> None:
    page = EXAMPLES.parent / "docs" / "how-to" / "test-in-any-language.md"
    shown = page.read_text(encoding="utf-8")
    for path in (EXAMPLES / "any_language").iterdir():
        code = re.sub(r"  # noqa: .*", "", path.read_text(encoding="utf-8"))
        assert f"\n{code}```\n" in shown, path.name


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


@pytest.mark.sockets
@pytest.mark.heavy
def test_the_bot_of_the_tutorial_fails_exactly_the_tests_of_its_three_mistakes(
    tmp_path: Path,
) -> None:
    printed = run_tests_of_the_bot("bot.py", tmp_path)
    failed = re.findall(r"^FAILED test_bot.py::(\w+)", printed, re.MULTILINE)
    assert set(failed) == MISTAKES.keys(), printed
    for words in MISTAKES.values():
        assert words in printed
    assert "passed" not in printed.splitlines()[-1]


@pytest.mark.sockets
@pytest.mark.heavy
def test_the_mended_bot_passes_all_of_them(tmp_path: Path) -> None:
    printed = run_tests_of_the_bot("mended_bot.py", tmp_path)
    passed = re.findall(r"^PASSED test_bot.py::(\w+)", printed, re.MULTILINE)
    assert set(passed) == MISTAKES.keys(), printed
    assert "3 passed" in printed


def test_the_tutorial_shows_the_bot_its_tests_and_its_changes() -> None:
    page = (EXAMPLES.parent / "docs" / "tutorial" / "test-a-bot.md").read_text(encoding="utf-8")
    bot, mended, tests = (
        (BOT / name).read_text(encoding="utf-8")
        for name in ("bot.py", "mended_bot.py", "test_bot.py")
    )
    for program in (bot, tests):
        assert f"```python needs=pytest\n{program}```" in page
    (diff,) = re.findall(r"^```diff\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    changes = unified_diff(bot.splitlines(), mended.splitlines(), n=0, lineterm="")
    changed = [each for each in changes if each[0] in "+-" and each[:3] not in {"+++", "---"}]
    shown = [each for each in diff.splitlines() if each[:1] in {"+", "-"}]
    of_the_head = {"-It has three mistakes, ", "+It is `bot.py` "}
    assert shown == [
        each for each in changed if not any(each.startswith(head) for head in of_the_head)
    ]
