"""The sentences under the fields of classes, read from their source."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections import defaultdict
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import cast, get_args

from msgspec import Struct


def first_paragraph(value: object) -> str:
    """Return the first paragraph of a docstring, in one line."""
    return paragraphs(value)[0]


def paragraphs(value: object) -> list[str]:
    """Return the paragraphs of a docstring, each in one line; an empty one if there is none."""
    return [_one_line(each) for each in (inspect.getdoc(value) or "").split("\n\n")]


def structs_in(hint: object) -> list[type[Struct]]:
    """Return the Structs in a type."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        return [hint]
    return [each for part in get_args(hint) for each in structs_in(part)]


def field_docs(kind: type | ModuleType) -> dict[str, str]:
    """Return the sentences under the fields of a class or the aliases of a module, in their order.

    Without the source there are none.
    """
    try:
        source = textwrap.dedent(inspect.getsource(kind))
    except OSError:
        return {}
    definition: ast.stmt | ast.Module = ast.parse(source)
    if inspect.isclass(kind):
        (definition,) = cast("ast.Module", definition).body
    assert isinstance(definition, ast.ClassDef | ast.Module)  # noqa: S101  # tells the type checker
    return _docs_in(definition.body)


@cache
def docs_of_classes(module: str) -> dict[str, dict[str, str]]:
    """Return the sentences under the fields of each class of a module, by class and field.

    Without the source there are none.
    """
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:
        return defaultdict(dict)
    classes = (each for each in tree.body if isinstance(each, ast.ClassDef))
    return {each.name: _docs_in(each.body) for each in classes}


def _docs_in(body: list[ast.stmt]) -> dict[str, str]:
    docs = {}
    for field, doc in pairwise(body):
        match field, doc:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = _one_line(text)
    return docs


def _one_line(text: str) -> str:
    return " ".join(text.split())
