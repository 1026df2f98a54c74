"""TOML that somebody else wrote, read in a time that is proportional to its length."""

from __future__ import annotations

import re
import tomllib
from typing import Any

MOST_PARTS = 16
"""Most parts of a dotted key: the work of the parser grows with the square of their number."""

_LONG = "a number has thousands of digits"
_OPAQUE = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"{3,5}|\Z)'
    r"|'''.*?(?:'{3,5}|\Z)"
    r'|"(?:\\.|[^"\\\n])*"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*",
    re.DOTALL,
)
"""Strings and comments, in which a dot separates nothing.  A string without an end matches too: else
each later quote would be looked at as its beginning, in a time that grows with the square."""
_STRETCH = re.compile(r"[^\n=\[\]{},]+")
"""What stands between signs that end a key."""

_LONG_NUMBER = re.compile(r"\b0[xob][0-9A-Fa-f_]{1000}")
"""Python reads such a number, and writes none of more than 4,300 decimal digits."""


def parse_toml(text: str) -> dict[str, Any]:
    """Return the table that a text describes.

    Raises:
        ValueError: It is not TOML, nests too deeply, or has a number with thousands of digits; the
            message says what is wrong.
    """
    bare = _OPAQUE.sub("x", text)
    if any(stretch.count(".") >= MOST_PARTS for stretch in _STRETCH.findall(bare)):
        raise ValueError(f"a key has more than {MOST_PARTS} parts")
    if _LONG_NUMBER.search(bare):
        raise ValueError(_LONG)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(str(error)) from None
    except ValueError:  # what Python says of a number that is too long
        raise ValueError(_LONG) from None
