from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from programs import PATIENCE_S
from suites import command, environment, outcome, run_suite

pytestmark = pytest.mark.slow("runs of pytest, in processes of their own")


def children_of(folder: Path) -> list[int]:
    """Return the processes that run in a folder, or were started by one that does."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cwd"):
        try:
            is_there = each.readlink() == folder
        except OSError:
            continue
        if is_there:
            found.append(int(each.parent.name))
    return found


def wait_until_none_runs_in(folder: Path) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while left := children_of(folder):
        assert time.monotonic() < until_s, f"{left} still run"
        time.sleep(0.05)


def programs_of(page: str) -> list[str]:
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    return re.findall(r"^```python needs=pytest\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_tests_in_the_readme_and_in_a_page_pass_as_they_are_written(tmp_path: Path) -> None:
    (short,) = programs_of("README.md")
    assert len(short.splitlines()) == 4, "a test of four lines"
    shown = [short, *programs_of("docs/how-to/test-your-client.md")]
    printed = run_suite(tmp_path, "\n".join(shown))
    assert outcome(printed) == {"passed": 4}, printed
    assert "Warning" not in printed, "no thread of the programs ends with an exception"
    wait_until_none_runs_in(tmp_path)


SUITE_OF_MISTAKES = """
import asyncio
import pytest

@pytest.mark.exchange(sed=8)
def test_unknown_argument(exchange): ...

@pytest.mark.exchange("flash-crash")
def test_no_name(exchange): ...

@pytest.mark.exchange(symbols=["BTCUSTD"])
def test_unknown_symbol(exchange): ...

def test_two_want_one_port(make_exchange):
    first = make_exchange(symbols=["BTCUSDT"])
    make_exchange(usdm_port=int(first.usdm_url.rpartition(":")[2]))

def test_blocked_loop(exchange):
    async def program():
        exchange.step("1s")
    asyncio.run(program())

def test_nothing_to_wait_for(exchange):
    exchange.wait_until(lambda: False, timeout_s=0.1, message="the bot has a book")

def test_no_duration(exchange):
    exchange.step("soon")
"""


def test_each_mistake_is_one_clear_sentence_with_its_place(tmp_path: Path) -> None:
    printed = run_suite(tmp_path, SUITE_OF_MISTAKES)
    for sentence in (
        (
            "test_suite.py:5: test_unknown_argument: the marker exchange has no argument 'sed'; expected "
            "one of seed, symbols, "
        ),
        "did you mean seed?",
        "test_no_name: the marker exchange has the argument 'flash-crash' without a name",
        (
            "test_suite.py::test_unknown_symbol: the exchange cannot be opened: invalid value 'BTCUSTD' "
            "for symbols"
        ),
        "did you mean BTCUSDT or BTCUSDC?",
        "exchange.step() would stop the event loop",
        "write `await exchange.astep('1s')`",
        (
            "the bot has a book: not true after 0.1 s of this machine; market time stands still, and "
            "with it lifetimes, limits and bans: step first?"
        ),
        "invalid value 'soon' for by: expected market time",
    ):
        assert sentence in printed
    port = (
        r"test_suite.py:\d+: usdm_port=\d+ is a port of the exchange of .*test_suite.py:\d+, which"
    )
    assert re.search(port, printed), printed
    assert outcome(printed) == {"failed": 4, "error": 3}, printed
    assert "During handling" not in printed
    wait_until_none_runs_in(tmp_path)


SHARED = """
import pytest

pytestmark = pytest.mark.exchange(seed=7, symbols=["BTCUSDT"], quoting=0.05)
seen = []

def test_first(exchange):
    seen.append(exchange)
    exchange.fault("reset", at="+10m")
    exchange.set_speed(1)

def test_second(exchange):
    assert seen == [exchange]
    assert exchange.rules() == {}
    with exchange.lever("volatility", factor=2):
        exchange.step("1s")

@pytest.mark.exchange(scenario="flash-crash")
def test_scenario_of_its_own(exchange):
    assert [*exchange.rules().values()] == ["the scenario flash-crash"]
    exchange.step("70s")

def test_scenario_left(exchange):
    assert not [rule for rule in exchange.rules() if rule.startswith("s")]
    exchange.scenario("flash-crash")
    exchange.step("70s")
    exchange.lever("activity", factor=2)

def test_third(exchange):
    assert exchange.rules() == {}
    time_ms = exchange.time_ms
    exchange.step("1s")
    assert exchange.time_ms == time_ms + 1_000

@pytest.mark.exchange(seed=8)
def test_conflict(exchange): ...

@pytest.mark.exchange(faults=["reset=10m"])
def test_fault_of_its_own(exchange):
    assert len(exchange.rules()) == 1

def test_others_do_not_have(exchange):
    assert exchange.rules() == {}
"""


@pytest.mark.parametrize("how", [["--exchange-scope=module"], ["-o", "exchange_scope=session"]])
def test_a_shared_exchange_is_put_back_after_each_test_and_the_report_says_so(
    how: list[str], tmp_path: Path
) -> None:
    printed = run_suite(tmp_path, SHARED, *how)
    assert outcome(printed) == {"passed": 7, "error": 1}, printed
    for sentence in (
        "test_conflict: the marker asks for exchange(seed=8), but with --exchange-scope=",
        "test_suite.py::test_first asked for seed=7 first",
        "test_suite.py::test_first: left the fault ",
        "test_suite.py::test_first: left market time running; it stands still again",
        "test_suite.py::test_scenario_left: left the scenario flash-crash on; it was removed",
        "test_suite.py::test_scenario_left: left the lever activity on; it was removed",
    ):
        assert sentence in printed
    assert printed.count(": left ") == 4
    wait_until_none_runs_in(tmp_path)


DYING = """
import os, signal
import pytest

