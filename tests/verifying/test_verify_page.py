"""The page about the command says all that the command prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import Struct

from tickerplant.recording.line import Damage, Place
from tickerplant.verifying.findings import (
    BookFinding,
    Break,
    Findings,
    Gap,
    Outage,
    RecordingFinding,
    StreamFinding,
)

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "verify.md"
KINDS = (
    Findings, RecordingFinding, StreamFinding, Gap, Outage, BookFinding, Break, Damage, Place,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_the_document_is_explained(kind: type[Struct]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [name for name in kind.__struct_fields__ if f"`{name}`" not in page]
    assert missing == [], f"keys of {kind.__name__} that the page does not name"
