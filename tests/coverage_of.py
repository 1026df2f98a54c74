"""Which rows of the catalogues have a property test, as the tests themselves say."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., None])
TESTS = Path(__file__).parent


def covers(*names: str) -> Callable[[Test], Test]:
    """Mark a test as one of the rows `names`: patterns of streams, paths or methods of queries."""
    assert names, "a test that covers something says what"

    def mark(test: Test) -> Test:
        return test

    return mark


@cache
def covered() -> dict[str, list[str]]:
    """The marked property tests of every row: those that draw what they are given."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                calls = dict(_decorators(node))
                for name in calls.get("covers", []) if "given" in calls else []:
                    found.setdefault(name, []).append(f"{path.name}::{node.name}")
    return found


def _decorators(test: ast.FunctionDef) -> Iterator[tuple[str, list[str]]]:
    """Yield the names of the calls that decorate `test`, with their arguments of text."""
    for each in test.decorator_list:
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name):
            texts = [arg.value for arg in each.args if isinstance(arg, ast.Constant)]
            yield each.func.id, [text for text in texts if isinstance(text, str)]
