"""The pictures of a recording in the documentation are small, and show what their page says."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

IMAGES = Path(__file__).parent.parent / "docs" / "images"
MOST_BYTES = 200_000


def test_the_picture_of_a_verification_has_its_streams_and_holes() -> None:
    text = (IMAGES / "verify.svg").read_text(encoding="utf-8")
    assert len(text) < MOST_BYTES
    words = {"".join(each.itertext()).strip() for each in ET.fromstring(text).iter()}  # noqa: S314
    assert {"btcusdt@depth@100ms", "ethusdt@trade", "messages/s"} <= words
    assert {"not received, lost or may have lost", "messages missing, as ids prove"} <= words


def test_the_picture_of_a_symbol_is_small() -> None:
    data = (IMAGES / "plot.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < MOST_BYTES
