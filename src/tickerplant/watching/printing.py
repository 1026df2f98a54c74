"""JSON that a terminal may show."""

from __future__ import annotations


def shown_json(text: bytes) -> bytes:
    """Return JSON as a terminal may have it: signs that it would obey are escaped.

    The value stays the same.  What is not UTF-8 is replaced, as nothing else could show it.
    """
    said = text.decode(errors="replace")
    lines = said.split("\n")  # only between tokens: in a string it would be escaped
    if all(line.isprintable() for line in lines):
        return said.encode()
    return "\n".join(map(_escaped, lines)).encode()


def _escaped(line: str) -> str:
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in line)


def _escape(sign: str) -> str:
    """Return a sign as JSON writes it in ASCII, in two parts if it is of the higher planes."""
    units = sign.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
