"""Damage to a recording, as its readers report it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import structs

from tickerplant.recording.line import Damage
from tickerplant.recording.manifest_entries import MANIFEST
from tickerplant.verifying.findings import RecordingFinding

MAX_DAMAGE = 1_000
"""Maximum number of damaged places to list; all are counted."""
_CUT = "is cut off"
"""Part of the reason that is given for a truncated end."""


class DamageLog:
    """Counts damaged places and lists the first of them."""

    def __init__(self, found: RecordingFinding) -> None:
        self.is_running = False
        """Whether a recorder is still writing, so that a truncated end is no damage."""
        self.paths: set[str] = set()
        """Damaged files."""
        self._found = found
        self._listed: set[Damage] = set()

    def add(self, damage: Damage) -> None:
        """Count damage, unless it is known already: a manifest is read more than once."""
        if self.is_running and _CUT in damage.reason:
            return
        path = Path(damage.path)
        if path.name == MANIFEST and not path.exists():
            damage = structs.replace(damage, reason="the manifest is missing")
        if damage in self._listed:
            return
        self.paths.add(damage.path)
        self._found.damage += 1
        if len(self._found.first_damage) < MAX_DAMAGE:
            self._found.first_damage.append(damage)
            self._listed.add(damage)

    def add_all(self, damages: Iterable[Damage]) -> None:
        """Count several."""
        for damage in damages:
            self.add(damage)
