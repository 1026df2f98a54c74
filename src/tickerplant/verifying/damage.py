"""The flaws of a recording, as its readers meet them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import structs

from tickerplant.recording.line import Damage
from tickerplant.recording.manifest_entries import MANIFEST
from tickerplant.verifying.findings import RecordingFinding

MAX_DAMAGE = 1_000
"""Flaws of a recording that are listed; all are counted."""
_CUT = "is cut off"
"""What is said of torn ends."""


class DamageLog:
    """Counts flaws, and lists the first.

    Args:
        found: Where they are counted.
    """

    def __init__(self, found: RecordingFinding) -> None:
        self.is_running = False
        """Whether a recorder writes just now, so that torn ends are none."""
        self.paths: set[str] = set()
        """Files with flaws."""
        self._found = found
        self._listed: set[Damage] = set()

    def add(self, flaw: Damage) -> None:
        """Take note of a flaw, unless it is known: a manifest is read more than once."""
        if self.is_running and _CUT in flaw.reason:
            return
        path = Path(flaw.path)
        if path.name == MANIFEST and not path.exists():
            flaw = structs.replace(flaw, reason="the manifest is missing")
        if flaw in self._listed:
            return
        self.paths.add(flaw.path)
        self._found.damage += 1
        if len(self._found.first_damage) < MAX_DAMAGE:
            self._found.first_damage.append(flaw)
            self._listed.add(flaw)

    def add_all(self, damage: Iterable[Damage]) -> None:
        """Take note of several."""
        for flaw in damage:
            self.add(flaw)
