from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from difflib import unified_diff
from itertools import takewhile
from pathlib import Path
from urllib.parse import parse_qsl

import click
import msgspec
import pytest
from click.testing import CliRunner
from generate import BLOCK, TABLES, stale_pages
from page_text import anchor
from programs import CODE, COINM, PAGES, ROOT, USDM, Addresses, run, serving
from site_pages import JSON_OUTPUT

import tickerplant
from tickerplant.cli import commands
from tickerplant.config.resolve import resolve
from tickerplant.config.setting import settings_of
from tickerplant.config.settings import COMMANDS
from tickerplant.documented_fields import field_docs
from tickerplant.plant import Plant
from tickerplant.queries import find_path
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.venue import USDM as USDM_VENUE

SHELL = re.compile(r"^```(?:bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(r"(?:^|[\s/(])tickerplant (?=[a-z])")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LOADED = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')
DOCS = [
    page
    for page in ROOT.glob("docs/*/**/*.md")
    if page.name != "index.md" and page.parent.name != "decisions"
]
PAGES_WITH_CODE = [page for page in PAGES if CODE.search(page.read_text(encoding="utf-8"))]


ONE_AFTER_ANOTHER = """
import contextlib, io, runpy, sys

paths = sys.argv[1:]
del sys.argv[1:]
for path in paths:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as end:
            assert not end.code, said.getvalue()
    assert said.getvalue(), f"expected output of {path}"
"""
"""Runs programs in one process, so that its imports are paid for once."""


@pytest.fixture(scope="module")
def market() -> Iterator[Addresses]:
    """A small simulated market, faster than life."""
    symbols = "BTCUSDT,ETHUSDT,BTCUSD_PERP"
    options = ("--seed", "7", "--speed", "5", "--quoting", "0.3", "--symbols", symbols)
    with serving("simulate", *options) as addresses:
        yield addresses


@pytest.fixture(scope="module")
def folder(market: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs of pages run; with the recording that some of them replay."""
    folder = tmp_path_factory.mktemp("pages")
    names = [f"btcusdt@{kind}" for kind in ("trade", "bookTicker", "depth@100ms")]
    options = ["--url", f"ws://{market[USDM]}", "--duration", "2s", "--out", "market"]
    run(["-m", "tickerplant", "record", *names, *options], folder)
    return folder


@pytest.mark.heavy
def test_the_tables_of_the_pages_are_those_of_the_program() -> None:
    assert [str(path) for path in stale_pages()] == [], "make docs"


def test_every_table_stands_in_a_page() -> None:
    shown = [name for page in PAGES for name, _ in BLOCK.findall(page.read_text(encoding="utf-8"))]
    assert sorted(shown) == sorted({*TABLES})


def test_every_key_that_verify_prints_has_a_meaning() -> None:
    (kinds,) = (kinds for about, kinds in JSON_OUTPUT.items() if "`verify`" in about)
    for kind in kinds:
        assert field_docs(kind).keys() >= {*kind.__struct_fields__}, kind


@pytest.mark.slow("a program builds the site")
def test_the_site_has_no_broken_link_or_anchor_and_loads_nothing_from_others(
    tmp_path: Path,
) -> None:
    run([str(ROOT / "docs" / "build_site.py"), "--out", str(tmp_path / "site")], tmp_path)
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(DOCS)
    assert not [found for page in pages for found in LOADED.findall(page.read_text("utf-8"))]


def anchors(page: Path) -> set[str]:
    """The anchors of a page: those of its headings, numbered where one is repeated."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    found: list[str] = [anchor(heading) for heading in HEADING.findall(text)]
    return {it if n == 0 else f"{it}-{n}" for it in found for n in range(found.count(it))}


def test_links_lead_to_pages_and_headings_that_exist() -> None:
    broken = []
    known: dict[Path, set[str]] = {}
    for page in PAGES:
        for link, heading in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
            target = (page.parent / link).resolve() if link else page
            if target.exists() and heading and target not in known:
                known[target] = anchors(target)
            if not target.exists() or (heading and heading not in known[target]):
                broken.append(f"{page.relative_to(ROOT)}: {link}#{heading}")
    assert broken == []


def test_every_page_is_in_the_index_of_its_section() -> None:
    listed = {
        (index.parent / link).resolve()
        for index in ROOT.glob("docs/*/index.md")
        for link, _ in LINK.findall(index.read_text(encoding="utf-8"))
    }
    assert [str(page) for page in DOCS if page not in listed] == [], "list it, with a sentence"


def steps(page: Path) -> Iterator[list[str]]:
    """The command lines of our program in a page, in order, as words."""
    for block in SHELL.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            found = PROGRAM.search(line)
            rest = line[found.end() :] if found else ""
            words = shlex.shlex(rest, posix=True, punctuation_chars=True)
            words.whitespace_split = True
            if step := [*takewhile(lambda word: not {*word} <= {*"|&;<>()"}, words)]:
                yield step


def test_the_program_understands_the_command_lines_in_pages() -> None:
    program = commands.make_context("tickerplant", [], resilient_parsing=True)
    for page in PAGES:
        for command, *words in steps(page):
            given = ["btcusdt@trade" if word[0] == "@" else word for word in words]  # a file
            with contextlib.suppress(click.exceptions.Exit):  # --help
                context = commands.commands[command].make_context(command, given, parent=program)
                known = {each.field for each in settings_of(COMMANDS[command])}
                options = {name: context.params[name] for name in known & context.params.keys()}
                told = {name: value for name, value in options.items() if value not in {None, ()}}
                resolve(command, COMMANDS[command], told, {})


@pytest.mark.slow("programs are run beside a server")
@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_programs_of_a_page_run(page: Path, market: Addresses, folder: Path) -> None:
    names = []
    for number, program in enumerate(CODE.findall(page.read_text(encoding="utf-8"))):
        here = program.replace(USDM, market[USDM]).replace(COINM, market[COINM])
        names.append(f"{page.stem}_{number}.py")
        (folder / names[-1]).write_text(here, encoding="utf-8")
    run(["-c", ONE_AFTER_ANOTHER, *names], folder)


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
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = re.findall(r"^## \[?(\d+\.\d+\.\d+)", changes, re.MULTILINE)[0]
    assert tickerplant.__version__ == latest, "both distributions read it from the package"


def test_what_the_pages_say_that_explain_prints_is_what_it_prints() -> None:
    shown = re.compile(
        r"^```console\n\$ \S*tickerplant (explain .*)\n((?:.*\n)*?)```$", re.MULTILINE
    )
    found = [match for page in PAGES for match in shown.findall(page.read_text(encoding="utf-8"))]
    assert found, "the README shows what a set of streams needs"
    for command, output in found:
        assert CliRunner().invoke(commands, shlex.split(command)).output == output


@pytest.mark.heavy
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


def test_the_tutorial_shows_the_bot_its_tests_and_its_changes() -> None:
    page = (ROOT / "docs" / "tutorial" / "test-a-bot.md").read_text(encoding="utf-8")
    bot, mended, tests = (
        (ROOT / "examples" / "test_a_bot" / name).read_text(encoding="utf-8")
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
