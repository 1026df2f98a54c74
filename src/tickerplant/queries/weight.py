"""What a question costs of the budget of its address.

A refused question costs too, so a weight is told from the raw parameters, whatever they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct


class Weight(Protocol):
    """A rule by which a question weighs."""

    def of(self, raw: Mapping[str, object]) -> int:
        """Return the weight of a question with the parameters `raw`; raises nothing."""
        ...


class Flat(Struct, frozen=True):
    """Always the same."""

    weight: int

    def of(self, raw: Mapping[str, object]) -> int:  # noqa: ARG002 - the rule looks at nothing
        """Return the one weight."""
        return self.weight


class BySymbol(Struct, frozen=True):
    """Less for one symbol than for all of them."""

    one: int
    every: int

    def of(self, raw: Mapping[str, object]) -> int:
        """Return the weight of one symbol if one is named."""
        return self.one if raw.get("symbol") else self.every


class ByLimit(Struct, frozen=True):
    """The more rows are asked for, the more; `bands` are pairs (up to this limit, weight)."""

    bands: tuple[tuple[int, int], ...]
    unlimited: int
    """The weight of a question that names no limit, or none that can be read."""

    def of(self, raw: Mapping[str, object]) -> int:
        """Return the weight of the first band that holds the limit, else that of the last."""
        limit = raw.get("limit")
        if isinstance(limit, str) and limit.isdecimal() and len(limit) <= 20:
            limit = int(limit)
        if not isinstance(limit, int) or isinstance(limit, bool):
            return self.unlimited
        return next((weight for top, weight in self.bands if limit <= top), self.bands[-1][1])
