"""The reference explains every key that `verify --json` prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import Struct

from tickerplant.archive.outage_log import Outage
from tickerplant.recording.line import Damage, Place
from tickerplant.verifying.findings import (
    BookFinding,
    Break,
    Findings,
    Gap,
    RecordingFinding,
    StreamFinding,
)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json-output.md"
KINDS = (
    Findings, RecordingFinding, StreamFinding, Gap, Outage, BookFinding, Break, Damage, Place,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_the_document_is_explained(kind: type[Struct]) -> None:
    _, _, after = PAGE.read_text(encoding="utf-8").partition(f"\n**{kind.__name__}**: ")
    rows = [line.split(" | ") for line in after.partition("\n\n**")[0].splitlines()]
    explained = {row[0] for row in rows if row[-1].removesuffix("|").strip()}
    missing = [name for name in kind.__struct_fields__ if f"| `{name}`" not in explained]
    assert missing == [], f"keys of {kind.__name__} that the page does not explain"
