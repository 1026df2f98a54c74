"""The shape of JSON responses.

Two responses have the same shape if they have the same keys in the same order, the same JSON types,
and as many decimals in every number that is text. Lists of words may have any length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

OTHER_DECIMALS = {
    ("rest.ticker.24hr", "weightedAvgPrice"): "COIN-M captures have eight, the documented row one",
    ("rest.basis", "futuresPrice"): "price decimals; the documented row has one",
    ("rest.fundingInfo", "adjustedFundingRateCap"): "five where usual, eight where adjusted",
    ("rest.fundingInfo", "adjustedFundingRateFloor"): "five where usual, eight where adjusted",
    ("rest.insuranceBalance", "marginBalance"): "trailing zeros are cut",
    ("rest.exchangeInfo", "minPrice"): "whole bounds have no decimals",
    ("rest.exchangeInfo", "maxPrice"): "whole bounds have no decimals",
    ("rest.exchangeInfo", "autoAssetExchange"): "differs from asset to asset",
}
"""Keys whose decimals differ, each with the reason."""

DECIMAL = re.compile(r"-?[0-9]+(?:\.([0-9]+))?")


def shape(value: Any, name: str, order: Sequence[str] | None = None, key: str = "") -> Any:
    """Return the shape of `value`; a list of objects or lists has the shape of its first element.

    Args:
        value: A part of the response `name`.
        name: The name of the golden request.
        order: Keys of the outermost objects, if not those of `value`.
        key: The key of the part.
    """
    match value:
        case dict():
            return [(each, shape(value[each], name, key=each)) for each in order or value]
        case [first, *_] if isinstance(first, dict | list):
            return ["a list of", shape(first, name, order, key)]
        case list():
            shapes = [shape(part, name, key=key) for part in value]
            return ["a list of", *(["str"] if set(shapes) == {"str"} else shapes)]
        case str() if (decimal := DECIMAL.fullmatch(value)) and not differs(name, key):
            return f"text with {len(decimal[1] or '')} decimals"
        case _:
            return type(value).__name__


def differs(name: str, key: str) -> bool:
    """Whether the decimals of a key differ between responses."""
    return (name.removesuffix(".all"), key) in OTHER_DECIMALS
