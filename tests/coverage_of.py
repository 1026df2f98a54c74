"""Which rows of the catalogues have a property test, as the tests themselves say."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from hypothesis import is_hypothesis_test

Test = TypeVar("Test", bound=Callable[..., None])
TESTS = Path(__file__).parent


def covers(*names: str) -> Callable[[Test], Test]:
    """Mark a property test as one of the rows `names`: streams, paths or methods of queries.

    It stands above `@given`, and its arguments are text or constants of the module.
    """
    assert names, "a test that covers something says what"

    def mark(test: Test) -> Test:
        assert is_hypothesis_test(test), f"{test.__name__} draws nothing: `covers` is above `given`"
        return test

    return mark


@cache
def covered() -> dict[str, list[str]]:
    """The marked property tests of every row: those that draw what they are given."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "@covers(" not in text:
            continue
        tree = ast.parse(text)
        constants = dict(_constants(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                calls = dict(_decorators(node))
                for argument in calls.get("covers", []) if "given" in calls else []:
                    for name in _texts(argument, constants):
                        found.setdefault(name, []).append(f"{path.name}::{node.name}")
    return found


def _decorators(test: ast.FunctionDef) -> Iterator[tuple[str, list[ast.expr]]]:
    """Yield the names of the calls that decorate `test`, with their arguments."""
    for each in test.decorator_list:
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name):
            yield each.func.id, each.args


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names of a module with what they are bound to, pair by pair."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _bound(target, node.value)


def _bound(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, bound in zip(target.elts, value.elts, strict=True):
            yield from _bound(one, bound)


def _texts(argument: ast.expr, constants: Mapping[str, ast.expr]) -> Iterator[str]:
    """Yield the names of rows that an argument of `covers` stands for."""
    match argument:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Name(id=name):
            yield from _texts(constants[name], constants)
        case ast.Starred(value=value):
            yield from _texts(value, constants)
        case ast.Tuple(elts=parts):
            for part in parts:
                yield from _texts(part, constants)
        case _:
            raise TypeError(f"covers {ast.unparse(argument)}: write a row or a constant's name")
