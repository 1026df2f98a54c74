"""What `import tickerplant` promises: the names, their page, and a quick start."""

from __future__ import annotations

import ast
import asyncio
import builtins
import collections.abc
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from msgspec import Struct, structs
from programs import PATIENCE_S

import tickerplant
from tickerplant import (
    ClientSettings,
    Market,
    Message,
    Notice,
    Recording,
    blocking,
    messages,
    testing,
)
from tickerplant.client.books import Books
from tickerplant.client.subscription import Subscription
from tickerplant.feed.queue import WHEN_FULL, WhenFull

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in REFERENCE.glob("python*.md")}
NAMES = PAGES["python.md"]
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
OTHERS = ("aiohttp", "asyncio", "msgspec", "picows", "pyarrow", "websockets")
"""What takes its time to be imported."""


INTERNAL = {
    *("is_done", "take_failure", "hosts", "budget"),
    *("is_over", "read_queued", "begin_waiting", "end_waiting", "let_through", "thread", "inner"),
    *("fetch_queued", "is_settled"),
}
"""Members for the market that made an object, or for `merge`; not for users."""


def section(name: str, heading: str) -> str:
    """Return the text below a heading of a page, up to the next one."""
    begun = PAGES[name].partition(f"# `{heading}`\n")[2]
    assert begun, f"no heading {heading}"
    return begun.partition("\n#")[0]


def anchors(name: str) -> list[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = HEADING.findall(
        re.sub(r"^```.*?^```", "", PAGES[name], flags=re.DOTALL | re.MULTILINE)
    )
    return [re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings]


def listed(module: ModuleType) -> dict[str, tuple[str, str]]:
    """Return page and anchor of each name of a module, by the page of all names."""
    rows = section("python.md", module.__name__)
    links = re.findall(r"^\| \[`(\w+)`\]\(([\w.-]+)#?(.*?)\) \|", rows, re.MULTILINE)
    return {name: (page, anchor) for name, page, anchor in links}


def kinds_of_messages() -> list[type[Struct]]:
    named = [getattr(messages, name) for name in messages.__all__]
    kinds = [each for each in named if inspect.isclass(each) and issubclass(each, Message)]
    return [each for each in kinds if each is not Message]


@pytest.mark.parametrize("name", tickerplant.__all__)
def test_every_public_name_is_there_and_described(name: str) -> None:
    value = getattr(tickerplant, name)
    assert isinstance(value, str) or get_args(value) or inspect.getdoc(value)


MODULES = (tickerplant, blocking, messages, tickerplant.notices, testing)


@pytest.mark.parametrize("module", MODULES, ids=lambda it: it.__name__)
def test_every_public_name_has_a_heading_that_the_page_of_all_names_links_to(
    module: ModuleType,
) -> None:
    links = listed(module)
    also_there = {*tickerplant.notices.__all__} if module is messages else set()
    assert links.keys() == {*module.__all__} - also_there
    prefix = "blocking" if module is blocking else ""
    for name, (page, anchor) in links.items():
        if not inspect.ismodule(getattr(module, name)):
            is_function = module is testing and inspect.isfunction(getattr(module, name))
            assert anchor == f"{'testing' if is_function else prefix}{name.lower()}"
            assert anchor in anchors(page), f"{name} has no heading"


@pytest.mark.parametrize("page", PAGES)
def test_headings_differ_and_links_lead_to_them(page: str) -> None:
    assert len({*anchors(page)}) == len(anchors(page))
    for other, anchor in re.findall(r"\]\((python[\w-]*\.md)#(\S*?)\)", PAGES[page]):
        assert anchor in anchors(other), f"{other}#{anchor}"


def test_the_names_are_sorted_and_are_those_that_are_found() -> None:
    assert sorted(tickerplant.__all__) == sorted({*tickerplant._HOME, "__version__"})
    assert len(set(tickerplant.__all__)) == len(tickerplant.__all__)
    with pytest.raises(AttributeError, match=r"no attribute 'zzz'$"):
        _ = tickerplant.zzz  # type: ignore[attr-defined]


def test_a_name_that_is_not_there_says_which_is_near() -> None:
    with pytest.raises(AttributeError, match=r"'conect'; did you mean connect\?$"):
        _ = tickerplant.conect  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "module", [tickerplant, blocking, messages, testing], ids=lambda it: it.__name__
)
def test_code_in_a_docstring_is_code(module: ModuleType) -> None:
    for code in _code_in(module.__doc__ or ""):
        # As in a coroutine, where `async with` stands in a program.
        ast.parse("async def main():\n" + textwrap.indent(code, "    "))
    for name in module.__all__:
        for code in _code_in(getattr(getattr(module, name), "__doc__", None) or ""):
            ast.parse("async def main():\n" + textwrap.indent(code, "    "))


