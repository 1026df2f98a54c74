"""Exact decimal text, computed independently of the program."""

from __future__ import annotations

from decimal import Decimal


def exact(units: int, decimals: int = 8) -> str:
    """The text of `units` × 10^-`decimals`, with all decimals."""
    return f"{Decimal(units).scaleb(-decimals):f}"