pytestmark = pytest.mark.exchange(symbols=["BTCUSDT"], quoting=0.05)

def test_it_dies(exchange):
    os.kill(exchange.pid, signal.SIGKILL)
    exchange.wait_until(lambda: not exchange.is_running)

def test_there_is_another_one(exchange):
    exchange.step("1s")
"""


def test_a_shared_exchange_that_died_is_replaced_and_the_report_says_so(tmp_path: Path) -> None:
    printed = run_suite(tmp_path, DYING, "--exchange-scope=module")
    assert outcome(printed) == {"passed": 2}, printed
    assert (
        "test_there_is_another_one: the exchange had ended before this test; a new one" in printed
    )


OTHERS = """
import pytest

@pytest.fixture
def exchange():
    return []

def test_theirs(exchange):
    assert exchange == []
"""


@pytest.mark.parametrize("scope", ["function", "module"])
def test_a_suite_may_have_a_fixture_of_this_name(scope: str, tmp_path: Path) -> None:
    printed = run_suite(tmp_path, OTHERS, f"--exchange-scope={scope}")
    assert outcome(printed) == {"passed": 1}, printed


def test_an_unknown_scope_is_refused(tmp_path: Path) -> None:
    printed = run_suite(tmp_path, "", "-o", "exchange_scope=modul")
    assert "exchange_scope is 'modul'; expected one of function, module, session" in printed


FAILING = """
import pytest

@pytest.mark.exchange(seed=7, symbols=["BTCUSDT"])
def test_fails(exchange):
    exchange.fault("reset", at="+10m")
    with exchange.fault("stall"):
        exchange.step("1s")
    assert False
"""


def test_the_report_of_a_failed_test_has_what_the_exchange_says(tmp_path: Path) -> None:
    printed = run_suite(tmp_path, FAILING)
    section = printed.partition("exchange of test_suite.py::test_fails")[2]
    assert re.search(r"USDⓈ-M  http://127.0.0.1:\d+  ws://127.0.0.1:\d+", section), printed
    assert re.search(r"market time  [\d-]+T00:00:01.000Z, stands still", section)
    assert re.search(r"fault  .*reset.*\(waiting, never happened: its window has not op", section)
    assert (
        "fault  stall  (removed, never happened: it acts on connections that are open while it is on)"
        in section
    )
    assert "log" in section


NEVER_HAPPENED = """
import pytest
from websockets.sync.client import connect

pytestmark = pytest.mark.exchange(seed=7, symbols=["BTCUSDT"], quoting=0.05)

def test_one_of_three(exchange, make_exchange):
    with connect(exchange.usdm_ws_url + "/ws/btcusdt@trade"):
        with exchange.fault("silent", stream="btcusdt@trade"), exchange.fault("drop"):
            exchange.step("10s")
        exchange.fault("reset", at="+10m")
        exchange.clear()

@pytest.mark.exchange(faults=["stall"])
def test_nobody_connects(exchange): ...

def test_all_happen(exchange):
    with connect(exchange.usdm_ws_url + "/ws/btcusdt@trade"):
        exchange.fault("stall")
        exchange.clear()

def test_another_exchange(make_exchange):
    make_exchange(symbols=["BTCUSDT"]).fault("http_503")
"""


@pytest.mark.parametrize(("scope", "count"), [("function", 4), ("module", 3)])
def test_the_summary_says_which_faults_never_happened(
    scope: str, count: int, tmp_path: Path
) -> None:
    printed = run_suite(tmp_path, NEVER_HAPPENED, f"--exchange-scope={scope}")
    assert outcome(printed) == {"passed": 4}, printed
    for sentence in (
        (
            "test_one_of_three: the fault silent stream=btcusdt@trade never happened: it acts when a "
            "client subscribes, and not on subscriptions that run; `drop` withholds the messages of "
            "those"
        ),
        "test_one_of_three: the fault reset at=+10m never happened: its window has not opened; it",
        "test_nobody_connects: the fault stall never happened: it acts on connections that are open",
    ):
        assert sentence in printed, printed
    assert ("test_another_exchange: the fault http_503 never" in printed) == (scope == "function")
    assert printed.count("never happened") == count, printed


def test_several_workers_share_nothing(tmp_path: Path) -> None:
    suite = "import pytest\npytestmark = pytest.mark.exchange(symbols=['BTCUSDT'])\n" + "".join(
        f"def test_{each}(exchange):\n    exchange.step('1s')\n" for each in range(4)
    )
    printed = run_suite(tmp_path, suite, "-p", "xdist", "-n", "2")
    assert outcome(printed) == {"passed": 4}, printed
    wait_until_none_runs_in(tmp_path)


HANGING = """
import time
import pytest

def test_hangs(exchange):
    print("READY", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_running_however_pytest_ends(how: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(HANGING, encoding="utf-8")
    with subprocess.Popen(  # noqa: S603  # our own program
        command("-s"), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any("READY" in line for line in process.stdout)
        assert len(children_of(tmp_path)) > 1
        os.kill(process.pid, how)
        process.stdout.read()
    wait_until_none_runs_in(tmp_path)


def test_a_run_without_an_exchange_imports_nothing_beyond_the_plugin(tmp_path: Path) -> None:
    program = (
        "import sys, pytest; pytest.main(['--collect-only', '-q', '-p', 'no:tickerplant', "
        "'-p', 'tickerplant.testing.plugin']); "
        "print(*sorted(each for each in sys.modules if each.startswith('tickerplant')))"
    )
    ended = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        env=environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert ended.stdout.splitlines()[-1] == (
        "tickerplant tickerplant.testing tickerplant.testing.plugin"
    )