@pytest.mark.parametrize("module", [tickerplant, blocking], ids=lambda it: it.__name__)
def test_a_client_begins_with_an_example_that_can_be_run(module: ModuleType) -> None:
    (code,) = _code_in(module.__doc__ or "")
    assert "connect(" in code


@pytest.mark.slow("programs are run")
def test_the_program_of_the_package_runs() -> None:
    (program,) = _code_in(tickerplant.__doc__ or "")

    async def first_line() -> bytes:
        async with tickerplant.simulate(symbols=["BTCUSDT"]) as market:
            await market.clock.resume()
            environment = {"TICKERPLANT_USDM_URL": market.hosts.streams, "PYTHONUNBUFFERED": "1"}
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", program),
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | environment,
            )
            assert process.stdout is not None
            try:
                return await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
            finally:
                process.kill()
                await process.wait()

    bid, ask = map(float, asyncio.run(first_line()).split())
    assert 0 < bid < ask


PUBLIC_CLASSES = [getattr(side, name) for side in (tickerplant, blocking) for name in ("Market",)]


@pytest.mark.parametrize("kind", PUBLIC_CLASSES, ids=lambda kind: kind.__module__)
def test_an_example_of_a_method_has_at_most_four_lines(kind: type) -> None:
    for name in members(kind):
        examples = _code_in(getattr(inspect.getattr_static(kind, name), "__doc__", None) or "")
        assert all(len(each.splitlines()) <= 4 for each in examples), name


