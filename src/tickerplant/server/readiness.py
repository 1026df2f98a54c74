"""Whether the source is flowing, as the source tells it."""

from __future__ import annotations

MAX_WARNINGS = 1_000
"""Most warnings that are kept; later ones are dropped, the first are the telling ones."""


class Readiness:
    """What `/readyz` answers; the source keeps it true."""

    def __init__(self) -> None:
        self.is_ready = False
        self.reason = "starting"
        """Why it is not ready, or what it is doing; one line."""
        self.warnings: list[str] = []
        """What is incomplete while ready, such as a symbol without a book."""
        self.lag_ms = 0
        """How far the source is behind its own clock."""

    def ready(self, is_ready: bool, reason: str = "") -> None:
        """Say whether the source is flowing, and why not."""
        self.is_ready = is_ready
        self.reason = reason

    def warn(self, text: str) -> None:
        """Add a warning; the same text once."""
        if text not in self.warnings and len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(text)
