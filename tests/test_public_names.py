"""What `import tickerplant` promises: its names, their types, and that both sides agree."""

from __future__ import annotations

import ast
import asyncio
import builtins
import collections.abc
import importlib
import inspect
import os
import re
import sys
import textwrap
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Any, get_args

import pytest
from programs import PATIENCE_S, ROOT, ended
from public_names import SECTIONS, names_in

import tickerplant
from tickerplant import Notice, blocking, messages, testing

MODULES = (tickerplant, blocking, messages, tickerplant.notices, testing)
INTERNAL = {
    *("is_done", "take_failure", "hosts", "budget"),
    *("is_over", "read_queued", "begin_waiting", "end_waiting", "let_through", "thread", "inner"),
    *("fetch_queued", "is_settled"),
}
"""Members for the market that made an object, or for `merge`; not for users."""
OUTSIDE = {*dir(builtins), *dir(typing), *dir(collections.abc), "Decimal", "PathLike", "StrPath"}
OUTSIDE |= {"datetime", "timedelta", "pa", "pd", "pl", "DataFrame", "RecordBatch", "Table"}
"""Names in public signatures that are not ours; `StrPath` is `str` or `PathLike`."""

of_modules = pytest.mark.parametrize("module", MODULES, ids=lambda it: it.__name__)


def code_in(text: str | None) -> list[str]:
    """Return the indented paragraphs of a docstring, except in its sections, as code is written."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return [textwrap.dedent(each) for each in paragraphs if each.startswith("    ")]


@of_modules
def test_a_public_name_is_there_described_and_on_the_page_of_all_names(module: ModuleType) -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    for name in module.__all__:
        value = getattr(module, name)
        assert isinstance(value, str) or get_args(value) or inspect.getdoc(value), name
        assert f"{name}`" in page, name


@of_modules
def test_code_in_a_docstring_is_code(module: ModuleType) -> None:
    described = [module, *(getattr(module, name) for name in module.__all__)]
    for code in (code for each in described for code in code_in(getattr(each, "__doc__", None))):
        # As in a coroutine, where `async with` stands in a program.
        ast.parse("async def main():\n" + textwrap.indent(code, "    "))


def test_what_a_type_checker_and_completion_see_is_what_is_there() -> None:
    checked = inspect.getsource(tickerplant).partition("if TYPE_CHECKING:")[2]
    imported = re.findall(r"^    from ([\w.]+) import (\w+) as \2$", checked, re.MULTILINE)
    assert {*tickerplant.__all__} == {"__version__", *(name for _, name in imported)}
    for home, name in imported:
        value = getattr(importlib.import_module(home), name, None)
        assert getattr(tickerplant, name) is value
    assert {*tickerplant.__all__, "__file__"} <= {*dir(tickerplant)}


def test_a_name_that_is_not_there_says_which_is_near() -> None:
    for name, end in (("zzz", "'zzz'$"), ("conect", r"'conect'; did you mean connect\?$")):
        with pytest.raises(AttributeError, match=end):
            getattr(tickerplant, name)


def test_every_notice_can_be_imported_with_the_messages_and_on_its_own() -> None:
    names = {"Notice", *(each.__name__ for each in Notice.__subclasses__())}
    assert {*tickerplant.notices.__all__} == names
    assert names <= {*messages.__all__}


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


@pytest.mark.parametrize("name", blocking.__all__)
def test_both_sides_have_the_same_members_with_the_same_parameters(name: str) -> None:
    here, there = getattr(tickerplant, name), getattr(blocking, name)
    if not inspect.isclass(here):
        assert_same_parameters(here, there)
        return
    assert members(here) == members(there)
    for member in members(here):
        one, other = (inspect.getattr_static(kind, member) for kind in (here, there))
        assert isinstance(one, property) == isinstance(other, property), member
        if inspect.isfunction(one):
            assert_same_parameters(one, other)


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


@pytest.mark.slow("programs are run")
def test_the_program_of_the_package_runs() -> None:
    (program,) = code_in(tickerplant.__doc__)

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


SOCKETS = ("aiohttp", "asyncio", "picows", "websockets")
HEAVY = ("aiohttp", "numpy", "prometheus_client", "pyarrow", "rich", "uvicorn", "yarl")
TAPE = str(ROOT / "tests" / "goldens" / "recordings" / "format-1")
"""What the client and the command line do without until they use it."""


@pytest.mark.slow("programs are run")
@pytest.mark.parametrize(
    ("program", "avoided"),
    [
        ("import tickerplant; tickerplant.__version__", ("msgspec", *SOCKETS, *HEAVY)),
        (
            "from tickerplant import messages, ClientSettings, ConfigError",
            ("aiohttp", "picows", *HEAVY),
        ),
        ("import tickerplant; tickerplant.connect; tickerplant.messages", HEAVY),
        ("import tickerplant; tickerplant.blocking.connect('usdm')", HEAVY),
        (f"import tickerplant; assert [*tickerplant.open_recording({TAPE!r})]", HEAVY),
        ("import tickerplant.cli", HEAVY),
        ("import tickerplant.watching.ask, tickerplant.watching.watch", HEAVY),
    ],
)
def test_what_takes_its_time_is_imported_by_who_uses_it(
    program: str, avoided: tuple[str, ...]
) -> None:
    program += f"\nimport sys; print([each for each in {avoided!r} if each in sys.modules])"
    done = ended("-c", program)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_every_public_name_has_its_place_in_the_reference() -> None:
    found = [each.path for section in SECTIONS for each in names_in(section)]
    assert len({*found}) == len(found)
    shown = {path.rpartition(".")[2] for path in found}
    modules = {"blocking", "messages", "notices", "testing"}
    for module in MODULES:
        assert {*module.__all__} - shown <= {"__version__", *modules}, module
