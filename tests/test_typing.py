"""What type checkers say of the examples, of the programs in the pages, and of twenty mistakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from programs import CODE, PAGES, ROOT

PAGE = ROOT / "docs" / "reference" / "python.md"
FUNCTION = re.compile(r"^```text\n(import tickerplant\n.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `(.+?)` \| [^|]+ \| `([\w-]+)` \| ([\w`, ]+) \|$", re.MULTILINE)
TIMEOUT_S = 60
STRICT = "# pyright: strict, reportUnnecessaryIsInstance=false\n"
"""For the examples; mypy needs a check where pyright knows the class."""

slow = pytest.mark.slow("type checkers are run")

Findings = dict[str, list[str]]
"""The rules that a checker found broken, by file, in the order of its lines."""


def mistakes() -> list[tuple[str, str, str]]:
    """Return the lines of the table, with the rules of mypy and pyright that they break."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return [(line, mypy_rule, rules.replace("`", "")) for line, mypy_rule, rules in rows]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every program: examples, those of the pages, and the mistakes."""
    folder = tmp_path_factory.mktemp("programs")
    for path in (ROOT / "examples").rglob("*.py"):
        is_imported = path.parent.name == "test_a_bot"  # by its neighbour
        name = path.name if is_imported else f"example_{path.name}"
        (folder / name).write_text(STRICT + path.read_text(encoding="utf-8"))
    for page in PAGES:
        for number, program in enumerate(CODE.findall(page.read_text(encoding="utf-8"))):
            (folder / f"page_{page.stem.replace('-', '_')}_{number}.py").write_text(program)
    found = FUNCTION.search(PAGE.read_text(encoding="utf-8"))
    assert found
    for number, (line, _, _) in enumerate(mistakes()):
        (folder / f"mistake_{number}.py").write_text(f"{found[1]}    {line}\n")
    return folder


def check(*command: str) -> str:
    """Run a checker; return what it wrote."""
    ended = subprocess.run(  # noqa: S603  # a tool of this repository
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=TIMEOUT_S,
    )
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def mypy(folder: Path) -> Findings:
    findings = defaultdict(list)
    for line in check("mypy", "--strict", "--output", "json", str(folder)).splitlines():
        found = json.loads(line)
        if found["severity"] == "error":
            findings[Path(found["file"]).stem].append(found["code"])
    return findings


@pytest.fixture(scope="module")
def pyright(folder: Path) -> Findings:
    settings = {"typeCheckingMode": "standard", "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    options = ("--project", str(folder), "--pythonpath", sys.executable, "--outputjson")
    findings = defaultdict(list)
    for found in json.loads(check("basedpyright", *options))["generalDiagnostics"]:
        if found["severity"] == "error":
            findings[Path(found["file"]).stem].append(found["rule"])
    return findings


@slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_no_program_has_an_error(checker: str, request: pytest.FixtureRequest) -> None:
    findings: Findings = request.getfixturevalue(checker)
    assert {name: found for name, found in findings.items() if "mistake" not in name} == {}


@slow
def test_both_checkers_find_every_mistake_of_the_table(mypy: Findings, pyright: Findings) -> None:
    found = [
        (line, ", ".join(mypy[f"mistake_{number}"]), ", ".join(pyright[f"mistake_{number}"]))
        for number, (line, _, _) in enumerate(mistakes())
    ]
    assert found == mistakes()


def test_the_table_has_twenty_mistakes() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("\n## Type checking\n")[2]
    rows = re.findall(r"^\| `", section, re.MULTILINE)
    assert len(rows) == len(mistakes()) == 20
