from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec
import pytest
from click.testing import CliRunner

import tickerplant
from tickerplant.cli import commands
from tickerplant.config.setting import settings_of
from tickerplant.config.settings import COMMANDS
from tickerplant.plant import Plant
from tickerplant.profile import PROFILES
from tickerplant.protocol.close_reasons import CLOSE_REASONS
from tickerplant.protocol.limits import LIMIT_ROWS
from tickerplant.queries import QUERIES, find_path
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.streams import CATALOGUE
from tickerplant.venue import USDM as USDM_VENUE

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
EXAMPLES = ROOT / "examples"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TIMEOUT_S = 30
USDM, COINM = "127.0.0.1:9001", "127.0.0.1:9002"
"""The addresses in the pages; a test puts those of its own server in their place."""

CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A complete program in a page; one that needs further packages begins with "```python needs="."""
SHELL = re.compile(r"^```(?:bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND_LINE = re.compile(r"tickerplant (\w+)([^|&>#\n]*)")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")
PAGES_WITH_CODE = [page for page in PAGES if CODE.search(page.read_text(encoding="utf-8"))]

Addresses = dict[str, str]


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[Addresses]:
    """Start the program on free ports; yield the addresses that stand for those in the pages."""
    command = [sys.executable, "-m", "tickerplant", *arguments]
    with subprocess.Popen(  # noqa: S603  # our own program
        [*command, "--usdm-port", "0", "--coinm-port", "0", "--log-level", "error"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            usdm, coinm = (
                process.stdout.readline().rpartition("//")[2].strip() for _ in ("usdm", "coinm")
            )
            yield {USDM: usdm, COINM: coinm}
        finally:
            process.kill()


@pytest.fixture(scope="module")
def market() -> Iterator[Addresses]:
    """A small simulated market, faster than life."""
    symbols = "BTCUSDT,ETHUSDT,BTCUSD_PERP"
    with serving("simulate", "--seed", "7", "--speed", "5", "--symbols", symbols) as addresses:
        yield addresses


def run(program: Sequence[str], folder: Path) -> str:
    """Run a Python program to its end; return what it printed."""
    ended = subprocess.run(  # noqa: S603  # a program of this repository
        [sys.executable, *program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, f"{program[0]} failed:\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def run_example(name: str, folder: Path, *arguments: str) -> str:
    """Run one of the examples."""
    return run([str(EXAMPLES / name), *arguments], folder)


def reference(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


@pytest.mark.sockets
def test_the_reference_is_what_the_tables_say(tmp_path: Path) -> None:
    run([str(REFERENCE / "generate.py"), "--check"], tmp_path)


def test_every_stream_is_in_the_reference() -> None:
    page = reference("streams.md")
    missing = [row.pattern.text for row in CATALOGUE if f"`{row.pattern.text}`" not in page]
    assert not missing


def test_every_query_is_in_the_reference() -> None:
    page = reference("queries.md")
    paths = [f"`{path}`" for row in QUERIES for venue in row.venues if (path := row.path_on(venue))]
    methods = [f"WebSocket API `{row.method}`" for row in QUERIES if row.method]
    assert not [name for name in (*paths, *methods) if name not in page]


def test_every_limit_close_reason_and_profile_is_in_the_reference() -> None:
    limits, closing, profiles = map(reference, ("limits.md", "closing.md", "profiles.md"))
    assert not [row.name for row in LIMIT_ROWS if f"| `{row.name}` |" not in limits]
    assert not [
        row.name for row in CLOSE_REASONS if f"| `{row.name}` | {row.code} |" not in closing
    ]
    assert not [name for name in PROFILES if f"`{name}`" not in profiles]


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_setting_is_in_the_reference(command: str) -> None:
    section = (
        reference("settings.md").partition(f"## `tickerplant {command}`")[2].partition("## ")[0]
    )
    for setting in settings_of(COMMANDS[command]):
        assert f"| `--{setting.option}` | `{setting.environment}` |" in section


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_command_lines_in_pages_have_options_that_exist(page: Path) -> None:
    for block in SHELL.findall(page.read_text(encoding="utf-8")):
        for command, rest in COMMAND_LINE.findall(block.replace("\\\n", " ")):
            assert command in commands.commands, f"no command {command}"
            known = {"help"}
            for option in commands.commands[command].params:
                known |= {
                    name.removeprefix("--") for name in (*option.opts, *option.secondary_opts)
                }
            assert set(re.findall(r"--([\w-]+)", rest)) <= known, f"in {command}{rest}"


@pytest.mark.sockets
@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_programs_of_a_page_run(page: Path, market: Addresses, tmp_path: Path) -> None:
    for program in CODE.findall(page.read_text(encoding="utf-8")):
        here = program.replace(USDM, market[USDM]).replace(COINM, market[COINM])
        (tmp_path / "program.py").write_text(here, encoding="utf-8")
        assert run(["program.py"], tmp_path), f"expected output of the program\n{program}"


@pytest.mark.sockets
def test_best_prices_are_printed(market: Addresses, tmp_path: Path) -> None:
    options = ("--url", f"ws://{market[USDM]}", "--messages", "7")
    printed = run_example("best_prices.py", tmp_path, "BTCUSDT", "ethusdt", *options)
    assert len(printed.splitlines()) == 7
    assert {line.split()[0] for line in printed.splitlines()} <= {"BTCUSDT", "ETHUSDT"}


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
    options = ("--url", f"ws://{market[USDM]}", "--changes", "5")
    *changes, reported = run_example(
        "local_order_book.py", tmp_path, "btcusdt", *options
    ).splitlines()
    assert len(changes) == 5
    assert all(line.split()[:2] == ["BTCUSDT", "live"] for line in changes), changes
    found = re.fullmatch(r"BTCUSDT: (\d+) of (\d+) levels are those of a fresh snapshot", reported)
    assert found, reported
    assert int(found[1]) > 100


@pytest.mark.sockets
@pytest.mark.parametrize(("arguments", "count"), [(("btcusdt",), 1), ((), 2)])
def test_the_api_reports_best_prices(
    arguments: tuple[str, ...], count: int, market: Addresses, tmp_path: Path
) -> None:
    url = f"ws://{market[USDM]}"
    printed = run_example("ask_book.py", tmp_path, *arguments, "--url", url).splitlines()
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


def steps(page: Path) -> Iterator[list[str]]:
    """The command lines of our program in a page, in order, as words."""
    for block in SHELL.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if found := COMMAND_LINE.search(line):
                yield shlex.split(found[0])[1:]


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(ROOT.glob("docs/tutorial/*.md"))],
                         ids=lambda page: page.name)  # fmt: skip
def test_what_a_step_reads_an_earlier_step_of_the_page_wrote(page: Path) -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    written: list[str] = []
    for command, *words in steps(page):
        options = [at for at, word in enumerate(words) if word.startswith("-")]
        paths = words[: options[0]] if options else words
        if command in {"replay", "verify", "export"}:
            assert set(paths) <= set(written), f"{command} reads what no step before it made"
        if "--out" in words:
            written.append(words[words.index("--out") + 1])
    left = [name for name in written if f"/{name}/" not in ignored]
    assert not left, "expected that git ignores what is written by who follows the page"


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = re.findall(r"^## \[?(\d+\.\d+\.\d+)", changes, re.MULTILINE)[0]
    assert tickerplant.__version__ == project["version"] == latest


def test_what_the_pages_say_that_explain_prints_is_what_it_prints() -> None:
    shown = re.compile(
        r"^```console\n\$ \S*tickerplant (explain .*)\n((?:.*\n)*?)```$", re.MULTILINE
    )
    found = [match for page in PAGES for match in shown.findall(page.read_text(encoding="utf-8"))]
    assert found, "the README shows what a set of streams needs"
    for command, output in found:
        assert CliRunner().invoke(commands, shlex.split(command)).output == output


@pytest.mark.slow
def test_the_candle_that_is_the_same_in_every_run_is_the_one_in_the_page() -> None:
    page = (ROOT / "docs" / "how-to" / "run-in-ci.md").read_text(encoding="utf-8")
    shown = re.search(r"^\$ curl '\S+klines\?(\S+)'\n(\[\[.*\]\])$", page, re.MULTILINE)
    assert shown
    start_ms = 1_767_225_600_000
    listed = instruments(start_ms, ["BTCUSDT"])
    exchange = SimulatedExchange(listed, seed=7, start_ms=start_ms)
    plant = Plant(listed, start_ms=start_ms, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    while exchange.next_time_ms < start_ms + 60_000:
        time_ms, events = exchange.step()
        plant.advance(time_ms)
        for event in events:
            plant.publish(event)
    klines = find_path(USDM_VENUE, "/fapi/v1/klines")
    assert klines
    answer = klines.respond(plant.venues["usdm"], dict(parse_qsl(shown[1])))
    assert msgspec.json.encode(answer).decode() == shown[2]
