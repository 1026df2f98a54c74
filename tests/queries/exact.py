"""Numbers as the wire prints them, by another way than the program's own."""

from __future__ import annotations

from decimal import Decimal


def exact(units: int, decimals: int = 8) -> str:
    """The text of `units` × 10^-`decimals`, every decimal printed."""
    return f"{Decimal(units).scaleb(-decimals):f}"