def _code_in(text: str) -> list[str]:
    """Return the indented paragraphs of a docstring, except in its sections, as code is written."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return [textwrap.dedent(each) for each in paragraphs if each.startswith("    ")]


def test_what_a_type_checker_sees_is_what_is_there() -> None:
    tree = inspect.getsource(tickerplant).partition("if TYPE_CHECKING:")[2]
    seen = tree.partition("__version__ =")[0]
    for name, home in tickerplant._HOME.items():
        assert name in seen, f"{name} is not imported for type checkers"
        module = importlib.import_module(f"tickerplant.{home}" if home else "tickerplant")
        assert hasattr(module, name) or importlib.import_module(f"{module.__name__}.{name}")


def test_completion_finds_every_name() -> None:
    assert set(tickerplant.__all__) <= set(dir(tickerplant))
    assert {"__file__", "__name__"} <= set(dir(tickerplant))


def test_what_a_typed_program_needs_is_public() -> None:
    assert get_args(tickerplant.WhenFull) == WHEN_FULL
    made: list[Any] = [Market.stream, Market.on, Market.books, Books.audit]
    made += [blocking.Market.stream, blocking.Market.on]
    made += [blocking.Market.books, blocking.Books.__getitem__]
    made += [vars(each)["counters"].fget for each in (Market, Subscription)]
    for function in made:
        made_type = inspect.signature(function).return_annotation.partition("[")[0]
        assert made_type in tickerplant.__all__


BOTH_SIDES = (
    *("Books", "Listener", "Market", "MarketClock", "ReplayMarket", "SimulatedMarket"),
    "Subscription",
)


def members(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")} - INTERNAL


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    return {
        name: each.replace(annotation=inspect.Parameter.empty)
        for name, each in inspect.signature(function).parameters.items()
    }


def assert_same_parameters(asynchronous: Any, synchronous: Any) -> None:
    here, there = parameters(asynchronous), parameters(synchronous)
    extra = there.keys() - here.keys()
    assert extra <= {"timeout_s"}, f"only the blocking side takes {extra}"
    assert [*here.items()] == [each for each in there.items() if each[0] not in extra]


@pytest.mark.parametrize("name", BOTH_SIDES)
def test_both_sides_have_the_same_members_with_the_same_parameters(name: str) -> None:
    here, there = getattr(tickerplant, name), getattr(blocking, name)
    assert members(here) == members(there)
    for member in members(here):
        one, other = (inspect.getattr_static(kind, member) for kind in (here, there))
        assert isinstance(one, property) == isinstance(other, property), member
        if inspect.isfunction(one):
            assert_same_parameters(one, other)


@pytest.mark.parametrize("name", ["connect", "merge", "replay", "simulate"])
def test_both_sides_have_the_same_functions(name: str) -> None:
    assert_same_parameters(getattr(tickerplant, name), getattr(blocking, name))


def test_the_comparison_of_the_sides_is_complete() -> None:
    compared = {*BOTH_SIDES, "connect", "merge", "replay", "simulate"}
    assert compared == {*blocking.__all__}


OUTSIDE = {*dir(builtins), *dir(typing), *dir(collections.abc), "Decimal", "PathLike", "StrPath"}
OUTSIDE |= {"datetime", "timedelta", "pa", "pd", "pl", "DataFrame", "RecordBatch", "Table"}
"""Names in public signatures that are not ours; `StrPath` is `str` or `PathLike`."""


def signatures(side: ModuleType) -> Iterator[tuple[str, inspect.Signature]]:
    for name in {*side.__all__} - {"Manifest"}:  # its entries are those of the file
        value = getattr(side, name)
        if inspect.isfunction(value):
            yield name, inspect.signature(value)
        for member in members(value) if inspect.isclass(value) else ():
            found = inspect.getattr_static(value, member)
            function = found.fget if isinstance(found, property) else found
            if inspect.isfunction(function):
                yield f"{name}.{member}", inspect.signature(function)


@pytest.mark.parametrize("side", [tickerplant, blocking], ids=lambda it: it.__name__)
def test_every_type_in_a_public_signature_can_be_imported(side: ModuleType) -> None:
    known = OUTSIDE | {*tickerplant.__all__, *messages.__all__, *dir(tickerplant.notices)}
    for name, signature in signatures(side):
        parts = [each.annotation for each in signature.parameters.values()]
        for part in [*parts, signature.return_annotation]:
            text = re.sub(r"'[^']*'|\"[^\"]*\"", "", part) if isinstance(part, str) else ""
            unknown = {*re.findall(r"[A-Za-z_]\w*", text)} - known
            assert not unknown, f"{name}: {unknown}"


def test_every_name_of_messages_is_there() -> None:
    for name in messages.__all__:
        assert hasattr(messages, name), name


def test_every_notice_can_be_imported_with_the_messages_and_on_its_own() -> None:
    names = {"Notice", *(each.__name__ for each in Notice.__subclasses__())}
    assert set(tickerplant.notices.__all__) == names
    assert names <= set(messages.__all__)


@pytest.mark.parametrize("kind", kinds_of_messages(), ids=lambda kind: kind.__name__)
def test_every_message_is_on_its_page_with_its_keys(kind: type[Struct]) -> None:
    text = section(listed(messages)[kind.__name__][0], kind.__name__)
    common = {field.name for field in structs.fields(Message)}
    for field in structs.fields(kind):
        row = f"| `{field.name}` | `{field.encode_name}` |"
        assert (row in text) == (field.name not in common), row


STREAMED = [each for each in kinds_of_messages() if hasattr(each, "of")]


@pytest.mark.parametrize("kind", STREAMED, ids=lambda kind: kind.__name__)
def test_the_maker_of_stream_names_has_a_heading(kind: type[Struct]) -> None:
    made = section("python-messages.md", f"{kind.__name__}.of")
    assert f"{kind.__name__}.of(" in made


@pytest.mark.parametrize("kind", Notice.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_notice_is_on_the_page_with_its_fields(kind: type[Notice]) -> None:
    text = section("python-notices.md", kind.__name__)
    common = {field.name for field in structs.fields(Notice)}
    for field in structs.fields(kind):
        assert (f"| `{field.name}` |" in text) == (field.name not in common), field.name


def test_every_setting_and_value_of_when_full_is_on_its_page() -> None:
    for group in structs.fields(ClientSettings):
        assert f"| `{group.name}` |" in section("python-settings.md", "ClientSettings")
        settings = section("python-settings.md", group.type.__name__)
        for field in structs.fields(group.type):
            assert f"| `{field.name}` | `{field.default}` |" in settings
    assert get_args(WhenFull) == WHEN_FULL
    for value in WHEN_FULL:
        assert f"| `{value}` |" in section("python-client.md", "WhenFull")


METHODS_OF = {
    "market": Market,
    "subscription": Subscription,
    "listener": tickerplant.Listener,
    "market.clock": tickerplant.MarketClock,
    "books": Books,
    "book": tickerplant.OrderBook,
    "recording": Recording,
}
FORMER = {"get", "span"}


def methods(kind: type) -> list[str]:
    named = vars(kind).items()
    public = [name for name, value in named if inspect.isfunction(value) and name[0] != "_"]
    return [name for name in public if name not in INTERNAL | FORMER]


@pytest.mark.parametrize("variable", METHODS_OF)
def test_every_method_has_one_heading(variable: str) -> None:
    headings = [each for text in PAGES.values() for each in HEADING.findall(text)]
    for name in methods(METHODS_OF[variable]):
        assert headings.count(f"`{variable}.{name}`") == 1, name


@pytest.mark.parametrize("name", sorted({*blocking.__all__} - {"ReplayMarket", "SimulatedMarket"}))
def test_the_table_of_both_sides_has_every_method_as_it_is_called(name: str) -> None:
    rows = PAGES["python-blocking.md"].partition("## Both sides")[2]
    ours = getattr(tickerplant, name)
    if not inspect.isclass(ours):
        assert rows.count(f"`{name}(") == 2
        return
    called = {kind.__name__: variable for variable, kind in METHODS_OF.items()}
    for method in methods(ours):
        wait = "await " * inspect.iscoroutinefunction(inspect.getattr_static(ours, method))
        call = f"{called[name]}.{method}("
        assert f" | `{wait}{call}" in rows
        assert f" | `{call}" in rows


def test_an_overloaded_method_has_a_line_for_each_overload() -> None:
    lines = section("python-client.md", "market.stream").splitlines()
    overloads = typing.get_overloads(Market.stream)
    assert len(overloads) == 4
    assert "Ellipsis" not in "".join(PAGES.values())
    for each in overloads:
        made = inspect.signature(each).return_annotation
        assert [line for line in lines if "…" in line and line.endswith(f"-> {made}")]


@pytest.mark.slow("programs are run")
def test_importing_the_package_is_quick() -> None:
    program = (
        "import json, sys, tickerplant; tickerplant.__version__; "
        f"print(json.dumps([each for each in {OTHERS!r} if each in sys.modules]))"
    )
    ended = subprocess.run(  # noqa: S603  # a program of this test
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert json.loads(ended.stdout) == []


HEAVY = ("aiohttp", "numpy", "prometheus_client", "pyarrow", "rich", "uvicorn", "yarl")
"""What the client and the command line do without until they use it."""


@pytest.mark.slow("programs are run")
@pytest.mark.parametrize(
    "program",
    [
        "import tickerplant; tickerplant.connect; tickerplant.messages",
        "import tickerplant; tickerplant.blocking.connect('usdm')",
        "import tickerplant.cli",
        "import contextlib, tickerplant.cli as cli\nwith contextlib.suppress(SystemExit): cli.main(['ask', '-h'])",
        "import tickerplant.watching.ask",
        "import tickerplant.watching.watch",
    ],
)
def test_what_takes_its_time_is_imported_by_who_uses_it(program: str) -> None:
    program += f"\nimport sys; print([each for each in {HEAVY!r} if each in sys.modules])"
    ended = subprocess.run(  # noqa: S603  # a program of this test
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert ended.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow("programs are run")
def test_a_name_that_needs_no_sockets_imports_none() -> None:
    program = (
        "import json, sys; from tickerplant import messages, ClientSettings, ConfigError; "
        "print(json.dumps([each for each in ('aiohttp', 'picows') if each in sys.modules]))"
    )
    ended = subprocess.run(  # noqa: S603  # a program of this test
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert json.loads(ended.stdout) == []
