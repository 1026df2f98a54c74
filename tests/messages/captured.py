"""Messages to read: those of our goldens, and the examples of the protocol reference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

TESTS = Path(__file__).parents[1]
GOLDENS = TESTS / "goldens" / "streams"
EXAMPLES = TESTS.parents[1] / "shared" / "protocol" / "examples"


class Captured(NamedTuple):
    """A message of a stream, as bytes and as what is in them."""

    stream: str
    payload: bytes
    content: Any

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The objects in it, whether or not it is a list."""
        return self.content if isinstance(self.content, list) else [self.content]


def captured(stream: str, content: Any) -> Captured:
    return Captured(stream, msgspec.json.encode(content), content)


def goldens() -> list[tuple[str, list[Captured]]]:
    """The messages of every golden, by where it is."""
    return [
        (
            str(path.relative_to(GOLDENS)),
            [captured(path.stem, content) for content in json.loads(path.read_text())],
        )
        for path in sorted(GOLDENS.rglob("*.json"))
    ]


def examples() -> Iterator[tuple[str, Captured]]:
    """Every stream example of the reference under each of its names; none where it is not at hand."""
    manifest = EXAMPLES / "manifest.json"
    files = json.loads(manifest.read_text())["files"] if manifest.exists() else []
    for entry in files:
        if entry["kind"] == "stream":
            content = json.loads((EXAMPLES / entry["file"]).read_text())
            for stream in entry["stream"].split(" | "):
                yield entry["file"], captured(stream, content)


def message_of_each_kind() -> dict[str, Captured]:
    """One golden message of every stream name; the last profile's, which has the most keys."""
    return {each.stream: each for _, listed in goldens() for each in listed}
