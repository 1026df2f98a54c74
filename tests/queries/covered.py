"""Which tests are about which questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., None])


def covers(*ways: str) -> Callable[[Test], Test]:
    """Say that a test is about what is answered at `ways`: REST paths after the prefix, methods.

    The catalogue of questions reads it from the source and misses a question without a test.
    """
    assert ways, "a test that covers something says what"
    return _as_it_is


def _as_it_is(test: Test) -> Test:
    return test
